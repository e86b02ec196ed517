"""Values at their edges that changes of the core were found to pass by unnoticed (``python -m bench.mutants``)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import orjson
import pytest

from chimera_batch.context import engine_sql
from chimera_batch.cost import pricerows, prices, sampling
from chimera_batch.cost.machine_time import MachineTime
from chimera_batch.cost.tally import Span, Work
from chimera_batch.endpoints import ENDPOINTS, bodies, lint
from chimera_batch.errors import InputError, ProviderRefused
from chimera_batch.history.counts import NOTHING, STATES, Standing, last_asked
from chimera_batch.history.facts import Asked, Facts, Quoted
from chimera_batch.history.undone import Undone
from chimera_batch.pipeline.schemas import canonical, read_schema
from chimera_batch.pipeline.stage import Source
from chimera_batch.providers import anthropic_shapes, bedrock_shapes, faults, openai_shapes
from chimera_batch.records import Problem, Usage
from chimera_batch.requests.packing import Cutter, Limits, plan
from chimera_batch.requests.wire import Piece
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Tally
from chimera_batch.rules.shortfall import Shortfall
from chimera_batch.steps import columns
from chimera_batch.warehouse import Warehouse
from tests.support import answered, failed
from tests.test_decoding import IDS, cid, sent

# -- packing


def compositions(total: int) -> Iterator[list[int]]:
    if not total:
        yield []
    for first in range(1, total + 1):
        for rest in compositions(total - first):
            yield [first, *rest]


def fits(counts: list[int], sizes: list[int], tokens: list[int], limits: Limits) -> bool:
    at = 0
    for count in counts:
        some, spent = sizes[at : at + count], tokens[at : at + count]
        if not limits.min_requests <= count <= limits.max_requests or sum(some) > limits.max_bytes:
            return False
        if limits.max_tokens is not None and sum(spent) > limits.max_tokens:
            return False
        at += count
    return True


def test_a_plan_is_found_exactly_where_there_is_one_and_takes_the_fewest_shards() -> None:
    """Every way of cutting a few requests, tried: sizes that fill a shard to the byte and to the token among them."""
    chance, found = random.Random(5), {True: 0, False: 0}
    for _ in range(400):
        requests = chance.randint(2, 8)
        sizes = [chance.randint(1, 6) for _ in range(requests)]
        tokens = [chance.randint(1, 4) for _ in range(requests)]
        tokened = chance.choice((None, 7, 9))
        limits = Limits(chance.randint(2, 5), chance.randint(8, 14), tokened, min_requests=chance.randint(2, 3))
        if limits.min_requests > limits.max_requests:
            continue
        possible = [counts for counts in compositions(requests) if fits(counts, sizes, tokens, limits)]
        planned = plan(sizes, tokens, limits)
        found[planned is not None] += 1
        assert (planned is None) == (not possible), (sizes, tokens, limits)
        if planned is not None:
            assert fits(planned, sizes, tokens, limits)
            assert len(planned) == min(map(len, possible))
    assert min(found.values()) > 50, "both are common here"


def test_what_a_shard_holds_of_one_portion_counts_in_the_next() -> None:
    """Bytes and tokens both, to the last one."""
    for limits in (Limits(9, 10), Limits(9, 99, max_tokens=10)):
        cutter = Cutter(limits)
        assert list(cutter.split([6, 6, 2], [6, 6, 2])) == [(0, 1), (1, 2)]
        assert list(cutter.split([2, 1], [2, 1])) == [(1, 1), (2, 1)]


# -- decoding


def rows_of(lines: list[bytes], ids: list[str]) -> list[dict[str, Any]]:
    from chimera_batch.steps.standing import LANDED_COLUMNS

    tally, to = Tally(keep_apart=lambda record: None), sent(ids)
    (batch,) = decoding.landed([File("raw/a", [Piece(1, 0, lines)])], openai_shapes.decode, to, None, tally)
    return [dict(zip(LANDED_COLUMNS, values, strict=True)) for values in zip(*batch, strict=True)]


def test_a_row_of_a_refused_account_may_be_asked_again_beside_others_that_may_not() -> None:
    lines = [answered(cid(0)), failed(cid(1), 429, "insufficient_quota", "pay"), failed(cid(2), 400, "bad")]
    assert [row["transient"] for row in rows_of(lines, IDS[:3])] == [False, True, False]


@pytest.mark.parametrize(("value", "number"), [(0, 0), (7, 7), (True, None), ("7", None), (None, None), (1.0, None)])
def test_whole_numbers(value: object, number: int | None) -> None:
    assert bodies.whole_number(value) == number
    assert type(bodies.whole_number(value)) is type(number)


def embedding(vector: object, model: object = "e-1") -> Any:
    body = {"object": "list", "data": [{"embedding": vector}], "model": model, "usage": {"prompt_tokens": 3}}
    return ENDPOINTS["/v1/embeddings"].reply("a", body)


@pytest.mark.parametrize("vector", [[0.5, "a"], ["a", 0.5], [True, 1], [0.5, None]])
def test_one_odd_number_spoils_a_vector(vector: object) -> None:
    reply = embedding(vector)
    assert (reply.outcome, reply.code) == ("invalid", "no_embedding")
    assert reply.message == "the answer holds no embedding"


@pytest.mark.parametrize(("model", "said"), [("e-1", "e-1"), (None, None), (7, None)])
def test_the_model_of_an_embedding_is_what_the_host_says(model: object, said: str | None) -> None:
    assert embedding([1, 2], model).model == said


def test_the_words_for_effort_are_the_public_ones() -> None:
    """OpenAI's and Anthropic's documents; another word is refused before it is sent."""
    assert lint.OPENAI_EFFORTS == ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    assert lint.ANTHROPIC_EFFORTS == ("low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("additional", "problems"), [(False, 0), (True, 1), (None, 1), ({}, 1), ({"type": "string"}, 1), ([], 1)]
)
def test_a_strict_schema_closes_its_objects(additional: object, problems: int) -> None:
    node = {"type": "object", "properties": {}, "additionalProperties": additional}
    assert len(list(lint.schema(node, all_required=True, where="schema"))) == problems


def answer(parts: list[dict[str, Any]], **said: Any) -> Any:
    body = {
        "status": "completed",
        "model": "m-1",
        "output": [{"type": "message", "content": parts}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
        **said,
    }
    return ENDPOINTS["/v1/responses"].reply("a", body)


def test_a_refusal_of_responses() -> None:
    text = {"type": "output_text", "text": "well"}
    refused = answer([text, {"type": "refusal", "refusal": "I cannot"}])
    assert (refused.outcome, refused.text, refused.message) == ("refused", None, "I cannot")
    assert answer([{"type": "refusal", "refusal": ""}]).message == "refused", "a refusal without a word is one too"
    odd = answer([text, {"type": "refusal_", "text": " and good"}])
    assert odd.text == "well and good"


def test_parts_of_a_refusal_are_no_text() -> None:
    beside = {"type": "refusal", "refusal": "", "text": "hidden"}
    assert answer([{"type": "output_text", "text": "a"}, beside]).text is None


def test_model_and_tier_are_texts_or_nothing() -> None:
    reply = answer([{"type": "output_text", "text": "a"}], model="m-1", service_tier="flex")
    assert (reply.model, reply.tier) == ("m-1", "flex")
    assert answer([{"type": "output_text", "text": "a"}], model=7, service_tier=[]).model is None


@pytest.mark.parametrize(("kind", "outcome"), [("canceled", "cancelled"), ("expired", "expired")])
def test_why_anthropic_did_not_execute(kind: str, outcome: str) -> None:
    reply = anthropic_shapes.decode(orjson.dumps({"custom_id": "a", "result": {"type": kind}}))
    assert (reply.outcome, reply.code) == (outcome, kind)


@pytest.mark.parametrize("status", [None, "", 0])
def test_a_batch_without_a_status_works_on(status: object) -> None:
    state = anthropic_shapes.batch_state({"id": "msgbatch_1", "processing_status": status})
    assert (state.status, state.phase, state.files, state.total) == ("", "working", (), None)


def test_a_bedrock_record_without_an_answer_or_a_reason_may_pass() -> None:
    reply = bedrock_shapes.decode(orjson.dumps({"recordId": "a"}))
    assert (reply.outcome, reply.code, reply.message) == ("error", "no_answer", "no reason given")
    assert reply.transient and not reply.account


# -- schemas and columns


def test_the_order_of_keys_is_kept_unless_it_is_said() -> None:
    """It is the order in which a model writes them."""
    value = {"z": 1, "a": [1.5, "é"]}
    assert canonical(value) == '{"z":1,"a":[1.5,"é"]}'
    assert canonical(value, sort_keys=True) == '{"a":[1.5,"é"],"z":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))


@pytest.mark.parametrize("place", ["http", "https", "ftp", "file"])
def test_no_schema_fetches_another(place: str) -> None:
    text = json.dumps({"type": "object", "properties": {"a": {"$ref": f"{place}://host.example/x.json"}}})
    with pytest.raises(InputError, match="only references inside the file are followed"):
        read_schema(text, Path("s.json"))


def test_a_schema_beside_it_is_not_followed_either() -> None:
    text = json.dumps({"type": "object", "properties": {"a": {"$ref": "other.json"}}})
    with pytest.raises(InputError, match="only references inside the file are followed"):
        read_schema(text, Path("s.json"))


def test_the_answers_own_columns() -> None:
    """What the view ``answers`` adds is in docs; a rows query that yields one of them would be overwritten by it."""
    own = "round sample request_id outcome text reasoning answer embedding model"
    assert set(own.split()) == columns.ANSWERS_OWN
    query = Source("q.sql", Path("one_rows.sql"), "")
    for name in own.split():
        rows: Any = SimpleNamespace(describe=lambda *_, name=name: [("row_key", "VARCHAR"), (name.upper(), "VARCHAR")])
        with pytest.raises(InputError, match=f"column {name.upper()}") as caught:
            columns.check_columns(query, rows)
        assert str(caught.value.hint) == f"SELECT {name.upper()} AS one_{name}, …"  # one_text, not one_rows_text
    free: Any = SimpleNamespace(describe=lambda *_: [("row_key", '"NULL"'), ("texts", "VARCHAR")])
    assert columns.check_columns(query, free) == [("row_key", '"NULL"'), ("texts", "VARCHAR")]


@pytest.mark.slow
def test_the_view_adds_just_these_columns() -> None:
    with duckdb.connect() as db:
        db.execute("CREATE VIEW asked AS SELECT {row_key: 'k'} AS row, 1 AS round, 1 AS sample, 'r' AS request_id")
        empty = ", ".join(f"NULL AS {name}" for name in sorted(columns.ANSWERS_OWN - {"round", "sample", "answer"}))
        db.execute(f"CREATE VIEW best AS SELECT {empty}, NULL::JSON AS answer")
        found = [column[0] for column in db.execute(engine_sql("answers").text).description or []]
    assert set(found) - {"row_key"} == columns.ANSWERS_OWN


@pytest.mark.slow
def test_columns_of_rows_come_with_their_types(tmp_path: Path) -> None:
    with Warehouse(tmp_path) as warehouse:
        rows = Source("t.sql", Path("t.sql"), "SELECT 'k' AS row_key, 1::INTEGER AS n")
        warehouse.write(rows, {}, tmp_path / "rows.parquet")
        warehouse.view("fresh_rows", [tmp_path / "rows.parquet"])
        query = Source("q.sql", Path("q.sql"), "")
        assert columns.check_rows(query, warehouse) == [("row_key", "VARCHAR"), ("n", "INTEGER")]
        columns.check_table(rows, {}, warehouse)
        with pytest.raises(InputError, match="the table query yields no column row_key"):
            columns.check_table(Source("t.sql", Path("t.sql"), "SELECT 1 AS n"), {}, warehouse)


# -- money


def test_a_longer_wait_is_told_in_hours_from_two_on() -> None:
    left = [Undone("one", 100, Decimal(20), Decimal(2))]
    midnight = 20_000 * 86400
    said = {minutes: _told(left, midnight - 60 * minutes) for minutes in (119, 120, 121, 180)}
    assert "in 119 min" in said[119] and "in 2 h" in said[120] and "in 2 h" in said[121] and "in 3 h" in said[180]


def _told(left: list[Undone], now: float) -> str:
    from tests.test_shortfall import room, terms

    return Shortfall(left, lambda _stage: [room("day", "5", "5")]).hint(terms(day="10"), now)


def test_counts_are_whole_never_below_zero_and_rounded_up() -> None:
    span = Span(Decimal("0.2"), Decimal(3), Decimal("3.5"), Decimal(7))
    assert span.whole().parts() == (1, 3, 4, 7)
    assert span.whole(3).parts() == (0, 0, 1, 4)


def test_work_adds_up_field_by_field() -> None:
    one = Work(1, 20, 300, Span.exactly(Decimal(4)), Decimal(5))
    other = Work(10, 200, 3000, Span.exactly(Decimal(40)), Decimal(50))
    assert one + other == Work(11, 220, 3300, Span.exactly(Decimal(44)), Decimal(55))
    assert Work() + one == one
    assert Work() == Work(0, 0, 0, Span.exactly(0), Decimal(0))


def test_what_is_left_of_a_division_goes_to_those_that_are_left() -> None:
    now = [0]
    machine = MachineTime(lambda: now[0])
    tickets = [machine.begin() for _ in range(3)]
    now[0] = 11
    assert [machine.end(ticket) for ticket in tickets] == [3, 4, 4]


def quote(fingerprint: str, spent: str) -> Quoted:
    usd = dict.fromkeys(("low", "likely", "high", "ceiling"), Decimal(1))
    return Quoted(at=1.0, fingerprint=fingerprint, requests=1, basis="assumed", spent=Decimal(spent), **usd)


def test_a_bill_is_held_against_a_quote_of_the_manifest_as_quoted_last() -> None:
    facts = Facts()
    assert facts.quoted("r", "s") is None
    facts.quotes["r", "s"] = [quote("old", "0"), quote("new", "0"), quote("new", "9")]
    assert facts.quoted("r", "s") == quote("new", "0"), "the later one was made when all was spent"
    facts.quotes["r", "s"] = [quote("old", "0"), quote("new", "9"), quote("new", "8")]
    assert facts.quoted("r", "s") == quote("new", "9"), "none was early: the first"


@pytest.mark.parametrize(
    ("text", "said"),
    [("imput", "unknown key imput; did you mean input?"), ("zzz", "unknown key zzz")],
)
def test_an_unknown_key_of_a_price(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        pricerows.no_strangers({"output": "1", text: "1"}, frozenset({"input", "output"}), "p.toml:1")
    assert (caught.value.message, caught.value.where) == (said, "p.toml:1")


@pytest.mark.parametrize(
    ("n", "quantile"), [(10, 2.2622), (15, 2.1448), (30, 2.0452), (100, 1.9842), (100_000, 1.9600)]
)  # published tables of Student's t, two-sided 95 %, n - 1 degrees of freedom
def test_the_interval_of_a_sample_without_skew_is_students(n: int, quantile: float) -> None:
    low, likely, high = sampling.mean(sampling.Sample(n, 5.0, 4.0, 0.0))
    assert likely == pytest.approx(5)
    assert (high - 5) / (2 / n**0.5) == pytest.approx(quantile, abs=0.001)
    assert (5 - low) / (2 / n**0.5) == pytest.approx(quantile, abs=0.001)


def test_a_standing_is_its_counts_and_not_when_it_was_counted() -> None:
    states = {**NOTHING.states, "answered": 2, "given_up": 1}
    one, later = Standing(states, {}, position=3), Standing(states, {}, placed={"s": 3}, position=9)
    assert one == later and one.settled and one.wanted == 3
    assert NOTHING.wanted == 0 and NOTHING.settled and set(NOTHING.states) == set(STATES)
    assert not Standing({**states, "in_flight": 1}, {}).settled


@pytest.mark.parametrize(("most", "rounds"), [(None, [1]), (1, [1]), (2, [1, 2]), (9, [1, 2, 3])])
def test_rounds_that_the_manifest_allows_now_count(most: int | None, rounds: list[int]) -> None:
    """One that is lowered later leaves the rounds behind it out, without forgetting them."""
    facts = Facts()
    facts.asked["r", "s"] = {number: Asked(number, "f", f"asked/{number}", 1, 1) for number in (3, 1, 2)}
    stage: Any = SimpleNamespace(name="s", rounds=None if most is None else SimpleNamespace(max=most, min=1))
    assert [asked.round for asked in last_asked(facts, "r", stage)] == rounds
    assert last_asked(facts, "other", stage) == []


def test_half_of_an_emoji_is_mended_and_the_answer_kept() -> None:
    """An answer that was cut inside a surrogate pair was paid for; whole pairs stay what they are."""
    line = answered(cid(0), "HALF").replace(b"HALF", b"cut \\ud83d and \\ud83d\\ude00")
    (row,) = rows_of([line], IDS[:1])
    assert (row["outcome"], row["text"]) == ("ok", "cut \ufffd and \U0001f600")


def test_a_refusal_keeps_its_status_and_code() -> None:
    gone = faults.as_error(faults.Fault("no", status=404, code="gone"), "openai: polling")
    assert isinstance(gone, ProviderRefused) and (gone.status, gone.code) == (404, "gone")


@pytest.mark.parametrize("code", ["server_error", "internal_error", "rate_limit_exceeded", "request_timeout"])
def test_codes_that_pass(code: str) -> None:
    assert faults.is_passing(None, code)
    assert not faults.is_passing(None, f"{code}_")


@pytest.mark.parametrize("asked", ["a question", [{"role": "user", "content": "a question"}]])
def test_what_responses_are_asked_is_a_text_or_messages(asked: object) -> None:
    body = {"model": "m", "input": asked, "max_output_tokens": 5}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    assert ENDPOINTS["/v1/responses"].problems(line) == []
    assert ENDPOINTS["/v1/responses"].problems({**line, "body": {**body, "input": []}}) != []


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        *((word, "working") for word in ("validating", "in_progress", "finalizing", "cancelling", "paused")),
        *((word, "ended") for word in ("completed", "expired", "cancelled", "canceled")),
    ],
)
def test_a_batchs_word_for_where_it_is(status: str, phase: str) -> None:
    """OpenAI's own words and the other spelling of compatible hosts; an unknown word is taken for still working."""
    state = openai_shapes.batch_state({"id": "batch_1", "object": "batch", "status": status})
    assert (state.status, state.phase) == (status, phase)


