"""Orders for bad nights: what is accepted, what strikes whom, how often, and what a wrecked request looks like."""

from __future__ import annotations

import io
import itertools
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal import faults as faults_module
from chimera_batch.rehearsal import wrecks
from chimera_batch.rehearsal.faults import (
    OF_BATCHES,
    OF_REQUESTS,
    OF_ROWS,
    ONLY_OPENAI,
    Faults,
    checked,
    find,
    fits,
    struck,
)
from chimera_batch.rehearsal.web import Reply, Request
from chimera_batch.rehearsal.wrecks import Wreck
from tests.rehearsal_kit import Hall

KINDS = sorted(OF_REQUESTS | OF_BATCHES)


def request(method: str = "GET", path: str = "/v1/files", profile: str = "openai") -> Request:
    return Request(method, path, profile, {}, {}, iter([]))


# What is an order


def test_every_kind_is_described_and_every_description_is_a_kind() -> None:
    told = set(re.findall(r"^``(\w+)``", faults_module.__doc__ or "", re.M))
    assert told == set(KINDS)
    assert not OF_REQUESTS & OF_BATCHES
    assert OF_ROWS | ONLY_OPENAI <= OF_BATCHES


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_is_an_order_for_one_time(kind: str) -> None:
    assert checked({"kind": kind}) == {"kind": kind, "times": 1}
    assert checked({"kind": kind, "times": 3, "match": None})["times"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_parameter_is_refused(kind: str) -> None:
    """It would strike otherwise than was meant, and the test that ordered it would test nothing."""
    for word in ("rows", "count", "Match", "N", "paths", "statuses"):
        with pytest.raises(ValueError, match=f"{kind} has no {word}"):
            checked({"kind": kind, word: 1})


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http", "n": 1},
        {"kind": "close", "status": 500},
        {"kind": "drop_rows", "status": 500},
        {"kind": "expire", "n": 5},
        {"kind": "error_rows", "finished": 5},
        {"kind": "truncate_download", "n": 5},
    ],
)
def test_a_parameter_of_another_kind_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no"):
        checked(fault)


@pytest.mark.parametrize(
    "kind, match, good",
    [
        ("http", {"path": "/v1/*", "method": "GET", "profile": "groq"}, True),
        ("http", {"batch": 1}, False),
        ("close", {"model": "m"}, False),
        ("drop_rows", {"batch": 2, "model": "m", "profile": "openai", "path": "/v1/messages"}, True),
        ("drop_rows", {"method": "POST"}, False),
        ("expire", {"endpoint": "/v1/responses"}, False),
        ("http", ["path"], False),
        ("http", "path", False),
    ],
)
def test_a_match_is_of_what_is_known_then(kind: str, match: Any, good: bool) -> None:
    if good:
        assert checked({"kind": kind, "match": match})["match"] == match
    else:
        with pytest.raises(ValueError, match=f"{kind}"):
            checked({"kind": kind, "match": match})


@pytest.mark.parametrize("value", [0, -1, "2", 1.5, True, None])
def test_times_are_whole_numbers_from_one(value: object) -> None:
    with pytest.raises(ValueError, match="times of close"):
        checked({"kind": "close", "times": value})


@pytest.mark.parametrize("kind, name", [("drop_rows", "n"), ("expire", "finished"), ("reset_download", "bytes")])
def test_counts_are_whole_numbers_from_nothing(kind: str, name: str) -> None:
    assert checked({"kind": kind, name: 0})[name] == 0
    for value in (-1, "3", 2.0, None, [3]):
        with pytest.raises(ValueError, match=f"{name} of {kind}"):
            checked({"kind": kind, name: value})


@pytest.mark.parametrize("kind", [None, 5, ["http"], "", "HTTP", "drop"])
def test_no_kind(kind: object) -> None:
    with pytest.raises(ValueError, match="no fault of kind"):
        checked({"kind": kind})


def test_of_several_orders_all_are_taken_or_none(tmp_path: Path) -> None:
    orders = Faults(tmp_path / "f.json")
    with pytest.raises(ValueError, match="no fault of kind"):
        orders.add([{"kind": "close"}, {"kind": "fire"}])
    assert orders.waiting() == []


# Who is struck


