"""Prompt caching: what it saves, when it is kept, and that marks change the bytes of a request and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import api
from chimera_batch.cost import caching
from chimera_batch.cost.money import Rates
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import InputError
from chimera_batch.opening import Options
from chimera_batch.records import Caching, Call, Message, Usage
from chimera_batch.requests import wire
from tests.support import Batch, Bench, bench, write_project

MESSAGES = ENDPOINTS["/v1/messages"]
RATES = Rates(Decimal(4), Decimal("0.4"), Decimal(5), Decimal(8), Decimal(20))  # Anthropic's proportions


@pytest.mark.parametrize(
    ("sums", "usd"),
    [
        (Usage(1_000_000, output_tokens=9_999_999), "0"),
        (Usage(1_000_000, cached_tokens=1_000_000), "3.6"),  # read at 0.4 instead of 4
        (Usage(1_000_000, cache_write_tokens=1_000_000), "-1"),  # written at 5
        (Usage(1_000_000, cache_write_long_tokens=1_000_000), "-4"),  # written for an hour at 8
        (Usage(3_000_000, cached_tokens=1_000_000, cache_write_long_tokens=1_000_000), "-0.4"),
        (Usage(3_000_000, cached_tokens=2_000_000, cache_write_long_tokens=1_000_000), "3.2"),
    ],
)
def test_what_the_cache_saved(sums: Usage, usd: str) -> None:
    assert caching.saving(sums, RATES) == Decimal(usd)
    assert caching.pays(sums, RATES) == (Decimal(usd) > 0)


TOKENS = st.integers(0, 10**7)


@given(TOKENS, TOKENS, TOKENS, TOKENS, st.lists(st.integers(1, 50), min_size=5, max_size=5))
def test_it_pays_where_reads_save_more_than_writes_cost(
    fresh: int, read: int, short: int, long: int, rates: list[int]
) -> None:
    known = Rates(*map(Decimal, rates))
    sums = Usage(fresh + read + short + long, read, short, long, output_tokens=5)
    saved = read * (known.input - known.cached_input)
    cost = short * (known.cache_write - known.input) + long * (known.cache_write_long - known.input)
    assert caching.saving(sums, known) == (saved - cost) / 1_000_000
    assert caching.pays(sums, known) == (saved > cost)


GOOD, BAD = Usage(100, cached_tokens=90), Usage(100, cache_write_long_tokens=90)


@pytest.mark.parametrize(
    ("said", "shared", "measured", "marks"),
    [
        (True, 0, (500, BAD), True),
        (False, 9999, (500, GOOD), False),
        ("auto", 1024, (0, Usage()), True),
        ("auto", 1023, (0, Usage()), False),
        ("auto", 1023, (500, GOOD), False),
        ("auto", 1024, (49, BAD), True),
        ("auto", 1024, (50, BAD), False),
        ("auto", 1024, (50, GOOD), True),
        ("auto", 1024, (50, Usage(100)), False),  # marked, and the host ignored it
    ],
)
def test_when_requests_are_marked(said: Caching, shared: int, measured: tuple[int, Usage], *, marks: bool) -> None:
    assert caching.wanted(said, shared, 1024, measured, RATES) is marks


# -- the bytes


def line_of(*, cache: bool, system: str | None = "Be brief.") -> dict[str, Any]:
    said = [Message("system", system)] if system else []
    call = Call("anthropic", "/v1/messages", "claude", 100, effort="high", cache=cache)
    return dict(MESSAGES.line("id", MESSAGES.body(call, [*said, Message("user", "Go.")])))


@given(has=st.booleans(), wants=st.booleans(), system=st.one_of(st.none(), st.text(min_size=1)))
def test_a_mark_is_put_on_and_taken_off(has: bool, wants: bool, system: str | None) -> None:
    before = line_of(cache=has, system=system)
    kept = orjson.dumps(before)
    edited = MESSAGES.with_cache(before, on=wants)
    assert orjson.dumps(edited) == orjson.dumps(line_of(cache=wants, system=system)), "as if it had been packed so"
    assert orjson.dumps(before) == kept, "the argument is left alone"
    assert MESSAGES.problems({**edited, "custom_id": "x"}) == MESSAGES.problems({**before, "custom_id": "x"})


def test_several_system_texts_come_back_as_they_were_joined() -> None:
    call = Call("anthropic", "/v1/messages", "claude", 100, cache=True)
    talk = [Message("system", "a"), Message("system", "b"), Message("user", "Go.")]
    marked = MESSAGES.line("id", MESSAGES.body(call, talk))
    plain = MESSAGES.line("id", MESSAGES.body(replace(call, cache=False), talk))
    assert MESSAGES.with_cache(marked, on=False) == plain


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])
def test_hosts_that_cache_unasked_have_no_marks(path: str) -> None:
    line = {"custom_id": "x", "body": {"model": "m", "messages": [], "input": "x"}}
    assert not ENDPOINTS[path].marks_cache
    assert ENDPOINTS[path].with_cache(line, on=True) == line
    assert wire.edit_of(ENDPOINTS[path], "24h", (False, True)) is None


@pytest.mark.parametrize(("has", "wants"), [(True, True), (False, False)])
def test_what_is_right_already_is_not_touched(*, has: bool, wants: bool) -> None:
    assert wire.edit_of(MESSAGES, "24h", (has, wants)) is None


# -- a stage that tries it

LONG = "<!-- system -->\n" + "Answer with care. " * 200 + "\n<!-- user -->\n{{ q }}\n"
ROWS = (
    "-- The rows.\nSELECT 'k' || lpad(i::VARCHAR, 4, '0') AS row_key, 'question ' || i AS q FROM range(500) AS t(i)\n"
)


def stage_of(folder: Path, prompt: str = LONG, rows: str = ROWS, **model: Any) -> Bench:
    said = {"provider": "anthropic", "model": "claude-x", "cache": "auto", **model}
    files = {"prompts/tiny/one.md": prompt, "sql/tiny/one_rows.sql": rows}
    one = bench(write_project(folder, files, **said), deletes_files=True)  # a host whose results show at once
    rows = [
        replace(row, batch=RATES, standard=RATES) if "claude-x" in row.names else row for row in one.ctx.prices.rows
    ]
    one.ctx.prices.rows = tuple(rows)
    return one


def told(line: dict[str, Any], *, read: int, written: int) -> bytes:
    usage = {
        "input_tokens": 20,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_1h_input_tokens": written},
        "output_tokens": 3,
    }
    content = [{"type": "text", "text": "four"}]
    message = {"type": "message", "model": "m", "content": content, "stop_reason": "end_turn", "usage": usage}
    return orjson.dumps({"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}})


def marked(batch: Batch) -> bool:
    marks = {"cache_control" in orjson.dumps(line).decode() for line in batch.lines}
    assert len(marks) == 1, "a batch is marked as a whole"
    return marks.pop()


def rest_after(one: Bench, *, read: int, written: int) -> Batch:
    """Answer the canary with such a usage; the batch of the rest."""
    one.go()
    (canary,) = one.host.batches.values()
    assert len(canary.lines) == 50 and marked(canary)
    one.host.answer(canary.id, lambda line: told(line, read=read, written=written), "ended")
    one.go()
    return list(one.host.batches.values())[-1]


@pytest.mark.parametrize(("read", "written", "kept"), [(1500, 100, True), (100, 1500, False), (0, 0, False)])
def test_the_canary_decides_for_the_rest(tmp_path: Path, read: int, written: int, *, kept: bool) -> None:
    one = stage_of(tmp_path)
    rest = rest_after(one, read=read, written=written)
    assert len(rest.lines) == 450 and marked(rest) is kept
    facts = [attempt.cache for _, attempt in sorted(one.pairs, key=lambda pair: pair[1].at)]
    assert facts == [True, kept], "the claim says how its bytes are made"
    assert [shard.cache for shard, _ in one.pairs] == [False, False], "the shard's own bytes carry no mark"
    one.host.answer(rest.id, lambda line: told(line, read=0, written=0), "ended")
    assert one.go().done and len(one.table()) == 500


def test_the_mark_is_paid_for_in_the_reservation_and_only_then(tmp_path: Path) -> None:
    reserved = []
    for folder, cache in (("a", "true"), ("b", "false"), ("c", "auto")):
        one = stage_of(tmp_path / folder, rows=ROWS.replace("500", "3"), cache=cache)
        one.go()
        reserved.append(one.pairs[0][1].usd)
    assert reserved[0] == reserved[2] > reserved[1]


@pytest.mark.parametrize(
    ("prompt", "model"),
    [
        ("<!-- system -->\nBe brief.\n<!-- user -->\n{{ q }}\n", {}),  # below 1,024 tokens
        ("<!-- system -->\n{{ q }} " + "Answer with care. " * 200 + "\n<!-- user -->\nGo.\n", {}),  # not shared
        (LONG, {"cache": False}),
    ],
)
def test_what_cannot_be_shared_is_never_marked(tmp_path: Path, prompt: str, model: dict[str, Any]) -> None:
    one = stage_of(tmp_path, prompt, ROWS.replace("500", "3"), **{"cache": "auto", **model})
    one.go()
    (batch,) = one.host.batches.values()
    assert not marked(batch)


def test_switching_the_mark_buys_nothing_again(tmp_path: Path) -> None:
    """What was packed with a mark goes out without one once the manifest says so, under the same ids."""
    rows = ROWS.replace("500", "3")
    one = stage_of(tmp_path, rows=rows, cache="true")
    paths = one.draw()
    one.pack(paths)
    two = stage_of(tmp_path, rows=rows, cache="false")
    two.go()
    (batch,) = two.host.batches.values()
    assert len(two.ctx.facts.shards) == 1 and not marked(batch)
    ((shard, attempt),) = two.pairs
    assert (shard.cache, attempt.cache) == (True, False)


def test_auto_on_a_host_without_marks_is_off(tmp_path: Path) -> None:
    one = stage_of(tmp_path, rows=ROWS.replace("500", "3"), provider="openai", model="tiny-1")
    one.go()
    ((_, attempt),) = one.pairs
    assert attempt.cache is False


@pytest.mark.parametrize("said", ["maybe", "1", "'true'"])
def test_what_else_is_said_of_caching_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(InputError, match="`cache`: must be true, false or auto"):
        write_project(tmp_path, cache=said)


@pytest.mark.slow
@pytest.mark.parametrize(("hit", "pays"), [(0.95, True), (0.05, False)])
def test_a_rehearsal_keeps_it_only_where_it_pays(
    tmp_path: Path, hit: float, monkeypatch: pytest.MonkeyPatch, *, pays: bool
) -> None:
    """Against a server with prompt caches and an account of its own: never far above the better of the two."""
    spent = {}
    for cache in ("true", "false", "auto"):
        folder = tmp_path / cache
        folder.mkdir()
        monkeypatch.chdir(folder)
        files = {
            "prompts/tiny/one.md": LONG.replace("care", "care and patience and tact"),
            "sql/tiny/one_rows.sql": ROWS,
        }
        head = f"rehearsal: {{speed: 100000, caches: {{hit: {hit}}}}}"
        model = {"provider": "anthropic", "model": "claude-haiku-5.5", "cache": cache, "max_output_tokens": 2000}
        write_project(folder, files, head=head, **model)
        document = api.run(folder / "tiny.yaml", Options(rehearse=True))
        bill = [orjson.loads(line) for path in folder.rglob("billing.jsonl") for line in path.read_bytes().splitlines()]
        spent[cache] = sum(Decimal(line["usd"]) for line in bill)
        assert spent[cache] == pytest.approx(Decimal(str(document["usd_spent"])), abs=Decimal("0.000001"))
    better, worse = sorted((spent["true"], spent["false"]))
    assert (spent["true"] < spent["false"]) is pays
    assert better <= spent["auto"] < better + (worse - better) / 4