def test_a_part_of_just_the_fewest_that_a_host_takes_is_sent() -> None:
    """Ten requests at a dollar each, a budget of five, a host that takes no batch of fewer than five."""
    from chimera_batch.rules.admission import Caps, Wish, largest
    from tests.support import NOW, REALM
    from tests.test_core_edges import ledger_of_one_shard

    facts = ledger_of_one_shard().facts

    def wish(count: int) -> Wish:
        return Wish(REALM, "s", 1, "tiny", "one", Decimal(count), 10 * count, NOW)

    def sent_under(least: int) -> int:
        caps = Caps(Decimal(5), None, None, None, least=least)
        return largest(facts, wish, [Decimal(1)] * 10, caps)[0]

    assert [sent_under(least) for least in (1, 5)] == [5, 5]
    assert sent_under(6) == 0


def test_the_first_word_of_each_kind_of_trouble_is_kept_for_people() -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:4])
    lines = [failed(cid(0), 400, "bad", "first"), failed(cid(1), 400, "bad", "second"), answered(cid(2))]
    list(decoding.landed([File("raw/a", [Piece(1, 0, lines)])], openai_shapes.decode, to, None, tally))
    assert tally.whys == {"error": "first"} and tally.account is None
    fine = Tally(keep_apart=lambda record: None)
    list(decoding.landed([File("raw/a", [Piece(1, 0, [answered(cid(2))])])], _talkative, to, None, fine))
    assert fine.whys == {}, "what is said beside an answer is no trouble"


