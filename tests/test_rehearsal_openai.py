from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from chimera_batch.rehearsal.bill import double_payments
from tests.conftest import SHARED
from tests.rehearsal_kit import Hall, chat_line, chat_lines, custom_id, finished, jsonl, rows, submit, until

GOLDEN = SHARED / "golden" / "curator-openai"


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with Hall(tmp_path / "state") as opened:
        yield opened


def test_a_batch_from_upload_to_answers(hall: Hall) -> None:
    with hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(200)))
        assert (batch.status, batch.metadata, batch.output_file_id) == ("validating", {"a": "b"}, None)
        assert batch.expires_at == batch.created_at + 86400
        done = finished(client, batch.id)
        assert (done.status, done.error_file_id, done.errors) == ("completed", None, None)
        assert dict(done.request_counts) == {"total": 200, "completed": 200, "failed": 0}
        raw = client.files.content(done.output_file_id).content
        told = client.files.retrieve(done.output_file_id)
        answers = rows(client, done.output_file_id)
    assert raw.endswith(b"\n") and raw.count(b"\n") == 200 and raw.isascii()
    assert (told.bytes, told.purpose, told.filename) == (len(raw), "batch_output", f"{batch.id}_output.jsonl")
    ids = [row["custom_id"] for row in answers]
    assert sorted(ids) == [custom_id(n) for n in range(200)]
    assert ids != sorted(ids), "the order of results must not be that of the requests"
    for row in answers:
        answer = json.loads(row["response"]["body"]["choices"][0]["message"]["content"])
        assert set(answer) == {"answer", "sure"}
    usage = [row["response"]["body"]["usage"] for row in answers]
    assert done.usage.input_tokens == sum(one["prompt_tokens"] for one in usage)
    assert done.usage.output_tokens == sum(one["completion_tokens"] for one in usage)


def test_the_bill_is_what_the_answers_say(hall: Hall) -> None:
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(chat_lines(20))).id)
        usage = {row["custom_id"]: row["response"]["body"]["usage"] for row in rows(client, done.output_file_id)}
    assert len(hall.bill) == 20
    for line in hall.bill:
        mine = usage[line["custom_id"]]
        exact = (mine["prompt_tokens"] * Decimal(1) + mine["completion_tokens"] * Decimal(5)) / 1_000_000
        assert Decimal(line["usd"]) == exact
        assert (line["batch"], line["attempt"], line["delivered"], line["usable"]) == (done.id, 1, True, True)
        assert (line["request_id"], line["sync"], line["profile"]) == (line["custom_id"][9:], False, "openai")
    told = json.loads(hall.raw("GET", "/_rehearsal/state")[2])
    assert Decimal(told["usd"]) == sum(Decimal(line["usd"]) for line in hall.bill)
    assert told["billed"] == 20


def test_answers_depend_on_key_and_attempt_not_on_the_batch(hall: Hall, tmp_path: Path) -> None:
    def texts(place: Hall, nonce: str) -> list[str]:
        lines = [chat_line(n, ident=custom_id(n, nonce)) for n in range(5)]
        with place.openai() as client:
            done = finished(client, submit(client, jsonl(lines)).id)
            found = sorted(rows(client, done.output_file_id), key=lambda row: str(row["custom_id"]))
        return [row["response"]["body"]["choices"][0]["message"]["content"] for row in found]

    first, second = texts(hall, "aaaaaaaa"), texts(hall, "bbbbbbbb")
    assert all(a != b for a, b in zip(first, second, strict=True))
    assert len(double_payments(hall.bill)) == 5
    with Hall(tmp_path / "other") as other:
        assert texts(other, "cccccccc") == first