@pytest.mark.parametrize(
    "match, facts, fit",
    [
        ({}, {}, True),
        ({"path": "*"}, {"path": "/v1/files"}, True),
        ({"path": "/v1/files/*"}, {"path": "/v1/files"}, False),
        ({"path": "/v1/*batches"}, {"path": "/v1/messages/batches"}, True),
        ({"path": "/v1/*batches"}, {"path": "/v1/batches"}, True),
        ({"path": "/v1/*batches"}, {"path": "/v1/batches/b/cancel"}, False),
        ({"model": "gpt-*"}, {"model": "gpt-5"}, True),
        ({"model": "gpt-*"}, {"model": "GPT-5"}, False),
        ({"model": "gpt-*"}, {"model": None}, False),
        ({"model": "gpt-*"}, {}, False),
        ({"batch": 1}, {"batch": 1}, True),
        ({"batch": 1}, {"batch": 11}, False),
    ],
)
def test_a_condition(match: dict[str, Any], facts: dict[str, Any], fit: bool) -> None:
    assert fits(match, facts) is fit


@given(st.integers(1, 200), st.integers(0, 250), st.sampled_from(sorted(OF_ROWS)))
def test_n_rows_are_struck_evenly(total: int, n: int, kind: str) -> None:
    hit = [row for row in range(total) if struck([{"kind": kind, "n": n}], row, total)]
    assert len(hit) == min(n, total)
    gaps = [b - a for a, b in itertools.pairwise(hit)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@given(st.integers(8, 200), st.data())
def test_two_small_faults_take_rows_of_their_own(total: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, total // 8))
    faults = [{"kind": "drop_rows", "n": n}, {"kind": "error_rows", "n": n}]
    kinds = [(struck(faults, row, total) or {}).get("kind") for row in range(total)]
    assert (kinds.count("drop_rows"), kinds.count("error_rows")) == (n, n)


def test_faults_of_the_whole_batch_strike_no_row() -> None:
    others = [{"kind": kind} for kind in sorted(OF_BATCHES - OF_ROWS)]
    assert not any(struck(others, row, 10) for row in range(10))


def test_the_first_of_a_kind_is_found() -> None:
    faults = [{"kind": "stuck"}, {"kind": "expire", "finished": 1}, {"kind": "expire", "finished": 2}]
    assert find(faults, "expire") == faults[1]
    assert find(faults, "cancel") is None


# How often


@settings(max_examples=20, deadline=None)  # each one writes to disk, durably
@given(
    st.lists(st.tuples(st.sampled_from(["http", "close", "slow"]), st.integers(1, 3)), max_size=4),
    st.lists(st.sampled_from([("http",), ("close", "slow"), ("http", "close", "slow")]), max_size=10),
)
def test_each_order_strikes_exactly_its_times(
    tmp_path_factory: pytest.TempPathFactory, given_orders: list[tuple[str, int]], takes: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.mktemp("f") / "f.json"
    orders = Faults(path)
    orders.add({"kind": kind, "times": times} for kind, times in given_orders)
    left = [kind for kind, times in given_orders for _ in range(times)]
    for kinds in takes:
        wanted = next((kind for kind in left if kind in kinds), None)
        taken = [fault["kind"] for fault in orders.take(kinds, {})]
        assert taken == ([wanted] if wanted else [])
        if wanted:
            left.remove(wanted)
    assert [f["kind"] for f in orders.waiting() for _ in range(f["times"])] == left
    assert Faults(path).waiting() == orders.waiting(), "a restart forgets none and repeats none"


def test_a_batch_takes_one_time_of_every_order_that_fits(tmp_path: Path) -> None:
    orders = Faults(tmp_path / "f.json")
    orders.add(
        [
            {"kind": "drop_rows", "times": 2},
            {"kind": "expire", "match": {"batch": 2}},
            {"kind": "http"},
            {"kind": "stuck", "match": {"profile": "groq"}},
        ]
    )
    taken = orders.take(OF_BATCHES, {"batch": 1, "profile": "openai"}, once=False)
    assert [(fault["kind"], fault["times"]) for fault in taken] == [("drop_rows", 1)]
    taken = orders.take(OF_BATCHES, {"batch": 2, "profile": "openai"}, once=False)
    assert [fault["kind"] for fault in taken] == ["drop_rows", "expire"]
    assert [fault["kind"] for fault in orders.waiting()] == ["http", "stuck"]


def test_what_was_taken_is_a_copy(tmp_path: Path) -> None:
    orders = Faults(tmp_path / "f.json")
    orders.add([{"kind": "close", "times": 2}])
    orders.take({"close"}, {})[0]["kind"] = "http"
    orders.waiting()[0]["kind"] = "http"
    assert orders.waiting() == [{"kind": "close", "times": 1}]


def test_many_threads_take_each_time_once(tmp_path: Path) -> None:
    orders = Faults(tmp_path / "f.json")
    orders.add([{"kind": "close", "times": 20}])
    taken: list[dict[str, Any]] = []

    def work() -> None:
        for _ in range(8):
            taken.extend(orders.take({"close"}, {}))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), orders.waiting()) == (20, [])


@pytest.mark.parametrize("text", ['[{"kind": "fire"}]', '[{"kind": "close", "tmies": 2}]', "[5]", "{"])
def test_a_file_of_orders_that_means_nothing_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises((ValueError, AttributeError)):
        Faults(tmp_path / "f.json")


# Wrecks


@pytest.mark.parametrize(
    "kind, method, path, struck_by_it",
    [
        ("http", "GET", "/v1/files", True),
        ("close", "POST", "/v1/responses", True),
        ("slow", "DELETE", "/v1/files/f", True),
        ("http", "GET", "/_rehearsal/state", False),
        ("lose_create_reply", "POST", "/v1/batches", True),
        ("lose_create_reply", "POST", "/v1/messages/batches", True),
        ("lose_create_reply", "GET", "/v1/batches", False),
        ("lose_create_reply", "POST", "/v1/batches/b/cancel", False),
        ("lose_create_reply", "POST", "/v1/files", False),
        ("truncate_download", "GET", "/v1/files/f/content", True),
        ("truncate_download", "GET", "/v1/messages/batches/b/results", True),
        ("reset_download", "GET", "/v1/files/f", False),
        ("reset_download", "POST", "/v1/files/f/content", False),
        ("drop_rows", "POST", "/v1/batches", False),
    ],
)
def test_which_requests_run_into_what(tmp_path: Path, kind: str, method: str, path: str, struck_by_it: bool) -> None:
    orders = Faults(tmp_path / "f.json")
    orders.add([{"kind": kind}])
    assert wrecks.waiting(orders, request(method, path)).kind == (kind if struck_by_it else None)
    assert len(orders.waiting()) == (0 if struck_by_it else 1)


@pytest.mark.parametrize(
    "fault, worked, status, lost",
    [
        ({}, 1, 200, False),
        ({"kind": "slow"}, 1, 200, False),
        ({"kind": "truncate_download"}, 1, 200, False),
        ({"kind": "close"}, 0, None, False),
        ({"kind": "lose_create_reply"}, 1, None, False),
        ({"kind": "http"}, 0, 503, False),
        ({"kind": "http", "status": 429}, 0, 429, False),
        ({"kind": "http", "status": 500, "after": True}, 1, 500, True),
    ],
)
def test_whether_the_work_is_done_and_the_reply_comes(
    fault: dict[str, Any], worked: int, status: int | None, lost: bool
) -> None:
    done: list[int] = []
    asked = request("POST", "/v1/batches")

    def work() -> Reply:
        done.append(1)
        return Reply(200)

    reply = Wreck(fault).reply(asked, work)
    assert (len(done), reply.status if reply else None, asked.lost) == (worked, status, lost)


DATA = b"0123456789\n" * 20


@pytest.mark.parametrize(
    "fault, first, length, sent",
    [
        ({}, 0, 220, 220),
        ({"kind": "close"}, 0, 220, 220),
        ({"kind": "truncate_download", "bytes": 50}, 0, 220, 50),
        ({"kind": "reset_download", "bytes": 50}, 0, 220, 50),
        ({"kind": "truncate_download"}, 0, 220, 220),
        ({"kind": "truncate_download", "bytes": 0}, 0, 220, 0),
        ({"kind": "truncate_download", "lines": 3}, 0, 220, 33),
        ({"kind": "truncate_download", "lines": 3}, 5, 215, 28),
        ({"kind": "truncate_download", "lines": 99}, 0, 220, 220),
        ({"kind": "reset_download", "lines": 3}, 0, 10, 10),
        ({"kind": "truncate_download", "lines": 0}, 0, 220, 0),
    ],
)
def test_how_much_of_a_download_is_sent(fault: dict[str, Any], first: int, length: int, sent: int) -> None:
    assert Wreck(fault).limit(io.BytesIO(DATA), first, length) == sent


@pytest.mark.parametrize(
    "fault, headers",
    [
        ({"retry_after": 7}, {"retry-after": "7"}),
        ({"retry_after_ms": 250}, {"retry-after-ms": "250"}),
        ({"retry_after": 0.5, "retry_after_ms": 9}, {"retry-after": "0.5", "retry-after-ms": "9"}),
        ({"status": 529}, {"x-should-retry": "true"}),
        ({}, {}),
    ],
)
def test_headers_of_an_ordered_status(fault: dict[str, Any], headers: dict[str, str]) -> None:
    reply = Wreck({"kind": "http"} | fault).reply(request(), Reply)
    assert reply is not None and reply.headers == headers


@pytest.mark.parametrize(
    "status, openai, anthropic",
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (503, "server_error", "api_error"),
        (529, "server_error", "overloaded_error"),
    ],
)
def test_bodies_of_an_ordered_status(status: int, openai: str, anthropic: str) -> None:
    wreck = Wreck({"kind": "http", "status": status})
    reply = wreck.reply(request(), Reply)
    assert reply is not None and set(reply.body["error"]) == {"message", "type", "param", "code"}
    assert reply.body["error"]["type"] == openai
    reply = wreck.reply(request(path="/v1/messages"), Reply)
    assert reply is not None and set(reply.body) == {"type", "error", "request_id"}
    assert reply.body["error"]["type"] == anthropic