def test_an_answer_that_does_not_fit_is_said_although_it_came_with_usage() -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:2])
    judge = decoding.judge_of('{"type": "object"}')
    piece = Piece(1, 0, [answered(cid(0), "[]", tokens=(5, 5)), answered(cid(1), "{}", tokens=(5, 5))])
    list(decoding.landed([File("raw/a", [piece])], openai_shapes.decode, to, judge, tally))
    assert tally.whys == {"invalid": "the answer does not fit the schema"}
    assert tally.unbilled == {}


def test_an_answer_that_does_not_fit_was_executed() -> None:
    """Without usage it is suspected at what it can have cost, like any other answer."""
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:1])
    piece = Piece(1, 0, [answered(cid(0), "[]", tokens=(0, 0))])
    list(
        decoding.landed(
            [File("raw/a", [piece])], openai_shapes.decode, to, decoding.judge_of('{"type": "object"}'), tally
        )
    )
    assert tally.unbilled == {IDS[0]: True}


def test_reasoning_alone_is_no_usage() -> None:
    """It is a part of the output: a host that tells it beside an output of none has told nothing that can be billed."""
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:1])

    def odd(line: bytes) -> Any:
        return openai_shapes.decode(line)._replace(usage=Usage(reasoning_tokens=7))

    list(decoding.landed([File("raw/a", [Piece(1, 0, [answered(cid(0))])])], odd, to, None, tally))
    assert tally.unbilled == {IDS[0]: True}


