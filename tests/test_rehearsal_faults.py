from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.rehearsal.faults import Faults, checked, fits, struck
from tests.rehearsal_kit import Hall, ask_claude, chat_lines, custom_id, ended, finished, jsonl, rows, submit, until

ALL = {custom_id(n) for n in range(100)}


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with Hall(tmp_path / "state") as opened:
        yield opened


def night(hall: Hall, *faults: dict[str, Any]) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
    """A batch of 100 under faults: the batch, its output rows and its error rows."""
    hall.order(*faults)
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(100))).id)
        return done, rows(client, done.output_file_id), rows(client, done.error_file_id)


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["custom_id"] for row in rows}


@given(st.integers(1, 300), st.integers(0, 40), st.integers(0, 40))
def test_each_fault_strikes_its_rows(total: int, first: int, second: int) -> None:
    faults = [{"kind": "drop_rows", "n": first}, {"kind": "stuck"}, {"kind": "error_rows", "n": second}]
    hit = Counter(str(found["kind"]) for row in range(total) if (found := struck(faults, row, total)))
    assert hit["drop_rows"] == min(first, total)
    assert hit["error_rows"] <= min(second, total) and set(hit) <= {"drop_rows", "error_rows"}


def test_ten_and_ten_of_a_hundred_do_not_meet() -> None:
    faults = [{"kind": "drop_rows", "n": 10}, {"kind": "error_rows", "n": 10}]
    hit = Counter(str(found["kind"]) for row in range(100) if (found := struck(faults, row, 100)))
    assert hit == {"drop_rows": 10, "error_rows": 10}


@pytest.mark.parametrize(
    "match, fit",
    [
        ({}, True),
        ({"path": "/v1/batches"}, True),
        ({"path": "/v1/*"}, True),
        ({"path": "/v1/files"}, False),
        ({"batch": 2}, True),
        ({"batch": 3}, False),
        ({"path": "/v1/*", "batch": 3}, False),
        ({"model": "m"}, False),
    ],
)
def test_conditions(match: dict[str, Any], fit: bool) -> None:
    assert fits(match, {"path": "/v1/batches", "batch": 2, "model": None}) is fit


def test_faults_wait_are_used_up_and_survive(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"kind": "http", "times": 2, "match": {"path": "/a"}}, {"kind": "slow"}]')
    faults = Faults(path)
    assert faults.take({"http"}, {"path": "/b"}) == []
    assert [f["kind"] for f in faults.take({"http", "slow"}, {"path": "/a"})] == ["http"]
    again = Faults(path)
    assert [f["times"] for f in again.waiting()] == [1, 1]
    assert len(again.take({"http", "slow"}, {"path": "/a"}, once=False)) == 2
    assert Faults(path).waiting() == []
    again.add([{"kind": "close"}])
    again.clear()
    assert Faults(path).waiting() == []


def test_unknown_faults_are_refused(hall: Hall) -> None:
    with pytest.raises(ValueError, match="no fault of kind 'fire'"):
        checked({"kind": "fire"})
    for body in (b'[{"kind": "fire"}]', b"7", b"{"):
        assert hall.raw("POST", "/_rehearsal/faults", body)[0] == 400


def test_faults_are_ordered_and_cleared_over_http(hall: Hall) -> None:
    assert hall.raw("POST", "/_rehearsal/faults", b'{"kind": "close"}')[0] == 200
    assert json.loads(hall.raw("GET", "/_rehearsal/faults")[2]) == [{"kind": "close", "times": 1}]
    assert hall.raw("DELETE", "/_rehearsal/faults")[2] == b"[]"


def test_dropped_rows_are_paid_and_nowhere(hall: Hall) -> None:
    done, output, error = night(hall, {"kind": "drop_rows", "n": 10})
    assert (done.status, len(output), error) == ("completed", 90, [])
    assert done.request_counts.completed == 100
    lost = {line["custom_id"] for line in hall.bill if not line["delivered"]}
    assert len(hall.bill) == 100 and lost == ALL - ids(output)
    with hall.openai() as client:
        again = [line for line in chat_lines(100) if line["custom_id"] in lost]
        finished(client, submit(client, jsonl(again)).id)
    assert double_payments(hall.bill) == []
    assert json.loads(hall.raw("GET", "/_rehearsal/double-payments")[2]) == []