@pytest.mark.parametrize(
    "fault, body, kind",
    [
        ({"html": "<p>"}, b"<p>", "text/html"),
        ({"html": ""}, b"", "text/html"),
        ({"body": {"x": 1}}, {"x": 1}, "application/json"),
        ({"body": None}, None, "application/json"),
        ({"body": []}, [], "application/json"),
    ],
)
@pytest.mark.parametrize("status", [200, 502])
def test_bodies_that_are_given(fault: dict[str, Any], body: Any, kind: str, status: int) -> None:
    reply = Wreck({"kind": "http", "status": status} | fault).reply(request(), Reply)
    assert reply is not None
    assert (reply.status, reply.body, reply.kind) == (status, body, kind)


def test_a_message_and_a_code_are_told() -> None:
    reply = Wreck({"kind": "http", "status": 429, "code": "insufficient_quota", "message": "M"}).reply(request(), Reply)
    assert reply is not None
    assert reply.body["error"] == {
        "message": "M",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }


# Over HTTP


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("hall")) as opened:
        yield opened


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"7", b"{", b'"http"', b"[[]]", b'{"kind": "fire"}', b'[{"kind": "close"}, 5]'),
        *(b'{"kind": "close", "times": "2"}', b'{"kind": "http", "match": 5}', b'{"kind": "drop_rows", "rows": 2}'),
    ],
)
def test_orders_that_mean_nothing_are_refused_and_change_nothing(hall: Hall, body: bytes) -> None:
    status, _, told = hall.raw("POST", "/_rehearsal/faults", body)
    assert status == 400
    assert b"not a list of faults" in told
    assert hall.desk.faults.waiting() == []