@pytest.mark.parametrize(("by_the_hour", "timed", "billed"), [(True, True, True), (True, False, False),
                                                              (False, True, False), (False, False, False)])  # fmt: skip
def test_an_answer_without_tokens_is_billed_by_its_time_where_the_machine_is_and_it_has_one(
    by_the_hour: bool, timed: bool, billed: bool
) -> None:
    book = prices.load(None, ["local/gpu=3.07/h@1234.5,77"])
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:1])
    to = replace(to, price=book.rows[-1]) if by_the_hour else to

    def untold(line: bytes) -> Any:
        return openai_shapes.decode(line)._replace(usage=None, machine_ns=9_000_000_000 if timed else None)

    list(decoding.landed([File("raw/a", [Piece(1, 0, [answered(cid(0))])])], untold, to, None, tally))
    assert tally.unbilled == ({} if billed else {IDS[0]: True})
    assert (tally.usd > 0) == billed


def test_what_an_answer_without_usage_says_is_no_trouble_and_neither_is_an_error_that_says_nothing() -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:2])

    def odd(line: bytes) -> Any:
        reply = openai_shapes.decode(line)
        return reply._replace(usage=None, message="all is well" if reply.outcome == "ok" else None)

    lines = [answered(cid(0)), failed(cid(1), 400, "bad")]
    list(decoding.landed([File("raw/a", [Piece(1, 0, lines)])], odd, to, None, tally))
    assert (tally.outcomes, tally.whys) == ({"ok": 1, "error": 1}, {})