def test_expired_with_ninety_finished(hall: Hall) -> None:
    done, output, error = night(hall, {"kind": "expire", "finished": 90})
    assert (done.status, len(output), len(error), len(hall.bill)) == ("expired", 90, 10, 90)
    assert done.expired_at and done.completed_at is None
    assert {row["error"]["code"] for row in error} == {"batch_expired"}
    assert {row["response"] for row in error} == {None}
    assert ids(output) | ids(error) == ALL


def test_expired_without_files(hall: Hall) -> None:
    done, _, _ = night(hall, {"kind": "expire", "files": False})
    assert (done.status, done.output_file_id, done.error_file_id, hall.bill) == ("expired", None, None, [])


def test_cancelled_by_the_provider(hall: Hall) -> None:
    done, output, error = night(hall, {"kind": "cancel", "finished": 30})
    assert (done.status, len(output), len(error)) == ("cancelled", 30, 70)


@pytest.mark.parametrize("place", ["output", "error"])
def test_error_rows(hall: Hall, place: str) -> None:
    _, output, error = night(hall, {"kind": "error_rows", "n": 10, "status": 500, "in": place})
    bad = [row for row in output + error if row["response"]["status_code"] == 500]
    assert len(bad) == 10 and ids(bad) <= ids(output if place == "output" else error)
    assert bad[0]["response"]["body"]["error"]["type"] == "server_error"
    assert len(hall.bill) == 90, "a row that failed was not executed"


def test_error_rows_with_a_null_response_and_a_strange_status(hall: Hall) -> None:
    null = {"kind": "error_rows", "n": 10, "null": True, "code": "request_timeout"}
    _, _, error = night(hall, null, {"kind": "error_rows", "n": 5, "status": 0})
    assert Counter(row["response"] is None for row in error) == {True: 10, False: 5}
    assert {row["error"]["code"] for row in error if row["response"] is None} == {"request_timeout"}
    assert {row["response"]["status_code"] for row in error if row["response"]} == {0}


def test_quota_rows_name_their_code(hall: Hall) -> None:
    _, _, error = night(hall, {"kind": "error_rows", "n": 1, "status": 429, "code": "insufficient_quota"})
    told = error[0]["response"]["body"]["error"]
    assert (told["code"], told["type"]) == ("insufficient_quota", "insufficient_quota")


def test_strange_lines(hall: Hall) -> None:
    hall.order({"kind": "malformed_line", "n": 2}, {"kind": "duplicate_rows", "n": 3}, {"kind": "foreign_rows", "n": 4})
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(100))).id)
        lines = client.files.content(done.output_file_id).content.split(b"\n")[:-1]
    good = []
    for line in lines:
        try:
            good.append(json.loads(line)["custom_id"])
        except json.JSONDecodeError:
            assert line.startswith(b'{"id": "batch_req_')
    assert len(lines) == 107 and len(good) == 105
    assert sorted(Counter(good).values())[-4:] == [1, 2, 2, 2]
    assert len(set(good) - ALL) == 4
    assert Counter(line["delivered"] for line in hall.bill) == {True: 98, False: 2}


def test_raw_separators_are_inside_ten_answers(hall: Hall) -> None:
    hall.order({"kind": "raw_u2028", "n": 10})
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(100))).id)
        data = client.files.content(done.output_file_id).content
    assert data.count("\u2028".encode()) == data.count("\u0085".encode()) == 10
    texts = [
        json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] for line in data.split(b"\n")[:-1]
    ]
    odd = [json.loads(text) for text in texts if "\u2028" in text]
    assert len(odd) == 10 and all("\u2028" in answer["answer"] for answer in odd)