def test_orders_are_told_back_and_cleared(hall: Hall) -> None:
    orders = [{"kind": "slow", "seconds": 0}, {"kind": "expire", "finished": 2, "match": {"batch": 99}}]
    told = orjson.loads(hall.raw("POST", "/_rehearsal/faults", orjson.dumps(orders))[2])
    assert told == [one | {"times": 1} for one in orders] == hall.desk.told()["faults"]
    hall.raw("DELETE", "/_rehearsal/faults")
    assert hall.desk.told()["faults"] == []


@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/chat/completions", {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/messages", {"model": "claude", "max_tokens": 9999, "messages": [{"role": "user", "content": "hi"}]}),
    ],
)
def test_an_answer_whose_reply_a_fault_took_was_not_delivered(hall: Hall, path: str, body: dict[str, Any]) -> None:
    """Asking again after it is no double payment of ours."""
    data = orjson.dumps(body | {"metadata": path})
    hall.order({"kind": "http", "status": 500, "after": True, "match": {"path": path}})
    codes = [hall.raw("POST", path, data, authorization="Bearer x")[0] for _ in range(2)]
    assert codes == [500, 200]
    mine = [line for line in hall.bill if line["sync"]][-2:]
    assert [(line["attempt"], line["delivered"]) for line in mine] == [(1, False), (2, True)]
    assert orjson.loads(hall.raw("GET", "/_rehearsal/double-payments")[2]) == []
