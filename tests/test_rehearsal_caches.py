"""Prompt caches: which prefixes count, what the first and the later requests pay, worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.endpoints import usage
from chimera_batch.rehearsal import prefixes
from chimera_batch.rehearsal.asks import READERS, messages
from chimera_batch.rehearsal.caches import Caches, Shelf
from chimera_batch.rehearsal.clerk import Clerk, Done, Errand
from chimera_batch.rehearsal.knobs import BadSetting
from chimera_batch.rehearsal.prefixes import Mark
from chimera_batch.rehearsal.talk import Said
from chimera_batch.rehearsal.tariff import Tariff
from chimera_batch.rehearsal.terms import Touched

Row = dict[str, Any]
LONG, SHORT = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}
SYSTEM = "s" * 8000  # 2,000 tokens as the rehearsal counts them
PRICES: list[Row] = [
    {"provider": "anthropic", "model": "claude", "input": "4", "output": "20", "cached_input": "0.4",
     "cache_write": "5", "cache_write_long": "8", "batch_multiplier": "0.5"},
    {"provider": "openai", "model": "gpt-6-luna", "input": "4", "output": "20", "cached_input": "0.4",
     "cache_write": "5", "batch_multiplier": "0.5"},
    {"provider": "openai", "model": "plain", "input": "4", "output": "20", "cached_input": "0.4"},
]  # fmt: skip


def block(text: str, mark: Row | None = None) -> Row:
    return {"type": "text", "text": text} | ({"cache_control": mark} if mark else {})


def claude(n: int, *system: Row, **more: Any) -> Row:
    turns = [{"role": "user", "content": f"Question {n:03}?"}]
    return {"model": "claude", "max_tokens": 100, "system": list(system), "messages": turns} | more


def chat(n: int, model: str = "plain", system: str = SYSTEM, **more: Any) -> Row:
    turns = [{"role": "system", "content": system}, {"role": "user", "content": f"Question {n:03}?"}]
    return {"model": model, "messages": turns} | more


class Counter:
    """Asks one question after the other; all in one batch unless it says otherwise."""

    def __init__(self, hit: float = 1.0, **told: Any) -> None:
        self.clerk = Clerk(
            lambda ask: Said("text", None, 10, 0), Tariff(PRICES), {"seed": 5, "caches": {"hit": hit}} | told
        )
        self.shelf = Shelf()

    def ask(self, body: Row, key: str = "k", batch: str | None = "b", shelf: Shelf | None = None) -> Done:
        endpoint = "/v1/messages" if body["model"] == "claude" else "/v1/responses"
        endpoint = "/v1/chat/completions" if "messages" in body and endpoint == "/v1/responses" else endpoint
        profile = "anthropic" if endpoint == "/v1/messages" else "openai"
        done = self.clerk.do(Errand(profile, endpoint, key, body, 1, key, 0, batch=batch, shelf=shelf or self.shelf))
        agrees(endpoint, done)
        return done

    def touched(self, body: Row, key: str = "k") -> tuple[int, int, int]:
        line = self.ask(body, key).line
        return line["cached_tokens"], line["cache_write_tokens"], line["cache_write_long_tokens"]


def agrees(endpoint: str, done: Done) -> None:
    """The bill's line is what our own reader makes of the usage."""
    reader = {"/v1/messages": usage.of_anthropic, "/v1/responses": usage.of_responses}.get(endpoint, usage.of_chat)
    found, line = reader(done.body["usage"]), done.line
    assert found is not None
    for name in ("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_long_tokens", "output_tokens"):
        assert getattr(found, name) == line[name], name


# Arithmetic by hand


def test_one_write_then_reads_at_an_hour() -> None:
    counter = Counter()
    first, second = (counter.ask(claude(n, block(SYSTEM, LONG))) for n in (1, 2))
    assert first.body["usage"] | {"output_tokens_details": None} == {
        "input_tokens": 4,  # "Question 001?" is 13 bytes: 8,013 bytes are 2,004 tokens, 2,000 of them the prefix
        "cache_creation_input_tokens": 2000,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2000},
        "output_tokens": 10,
        "output_tokens_details": None,
        "service_tier": "batch",
    }
    assert second.body["usage"]["cache_read_input_tokens"] == 2000
    assert second.body["usage"]["cache_creation_input_tokens"] == 0
    # In a batch half of: fresh 4 at 4, written 2,000 at 8, output 10 at 20 dollars per million; then read at 0.4.
    assert Decimal(first.line["usd"]) == (4 * 4 + 2000 * 8 + 10 * 20) / Decimal(2_000_000)
    assert Decimal(second.line["usd"]) == (4 * 4 + 2000 * Decimal("0.4") + 10 * 20) / Decimal(2_000_000)
    sync = Counter().ask(claude(1, block(SYSTEM, SHORT)), batch=None)
    assert Decimal(sync.line["usd"]) == (4 * 4 + 2000 * 5 + 10 * 20) / Decimal(1_000_000)