@pytest.mark.parametrize(
    "fault, code, line",
    [
        ({"kind": "fail_validation", "code": "invalid_url", "line": 3}, "invalid_url", 3),
        ({"kind": "token_limit"}, "token_limit_exceeded", None),
    ],
)
def test_validation_fails_on_order(hall: Hall, fault: dict[str, Any], code: str, line: int | None) -> None:
    done, _, _ = night(hall, fault)
    assert (done.status, done.errors.data[0].code, done.errors.data[0].line) == ("failed", code, line)
    assert hall.bill == []


def test_ids_may_be_empty_text_and_counts_may_lie(hall: Hall) -> None:
    done, output, _ = night(hall, {"kind": "empty_error_id"}, {"kind": "counts_lie", "completed": 3})
    assert (done.error_file_id, len(output), done.request_counts.completed) == ("", 100, 3)


def test_a_lost_output(hall: Hall) -> None:
    hall.order({"kind": "lose_output"})
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(5))).id)
        with pytest.raises(openai.NotFoundError):
            client.files.content(done.output_file_id)
    assert [line["delivered"] for line in hall.bill] == [False] * 5


def test_stuck_can_still_be_cancelled(hall: Hall) -> None:
    hall.order({"kind": "stuck"})
    with hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(5)))
        until(lambda: client.batches.retrieve(batch.id), lambda b: b.status == "in_progress")
        client.batches.cancel(batch.id)
        assert finished(client, batch.id).status in {"cancelled", "completed"}


def test_the_nth_batch_of_a_profile(hall: Hall) -> None:
    hall.order({"kind": "expire", "match": {"batch": 2, "profile": "openai"}})
    with hall.openai() as client:
        states = [finished(client, submit(client, jsonl(chat_lines(2))).id).status for _ in range(3)]
    assert states == ["completed", "expired", "completed"]


def test_a_lost_reply_to_create(hall: Hall) -> None:
    hall.order({"kind": "lose_create_reply"})
    with hall.openai() as client:
        with pytest.raises(openai.APIConnectionError):
            submit(client, jsonl(chat_lines(2)))
        made = list(client.batches.list())
        assert [batch.metadata for batch in made] == [{"a": "b"}]
        finished(client, made[0].id)
    hall.order({"kind": "lose_create_reply"})
    with hall.anthropic() as claude:
        with pytest.raises(anthropic.APIConnectionError):
            claude.messages.batches.create(requests=[ask_claude(1)])  # type: ignore[list-item]
        ended(claude, next(iter(claude.messages.batches.list())).id)


@pytest.mark.parametrize("after, made", [(False, 0), (True, 1)])
def test_a_status_before_or_after_the_work(hall: Hall, after: bool, made: int) -> None:
    hall.order({"kind": "http", "status": 500, "after": after, "match": {"path": "/v1/batches", "method": "POST"}})
    with hall.openai() as client:
        with pytest.raises(openai.InternalServerError):
            submit(client, jsonl(chat_lines(2)))
        for batch in list(client.batches.list()):
            made -= 1
            finished(client, batch.id)
    assert made == 0


def test_statuses_carry_their_headers_and_bodies(hall: Hall) -> None:
    hall.order(
        {"kind": "http", "status": 429, "retry_after": 7, "match": {"path": "/v1/files"}},
        {"kind": "http", "status": 529, "match": {"path": "/v1/messages/*"}},
        {
            "kind": "http",
            "status": 400,
            "body": {"error": {"message": "Cannot find file"}},
            "match": {"path": "/v1/batches"},
        },
        {"kind": "http", "status": 502, "html": "<html>", "match": {"path": "/v1/batches/*"}},
    )
    status, headers, body = hall.raw("GET", "/openai/v1/files", authorization="Bearer x")
    assert (status, headers["retry-after"], json.loads(body)["error"]["type"]) == (429, "7", "rate_limit_error")
    status, headers, body = hall.raw("GET", "/v1/messages/batches", x_api_key="k")
    assert (status, headers["x-should-retry"], json.loads(body)["error"]["type"]) == (529, "true", "overloaded_error")
    assert hall.raw("GET", "/v1/batches", authorization="Bearer x")[::2] == (
        400,
        b'{"error":{"message":"Cannot find file"}}',
    )
    status, headers, body = hall.raw("GET", "/v1/batches/b", authorization="Bearer x")
    assert (status, headers["content-type"], body) == (502, "text/html", b"<html>")
    seen = json.loads(hall.raw("GET", "/_rehearsal/requests")[2])
    assert [one["status"] for one in seen] == [429, 529, 400, 502] and {one["fault"] for one in seen} == {"http"}


