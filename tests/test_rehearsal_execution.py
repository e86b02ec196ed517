"""Executing a batch without a server: under every fault each request is in exactly one place, and the bill says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal import generic
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.batches import Batch, judge
from chimera_batch.rehearsal.clerk import MESSAGES, Clerk
from chimera_batch.rehearsal.execute import Drafts, Execution, Stopped, Sums
from chimera_batch.rehearsal.faults import OF_ROWS, checked
from chimera_batch.rehearsal.sheets import AnthropicSheets, OpenAISheets, Sheet, foreign
from chimera_batch.rehearsal.talk import Ask, Said
from chimera_batch.rehearsal.tariff import Tariff
from tests.rehearsal_kit import PRICES, SCHEMA, ask_claude, chat_lines, custom_id

Row = dict[str, Any]


@dataclass
class Ran:
    """What an execution left."""

    sums: Sums
    output: bytes
    error: bytes
    bill: list[Row]
    planted: list[Row]

    @property
    def rows(self) -> list[Row]:
        """The result lines that can be read, of both files."""
        found = []
        for line in (self.output + b"\n" + self.error).split(b"\n"):
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                assert not line or b"custom_id" in line or b"batch_req" in line
        return found


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def claude_lines(count: int) -> list[Row]:
    shape = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return [ask_claude(n, output_config=shape) for n in range(count)]


def run(
    folder: Path,
    dialect: Any,
    count: int,
    *faults: Row,
    lines: list[Row] | None = None,
    mind: Any = None,
    told: Row | None = None,
    **change: Any,
) -> Ran:
    lines = lines if lines is not None else chat_lines(count) if dialect == "openai" else claude_lines(count)
    requests = folder / "requests.jsonl"
    requests.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    endpoint = "/v1/chat/completions" if dialect == "openai" else MESSAGES
    usual: Row = {"created": 100.0, "validate": 1.0, "work": 10.0, "finalize": 1.0, "total": len(lines)}
    kinds = tuple(checked(fault) for fault in faults)
    batch = Batch("batch_1", 3, dialect, dialect, endpoint, faults=kinds, **(usual | change))
    drafts = Drafts(*(folder / name for name in ("output", "error", "bill", "planted", "answers")))
    clerk = Clerk(mind or generic.answer, Tariff(PRICES), {"seed": 7, **(told or {})})
    execution = Execution(batch, judge(batch), clerk.do, lambda key: 1, lambda: True, drafts, now=1_700_000_000)
    sums = execution.run(requests)
    read = [[orjson.loads(line) for line in content(path).splitlines()] for path in (drafts.bill, drafts.planted)]
    return Ran(sums, content(drafts.output), content(drafts.error), *read)


def answered(row: Row) -> bool:
    if "result" in row:
        return bool(row["result"]["type"] == "succeeded")
    return row["response"] is not None and row["response"]["status_code"] == 200


DIALECTS = ("openai", "anthropic")
ROW_FAULTS: dict[str, Row] = {
    "drop_rows": {}, "error_rows": {"status": 500}, "malformed_line": {}, "duplicate_rows": {}, "raw_u2028": {},
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_row_is_answered_once_and_billed_at_what_it_says(dialect: str, tmp_path: Path) -> None:
    ran = run(tmp_path, dialect, 150)
    assert Counter(row["custom_id"] for row in ran.rows) == Counter(custom_id(n) for n in range(150))
    assert all(map(answered, ran.rows))
    assert (ran.sums.ok, ran.sums.failed, ran.sums.unfinished, ran.error) == (150, 0, 0, b"")
    bill = {line["custom_id"]: line for line in ran.bill}
    for row in ran.rows:
        line = bill.pop(row["custom_id"])
        body = row["result"]["message"] if dialect == "anthropic" else row["response"]["body"]
        usage = body["usage"]
        told = (
            (usage["input_tokens"], usage["output_tokens"])
            if dialect == "anthropic"
            else (usage["prompt_tokens"], usage["completion_tokens"])
        )
        assert told == (line["input_tokens"], line["output_tokens"])
        rates = (Decimal(2), Decimal(10)) if dialect == "anthropic" else (Decimal(1), Decimal(5))
        assert Decimal(line["usd"]) == (told[0] * rates[0] + told[1] * rates[1]) / 1_000_000
    assert not bill
    assert ran.sums.usage["input_tokens"] == sum(line["input_tokens"] for line in ran.bill)
    assert ran.sums.usage["output_tokens"] == sum(line["output_tokens"] for line in ran.bill)
    assert ran.sums.usage["total_tokens"] == ran.sums.input_tokens + ran.sums.output_tokens


def test_the_row_faults_here_are_all_there_are() -> None:
    assert set(ROW_FAULTS) == OF_ROWS


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", ROW_FAULTS)
@pytest.mark.parametrize("n", [1, 7, 40, 99])
def test_one_fault_of_rows(dialect: str, kind: str, n: int, tmp_path: Path) -> None:
    ran = run(tmp_path, dialect, 40, {"kind": kind, "n": n, **ROW_FAULTS[kind]})
    n = min(n, 40)
    seen = Counter(row["custom_id"] for row in ran.rows)
    good = {row["custom_id"] for row in ran.rows if answered(row)}
    paid = Counter(line["delivered"] for line in ran.bill)
    lost = n if kind in {"drop_rows", "malformed_line"} else 0
    failed = n if kind == "error_rows" else 0
    assert len(good) == 40 - lost - failed
    assert (paid[True], paid[False]) == (40 - lost - failed, lost)
    assert {line["custom_id"] for line in ran.bill if line["delivered"]} == good, "delivered is what can be read"
    assert sum(count == 2 for count in seen.values()) == (n if kind == "duplicate_rows" else 0)
    assert (ran.output + ran.error).count("\u2028".encode()) == (n if kind == "raw_u2028" else 0)
    assert (ran.sums.ok, ran.sums.failed) == (40 - failed, failed)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DIALECTS),
    st.integers(1, 90),
    st.lists(st.tuples(st.sampled_from(sorted(ROW_FAULTS)), st.integers(0, 20)), max_size=4),
    st.one_of(st.none(), st.tuples(st.sampled_from(["expire", "cancel"]), st.integers(0, 100))),
    st.integers(0, 3),
)
def test_rows_are_conserved_under_any_mixture(
    tmp_path_factory: pytest.TempPathFactory,
    dialect: str,
    total: int,
    kinds: list[tuple[str, int]],
    end: tuple[str, int] | None,
    strangers: int,
) -> None:
    faults: list[Row] = [{"kind": kind, "n": n, **ROW_FAULTS[kind]} for kind, n in kinds]
    faults += [{"kind": end[0], "finished": end[1]}] if end else []
    faults += [{"kind": "foreign_rows", "n": strangers}] if strangers else []
    ran = run(tmp_path_factory.mktemp("e"), dialect, total, *faults)
    sums = ran.sums
    assert sums.ok + sums.failed + sums.unfinished == total
    assert sums.unfinished == (max(0, total - end[1]) if end else 0)
    assert len(ran.bill) == sums.ok
    assert len({line["custom_id"] for line in ran.bill}) == sums.ok
    sent = {custom_id(n) for n in range(total)}
    assert {line["custom_id"] for line in ran.bill} <= sent
    ours = [row for row in ran.rows if row["custom_id"] in sent]
    assert len(ran.rows) - len(ours) == strangers
    good = {row["custom_id"] for row in ours if answered(row)}
    assert good == {line["custom_id"] for line in ran.bill if line["delivered"]}
    bad = {row["custom_id"] for row in ours if not answered(row)}
    assert not good & bad
    assert len(bad) == sums.failed + sums.unfinished
    if not any(kind in {"drop_rows", "malformed_line"} and n for kind, n in kinds):
        assert good | bad == sent


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", [{"kind": "expire", "files": False}, {"kind": "lose_output"}])
def test_what_will_be_in_no_file_is_billed_as_not_delivered(dialect: str, fault: Row, tmp_path: Path) -> None:
    ran = run(tmp_path, dialect, 10, fault | ({"finished": 6} if fault["kind"] == "expire" else {}))
    assert [line["delivered"] for line in ran.bill] == [False] * (6 if fault["kind"] == "expire" else 10)
    assert not ran.sums.delivered


def test_an_expired_batch_says_why_rows_are_missing(tmp_path: Path) -> None:
    ran = run(tmp_path, "openai", 5, {"kind": "expire", "finished": 3})
    left = [row for row in ran.rows if row["error"]]
    assert {row["error"]["code"] for row in left} == {"batch_expired"}
    assert {row["error"]["message"] for row in left} == {
        "This request could not be executed before the completion window expired."
    }
    assert {row["custom_id"] for row in left} == {custom_id(3), custom_id(4)}


@pytest.mark.parametrize("kind, word", [("expire", "expired"), ("cancel", "canceled")])
def test_anthropic_rows_that_were_not_begun(kind: str, word: str, tmp_path: Path) -> None:
    ran = run(tmp_path, "anthropic", 5, {"kind": kind, "finished": 3})
    left = [row for row in ran.rows if not answered(row)]
    assert [row["result"] for row in left] == [{"type": word}] * 2


def test_cancelled_before_the_start_openai_writes_nothing_and_anthropic_every_row(tmp_path: Path) -> None:
    early: dict[str, Any] = {"cancelled": 100.5}
    ran = run(tmp_path, "openai", 5, **early)
    assert (ran.output, ran.error, ran.bill, ran.sums.unfinished) == (b"", b"", [], 5)
    other = tmp_path / "a"
    other.mkdir()
    ran = run(other, "anthropic", 5, **early)
    assert [row["result"]["type"] for row in ran.rows] == ["canceled"] * 5
    assert ran.bill == []


@pytest.mark.parametrize(
    "status, code, kind",
    [
        (429, "insufficient_quota", "insufficient_quota"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (429, None, "rate_limit_error"),
        (400, "invalid_value", "invalid_request_error"),
        (500, None, "server_error"),
        (503, "x", "server_error"),
        (0, None, "invalid_request_error"),
    ],
)
def test_rows_that_fail_on_order_have_the_providers_type(
    status: int, code: str | None, kind: str, tmp_path: Path
) -> None:
    ran = run(tmp_path, "openai", 4, {"kind": "error_rows", "n": 4, "status": status, "code": code, "message": "M"})
    for row in ran.rows:
        assert row["error"] is None and row["response"]["status_code"] == status
        error = row["response"]["body"]["error"]
        assert error == {"message": "M", "type": kind, "param": None, "code": code}
    assert (ran.output, ran.bill) == (b"", [])


@pytest.mark.parametrize(
    "status, kind",
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropic_rows_that_fail_on_order(status: int, kind: str, tmp_path: Path) -> None:
    ran = run(tmp_path, "anthropic", 2, {"kind": "error_rows", "n": 2, "status": status, "message": "M"})
    for row in ran.rows:
        assert row["result"] == {
            "type": "errored",
            "error": {
                "type": "error",
                "error": {"details": None, "type": kind, "message": "M"},
                "request_id": None,
            },
        }


def test_a_null_response_carries_its_code_above(tmp_path: Path) -> None:
    ran = run(tmp_path, "openai", 1, {"kind": "error_rows", "null": True, "code": "request_timeout", "message": "M"})
    assert [(row["response"], row["error"]) for row in ran.rows] == [
        (None, {"code": "request_timeout", "message": "M"})
    ]


DEAR: Row = {"lengths": {"default": {"mean": 900, "cv": 1.25}}, "caches": {"hit": 0.5, "min_tokens": 3}}


@pytest.mark.parametrize("told", [{}, DEAR])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_execution_repeats_itself_to_the_byte(dialect: str, told: Row, tmp_path: Path) -> None:
    """What a crash interrupted is executed from scratch: nobody may be able to tell."""
    system: Row = {"system": [{"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral"}}]}
    lines = [ask_claude(n, **system) for n in range(130)] if dialect == "anthropic" else chat_lines(130)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    fault = {"kind": "drop_rows", "n": 5}
    one, two = (run(folder, dialect, 130, fault, lines=lines, told=told) for folder in folders)
    assert (one.output, one.error, one.bill) == (two.output, two.error, two.bill)
    hits = sum(line["cached_tokens"] == 3 for line in one.bill)
    assert (40 < hits < 90) == (told == DEAR and dialect == "anthropic"), "11 bytes under the mark"


@pytest.mark.parametrize("at", [0, 64, 128])
def test_a_server_that_goes_down_stops_at_the_next_look(tmp_path: Path, at: int) -> None:
    looks: list[int] = []

    def alive() -> bool:
        looks.append(64 * len(looks))
        return looks[-1] < at

    requests = tmp_path / "r"
    requests.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in chat_lines(200)))
    batch = Batch("b", 1, "openai", "openai", "/v1/chat/completions", 0, 0, 0, 0, total=200)
    drafts = Drafts(*(tmp_path / name for name in ("output", "error", "bill", "planted", "answers")))
    clerk = Clerk(generic.answer, Tariff(PRICES), {})
    with pytest.raises(Stopped):
        Execution(batch, judge(batch), clerk.do, lambda key: 1, alive, drafts, 0).run(requests)
    assert len(drafts.bill.read_bytes().splitlines()) == at


def test_attempts_are_those_of_the_key_and_change_the_answer(tmp_path: Path) -> None:
    asked: list[Ask] = []

    def mind(ask: Ask) -> Said:
        asked.append(ask)
        return generic.answer(ask)

    ran = run(tmp_path, "openai", 3, mind=mind)
    assert [ask.key for ask in asked] == [custom_id(n)[9:] for n in range(3)]
    assert {ask.attempt for ask in asked} == {line["attempt"] for line in ran.bill} == {1}
    assert {ask.schema_name for ask in asked} == {"reply"}
    assert {ask.max_output_tokens for ask in asked} == {4000}


@pytest.mark.parametrize("planted", [None, "wrong_answer", "invalid_json"])
def test_planted_faults_are_written_down_beside_the_bill(tmp_path: Path, planted: str | None) -> None:
    def mind(ask: Ask) -> Said:
        return Said('{"a": 1}', None, 5, 1, planted=planted)

    ran = run(tmp_path, "openai", 4, mind=mind)
    assert [line["planted"] for line in ran.planted] == ([planted] * 4 if planted else [])
    assert all(line["custom_id"] in {row["custom_id"] for row in ran.rows} for line in ran.planted)
    assert (planted or "x").encode() not in ran.output or planted is None, "never over the wire"
    assert {line["usable"] for line in ran.bill} == {planted != "invalid_json"}


def test_a_mind_that_fails_on_one_row_fails_that_row_only(tmp_path: Path) -> None:
    def mind(ask: Ask) -> Said:
        if ask.key == custom_id(1)[9:]:
            raise ZeroDivisionError
        return generic.answer(ask)

    ran = run(tmp_path, "openai", 3, mind=mind)
    assert [row["custom_id"] for row in ran.rows if not answered(row)] == [custom_id(1)]
    assert len(ran.bill) == 2


def test_a_fault_that_names_no_number_takes_one_row(tmp_path: Path) -> None:
    assert run(tmp_path, "openai", 10, {"kind": "drop_rows"}).output.count(b"\n") == 9


# Sheets


@pytest.mark.parametrize("lines", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("final", [True, False])
def test_a_sheet_holds_each_line_once_in_another_order(tmp_path: Path, lines: int, final: bool) -> None:
    sheet = Sheet(tmp_path / "s", 1, final_newline=final)
    written = [f"line {n}".encode() for n in range(lines)]
    for line in written:
        sheet.add(line)
    sheet.close()
    data = (tmp_path / "s").read_bytes()
    found = data.split(b"\n")
    if lines:
        assert data.endswith(b"\n") is final
        found = found[:-1] if final else found
        assert sorted(found) == sorted(written)
        assert found != written or lines == 1
    else:
        assert data == b""
    assert sheet.lines == lines


def test_blocks_keep_memory_flat_and_lines_near_their_place(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "s", 1, final_newline=True)
    for n in range(640):
        sheet.add(b"%d" % n)
        assert len(sheet._block) < Sheet.BLOCK
    sheet.close()
    for place, line in enumerate((tmp_path / "s").read_bytes().split()):
        assert int(line) // 64 == place // 64


@pytest.mark.parametrize("sheets", ["openai", "anthropic"])
def test_a_foreign_row_is_a_good_row_with_an_id_that_nobody_sent(tmp_path: Path, sheets: str) -> None:
    made = OpenAISheets(tmp_path / "o", tmp_path / "e", 1) if sheets == "openai" else AnthropicSheets(tmp_path / "o", 1)
    line = made.ok("0" * 32, "mine", {"id": "x", "usage": None})
    rows = [orjson.loads(foreign(line, n)) for n in range(3)]
    assert len({row["custom_id"] for row in rows}) == 3
    assert all(len(row["custom_id"]) == 41 and row["custom_id"].startswith("f0f0f0f0-") for row in rows)
    assert {frozenset(row) for row in rows} == {frozenset(orjson.loads(line))}
    made.close()


@pytest.mark.parametrize("text", ["one two", '{"a": "one two three"}', "ONE TWO", "", "x"])
def test_raw_separators_go_between_words_and_the_line_stays_json(tmp_path: Path, text: str) -> None:
    sheets = OpenAISheets(tmp_path / "o", tmp_path / "e", 1)
    line = sheets.ok("i", "c", {"content": text}, raw=True)
    body = orjson.loads(line)["response"]["body"]["content"]
    assert body.replace(" \u2028\u0085", " ") == text
    assert ("\u2028" in body) == ("one two" in text)
    assert sheets.ok("i", "c", {"content": "é\u2028"}).isascii(), "OpenAI escapes what is not ASCII"
    sheets.close()
    claude = AnthropicSheets(tmp_path / "a", 1)
    assert "é" in claude.ok("i", "c", {"content": "é"}).decode(), "Anthropic does not"
    claude.close()


@pytest.mark.parametrize("place, files", [(None, (0, 1)), ("error", (0, 1)), ("output", (1, 0))])
def test_a_refused_row_goes_where_the_fault_says(tmp_path: Path, place: str | None, files: tuple[int, int]) -> None:
    sheets = OpenAISheets(tmp_path / "o", tmp_path / "e", 1)
    sheets.refused("i", "c", Refused(400, "no"), {"in": place} if place else {})
    sheets.close()
    assert (sheets.output.lines, sheets.error.lines) == files
    assert tuple((tmp_path / name).read_bytes().count(b"\n") for name in "oe") == files