def test_a_host_that_charges_for_writes_says_so_and_another_does_not() -> None:
    counter = Counter()
    assert [counter.touched(chat(n, "gpt-6-luna")) for n in (1, 2)] == [(0, 2000, 0), (2000, 0, 0)]
    assert [counter.touched(chat(n, "plain")) for n in (1, 2)] == [(0, 0, 0), (2000, 0, 0)]
    told = Counter().ask(chat(1, "gpt-6-luna"))
    assert told.body["usage"]["prompt_tokens"] == 2004
    assert told.body["usage"]["prompt_tokens_details"]["cache_write_tokens"] == 2000
    assert Decimal(told.line["usd"]) == (4 * 4 + 2000 * 5 + 10 * 20) / Decimal(2_000_000)
    silent = Counter().ask(chat(1, "plain"))
    assert Decimal(silent.line["usd"]) == (2004 * 4 + 10 * 20) / Decimal(1_000_000), "no batch price is known"


def test_hits_are_best_effort() -> None:
    counter = Counter(0.7)
    seen = [counter.touched(claude(n, block(SYSTEM, LONG)), f"k{n}") for n in range(2000)]
    assert seen[0] == (0, 0, 2000)
    assert set(seen[1:]) == {(2000, 0, 0), (0, 0, 2000)}, "read, or written again"
    assert sum(read > 0 for read, _, _ in seen) / 2000 == pytest.approx(0.7, abs=0.03)
    again = Counter(0.7)
    assert seen[:50] == [again.touched(claude(n, block(SYSTEM, LONG)), f"k{n}") for n in range(50)]
    never = Counter(0.0)
    assert {never.touched(claude(n, block(SYSTEM, LONG)), f"k{n}") for n in range(9)} == {(0, 0, 2000)}


def test_a_cache_is_of_a_batch_a_model_and_a_host() -> None:
    counter = Counter()
    assert counter.touched(claude(1, block(SYSTEM, LONG)))[2] == 2000
    other = counter.ask(claude(2, block(SYSTEM, LONG)), shelf=Shelf()).line
    assert (other["cached_tokens"], other["cache_write_long_tokens"]) == (0, 2000), "another batch"
    assert counter.touched(chat(1, "plain")) == (0, 0, 0)
    assert counter.touched(chat(1, "gpt-6-luna")) == (0, 2000, 0), "another model"


def test_without_the_setting_nothing_is_cached_and_the_share_is_as_it_was() -> None:
    for told, share in (({}, 0), ({"cached_share": 0.5}, 1002)):
        clerk = Clerk(lambda ask: Said("text", None, 10, 0), Tariff(PRICES), told)
        for n in (1, 2):
            done = clerk.do(Errand("anthropic", "/v1/messages", "k", claude(n, block(SYSTEM, LONG)), 1, "k", 0))
            assert done.body["usage"]["cache_creation_input_tokens"] == done.line["cache_write_long_tokens"] == 0
            assert done.line["cached_tokens"] == done.body["usage"]["cache_read_input_tokens"] == share


def test_a_cached_share_is_not_taken_off_what_cannot_show_it() -> None:
    row = {"provider": "openai", "model": "embed", "input": "1", "cached_input": "0", "output": "0"}
    clerk = Clerk(lambda ask: Said("", None, 0, 0), Tariff([row]), {"cached_share": 0.5})
    done = clerk.do(Errand("openai", "/v1/embeddings", "k", {"model": "embed", "input": "x" * 400}, 1, "k", 0))
    assert done.body["usage"] == {"prompt_tokens": 100, "total_tokens": 100}
    assert (done.line["cached_tokens"], Decimal(done.line["usd"])) == (0, Decimal("0.0001"))