@pytest.mark.parametrize(
    "data, code",
    [
        (b"", "empty_file"),
        (b"{\n", "invalid_json_line"),
        (jsonl([chat_line(1), chat_line(1)]), "duplicate_custom_id"),
        (jsonl([chat_line(1), chat_line(2, model="gpt-6-luna")]), "mismatched_model"),
        (jsonl([chat_line(1, model="gone")]), "model_not_found"),
        (jsonl([chat_line(1) | {"url": "/v1/responses"}]), "invalid_url"),
    ],
)
def test_a_bad_file_fails_as_a_whole_and_costs_nothing(hall: Hall, data: bytes, code: str) -> None:
    with hall.openai() as client:
        done = finished(client, submit(client, data).id)
    assert (done.status, done.errors.data[0].code) == ("failed", code)
    assert (done.output_file_id, done.error_file_id, done.request_counts.total) == (None, None, 0)
    assert done.failed_at is not None and hall.bill == []


def test_a_file_that_is_not_there_fails_later(hall: Hall) -> None:
    with hall.openai() as client:
        made = client.batches.create(input_file_id="file-gone", endpoint="/v1/responses", completion_window="24h")
        done = finished(client, made.id)
    assert (done.errors.data[0].code, done.errors.data[0].line) == ("invalid_request", None)


def test_rows_that_the_endpoint_refuses_are_in_the_error_file(hall: Hall) -> None:
    lines = [chat_line(n, model="gpt-6-luna") for n in range(3)]
    lines[1]["body"]["temperature"] = 0.5
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(lines)).id)
        failed = rows(client, done.error_file_id)
    assert (done.status, dict(done.request_counts)) == ("completed", {"total": 3, "completed": 2, "failed": 1})
    assert failed[0]["custom_id"] == custom_id(1) and failed[0]["error"] is None
    assert failed[0]["response"]["body"]["error"]["code"] == "unsupported_value"
    assert len(hall.bill) == 2


def test_all_rows_refused_leaves_no_output_file(hall: Hall) -> None:
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl([chat_line(1, max_completion_tokens=0)])).id)
    assert (done.status, done.output_file_id) == ("completed", None)
    assert done.error_file_id


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/embeddings"])
def test_the_other_endpoints_in_a_batch(hall: Hall, endpoint: str) -> None:
    model = "embed" if endpoint == "/v1/embeddings" else "plain"
    lines = [
        {"custom_id": custom_id(n), "method": "POST", "url": endpoint, "body": {"model": model, "input": f"t {n}"}}
        for n in range(3)
    ]
    with hall.openai() as client:
        done = finished(client, submit(client, jsonl(lines), endpoint).id)
        bodies = [row["response"]["body"] for row in rows(client, done.output_file_id)]
    assert {body["object"] for body in bodies} == {"list" if model == "embed" else "response"}
    assert len(hall.bill) == 3


def test_synchronous_calls_through_the_sdk(hall: Hall) -> None:
    with hall.openai() as client:
        chat = client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "hi"}])
        key = {"Idempotency-Key": custom_id(5)}
        answer = client.responses.create(model="plain", input="hi", max_output_tokens=1000, extra_headers=key)
        vectors = client.embeddings.create(model="embed", input=["one two", "one two three"], dimensions=32)
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.responses.create(model="gone", input="hi")
    assert chat.choices[0].finish_reason == "stop" and chat.choices[0].message.content
    assert answer.status == "completed" and answer.output_text
    assert [len(one.embedding) for one in vectors.data] == [32, 32]
    assert [line["sync"] for line in hall.bill] == [True] * 3
    assert (hall.bill[1]["custom_id"], hall.bill[1]["request_id"]) == (custom_id(5), custom_id(5)[9:])


def test_embeddings_as_base64_and_as_numbers_are_the_same(hall: Hall) -> None:
    def vector(how: str) -> Any:
        body = json.dumps({"model": "embed", "input": "abc def", "encoding_format": how}).encode()
        reply = hall.raw("POST", "/v1/embeddings", body, authorization="Bearer x")
        return json.loads(reply[2])["data"][0]["embedding"]

    packed = struct.unpack("<64f", base64.b64decode(vector("base64")))
    assert packed == pytest.approx(vector("float"), abs=1e-6)


