"""What is OpenAI's own: files, metadata, two result files, and the many ways in which hosts deviate."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chimera_batch.errors import MaybeCreated, ProviderDown, ProviderRefused
from chimera_batch.providers.openai_shapes import batch_state, decode
from chimera_batch.records import BatchState, Problem, Usage
from tests.provider_hosts import NOW, OpenAIHost, intent_for, stream, wire_file


@pytest.fixture
def host() -> OpenAIHost:
    return OpenAIHost()


# --- upload and create ----------------------------------------------------------------------------------------------


def test_what_is_uploaded_and_created(host: OpenAIHost, tmp_path: Path) -> None:
    provider, intent, path = host.provider(), intent_for(host), wire_file(host, tmp_path)
    provider.create(intent, path, provider.upload(intent, path))
    upload, create = host.log
    assert path.read_bytes() in upload.content
    assert intent.file_name.encode() in upload.content and b"\r\n\r\nbatch\r\n" in upload.content
    assert json.loads(create.content) == {
        "completion_window": "24h",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "metadata": intent.metadata,
    }


def test_an_upload_is_repeated_with_all_its_bytes(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/files", host.refusal(503), httpx2.WriteError("broken pipe"))
    provider, path = host.provider(), wire_file(host, tmp_path)
    assert provider.upload(intent_for(host), path) == "file-1"
    sent = host.sent("POST", "/v1/files")
    assert all(path.read_bytes() in request.content for request in sent) and len(sent) == 3


def test_a_file_whose_upload_was_not_answered_is_not_left_there(host: OpenAIHost, tmp_path: Path) -> None:
    """Nobody would ever know of it, and the storage of an account is limited."""
    host.lose("POST", "/v1/files", httpx2.ReadError("reset"), host.refusal(500), httpx2.Response(200))
    kept = host.provider().upload(intent_for(host), wire_file(host, tmp_path))
    assert len(host.sent("POST", "/v1/files")) == 4
    assert list(host.files) == [kept]


def test_nothing_is_looked_for_behind_an_upload_that_surely_left_nothing(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/files", host.refusal(429), httpx2.ConnectError("no"))
    host.provider().upload(intent_for(host), wire_file(host, tmp_path))
    assert not host.sent("GET", "/v1/files")


def test_a_host_that_never_answers_an_upload_is_left_clean_where_it_lets_us(host: OpenAIHost, tmp_path: Path) -> None:
    host.lose("POST", "/v1/files", *(host.refusal(500) for _ in range(5)))
    with pytest.raises(ProviderDown):
        host.provider().upload(intent_for(host), wire_file(host, tmp_path))
    assert host.files == {}


@pytest.mark.parametrize("days", [-3, 3])
def test_a_lost_create_is_found_though_the_clocks_differ_by_days(host: OpenAIHost, days: int) -> None:
    """What is known by its mark needs no time; not to find it would be to pay for it twice."""
    intent = intent_for(host)
    host.batch(1, metadata=intent.metadata, created_at=int(NOW) + days * 86_400)
    assert [found.id for found in host.provider().find(intent)] == ["batch_1"]


def test_a_refused_upload_says_why(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/files", host.refusal(400, "bad", "Invalid file format for Batch API. Must be .jsonl"))
    with pytest.raises(ProviderRefused, match=r"openai: uploading chimera-s1.*Must be \.jsonl"):
        host.provider().upload(intent_for(host), wire_file(host, tmp_path))


def cannot_find(host: OpenAIHost) -> httpx2.Response:
    message = "Cannot find file file-1, or project proj_x does not have access to it."
    return host.refusal(400, "", message)


def test_a_file_that_is_not_visible_yet_is_waited_for(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/batches", cannot_find(host), cannot_find(host))
    assert host.provider().create(intent_for(host), wire_file(host, tmp_path), "file-1") == "batch_1"
    assert len(host.batches) == 1 and host.waits == [0.5, 1.0]


def test_a_file_that_never_appears(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/batches", *(cannot_find(host) for _ in range(20)))
    with pytest.raises(ProviderRefused, match="Cannot find file"):
        host.provider().create(intent_for(host), wire_file(host, tmp_path), "file-1")


def test_waiting_for_the_file_does_not_repeat_a_lost_create(host: OpenAIHost, tmp_path: Path) -> None:
    host.fail("POST", "/v1/batches", cannot_find(host), httpx2.ReadTimeout("lost"))
    with pytest.raises(MaybeCreated):
        host.provider().create(intent_for(host), wire_file(host, tmp_path), "file-1")
    assert len(host.sent("POST", "/v1/batches")) == 2


def test_a_host_without_metadata_is_sent_none_and_found_by_file_name(host: OpenAIHost, tmp_path: Path) -> None:
    provider, intent, path = host.provider(keeps_metadata=False), intent_for(host), wire_file(host, tmp_path)
    file_id = provider.upload(intent, path)
    host.lose("POST", "/v1/batches", httpx2.ReadTimeout("lost"))
    with pytest.raises(MaybeCreated):
        provider.create(intent, path, file_id)
    assert "metadata" not in json.loads(host.sent("POST", "/v1/batches")[0].content)
    host.batch(2, input_file_id="file-of-someone-else")
    host.batch(3, input_file_id="")
    host.batch(4)
    assert [found.id for found in provider.find(intent)] == ["batch_1"]
    assert provider.find(intent_for(host, nonce="ffffffff")) == []


def test_find_knows_its_nonce_from_the_next_attempts(host: OpenAIHost) -> None:
    mine, other = intent_for(host), intent_for(host, nonce="99999999")
    host.batch(1, metadata=other.metadata)
    host.batch(2, metadata=mine.metadata)
    host.batch(3, metadata=None)
    (found,) = host.provider().find(mine)
    assert (found.id, found.nonce) == ("batch_2", mine.nonce)


def test_find_reads_on_when_the_list_runs_from_old_to_new(host: OpenAIHost) -> None:
    old = [host.batch(n, created_at=1_600_000_000 + n) for n in (1, 2)]
    new = host.batch(3, metadata=intent_for(host).metadata)
    host.fail(
        "GET",
        "/v1/batches",
        httpx2.Response(200, json={"data": old, "has_more": True}),
        httpx2.Response(200, json={"data": [new], "has_more": False}),
    )
    assert [found.id for found in host.provider().find(intent_for(host))] == ["batch_3"]


@pytest.mark.parametrize("created_at", [str(int(NOW)), NOW, "2026-09-21T14:13:20Z", None, "yesterday"])
def test_find_reads_times_in_any_writing(host: OpenAIHost, created_at: Any) -> None:
    made = host.batch(1, metadata=intent_for(host).metadata)
    answer = {"data": [{**made, "created_at": created_at}], "has_more": False}
    host.fail("GET", "/v1/batches", httpx2.Response(200, json=answer))
    assert [found.id for found in host.provider().find(intent_for(host))] == ["batch_1"]


@pytest.mark.parametrize("ident", [None, 7, {"a": 1}])
def test_an_upload_of_ours_under_an_id_that_is_none_does_not_pass_for_removed(host: OpenAIHost, ident: Any) -> None:
    """A late create could still find it."""
    listed = [{"id": ident, "filename": "another.jsonl"}, {"id": "file-1", "filename": intent_for(host).file_name}]
    host.fail("GET", "/v1/files", httpx2.Response(200, json={"data": listed, "has_more": False}))
    assert host.provider().find_uploads(intent_for(host)) == ["file-1"]
    listed[0]["filename"] = intent_for(host).file_name
    host.fail("GET", "/v1/files", httpx2.Response(200, json={"data": listed, "has_more": False}))
    with pytest.raises(ProviderDown, match="an id that is none"):
        host.provider().find_uploads(intent_for(host))


# --- state ----------------------------------------------------------------------------------------------------------

FAILED = {
    "object": "list",
    "data": [
        {"code": "missing_required_parameter", "line": 3, "message": "Missing.", "param": "body.messages"},
        {"code": "token_limit_exceeded", "line": None, "message": "Enqueued token limit reached.", "param": None},
        {"code": None, "line": None, "message": None, "param": None},
        "odd",
    ],
}
NONE = {"total": 0, "completed": 0, "failed": 0}
STATES: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"status": "validating"}, "working", ()),
    ({"status": "in_progress"}, "working", ()),
    ({"status": "finalizing"}, "working", ()),
    ({"status": "cancelling"}, "working", ()),
    ({"status": "PROGRESS"}, "working", ()),
    ({"status": "completed", "output_file_id": "o", "error_file_id": "e"}, "ended", ("o", "e")),
    ({"status": "COMPLETED", "output_file_id": "o", "error_file_id": ""}, "ended", ("o",)),
    ({"status": "completed", "output_file_id": None, "error_file_id": "e"}, "ended", ("e",)),
    ({"status": "completed", "output_file_id": "", "error_file_id": ""}, "ended", ()),
    ({"status": "expired", "output_file_id": "o", "error_file_id": "e"}, "ended", ("o", "e")),
    ({"status": "expired"}, "ended", ()),
    ({"status": "cancelled", "output_file_id": "o"}, "ended", ("o",)),
    ({"status": "failed", "request_counts": NONE, "errors": FAILED}, "rejected", ()),
    ({"status": "failed"}, "rejected", ()),
    ({"status": "failed", "request_counts": NONE, "error_file_id": "e"}, "ended", ("e",)),
    ({"status": "failed", "request_counts": {"total": 3, "completed": 2, "failed": 1}}, "ended", ()),
]


@pytest.mark.parametrize(("batch", "phase", "files"), STATES)
def test_phases_and_files(batch: dict[str, Any], phase: str, files: tuple[str, ...]) -> None:
    state = batch_state({"id": "b", **batch})
    assert (state.phase, state.files, state.status) == (phase, files, batch["status"])


def test_problems_keep_line_code_and_parameter() -> None:
    assert batch_state({"id": "b", "status": "failed", "errors": FAILED}).problems == (
        Problem("missing_required_parameter", 3, "Missing. (body.messages)"),
        Problem("token_limit_exceeded", None, "Enqueued token limit reached."),
        Problem(None, None, "no reason given"),
    )
    assert batch_state({"id": "b", "errors": "file too large"}).problems == (Problem(None, None, "file too large"),)


def test_counts_usage_and_nonce() -> None:
    usage = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5}
    counts = {"total": "9", "completed": "6", "failed": 1}
    batch = {
        "id": "b",
        "request_counts": counts,
        "usage": usage,
        "created_at": "12",
        "metadata": {"chimera_nonce": "n"},
    }
    assert batch_state(batch) == BatchState(
        "b", "", "working", 7, 9, usage=Usage(9, 4, output_tokens=5), created_at=12.0, nonce="n"
    )
    assert batch_state({"id": "b", "total": 5, "completed": 3, "failed": 1}).done == 4  # Novita's own place for them
    bare = batch_state({"id": "b", "request_counts": None})
    assert (bare.done, bare.total, bare.usage, bare.nonce, bare.created_at) == (0, None, None, None, None)


@pytest.mark.parametrize("batch", [{}, {"id": None}, {"id": ""}, {"id": 7}])
def test_an_object_without_an_id_is_no_batch(batch: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without an id"):
        batch_state(batch)


def test_an_error_object_with_status_200(host: OpenAIHost) -> None:
    """Seen for old batches: the poll succeeds and says error."""
    gone = {"error": {"message": "No batch found with id 'x'", "code": "batch_not_found"}}
    host.fail("GET", "/v1/batches/x", *(httpx2.Response(200, json=gone) for _ in range(9)))
    with pytest.raises(ProviderRefused, match="No batch found") as caught:
        host.provider().state("x")
    assert caught.value.status == 404
    host.before.clear()
    odd = {"error": "upstream timed out"}
    host.fail("GET", "/v1/batches/x", *(httpx2.Response(200, json=odd) for _ in range(9)))
    with pytest.raises(ProviderDown, match="upstream timed out"):
        host.provider().state("x")


def test_a_page_of_html_is_cut_short(host: OpenAIHost) -> None:
    page = "<html>" + "x" * 9000 + "</html>"
    host.fail("GET", "/v1/batches/x", *(httpx2.Response(502, text=page) for _ in range(9)))
    with pytest.raises(ProviderDown) as caught:
        host.provider().state("x")
    assert len(str(caught.value)) < 700


# --- fetching -------------------------------------------------------------------------------------------------------


def test_both_files_output_first(host: OpenAIHost, tmp_path: Path) -> None:
    batch_id = host.finished(host.ok("r1"))
    host.contents["file-err"] = host.errored("r2", "bad") + b"\n"
    host.batches[batch_id]["error_file_id"] = "file-err"
    provider = host.provider()
    paths = list(provider.fetch(provider.state(batch_id), tmp_path))
    assert [path.read_bytes() for path in paths] == [host.contents["file-out"], host.contents["file-err"]]


def test_a_dropped_download_goes_on_where_it_stopped(host: OpenAIHost, tmp_path: Path) -> None:
    batch_id = host.finished(*(host.ok(f"r{i}") for i in range(9)))
    data = host.contents["file-out"]
    span = f"bytes 100-{len(data) - 1}/{len(data)}"
    host.fail("GET", host.content_path, stream(data[:100], httpx2.ReadError("reset")))
    host.fail(
        "GET", host.content_path, stream(data[100:300], httpx2.ReadError("reset"), status=206, content_range=span)
    )
    provider = host.provider()
    (path,) = provider.fetch(provider.state(batch_id), tmp_path)
    assert path.read_bytes() == data
    asked = [request.headers.get("range") for request in host.sent("GET", host.content_path)]
    assert asked == [None, "bytes=100-", "bytes=300-"]


def test_many_drops_are_fine_while_each_brings_something(host: OpenAIHost, tmp_path: Path) -> None:
    batch_id = host.finished(*(host.ok(f"r{i}") for i in range(9)))
    data = host.contents["file-out"]
    host.fail("GET", host.content_path, stream(data[:10], httpx2.ReadError("reset")))
    for at in range(10, 300, 10):
        span = f"bytes {at}-{len(data) - 1}/{len(data)}"
        piece = data[at : at + 10]
        host.fail("GET", host.content_path, stream(piece, httpx2.ReadError("reset"), status=206, content_range=span))
    provider = host.provider()
    (path,) = provider.fetch(provider.state(batch_id), tmp_path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("span", ["bytes 0-9/99", "", "rows 50-60/99", "bytes x"])
def test_a_206_from_elsewhere_is_not_glued_on(host: OpenAIHost, tmp_path: Path, span: str) -> None:
    batch_id = host.finished(host.ok("r1"), host.ok("r2"))
    data = host.contents["file-out"]
    host.fail("GET", host.content_path, stream(data[:50], httpx2.ReadError("reset")))
    host.fail("GET", host.content_path, stream(b"something else", status=206, content_range=span))
    provider = host.provider()
    (path,) = provider.fetch(provider.state(batch_id), tmp_path)
    assert path.read_bytes() == data


def test_a_416_starts_over(host: OpenAIHost, tmp_path: Path) -> None:
    batch_id = host.finished(host.ok("r1"))
    data = host.contents["file-out"]
    del host.files["file-out"]["bytes"]
    host.fail("GET", host.content_path, stream(data, httpx2.ReadError("reset")), host.refusal(416))
    provider = host.provider()
    (path,) = provider.fetch(provider.state(batch_id), tmp_path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("record", [None, {"id": "file-out"}, {"id": "file-out", "bytes": 0}])
def test_a_host_that_does_not_tell_the_size(host: OpenAIHost, tmp_path: Path, record: dict[str, Any] | None) -> None:
    """Then a line cut in two is the only sign of a truncation."""
    batch_id = host.finished(host.ok("r1"), host.ok("r2"))
    data = host.contents["file-out"]
    host.files.pop("file-out")
    if record:
        host.files["file-out"] = record
    host.fail("GET", host.content_path, stream(data[:-30]))
    provider = host.provider()
    (path,) = provider.fetch(provider.state(batch_id), tmp_path)
    assert path.read_bytes() == data


def test_a_file_that_is_gone_is_a_refusal(host: OpenAIHost, tmp_path: Path) -> None:
    batch_id = host.finished(host.ok("r1"))
    host.fail("GET", host.content_path, host.refusal(404, "not_found", "No such File object: file-out"))
    provider = host.provider()
    with pytest.raises(ProviderRefused, match="No such File object"):
        list(provider.fetch(provider.state(batch_id), tmp_path))


def test_an_id_is_not_a_path(host: OpenAIHost, tmp_path: Path) -> None:
    host.contents["..%2Fevil"] = b"{}\n"
    state = BatchState("b", "completed", "ended", files=("../evil",))
    host.fail("GET", ".*content", stream(b"{}\n"))
    host.fail("GET", ".*evil", host.refusal(404))
    (path,) = host.provider().fetch(state, tmp_path)
    assert path.parent == tmp_path


class _Flaky(BaseHTTPRequestHandler):
    """A real server that promises all bytes and hangs up after 1,000 of them, time and again."""

    data = b"".join(b'{"custom_id":"r%d"}\n' % i for i in range(400))
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.path.endswith("/content"):
            body = json.dumps({"id": "f", "bytes": len(self.data)}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        at = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = self.data[at:]
        self.send_response(206 if at else 200)
        self.send_header("content-length", str(len(rest)))
        if at:
            self.send_header("content-range", f"bytes {at}-{len(self.data) - 1}/{len(self.data)}")
        self.end_headers()
        self.wfile.write(rest[:1000])
        self.close_connection = True

    def log_message(self, *args: Any) -> None: ...


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_a_real_connection_that_breaks_again_and_again(host: OpenAIHost, tmp_path: Path) -> None:
    from chimera_batch.providers.openai import OpenAIProvider

    waits: list[float] = []
    with serving(_Flaky) as url:
        provider = OpenAIProvider(replace(host.provider().profile, base_url=url), "key", sleep=waits.append)
        (path,) = provider.fetch(BatchState("b", "completed", "ended", files=("f",)), tmp_path)
        provider._client.close()
    assert path.read_bytes() == _Flaky.data and len(waits) == len(_Flaky.data) // 1000


# --- rows -----------------------------------------------------------------------------------------------------------


def row(**over: Any) -> bytes:
    return json.dumps({"id": "x", "custom_id": "r1", "response": None, "error": None, **over}).encode()


def answered(status: Any, body: Any) -> dict[str, Any]:
    return {"status_code": status, "request_id": "q", "body": body}


ODD_ROWS: list[tuple[bytes, str | None, bool, str]] = [
    (row(response=answered(400, {"error": {"message": "m", "type": "t", "code": None}})), "t", False, "m"),
    (row(response=answered(500, {"error": {"message": "oh", "type": "server_error"}})), "server_error", True, "oh"),
    (row(response=answered("503", None)), "503", True, "HTTP 503"),
    (row(response=answered(0, None)), "0", True, "HTTP 0"),
    (row(response=answered(0, "")), "0", True, "HTTP 0"),
    (row(response=answered(200, None)), "200", True, "HTTP 200"),
    (row(response=answered(200, {"hello": 1})), "200", True, "HTTP 200"),
    (row(response=answered(200, {"error": {"message": "m", "code": "c"}})), "c", True, "m"),
    (row(response=answered(502, "<html>bad gateway</html>")), "502", True, "<html>bad gateway</html>"),
    (row(error={"code": "request_timeout", "message": "late"}), "request_timeout", True, "late"),
    (row(error={"code": "model_not_found", "message": "m"}), "model_not_found", False, "m"),
    (row(), "no_response", True, "no response and no error"),
    # vLLM: the body is null, the error is wrapped twice and its code is a number; or it is a bare string
    (
        row(response=answered(400, None), error={"error": {"message": "too long", "type": "Bad", "code": 400}}),
        "400",
        False,
        "too long",
    ),
    (
        row(response=answered(400, None), error="must not be sent in stream mode"),
        "400",
        False,
        "must not be sent in stream mode",
    ),
    (
        row(response=answered(404, None), error={"error": {"message": "no", "type": "NotFoundError"}}),
        "NotFoundError",
        False,
        "no",
    ),
]


@pytest.mark.parametrize(("line", "code", "transient", "message"), ODD_ROWS)
def test_rows_without_an_answer(line: bytes, code: str | None, transient: bool, message: str) -> None:
    reply = decode(line)
    assert (reply.custom_id, reply.outcome) == ("r1", "error")
    assert (reply.code, reply.transient, reply.account, reply.message) == (code, transient, False, message)


def test_quota_is_the_accounts_matter_not_the_rows() -> None:
    error = {
        "error": {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
    }
    reply = decode(row(response=answered(429, error)))
    assert (reply.account, reply.transient) == (True, False)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"object": "response", "status": "completed", "error": None, "output": []}, "invalid"),
        ({"object": "response", "status": "failed", "error": {"code": "server_error", "message": "m"}}, "error"),
        ({"object": "list", "data": [{"embedding": [1.0]}]}, "ok"),
        (
            {"object": "chat.completion", "choices": [{"message": {"content": ""}, "finish_reason": "length"}]},
            "truncated",
        ),
        (
            {"object": "chat.completion", "choices": [{"message": {"refusal": "no"}, "finish_reason": "stop"}]},
            "refused",
        ),
    ],
)
def test_each_endpoint_reads_its_own(body: dict[str, Any], outcome: str) -> None:
    assert decode(row(response=answered(200, body))).outcome == outcome


# --- cleaning up ----------------------------------------------------------------------------------------------------


def test_discard_deletes_and_does_not_mind_what_is_gone(host: OpenAIHost, tmp_path: Path) -> None:
    provider = host.provider()
    file_id = provider.upload(intent_for(host), wire_file(host, tmp_path))
    assert file_id is not None
    provider.discard([file_id, "file-gone"])
    assert host.files == {}
    host.fail("DELETE", "/v1/files/x", host.refusal(400, "bad", "no"))
    with pytest.raises(ProviderRefused):
        provider.discard(["x"])


def test_a_host_that_keeps_files_is_not_asked(host: OpenAIHost) -> None:
    host.provider(deletes_files=False).discard(["file-1"])
    assert host.log == []


def test_orphaned_uploads_are_found_by_name_on_any_page(host: OpenAIHost, tmp_path: Path) -> None:
    provider, path = host.provider(), wire_file(host, tmp_path)
    first = provider.upload(intent_for(host), path)
    for number in range(5):
        provider.upload(intent_for(host, nonce=f"{number:08x}"), path)
    second = provider.upload(intent_for(host), path)
    assert sorted(provider.find_uploads(intent_for(host))) == sorted([first or "", second or ""])


def test_a_host_that_cannot_list_files(host: OpenAIHost) -> None:
    host.fail("GET", "/v1/files", host.refusal(405))
    assert host.provider().find_uploads(intent_for(host)) == []
    host.fail("GET", "/v1/files", host.refusal(400))
    with pytest.raises(ProviderRefused):
        host.provider().find_uploads(intent_for(host))


def test_extra_headers_and_the_key_are_sent(host: OpenAIHost) -> None:
    host.provider(headers=(("x-team", "data"),)).state(host.batch()["id"])
    assert host.log[0].headers["x-team"] == "data"
    assert host.log[0].headers["authorization"].startswith("Bearer sk-")
