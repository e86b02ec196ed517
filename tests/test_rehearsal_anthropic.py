from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest

from chimera_batch.rehearsal.anthropic_api import _requests
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.web import Request
from tests.conftest import SHARED
from tests.rehearsal_kit import SCHEMA, Hall, ask_claude, custom_id, ended, hurry, until
from tests.test_rehearsal_openai import shape

GOLDEN = SHARED / "golden" / "curator-anthropic"


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with Hall(tmp_path / "state") as opened:
        yield opened


def results(client: anthropic.Anthropic, ident: str) -> dict[str, Any]:
    return {row.custom_id: row.result for row in client.messages.batches.results(ident)}


def test_a_batch_from_create_to_results(hall: Hall) -> None:
    shaped = {"format": {"type": "json_schema", "schema": SCHEMA}}
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(n, output_config=shaped) for n in range(100)])  # type: ignore[misc]
        assert (made.processing_status, made.results_url) == ("in_progress", None)
        assert made.request_counts.processing == 100
        done = ended(client, made.id)
        found = results(client, made.id)
        raw = hall.raw("GET", f"/anthropic/v1/messages/batches/{made.id}/results", x_api_key="k")
    assert (done.request_counts.succeeded, done.request_counts.processing) == (100, 0)
    assert set(found) == {custom_id(n) for n in range(100)}
    for result in found.values():
        assert result.type == "succeeded" and result.message.stop_reason == "end_turn"
        assert set(json.loads(result.message.content[-1].text)) == {"answer", "sure"}
    assert not raw[2].endswith(b"\n") and raw[2].count(b"\n") == 99
    assert raw[1]["content-type"] == "application/x-jsonl"
    order = [json.loads(line)["custom_id"] for line in raw[2].split(b"\n")]
    assert order != sorted(order)
    for line in hall.bill:
        usage = found[line["custom_id"]].message.usage
        assert Decimal(line["usd"]) == (usage.input_tokens * Decimal(2) + usage.output_tokens * Decimal(10)) / 1_000_000
    assert {line["profile"] for line in hall.bill} == {"anthropic"}


@pytest.mark.parametrize(
    "requests, message",
    [
        ([], "List should have at least 1 item"),
        ([ask_claude(1), ask_claude(1)], "Duplicate custom_id found"),
        ([ask_claude(1) | {"custom_id": "a b"}], "String should match pattern"),
        ([ask_claude(1) | {"custom_id": "a" * 65}], "String should match pattern"),
        ([{"custom_id": "a"}], "params: Field required"),
    ],
)
def test_create_refuses_at_once_and_keeps_nothing(hall: Hall, requests: list[Any], message: str) -> None:
    with hall.anthropic() as client:
        with pytest.raises(anthropic.BadRequestError, match=message):
            client.messages.batches.create(requests=requests)
        assert list(client.messages.batches.list()) == []
    assert list((hall.state / "files").iterdir()) == []


@pytest.mark.parametrize(
    "params, kind",
    [
        ({"temperature": 0.5}, "invalid_request_error"),
        ({"max_tokens": None}, "invalid_request_error"),
        ({"messages": []}, "invalid_request_error"),
        ({"stream": True}, "invalid_request_error"),
        ({"model": "gone"}, "not_found_error"),
    ],
)
def test_params_are_checked_late_and_row_by_row(hall: Hall, params: dict[str, Any], kind: str) -> None:
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(1, **params), ask_claude(2)])  # type: ignore[list-item]
        done = ended(client, made.id)
        found = results(client, made.id)
    assert (done.request_counts.errored, done.request_counts.succeeded) == (1, 1)
    assert found[custom_id(1)].error.error.type == kind
    assert [line["custom_id"] for line in hall.bill] == [custom_id(2)]


def test_the_version_of_the_create_decides_about_sampling(hall: Hall) -> None:
    with hall.anthropic("2023-06-01") as client:
        made = client.messages.batches.create(requests=[ask_claude(1, temperature=0.5)])  # type: ignore[list-item]
        assert ended(client, made.id).request_counts.succeeded == 1


def test_results_before_the_end_and_deletion_are_refused(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=1.0) as hall, hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(1)])  # type: ignore[list-item]
        reply = hall.raw("GET", f"/v1/messages/batches/{made.id}/results", x_api_key="k")
        assert reply[0] == 404 and b"has no available results" in reply[2]
        assert hall.raw("GET", f"/v1/messages/batches/{made.id}", x_api_key="k")[1]["retry-after"] == "10"
        with pytest.raises(anthropic.BadRequestError, match="cannot be deleted"):
            client.messages.batches.delete(made.id)
        hurry(hall.desk, made.id)
        ended(client, made.id)
        assert client.messages.batches.delete(made.id).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError, match="not found"):
            client.messages.batches.retrieve(made.id)


