"""Landing: every id sent is accounted for once, whatever the files hold, and no byte is thrown away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.providers import openai_shapes
from chimera_batch.records import OUTCOMES, Outcome, Problem, Reply, Usage
from chimera_batch.requests.wire import Piece
from chimera_batch.results import decoding, tabling
from chimera_batch.results.decoding import File, Sent, Tally, judge_of
from chimera_batch.steps.standing import LANDED_COLUMNS
from tests.support import PRICE, SCHEMA, answered, failed

NONCE = "0123abcd"
IDS = [f"{number:032x}" for number in range(6)]
BOOK = prices.load(None, [f"openai/tiny-1={PRICE}"])
COLUMNS = list(LANDED_COLUMNS)
assert tuple(COLUMNS) == tabling.NAMES
Row = dict[str, Any]


def sent(ids: Iterable[str] = IDS, absent: Outcome | None = "missing", *, batch: bool = True) -> Sent:
    price = BOOK.rows[-1]
    return Sent("s", 2, NONCE, {identity: 100 + n for n, identity in enumerate(ids)}, absent, price, batch)


def cid(number: int) -> str:
    return f"{NONCE}-{IDS[number]}"


def land(
    lines: Iterable[bytes],
    to: Sent | None = None,
    *,
    schema: str | None = None,
    decode: Callable[[bytes], Reply] | None = None,
) -> tuple[list[Row], Tally, list[Row]]:
    """Rows, the tally, and what was kept apart."""
    apart: list[Row] = []
    to, tally = to or sent(), Tally(keep_apart=apart.append)
    piece = Piece(1, 0, list(lines))
    landed = [*decoding.landed([File("raw/a", [piece])], decode or openai_shapes.decode, to, judge_of(schema), tally)]
    return [row for batch in (*landed, decoding.absent(to, tally)) for row in said(batch, to)], tally, apart


def said(batch: decoding.Columns, to: Sent) -> list[Row]:
    """The rows of a batch, dollars as dollars."""
    assert len(batch) in {0, len(COLUMNS)}
    found = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*batch, strict=True)]
    return [{**row, "usd": to.meter.usd(row["usd"])} for row in found]


def only(lines: Iterable[bytes], **said: Any) -> Row:
    """The one row of one request."""
    (row,), _, _ = land(lines, sent(IDS[:1]), **said)
    return row


# -- one line


def test_an_answer_becomes_a_row() -> None:
    row = only([b"", answered(cid(0), "four", tokens=(1000, 50))])
    assert row == {
        **dict.fromkeys(COLUMNS),
        "shard": "s",
        "attempt": 2,
        "request_id": IDS[0],
        "outcome": "ok",
        "transient": False,
        "ceiling": 100,
        "text": "four",
        "finish": "stop",
        "model": "tiny-1-2026",
        "input_tokens": 1000,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_long_tokens": 0,
        "output_tokens": 50,
        "reasoning_tokens": 0,
        "usd": Decimal("0.0012"),  # 1000 at $1 and 50 at $4 per million
        "raw": "raw/a",
        "line": 2,
    }


OUTCOME_LINES: list[tuple[str, bytes, Outcome, bool]] = [
    ("ok", answered(cid(0)), "ok", False),
    ("truncated", answered(cid(0), finish="length"), "truncated", False),
    ("refused", answered(cid(0), finish="content_filter"), "refused", False),
    ("invalid", answered(cid(0), ""), "invalid", False),
    ("definite error", failed(cid(0), 400, "bad_request"), "error", False),
    ("passing error", failed(cid(0), 503, "overloaded"), "error", True),
    (
        "expired",
        orjson.dumps({"custom_id": cid(0), "error": {"code": "batch_expired", "message": "late"}}),
        "expired",
        False,
    ),
    ("cancelled", orjson.dumps({"custom_id": cid(0), "error": {"code": "batch_cancelled"}}), "cancelled", False),
]


@pytest.mark.parametrize(
    ("line", "outcome", "transient"), [row[1:] for row in OUTCOME_LINES], ids=[row[0] for row in OUTCOME_LINES]
)
def test_every_outcome(line: bytes, outcome: Outcome, transient: bool) -> None:
    row = only([line])
    assert (row["outcome"], row["transient"]) == (outcome, transient)
    assert outcome in OUTCOMES


@pytest.mark.parametrize("absent", ["missing", "expired", "cancelled"])
def test_what_no_file_holds_counts_as_absent(absent: Outcome) -> None:
    rows, tally, _ = land([answered(cid(1))], sent(absent=absent))
    assert tally.outcomes == {"ok": 1, absent: 5}
    gone = [row for row in rows if row["outcome"] == absent]
    assert {row["request_id"] for row in gone} == set(IDS) - {IDS[1]}
    assert all(row["usd"] == 0 and row["raw"] is None and row["line"] is None for row in gone)
    assert [row["ceiling"] for row in gone] == [100, 102, 103, 104, 105]


def test_synchronous_calls_have_no_absent_rows() -> None:
    rows, tally, _ = land([answered(cid(1))], sent(absent=None))
    assert len(rows) == 1
    assert tally.outcomes == {"ok": 1}


# -- money


def test_each_request_is_priced_alone_and_exactly() -> None:
    lines = [answered(cid(number), tokens=(1, 1)) for number in range(6)]
    rows, tally, _ = land(lines)
    assert tally.usd == Decimal("0.000005") * 6 == sum(row["usd"] for row in rows)
    _, tally, _ = land(lines, sent(batch=False))
    assert tally.usd == Decimal("0.00001") * 6  # the standard price is twice the batch price


def test_a_tier_looks_at_one_request() -> None:
    book = prices.load()
    tiered = next(row for row in book.rows if row.tiers)
    edge = tiered.tiers[0].above_input_tokens
    to = Sent("s", 1, NONCE, dict.fromkeys(IDS[:2], 100), None, tiered, batch_price=True)
    rows, tally, _ = land([answered(cid(0), tokens=(edge, 0)), answered(cid(1), tokens=(edge, 0))], to)
    below = tiered.batch.cost(Usage(input_tokens=edge))
    assert [row["usd"] for row in rows] == [below, below]
    assert tally.usd == 2 * below
    (row,), _, _ = land([answered(cid(0), tokens=(edge + 1, 0))], to)
    assert row["usd"] == tiered.cost(Usage(input_tokens=edge + 1), batch=True) > below


def test_a_line_without_usage_costs_nothing_and_unusable_answers_are_billed() -> None:
    assert only([failed(cid(0))])["usd"] == 0
    assert only([answered(cid(0), "no json", tokens=(1, 1))], schema=SCHEMA)["usd"] == Decimal("0.000005")


# -- schemas


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"n": 4}', '{"n":4}'),
        (' \n{"n":4}\n', '{"n":4}'),
        ('```json\n{"n": 4}\n```', '{"n":4}'),
        ('```\n{"n": 4}\n```\n', '{"n":4}'),
        ('{"n": "four"}', None),
        ('{"n": 4, "m": 5}', None),
        ("{}", None),
        ('{"n": 4', None),
        ("[4]", None),
        ("four", None),
        ('Sure! {"n": 4}', None),
        ("```", None),
    ],
)
def test_an_answer_is_held_against_its_schema(text: str, answer: str | None) -> None:
    row = only([answered(cid(0), text)], schema=SCHEMA)
    assert row["answer"] == answer
    assert row["outcome"] == ("ok" if answer else "invalid")
    assert row["text"] == text  # as it came, always
    assert (row["message"] is None) == (answer is not None)


def test_an_answer_is_kept_in_one_spelling() -> None:
    schema = '{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"number"}}}'
    assert only([answered(cid(0), '{"b": "\\u00fc", "a": 1.50}')], schema=schema)["answer"] == '{"a":1.5,"b":"ü"}'


def test_without_a_schema_any_text_will_do() -> None:
    row = only([answered(cid(0), '{"n": "four"')])
    assert (row["outcome"], row["answer"]) == ("ok", None)


def test_only_finished_answers_are_judged() -> None:
    assert only([answered(cid(0), '{"n": 4}', finish="length")], schema=SCHEMA)["outcome"] == "truncated"


# -- lines that are none of ours


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json \xff\x00", "not a result"),
        (b"[]", "not a result"),
        (b'{"id":"x"}', "not a result"),
        (answered("row-7"), "did not send"),
        (answered(f"ffffffff-{IDS[0]}"), "did not send"),  # another attempt's nonce
        (answered(f"{NONCE}-{'f' * 32}"), "did not send"),
        (answered(IDS[0]), "did not send"),
    ],
)
def test_foreign_lines_are_kept_apart_with_their_bytes(line: bytes, reason: str) -> None:
    rows, tally, apart = land([answered(cid(0)), line])
    assert tally.quarantined == 1
    assert len(rows) == 6
    (record,) = apart
    assert reason in record.pop("reason")
    assert record.pop("bytes").encode("latin-1") == line
    assert record == {"file": "raw/a", "line": 2, "offset": len(answered(cid(0)))}
    assert list(tally.seen) == [IDS[0]]


def test_a_record_that_is_kept_apart_can_be_written_as_json() -> None:
    _, _, apart = land([bytes(range(256))])
    assert orjson.loads(orjson.dumps(apart[0]))["bytes"].encode("latin-1") == bytes(range(256))


GOOD, BAD, WORSE = answered(cid(0), "good"), failed(cid(0)), failed(cid(0), 503, "overloaded")


@pytest.mark.parametrize(
    ("lines", "outcome", "landed", "apart"),
    [
        ([GOOD, GOOD], "ok", 1, 1),
        ([GOOD, BAD], "ok", 1, 1),
        ([BAD, GOOD], "ok", 2, 0),  # the unusable one is kept as a row too: it may have cost something
        ([BAD, WORSE, GOOD, GOOD], "ok", 2, 2),
        ([BAD, WORSE], "error", 1, 1),
    ],
    ids=["ok ok", "ok bad", "bad ok", "bad bad ok ok", "bad bad"],
)
def test_of_several_lines_the_first_usable_one_counts(
    lines: list[bytes], outcome: str, landed: int, apart: int
) -> None:
    rows, tally, kept = land(lines, sent(IDS[:1]))
    assert {name: count for name, count in tally.outcomes.items() if count} == {outcome: 1}
    assert tally.seen == {IDS[0]: outcome}
    assert (len(rows), tally.quarantined, len(kept)) == (landed, apart, apart)
    assert sum(row["outcome"] == outcome for row in rows) == 1
    if outcome == "ok":
        assert [row["text"] for row in rows if row["outcome"] == "ok"] == ["good"]


def test_an_invalid_answer_does_not_hide_a_valid_one() -> None:
    lines = [answered(cid(0), "no"), answered(cid(0), '{"n": 1}'), answered(cid(0), '{"n": 2}')]
    rows, tally, _ = land(lines, sent(IDS[:1]), schema=SCHEMA)
    assert [(row["outcome"], row["answer"]) for row in rows] == [("invalid", None), ("ok", '{"n":1}')]
    assert tally.usd == sum(row["usd"] for row in rows)


# -- errors of the account, and of the whole file


def test_an_error_of_the_account_is_passed_on() -> None:
    line = failed(cid(3), 429, "insufficient_quota", "You exceeded your current quota")
    rows, tally, _ = land([answered(cid(0)), line])
    assert tally.account == "You exceeded your current quota"
    assert Counter(row["outcome"] for row in rows) == {"ok": 1, "error": 1, "missing": 4}
    assert land([failed(cid(3), 429, "rate_limit_exceeded")])[1].account is None


def test_a_line_refused_by_validation_is_a_definite_error() -> None:
    tally = Tally(keep_apart=lambda record: pytest.fail(str(record)))
    batch = decoding.refused(sent(), {IDS[2]: Problem("invalid_line", 3, "no such field")}, tally)
    (row,) = said(batch, sent())
    assert (row["request_id"], row["outcome"], row["transient"], row["usd"]) == (IDS[2], "error", False, 0)
    assert (row["code"], row["message"], row["line"], row["raw"]) == ("invalid_line", "no such field", 3, None)
    assert tally.outcomes == {"error": 1}


def test_embeddings_are_numbers() -> None:
    def decode(line: bytes) -> Reply:
        return Reply(line.decode(), "ok", embedding=(0.5, 1.0))

    assert only([cid(0).encode()], decode=decode)["embedding"] == [0.5, 1.0]


# -- any file at all

LINES: dict[str, Callable[[int], bytes]] = {
    "ok": lambda n: answered(cid(n), f'{{"n": {n}}}', tokens=(n, 1)),
    "invalid": lambda n: answered(cid(n), "no", tokens=(n, 1)),
    "truncated": lambda n: answered(cid(n), finish="length"),
    "error": lambda n: failed(cid(n), 500),
    "cut": lambda n: answered(cid(n))[: 20 + n],
    "foreign": lambda n: answered(f"ffffffff-{IDS[n]}"),
    "stranger": lambda n: failed(f"row-{n}"),
    "blank": lambda n: b" " * n,
}
FILES = st.lists(st.tuples(st.sampled_from(sorted(LINES)), st.integers(0, 5)), max_size=30)


@settings(deadline=None, max_examples=60)  # the first example compiles the schema
@given(FILES)
def test_whatever_the_files_hold_the_ids_are_accounted_for_once(file: list[tuple[str, int]]) -> None:
    lines = [LINES[kind](number) for kind, number in file]
    rows, tally, apart = land(lines, schema=SCHEMA)
    assert sum(tally.outcomes.values()) == len(IDS)
    assert all(count >= 0 for count in tally.outcomes.values())
    assert {row["request_id"] for row in rows} == set(IDS)
    for number, identity in enumerate(IDS):
        mine = [row for row in rows if row["request_id"] == identity]
        kinds = [kind for kind, at in file if at == number and kind in {"ok", "invalid", "truncated", "error"}]
        expected = "ok" if "ok" in kinds else kinds[0] if kinds else "missing"
        assert mine[-1]["outcome"] == expected
        assert sum(row["outcome"] == "ok" for row in mine) == ("ok" in kinds)
        assert len(mine) == (2 if "ok" in kinds and kinds[0] != "ok" else 1)
    said = [line for line in lines if line.strip()]
    landed = [lines[row["line"] - 1] for row in rows if row["line"] is not None]
    assert Counter(landed + [record["bytes"].encode("latin-1") for record in apart]) == Counter(said)  # no byte lost
    assert tally.quarantined == len(apart)
    assert tally.usd == sum((row["usd"] for row in rows), Decimal(0))


@settings(deadline=None, max_examples=40)
@given(FILES, st.randoms())
def test_the_order_of_lines_does_not_change_who_is_answered(file: list[tuple[str, int]], random: Any) -> None:
    lines = [LINES[kind](number) for kind, number in file]
    _, straight, _ = land(lines, schema=SCHEMA)
    random.shuffle(lines)
    _, shuffled, _ = land(lines, schema=SCHEMA)
    answered_by = [{i for i, outcome in tally.seen.items() if outcome == "ok"} for tally in (straight, shuffled)]
    assert answered_by[0] == answered_by[1]
    assert straight.seen.keys() == shuffled.seen.keys()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_result_or_kept_apart(line: bytes) -> None:
    rows, tally, apart = land([line])
    assert len(rows) == 6
    assert tally.quarantined == len(apart) == (1 if line.strip() else 0)