def test_files_are_listed_read_in_parts_and_deleted(hall: Hall) -> None:
    with hall.openai() as client:
        made = [client.files.create(file=(f"{n}.jsonl", b"0123456789\n"), purpose="batch") for n in range(5)]
        client.files.create(file=("x.txt", b"x"), purpose="user_data")
        ids = [file.id for file in made]
        assert [file.id for file in client.files.list(purpose="batch", order="asc", limit=2)] == ids
        assert [file.id for file in client.files.list(purpose="batch", limit=2)] == ids[::-1]
        assert len(list(client.files.list())) == 6
        client.files.delete(ids[0])
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(ids[0])
        with pytest.raises(openai.NotFoundError):
            client.files.content(ids[0])
    for header, status, body in [
        ("bytes=3-", 206, b"3456789\n"),
        ("bytes=3-4", 206, b"34"),
        ("bytes=-3", 206, b"89\n"),
        ("bytes=99-", 416, b"{}"),
    ]:
        reply = hall.raw("GET", f"/v1/files/{ids[1]}/content", authorization="Bearer x", range=header)
        assert (reply[0], reply[2]) == (status, body)
    reply = hall.raw("GET", f"/v1/files/{ids[1]}/content", authorization="Bearer x", range="bytes=3-4")
    assert reply[1]["content-range"] == "bytes 3-4/11"
    assert 'filename="1.jsonl"' in reply[1]["content-disposition"]


def test_batches_are_listed_newest_first_by_profile(hall: Hall) -> None:
    with hall.openai() as client, hall.openai("groq") as other:
        ids = [submit(client, jsonl([chat_line(n)])).id for n in range(5)]
        assert [batch.id for batch in client.batches.list(limit=2)] == ids[::-1]
        assert list(other.batches.list()) == []
        for ident in ids:
            finished(client, ident)


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/files", 405),
        ("GET", "/v1/batches/batch_x", 404),
        ("GET", "/v1/files/file-x", 404),
        ("POST", "/v1/batches", 400),
        ("POST", "/v1/files", 400),
        ("GET", "/v1/batches?limit=0", 400),
        ("GET", "/v1/files?limit=x", 400),
        ("GET", "/_rehearsal/nothing", 404),
    ],
)
def test_errors_have_the_providers_shape(hall: Hall, method: str, path: str, status: int) -> None:
    reply = hall.raw(method, path, b"{}" if method == "POST" else b"", authorization="Bearer x")
    assert reply[0] == status
    assert set(json.loads(reply[2])["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}])
def test_a_key_is_needed(hall: Hall, headers: dict[str, str]) -> None:
    assert hall.raw("GET", "/v1/files", **headers)[0] == 401


@pytest.mark.parametrize(
    "change, param",
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"input_file_id": ""}, "input_file_id"),
    ],
)
def test_create_refuses_bad_parameters_at_once(hall: Hall, change: dict[str, Any], param: str) -> None:
    body = {"input_file_id": "f", "endpoint": "/v1/responses", "completion_window": "24h"} | change
    reply = hall.raw("POST", "/v1/batches", json.dumps(body).encode(), authorization="Bearer x")
    assert (reply[0], json.loads(reply[2])["error"]["param"]) == (400, param)