def test_cancelling(tmp_path: Path) -> None:
    with Hall(tmp_path / "s", speed=200.0, work_seconds=[4000, 4000]) as hall, hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(n) for n in range(50)])  # type: ignore[misc]
        state = json.loads(hall.raw("GET", "/_rehearsal/state")[2])["batches"][0]
        assert state["total"] == 50
        until(time.time, lambda now: now > hall.desk.works.all()[0].begins + 0.9)  # of twenty seconds
        asked = client.messages.batches.cancel(made.id)
        assert (asked.processing_status, asked.request_counts.processing) == ("canceling", 50)
        done = ended(client, made.id)
        kinds = [result.type for result in results(client, made.id).values()]
    assert 0 < kinds.count("succeeded") < 50
    assert kinds.count("canceled") == 50 - kinds.count("succeeded") == done.request_counts.canceled
    assert len(hall.bill) == kinds.count("succeeded")


def test_lists_go_both_ways(hall: Hall) -> None:
    with hall.anthropic() as client:
        ids = [client.messages.batches.create(requests=[ask_claude(n)]).id for n in range(5)]  # type: ignore[list-item]
        assert [one.id for one in client.messages.batches.list(limit=2)] == ids[::-1]
        page = client.messages.batches.list(limit=2, before_id=ids[0])
        assert {one.id for one in page.data} == set(ids[1:3])


def test_a_synchronous_message(hall: Hall) -> None:
    with hall.anthropic() as client:
        said = client.messages.create(model="claude", max_tokens=2000, messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
            client.post("/v1/messages", cast_to=object, body={"model": "claude", "messages": [{"role": "user"}]})
    assert said.content[-1].type == "text" and said.usage.service_tier == "standard"
    assert [line["sync"] for line in hall.bill] == [True]


def test_a_key_is_needed_and_errors_have_the_shape(hall: Hall) -> None:
    status, _, body = hall.raw("GET", "/v1/messages/batches")
    assert (status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
    status, _, body = hall.raw("GET", "/v1/messages/nothing", x_api_key="k")
    assert (status, json.loads(body)["error"]["type"]) == (404, "not_found_error")
    assert json.loads(body)["request_id"].startswith("req_")


@pytest.mark.parametrize(
    "text, count",
    [
        ('{"requests":[]}', 0),
        (' { "requests" : [ 1 , {"a": "]}"} ] } \n', 2),
        ('{"other": 1, "requests": [1, 2, 3]}', 3),
    ],
)
def test_requests_are_split_wherever_they_are(text: str, count: int) -> None:
    assert len(list(_requests(text))) == count


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"requests": 1}', '{"requests": [1', '{"requests": [1 2]}', '{"requests": [1,]}', "nope"]
)
def test_bodies_that_are_no_list_of_requests(text: str) -> None:
    with pytest.raises(Refused) as caught:
        list(_requests(text))
    assert caught.value.status == 400


def test_a_request_reads_json_objects_only() -> None:
    def body(data: bytes) -> Any:
        return Request("POST", "/v1/messages", "a", {}, {}, iter([data])).json()

    assert body(b'{"a":1}') == {"a": 1}
    for data in (b"", b"[]", b"{"):
        with pytest.raises(Refused):
            body(data)


def test_shapes_are_those_of_the_recordings(hall: Hall) -> None:
    if not GOLDEN.exists():
        pytest.skip("the recordings are not here")
    recorded = (GOLDEN / "basic_batch_completion.exchanges.jsonl").read_bytes().splitlines()
    row = next(GOLDEN.glob("basic_batch_completion.msgbatch*")).read_bytes().split(b"\n")[0]
    with hall.anthropic() as client:
        made = client.messages.batches.create(requests=[ask_claude(n, thinking={"type": "disabled"}) for n in range(3)])  # type: ignore[misc]
        ended(client, made.id)
    batch = json.loads(hall.raw("GET", f"/v1/messages/batches/{made.id}", x_api_key="k")[2])
    ours = hall.raw("GET", f"/v1/messages/batches/{made.id}/results", x_api_key="k")[2].split(b"\n")[0]
    shape(json.loads(recorded[-1])["body"], batch, "batch")
    assert set(batch) == set(json.loads(recorded[-1])["body"])
    shape(orjson.loads(row), orjson.loads(ours), "row")
