"""HTTP itself: routing, pages, ranges, and what a connection goes through that is not as it should be."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.asks import READERS, Refused
from chimera_batch.rehearsal.server import _split
from chimera_batch.rehearsal.web import Reply, Request, Route, find, page, route, span
from tests.rehearsal_kit import Hall, chat_lines, jsonl

KEY = {"authorization": "Bearer x"}


def request(query: dict[str, str] | None = None, body: bytes = b"", path: str = "/v1/x") -> Request:
    return Request("GET", path, "openai", query or {}, {}, iter([body]))


# Routing


def action(request: Request, *found: str) -> Reply:
    return Reply(body=list(found))


ROUTES: list[Route] = [
    route("GET", "/v1/files", action),
    route("POST", "/v1/files", action),
    route("GET", "/v1/files/{}", action),
    route("GET", "/v1/files/{}/content", action),
    route("DELETE", "/v1/a.b/{}/x/{}", action),
]


@pytest.mark.parametrize(
    "method, path, found",
    [
        ("GET", "/v1/files", ()),
        ("POST", "/v1/files", ()),
        ("GET", "/v1/files/file-1", ("file-1",)),
        ("GET", "/v1/files/content", ("content",)),
        ("GET", "/v1/files/a b/content", ("a b",)),
        ("DELETE", "/v1/a.b/1/x/2", ("1", "2")),
    ],
)
def test_a_path_finds_its_action(method: str, path: str, found: tuple[str, ...]) -> None:
    assert find(ROUTES, method, path)[1] == found


@pytest.mark.parametrize(
    "method, path, status, code",
    [
        ("PUT", "/v1/files", 405, "method_not_supported"),
        ("POST", "/v1/files/x", 405, "method_not_supported"),
        ("GET", "/v1/files/", 404, "unknown_url"),
        ("GET", "/v1/files/x/", 404, "unknown_url"),
        ("GET", "/v1/files/x/y/content", 404, "unknown_url"),
        ("GET", "/v1/filesx", 404, "unknown_url"),
        ("GET", "x/v1/files", 404, "unknown_url"),
        ("GET", "/v1/files\n", 404, "unknown_url"),
        ("DELETE", "/v1/aXb/1/x/2", 404, "unknown_url"),
    ],
)
def test_other_paths_are_refused(method: str, path: str, status: int, code: str) -> None:
    with pytest.raises(Refused) as caught:
        find(ROUTES, method, path)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize(
    "path, profile, rest",
    [
        ("/v1/files", "openai", "/v1/files"),
        ("/openai/v1/files", "openai", "/v1/files"),
        ("/groq/v1/batches/b", "groq", "/v1/batches/b"),
        ("/my/host/v1/files", "my/host", "/v1/files"),
        ("/v1/messages", "anthropic", "/v1/messages"),
        ("/v1/messages/batches", "anthropic", "/v1/messages/batches"),
        ("/claude/v1/messages/batches", "claude", "/v1/messages/batches"),
        ("/_rehearsal/health", "openai", "/_rehearsal/health"),
        ("/", "openai", "/"),
        ("/v1", "openai", "/v1"),
        ("/a/v1/b/v1/c", "a", "/v1/b/v1/c"),
    ],
)
def test_the_profile_is_in_front_of_the_path(path: str, profile: str, rest: str) -> None:
    assert _split(path) == (profile, rest)


@pytest.mark.parametrize(
    "path, dialect",
    [
        ("/v1/messages", "anthropic"),
        ("/v1/messages/batches/x", "anthropic"),
        ("/v1/files", "openai"),
        ("/v1/batches", "openai"),
        ("/other", "openai"),
    ],
)
def test_the_dialect_follows_from_the_path(path: str, dialect: str) -> None:
    assert request(path=path).dialect == dialect


# Numbers and bodies


@pytest.mark.parametrize("text, number", [(None, 20), ("1", 1), ("100", 100), ("007", 7)])
def test_a_number_of_the_query(text: str | None, number: int) -> None:
    assert request({} if text is None else {"limit": text}).number("limit", 20, 100) == number


@pytest.mark.parametrize("text", ["0", "101", "-1", "1.5", "", "x", "²", "٣", " 1", "1e2", "9" * 5000])
def test_no_number_of_the_query(text: str) -> None:
    with pytest.raises(Refused) as caught:
        request({"limit": text}).number("limit", 20, 100)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_value", "limit")


@given(st.dictionaries(st.text(), st.one_of(st.integers(-9, 9), st.text(), st.none()), max_size=4), st.integers(0, 40))
def test_a_json_body_in_pieces(body: dict[str, Any], cut: int) -> None:
    data = orjson.dumps(body)
    whole = Request("POST", "/v1/x", "openai", {}, {}, iter([data[:cut], data[cut:]]))
    assert whole.json() == body


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"x"', b"{}x", b"\xff", b'{"a": NaN}'])
def test_no_json_object_in_a_body(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        request(body=data).json()
    assert caught.value.status == 400


# Ranges


@given(st.integers(0, 30), st.integers(0, 35), st.integers(0, 35))
def test_ranges_are_those_of_slices(size: int, first: int, last: int) -> None:
    data = bytes(range(size))

    def part(header: str) -> bytes | None:
        try:
            found = span(header, size)
        except Refused as refused:
            assert refused.status == 416
            return None
        assert found is not None
        assert 0 <= found[0] <= found[1] < size
        return data[found[0] : found[1] + 1]

    assert part(f"bytes={first}-{last}") == (data[first : last + 1] or None)
    assert part(f"bytes={first}-") == (data[first:] or None)
    assert part(f"bytes=-{last}") == ((data[-last:] if last else b"") or None)


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes = 1-2", "bytes=" + "9" * 5000 + "-"],
)
def test_a_range_that_is_none_asks_for_everything(header: str | None) -> None:
    assert span(header, 10) is None


# Pages


@given(st.integers(0, 25), st.integers(1, 8))
def test_pages_cover_a_list_once_and_in_order(count: int, limit: int) -> None:
    rows = [{"id": f"r{n}"} for n in range(count)]
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        found = page(rows, after=after, limit=limit)
        seen += found["data"]
        assert len(found["data"]) <= limit
        assert found["has_more"] == (len(seen) < count)
        assert found["first_id"] == (found["data"][0]["id"] if found["data"] else None)
        if not found["has_more"]:
            break
        after = found["last_id"]
    assert seen == rows


def test_an_unknown_cursor_begins_anew() -> None:
    rows = [{"id": "a"}, {"id": "b"}]
    assert page(rows, after="gone", limit=1)["data"] == [{"id": "a"}]
    assert page(rows, after="b", limit=1) == {"data": [], "first_id": None, "last_id": None, "has_more": False}


# On the wire


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("hall")) as opened:
        yield opened


def spoken(hall: Hall, data: bytes) -> bytes:
    """Everything that comes back for raw bytes; the sending side is closed after them."""
    with socket.create_connection(("127.0.0.1", hall.server.server_port), timeout=60) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        found = b""
        while piece := line.recv(65536):
            found += piece
    return found


def statuses(said: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", "Authorization: Bearer x", *lines, "", ""]).encode()


def test_many_requests_on_one_connection(hall: Hall) -> None:
    place = http.client.HTTPConnection("127.0.0.1", hall.server.server_port, timeout=60)
    sockets = set()
    for method, path, body, status in [
        ("GET", "/v1/files", b"", 200),
        ("GET", "/v1/files/none", b"", 404),
        ("POST", "/v1/batches", b"{}", 400),
        ("POST", "/v1/nothing", b"x" * 70_000, 404),
        ("PUT", "/v1/files", b"unread", 405),
        ("GET", "/v1/files?limit=x", b"", 400),
        ("GET", "/v1/files", b"a body that nobody asked for", 200),
    ]:
        place.request(method, path, body, KEY)
        reply = place.getresponse()
        assert reply.status == status, path
        json.loads(reply.read())
        sockets.add(place.sock.getsockname() if place.sock else None)
    place.close()
    assert len(sockets) == 1 and None not in sockets


def test_requests_may_be_sent_ahead(hall: Hall) -> None:
    data = head("GET", "/v1/files") + head("GET", "/v1/files/none") + head("GET", "/v1/batches", "Connection: close")
    assert statuses(spoken(hall, data)) == [200, 404, 200]


def test_a_chunked_body_is_read_with_extensions_and_trailers(hall: Hall) -> None:
    chunks = b'4;x=y\r\n{"en\r\n14\r\ndpoint": "/v1/none"}\r\n0\r\nTrailer: t\r\n\r\n'
    said = spoken(hall, head("POST", "/v1/batches", "Transfer-Encoding: chunked") + chunks + head("GET", "/v1/files"))
    assert statuses(said) == [400, 200]
    assert b"input_file_id" in said


@pytest.mark.parametrize(
    "lines, body",
    [
        (["Content-Length: -5"], b""),
        (["Content-Length: many"], b"{}"),
        (["Content-Length: 1e1"], b"{}"),
        (["Content-Length: 5, 5"], b"{}"),
        (["Content-Length: " + "9" * 5000], b"{}"),
        (["Transfer-Encoding: chunked"], b"xyz\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"-2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b""),
    ],
)
@pytest.mark.parametrize("path, status", [("/v1/batches", 400), ("/v1/nothing", 404)])
def test_a_length_that_cannot_be_read_ends_the_connection_in_order(
    hall: Hall, lines: list[str], body: bytes, path: str, status: int
) -> None:
    said = spoken(hall, head("POST", path, *lines) + body + head("GET", "/v1/files"))
    assert statuses(said) == [status]
    assert set(json.loads(said.split(b"\r\n\r\n", 1)[1])) == {"error"}


def test_a_body_that_ends_early_gets_no_reply_and_does_nothing(hall: Hall) -> None:
    before = hall.desk.told()["files"]
    assert spoken(hall, head("POST", "/v1/batches", "Content-Length: 500") + b'{"input_file_id": "f"') == b""
    form = "Content-Type: multipart/form-data; boundary=B"
    part = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nabc'
    assert spoken(hall, head("POST", "/v1/files", "Content-Length: 5000", form) + part) == b""
    assert hall.desk.told()["files"] == before
    assert not list((hall.state / "files").glob(".*"))
    assert statuses(spoken(hall, head("GET", "/v1/files"))) == [200]


def test_head_has_no_body(hall: Hall) -> None:
    said = spoken(hall, head("HEAD", "/v1/files") + head("GET", "/v1/files", "Connection: close"))
    assert statuses(said) == [405, 200]
    assert said.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "path",
    ["/v1/batches/b%20x", "/v1/batches/%F0%9F%98%80", "/v1/batches/%ff", "/v1/batches/%2e%2e", "/v1/files/..%2flock"],
)
def test_odd_paths_are_looked_up_and_not_found(hall: Hall, path: str) -> None:
    status, headers, body = hall.raw("GET", path, **KEY)
    assert status == 404
    assert json.loads(body)["error"]["message"]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/messages/batches", "/_rehearsal/health", "/v1/none"])
def test_every_reply_has_an_id_and_a_length(hall: Hall, path: str) -> None:
    _, headers, body = hall.raw("GET", path, **KEY)
    assert re.fullmatch("req_[0-9a-f]{32}", headers["x-request-id"])
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    "path, headers, status",
    [
        ("/v1/files", {}, 401),
        ("/v1/files", {"authorization": "Bearer "}, 401),
        ("/v1/files", {"x_api_key": "k"}, 401),
        ("/v1/files", {"authorization": "Bearer k"}, 200),
        ("/v1/messages/batches", {}, 401),
        ("/v1/messages/batches", {"x_api_key": "k"}, 200),
        ("/v1/messages/batches", {"authorization": "Bearer k"}, 200),
        ("/_rehearsal/health", {}, 200),
    ],
)
def test_who_may_ask(hall: Hall, path: str, headers: dict[str, str], status: int) -> None:
    found = hall.raw("GET", path, **headers)
    assert found[0] == status
    if status == 401:
        error = json.loads(found[2])["error"]
        anthropic = path.startswith("/v1/messages")
        assert error["type"] == ("authentication_error" if anthropic else "invalid_request_error")
        assert error.get("code") == (None if anthropic else "invalid_api_key")


@pytest.mark.parametrize("path", READERS)
def test_synchronous_endpoints_do_not_stream(hall: Hall, path: str) -> None:
    status, _, body = hall.raw("POST", path, b'{"stream": true}', **KEY)
    assert (status, json.loads(body)["error"]["param"]) == (400, "stream")


def test_a_bug_in_a_route_is_a_server_error_in_the_providers_shape(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*rest: Any, **more: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hall.desk.files, "all", broken)
    monkeypatch.setattr(hall.desk.works, "all", broken)
    status, _, body = hall.raw("GET", "/v1/files", **KEY)
    assert (status, json.loads(body)["error"]["type"]) == (500, "server_error")
    status, _, body = hall.raw("GET", "/v1/messages/batches", x_api_key="k")
    assert (status, json.loads(body)["error"]["type"]) == (500, "api_error")
    assert set(json.loads(body)) == {"type", "error", "request_id"}


def test_a_download_in_parts_adds_up_to_the_whole(hall: Hall) -> None:
    whole = jsonl(chat_lines(30))
    draft = hall.desk.files.write([whole], len(whole))
    ident = hall.desk.files.keep(draft, name="a.jsonl", purpose="batch")["id"]
    url, parts, at = f"/v1/files/{ident}/content", b"", 0
    while at < len(whole):
        status, headers, body = hall.raw("GET", url, range=f"bytes={at}-{at + 9999}", **KEY)
        assert status == 206
        last = min(at + 9999, len(whole) - 1)
        assert headers["content-range"] == f"bytes {at}-{last}/{len(whole)}"
        parts, at = parts + body, at + len(body)
    assert parts == whole == hall.raw("GET", url, **KEY)[2]
    status, headers, _ = hall.raw("GET", url, range=f"bytes={len(whole)}-", **KEY)
    assert (status, headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert hall.raw("GET", url, range="bytes=5-2,7-8", **KEY)[0] == 200


def test_an_empty_file_is_downloaded_empty(hall: Hall) -> None:
    ident = hall.desk.files.keep(hall.desk.files.write([], 0), name="e", purpose="batch")["id"]
    status, headers, body = hall.raw("GET", f"/v1/files/{ident}/content", **KEY)
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert hall.raw("GET", f"/v1/files/{ident}/content", range="bytes=0-", **KEY)[0] == 416


def test_a_file_whose_bytes_are_lost_is_gone(hall: Hall) -> None:
    ident = hall.desk.files.keep(hall.desk.files.write([b"x"], 1), name="e", purpose="batch")["id"]
    path = hall.desk.files.path(ident)
    assert path is not None
    path.unlink()
    assert hall.raw("GET", f"/v1/files/{ident}/content", **KEY)[0] == 404


# The server's own paths


@pytest.mark.parametrize("what", ["join", "leave"])
@pytest.mark.parametrize("body", [b"{}", b'{"pid": "1"}', b'{"pid": 0}', b'{"pid": -1}', b'{"pid": true}', b"[]", b"x"])
def test_a_guest_is_a_process(hall: Hall, what: str, body: bytes) -> None:
    assert hall.raw("POST", f"/_rehearsal/{what}", body)[0] == 400


def test_health_tells_who_serves_what(hall: Hall) -> None:
    told = json.loads(hall.raw("GET", "/_rehearsal/health")[2])
    assert told["ok"] is True
    assert told["state"] == str(hall.state.resolve())
    assert told["speed"] == hall.options.speed


@pytest.mark.parametrize("method, path", [("PUT", "faults"), ("GET", "join"), ("POST", "state"), ("GET", "")])
def test_unknown_paths_of_its_own(hall: Hall, method: str, path: str) -> None:
    assert hall.raw(method, f"/_rehearsal/{path}")[0] == 404


def test_what_was_asked_is_remembered_but_not_by_whom_it_is_controlled(hall: Hall) -> None:
    hall.raw("GET", "/groq/v1/files", **KEY)
    hall.raw("GET", "/_rehearsal/health")
    seen = json.loads(hall.raw("GET", "/_rehearsal/requests")[2])
    assert not [one for one in seen if one["path"].startswith("/_rehearsal/")]
    last = seen[-1]
    assert (last["method"], last["path"], last["profile"], last["status"]) == ("GET", "/v1/files", "groq", 200)
    assert last["fault"] is None