@pytest.mark.parametrize("told", [{"hit": 2}, {"hit": "0.5"}, {"hits": 0.5}, {"min_tokens": 0}, [], 0.7, {"hit": True}])
def test_settings_that_mean_nothing_are_refused(told: Any) -> None:
    with pytest.raises(BadSetting, match="caches"):
        Caches({"caches": told})


def test_what_is_left_out_has_its_default() -> None:
    counter = Counter()
    counter.clerk = Clerk(lambda ask: Said("text", None, 10, 0), Tariff(PRICES), {"seed": 5, "caches": {}})
    seen = [counter.touched(claude(n, block("s" * 4096, LONG)), f"k{n}") for n in range(400)]
    assert sum(read > 0 for read, _, _ in seen) / 400 == pytest.approx(0.7, abs=0.06)
    assert counter.touched(claude(1, block("s" * 4092, LONG))) == (0, 0, 0), "1,023 tokens"


# Which prefixes


def test_several_marks_read_the_longest_that_is_known_and_write_the_rest() -> None:
    counter = Counter()
    one, two = block("a" * 8000, LONG), block("b" * 4000, SHORT)
    assert counter.touched(claude(1, one, two)) == (0, 1000, 2000), "1,000 more at five minutes"
    assert counter.touched(claude(2, one, two)) == (3000, 0, 0)
    assert counter.touched(claude(3, one, block("c" * 4000, SHORT))) == (2000, 1000, 0)
    assert counter.touched(claude(4, one)) == (2000, 0, 0)
    assert Counter(0.0).touched(claude(5, one, two)) == (0, 1000, 2000)


@pytest.mark.parametrize(
    "body, tokens",
    [
        (claude(1, block(SYSTEM)), []),
        (claude(1, block(SYSTEM[:4000], LONG)), []),
        (claude(1, block(SYSTEM, LONG)), [2000]),
        (claude(1, block("a" * 4096), block("b" * 4, LONG)), [1025]),
        (claude(1, block(SYSTEM), cache_control=LONG), [2004]),
        (claude(1, system=SYSTEM, messages=[{"role": "user", "content": [block("q" * 8, SHORT)]}]), [2002]),
        (claude(1, block(SYSTEM), tools=[{"name": "t", "cache_control": LONG}]), []),
        (claude(1, block(SYSTEM, LONG), tools=[{"name": "t"}, "odd"]), [2000]),
    ],
)
def test_marks_of_messages(body: Row, tokens: list[int]) -> None:
    assert [mark.tokens for mark in prefixes.of_messages(body, 1024)] == tokens


def test_what_stands_before_a_mark_is_part_of_it() -> None:
    def digest(body: Row) -> bytes:
        (mark,) = prefixes.of_messages(body, 1024)
        return mark.digest

    usual = claude(1, block(SYSTEM, LONG))
    assert digest(usual) == digest(claude(2, block(SYSTEM, SHORT)))
    assert digest(usual) != digest(claude(1, block("S" + SYSTEM[1:], LONG)))
    assert digest(usual) != digest(usual | {"tools": [{"name": "t"}]})


BREAK = {"prompt_cache_breakpoint": {"mode": "explicit"}}


@pytest.mark.parametrize(
    "body, marks",
    [
        (chat(1), [(2000, False)]),
        (chat(1, system="short"), []),
        (chat(1, system="s" * 4092), [(1024, False)]),
        (chat(1, prompt_cache_options={"mode": "explicit"}), []),
        (chat(1, prompt_cache_options="odd"), [(2000, False)]),
        ({"instructions": SYSTEM, "input": "Q"}, [(2000, False)]),
        ({"instructions": SYSTEM, "input": "Q", "prompt_cache_options": {"ttl": "12h"}}, [(2000, True)]),
        ({"input": SYSTEM}, [(1024, False)]),
        ({"input": "short"}, []),
        (
            {"messages": [{"role": "user", "content": [block(SYSTEM) | BREAK, block("Q")]}]},
            [(1024, False), (2000, False)],
        ),
        (
            {
                "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
                "input": [{"role": "user", "content": [block(SYSTEM) | BREAK]}],
            },
            [(2000, True)],
        ),
    ],
)
def test_prefixes_of_openai(body: Row, marks: list[tuple[int, bool]]) -> None:
    assert [(mark.tokens, mark.long) for mark in prefixes.of_openai(body, 1024)] == marks