def test_uploads_that_are_refused_leave_nothing(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", max_bytes=100_000) as hall, hall.openai() as client:
        with pytest.raises(openai.BadRequestError, match="Invalid file format"):
            client.files.create(file=("a.txt", b"x"), purpose="batch")
        with pytest.raises(openai.BadRequestError, match=r"File is too large\."):
            client.files.create(file=("a.jsonl", b"x" * 5_000_000), purpose="batch")
        assert list(client.files.list()) == []
        assert list((hall.state / "files").iterdir()) == []


def test_an_enqueued_limit_fails_the_second_batch_only(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=200.0, enqueued_tokens={"plain": 100}) as hall, hall.openai() as client:
        first = submit(client, jsonl(chat_lines(20)))
        until(lambda: client.batches.retrieve(first.id), lambda batch: batch.status == "in_progress")
        second = finished(client, submit(client, jsonl(chat_lines(20))).id)
        assert second.errors.data[0].code == "token_limit_exceeded"
        client.batches.cancel(first.id)
        finished(client, first.id)
        third = submit(client, jsonl(chat_lines(20)))
        until(lambda: client.batches.retrieve(third.id), lambda batch: batch.status == "in_progress")


def test_batches_per_hour(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=1.0, batches_per_hour=1) as hall, hall.openai() as client:
        submit(client, b"x\n")
        with pytest.raises(openai.RateLimitError):
            submit(client, b"x\n")


def test_cancelling_keeps_what_is_done(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=200.0, work_seconds=[6000, 6000]) as hall, hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(100)))
        at_work = until(lambda: client.batches.retrieve(batch.id), lambda b: b.request_counts.completed > 2)
        assert at_work.status == "in_progress" and at_work.request_counts.total == 100
        asked = client.batches.cancel(batch.id)
        assert asked.status == "cancelling" and asked.cancelling_at
        done = finished(client, batch.id)
        answered, left = rows(client, done.output_file_id), rows(client, done.error_file_id)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
    assert done.status == "cancelled" and done.cancelled_at
    assert len(answered) >= at_work.request_counts.completed
    assert len(answered) == len(hall.bill) == done.request_counts.completed
    assert {row["error"]["code"] for row in left} == {"batch_cancelled"}
    assert {row["custom_id"] for row in answered + left} == {custom_id(n) for n in range(100)}


def test_cancelled_before_it_began_there_is_nothing(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=1.0) as hall, hall.openai() as client:
        batch = submit(client, jsonl(chat_lines(10)))
        client.batches.cancel(batch.id)
        # its validation is over right after that, and not in a minute
        hall.desk.works.change(batch.id, lambda b: replace(b, validate=b.cancelled - b.created + 0.01, finalize=0.0))
        done = finished(client, batch.id)
    assert (done.status, done.output_file_id, done.error_file_id, done.in_progress_at) == (
        "cancelled",
        None,
        None,
        None,
    )
    assert (done.request_counts.total, hall.bill) == (0, [])


def golden(name: str) -> list[dict[str, Any]]:
    path = GOLDEN / name
    if not path.exists():
        pytest.skip("the recordings are not here")
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def shape(value: Any, other: Any, where: str = "") -> None:
    """Every key of the recording is in ours, with a value of the same kind where both have one."""
    if isinstance(value, dict) and isinstance(other, dict):
        assert set(value) <= set(other), f"{where}: {set(value) - set(other)} missing"
        for key, inner in value.items():
            if key != "metadata":
                shape(inner, other[key], f"{where}.{key}")
    elif isinstance(value, list) and isinstance(other, list):
        for a, b in zip(value, other, strict=False):
            shape(a, b, f"{where}[]")
    elif value is not None and other is not None:
        assert type(value) is type(other), f"{where}: {value!r} and {other!r}"


def test_shapes_are_those_of_the_recordings(hall: Hall) -> None:
    recorded = golden("basic_batch_completion.exchanges.jsonl")
    file = next(one["body"] for one in recorded if one["path"] == "/v1/files")
    batch = [one["body"] for one in recorded if "/v1/batches" in one["path"]][-1]
    row = golden("basic_batch_completion.file-GykDwPni5UjeQEo2wkgrh7.jsonl")[0]
    with hall.openai() as client:
        made = client.files.create(file=("upload.jsonl", jsonl(chat_lines(3))), purpose="batch")
        again = json.loads(hall.raw("GET", f"/v1/files/{made.id}", authorization="Bearer x")[2])
        ours = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
        done = finished(client, ours.id)
        answers = rows(client, done.output_file_id)
    shape(file, again, "file")
    shape(batch, json.loads(done.to_json()), "batch")
    shape(row, answers[0], "row")
    assert list(answers[0]) == list(row)