def test_what_is_kept_apart_is_counted_by_kind_and_the_first_reason_is_told() -> None:
    """Lines of others may disown an adopted batch, and any line that is none may have been one of ours."""
    apart: list[dict[str, Any]] = []
    tally, to = Tally(keep_apart=apart.append), sent(IDS[:2])
    foreign, half, blank = answered("0123abcd-" + "f" * 32), b'{"custom', b"  \n"
    lines = [foreign + b"\n", half + b"\n", blank, half, foreign, answered(cid(0)), answered(cid(0))]
    list(decoding.landed([File("raw/a", [Piece(1, 0, lines)])], openai_shapes.decode, to, None, tally))
    assert (tally.quarantined, tally.foreign, tally.malformed) == (5, 2, 2)
    assert tally.apart == apart[0]["reason"] == "an id that this attempt did not send"
    assert [one["bytes"] for one in apart[:2]] == [foreign.decode("latin-1"), half.decode("latin-1")]


def test_a_usable_answer_behind_one_without_usage_is_billed_and_the_first_is_not_suspected() -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:1])
    lines = [answered(cid(0), finish="length", tokens=(0, 0)), answered(cid(0), tokens=(5, 5))]
    list(decoding.landed([File("raw/a", [Piece(1, 0, lines)])], openai_shapes.decode, to, None, tally))
    assert (tally.outcomes, tally.unbilled) == ({"ok": 1, "truncated": 0}, {})


@pytest.mark.parametrize(
    ("text", "fits"),
    [("```{}```", True), ("```json\n{}\n```", True), ("```{}xyz", False), ("xyz{}```", False), ("``````", False)],
)
def test_only_a_whole_fence_is_taken_off(text: str, fits: bool) -> None:
    judge = decoding.judge_of('{"type": "object"}')
    assert judge is not None
    assert judge(text) == ("{}" if fits else None)


def _talkative(line: bytes) -> Any:
    return openai_shapes.decode(line)._replace(message="all is well")


def test_why_a_file_was_refused_is_kept_for_people() -> None:
    tally, to = Tally(keep_apart=lambda record: None), sent(IDS[:2])
    decoding.refused(to, {IDS[0]: Problem("bad", 7, "line 7 is odd"), IDS[1]: Problem("bad", 8, "so is this")}, tally)
    assert tally.whys == {"error": "line 7 is odd"}
    assert tally.outcomes == {"error": 2}