def test_a_short_system_text_is_cached_with_the_text_that_follows_it() -> None:
    counter = Counter()
    shared = "w" * 4096
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": shared + "one"}]
    first = {"model": "plain", "messages": turns}
    second = {"model": "plain", "messages": [turns[0], {"role": "user", "content": shared + "other"}]}
    assert [counter.touched(body)[0] for body in (first, second)] == [0, 1024]
    assert counter.touched({"model": "plain", "messages": turns[1:]})[0] == 0, "begins otherwise"


def test_a_cache_key_keeps_apart_and_a_responses_write_is_split_by_its_life() -> None:
    counter = Counter()
    assert counter.touched(chat(1, "plain", prompt_cache_key="a"))[0] == 0
    assert counter.touched(chat(2, "plain", prompt_cache_key="b"))[0] == 0
    assert counter.touched(chat(3, "plain", prompt_cache_key="a"))[0] == 2000
    body = {"model": "gpt-6-luna", "instructions": SYSTEM, "input": "Q", "prompt_cache_options": {"ttl": "12h"}}
    told = counter.ask(body).body["usage"]["input_tokens_details"]
    assert told["cache_write_tokens_details"] == {"ttl_30m_tokens": 0, "ttl_12h_tokens": 2000}


def test_the_life_of_a_write_is_told_where_it_changes_the_price() -> None:
    counter = Counter()
    long = {"prompt_cache_options": {"ttl": "12h"}}
    assert counter.touched(chat(1, "gpt-6-luna", **long)) == (0, 0, 2000)


def test_embeddings_are_not_cached() -> None:
    counter = Counter()
    row = {"provider": "openai", "model": "embed", "input": "1", "output": "0"}
    counter.clerk = Clerk(lambda ask: Said("", None, 0, 0), Tariff([row]), {"caches": {"hit": 1.0}})
    for _ in range(2):
        errand = Errand("openai", "/v1/embeddings", "k", {"model": "embed", "input": SYSTEM}, 1, "k", 0)
        assert counter.clerk.do(errand).line["cached_tokens"] == 0


# Always


texts = st.text(max_size=40)


blocks_of = st.lists(st.tuples(texts, st.sampled_from([None, LONG, SHORT])), min_size=1, max_size=5)
turns_of = st.lists(st.tuples(st.sampled_from(["system", "user", "developer", "assistant"]), texts), min_size=1)


@given(blocks_of, texts, st.integers(1, 9))
def test_a_prefix_is_never_more_than_the_input(blocks: list[tuple[str, Row | None]], user: str, least: int) -> None:
    body = claude(1, *(block(text, mark) for text, mark in blocks), messages=[{"role": "user", "content": user}])
    sent = messages(body).input_tokens
    found = [mark.tokens for mark in prefixes.of_messages(body, least)]
    assert all(least <= tokens <= sent for tokens in found)
    assert found == sorted(found)


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "developer", "assistant"]), texts), min_size=1),
    st.integers(1, 9),
)
def test_neither_is_one_of_openai(turns: list[tuple[str, str]], least: int) -> None:
    body = {"model": "m", "messages": [{"role": role, "content": text} for role, text in turns]}
    sent = READERS["/v1/chat/completions"](body).input_tokens
    found = prefixes.of_openai(body, least)
    assert all(least <= mark.tokens <= sent for mark in found)
    assert [mark.digest for mark in found] == [mark.digest for mark in prefixes.of_openai(body, least)]


@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans()), max_size=4), st.integers(0, 3), st.floats(0, 1))
def test_read_and_written_are_the_longest_prefix(told: list[tuple[int, bool]], held: int, hit: float) -> None:
    marks = [Mark(bytes([n]), tokens, long) for n, (tokens, long) in enumerate(sorted(told))]
    known = marks[held % len(marks)].tokens if marks and held else 0
    touched = Caches({"caches": {"hit": hit}}).touch(known, marks, "k", 1)
    assert touched.read in (0, known)
    assert touched.read + touched.written == max((mark.tokens for mark in marks), default=0)
    assert min(touched.write, touched.write_long) >= 0
    assert Touched(1, 2, 3).fresh(10) == 4