def test_a_large_upload_gets_its_503_and_not_a_reset(hall: Hall) -> None:
    hall.order({"kind": "http", "status": 503})
    with hall.openai() as client, pytest.raises(openai.InternalServerError):
        client.files.create(file=("a.jsonl", b"x" * 8_000_000), purpose="batch")


def test_slow_and_closed(hall: Hall) -> None:
    hall.order({"kind": "slow", "seconds": 0.3}, {"kind": "close"})
    with hall.openai() as client:
        began = time.monotonic()
        assert list(client.files.list()) == []
        assert time.monotonic() - began >= 0.3
        with pytest.raises(openai.APIConnectionError):
            client.files.list()
        assert list(client.files.list()) == []


def test_downloads_that_end_early(hall: Hall) -> None:
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(50))).id)
        whole = client.files.content(done.output_file_id).content
        hall.order({"kind": "truncate_download", "bytes": 900}, {"kind": "truncate_download", "lines": 7})
        assert client.files.content(done.output_file_id).content == whole[:900]
        assert client.files.content(done.output_file_id).content.count(b"\n") == 7
        hall.order({"kind": "reset_download", "bytes": 5000})
        with pytest.raises(openai.APIConnectionError):
            client.files.content(done.output_file_id)
        assert client.files.content(done.output_file_id).content == whole


def test_anthropic_results_that_end_early(hall: Hall) -> None:
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(n) for n in range(20)])  # type: ignore[misc]
        ended(client, made.id)
        hall.order({"kind": "truncate_download", "lines": 7})
        assert len(list(client.messages.batches.results(made.id))) == 7
        hall.order({"kind": "reset_download", "bytes": 2000})
        with pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)):
            list(client.messages.batches.results(made.id))
        assert len(list(client.messages.batches.results(made.id))) == 20


@pytest.mark.parametrize(
    "fault, counts",
    [
        ({"kind": "drop_rows", "n": 4}, {"succeeded": 16}),
        ({"kind": "error_rows", "n": 4, "status": 529}, {"succeeded": 16, "errored": 4}),
        ({"kind": "expire", "finished": 15}, {"succeeded": 15, "expired": 5}),
        ({"kind": "cancel", "finished": 15}, {"succeeded": 15, "canceled": 5}),
        ({"kind": "raw_u2028", "n": 4}, {"succeeded": 20}),
    ],
)
def test_anthropic_nights(hall: Hall, fault: dict[str, Any], counts: dict[str, int]) -> None:
    hall.order(fault)
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(n) for n in range(20)])  # type: ignore[misc]
        ended(client, made.id)
    raw = hall.raw("GET", f"/v1/messages/batches/{made.id}/results", x_api_key="k")[2]
    found = [json.loads(line)["result"] for line in raw.split(b"\n")]
    assert Counter(one["type"] for one in found) == counts
    assert [one["error"]["error"]["type"] for one in found if one["type"] == "errored"] == [
        "overloaded_error"
    ] * counts.get("errored", 0)
    assert len(hall.bill) == counts["succeeded"] + (4 if fault["kind"] == "drop_rows" else 0)
    assert raw.count("\u2028".encode()) == (4 if fault["kind"] == "raw_u2028" else 0)


def test_an_expired_anthropic_batch_without_files(hall: Hall) -> None:
    hall.order({"kind": "expire", "files": False})
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(1)])  # type: ignore[list-item]
        done = ended(client, made.id)
        assert (done.results_url, done.request_counts.expired) == (None, 1)
        assert hall.raw("GET", f"/v1/messages/batches/{made.id}/results", x_api_key="k")[0] == 404
