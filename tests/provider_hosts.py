"""Two small hosts behind httpx2.MockTransport that remember what reached them and fail on command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2

from chimera_batch.providers.base import Profile, Provider
from chimera_batch.providers.profiles import builtin
from chimera_batch.records import Intent

KEY = "sk-very-secret-0123456789"
NOW = 1_790_000_000.0
Trouble = httpx2.Response | Exception
CHAT_BODY = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3},
}
MESSAGE = {
    "type": "message",
    "model": "claude",
    "content": [{"type": "text", "text": "four"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 3},
}


class Pieces(httpx2.SyncByteStream):
    """A body in pieces; an exception among them is raised where it stands."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def stream(*pieces: bytes | Exception, status: int = 200, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, stream=Pieces(*pieces), headers=named)


@dataclass
class Host:
    """What both fakes share: a log, faults by method and path, waits instead of sleeps."""

    log: list[httpx2.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    before: list[tuple[str, str, Trouble]] = field(default_factory=list)
    after: list[tuple[str, str, Trouble]] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    model = "m"
    cancel_word = "cancel"
    asks = marks_unrun = True  # takes synchronous calls; names rows that were not run

    @property
    def whole(self) -> bytes:
        """The bytes of the one file of results."""
        (data,) = self.contents.values()
        return data

    def circle(self) -> dict[str, Any]:
        """A page of the list whose successor is itself."""
        return {"data": [self.batch(1), self.batch(2)], "has_more": True}

    def batch(self, number: int = 1) -> dict[str, Any]:
        raise NotImplementedError

    def fail(self, method: str, path: str, *troubles: Trouble) -> None:
        """The next calls of ``method`` whose path matches end so, and nothing happens at the host."""
        self.before += [(method, path, trouble) for trouble in troubles]

    def lose(self, method: str, path: str, *troubles: Trouble) -> None:
        """The next such calls are carried out, but this is what the client sees."""
        self.after += [(method, path, trouble) for trouble in troubles]

    def sent(self, method: str, path: str) -> list[httpx2.Request]:
        return [r for r in self.log if r.method == method and re.fullmatch(path, r.url.path)]

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.log.append(request)
        self._play(self.before, request)
        early = self._taken
        if early is not None:
            return early
        answer = self.route(request.method, request.url.path, request)
        self._play(self.after, request)
        return self._taken or answer

    def _play(self, troubles: list[tuple[str, str, Trouble]], request: httpx2.Request) -> None:
        self._taken: httpx2.Response | None = None
        for entry in troubles:
            method, path, trouble = entry
            if request.method == method and re.fullmatch(path, request.url.path):
                troubles.remove(entry)
                if isinstance(trouble, Exception):
                    raise trouble
                self._taken = trouble
                return

    def route(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        raise NotImplementedError

    def page(self, request: httpx2.Request, after: str, items: list[dict[str, Any]]) -> httpx2.Response:
        """Newest first, from behind the cursor, two at a time so that paging is always exercised."""
        cursor = request.url.params.get(after)
        at = next((i + 1 for i, item in enumerate(items) if item["id"] == cursor), 0)
        data = items[at : at + 2]
        return httpx2.Response(200, json={"data": data, "has_more": at + 2 < len(items), "object": "list"})

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))


class OpenAIHost(Host):
    files: dict[str, dict[str, Any]]
    dialect = "openai"
    create_path = list_path = "/v1/batches"
    status_key = "status"
    endpoint = "/v1/chat/completions"
    ask_path = "/v1/chat/completions"

    def __init__(self) -> None:
        super().__init__()
        self.files = {}

    def provider(self, **over: Any) -> Provider:
        from chimera_batch.providers.openai import OpenAIProvider

        profile = replace(builtin()["openai"], base_url="http://host.test/v1", **over)
        return OpenAIProvider(profile, KEY, http_client=self.client(), sleep=self.waits.append)

    def batch(self, number: int = 1, **over: Any) -> dict[str, Any]:
        counts = {"total": 2, "completed": 2, "failed": 0}
        made = {"id": f"batch_{number}", "object": "batch", "status": "validating", "created_at": int(NOW) + number}
        made |= {"output_file_id": None, "error_file_id": None, "request_counts": counts, "metadata": None, **over}
        self.batches[made["id"]] = made
        return made

    def finished(self, *rows: bytes) -> str:
        """A completed batch with these rows in its output file; its id."""
        self.contents["file-out"] = b"".join(row + b"\n" for row in rows)
        self.files["file-out"] = {"id": "file-out", "bytes": len(self.contents["file-out"]), "filename": "o.jsonl"}
        return str(self.batch(status="completed", output_file_id="file-out")["id"])

    content_path = "/v1/files/file-out/content"

    def ok(self, custom_id: str, text: str = "four") -> bytes:
        body = json.loads(json.dumps(CHAT_BODY))
        body["choices"][0]["message"]["content"] = text
        row = {"id": "x", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}
        return json.dumps(row, ensure_ascii=False).encode()

    def errored(self, custom_id: str, code: str, status: int = 400, message: str = "no") -> bytes:
        body = {"error": {"message": message, "type": "some_error", "param": None, "code": code}}
        row = {"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}
        return json.dumps(row).encode()

    def expired(self, custom_id: str) -> bytes:
        error = {"code": "batch_expired", "message": "too late"}
        return json.dumps({"custom_id": custom_id, "response": None, "error": error}).encode()

    def cancelled(self, custom_id: str) -> bytes:
        return self.expired(custom_id).replace(b"batch_expired", b"batch_cancelled")

    def refusal(self, status: int, code: str = "bad", message: str = "no", **headers: str) -> httpx2.Response:
        error = {"error": {"message": message, "type": "t", "param": None, "code": code}}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.Response(status, json=error, headers=named)

    def line(self, custom_id: str = "r1") -> bytes:
        body = {"model": "m", "messages": [{"role": "user", "content": "2+2?"}]}
        whole = {"custom_id": custom_id, "method": "POST", "url": self.endpoint, "body": body}
        return json.dumps(whole).encode()

    def route(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        newest = sorted(self.batches.values(), key=lambda b: -float(b["created_at"]))
        routes: list[tuple[str, str, Callable[..., httpx2.Response]]] = [
            ("POST", "/v1/files", lambda: self._upload(request)),
            ("GET", "/v1/files", lambda: self.page(request, "after", list(reversed(self.files.values())))),
            ("GET", "/v1/files/([^/]+)", lambda i: self._show(self.files.get(i))),
            ("DELETE", "/v1/files/([^/]+)", lambda i: self._show(self.files.pop(i, None))),
            ("GET", "/v1/files/([^/]+)/content", lambda i: self._content(i, request)),
            ("POST", "/v1/batches", lambda: self._create(request)),
            ("GET", "/v1/batches", lambda: self.page(request, "after", newest)),
            ("GET", "/v1/batches/([^/]+)", lambda i: self._show(self.batches.get(i))),
            ("POST", "/v1/batches/([^/]+)/cancel", lambda i: self._show(self.batches.get(i))),
            ("POST", "/v1/chat/completions", lambda: httpx2.Response(200, json=CHAT_BODY)),
        ]
        for verb, pattern, act in routes:
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                return act(*match.groups())
        raise AssertionError(f"{method} {path} is not a path of this host")

    def _show(self, thing: dict[str, Any] | None) -> httpx2.Response:
        return httpx2.Response(200, json=thing) if thing else self.refusal(404, "not_found", "no such thing")

    def _upload(self, request: httpx2.Request) -> httpx2.Response:
        name = re.search(rb'filename="([^"]+)"', request.content)
        assert name is not None
        made = {"id": f"file-{len(self.files) + 1}", "filename": name[1].decode(), "created_at": int(NOW)}
        self.files[made["id"]] = made
        return httpx2.Response(200, json=made)

    def _create(self, request: httpx2.Request) -> httpx2.Response:
        said = json.loads(request.content)
        made = self.batch(len(self.batches) + 1, metadata=said.get("metadata"), input_file_id=said["input_file_id"])
        return httpx2.Response(200, json=made)

    def _content(self, file_id: str, request: httpx2.Request) -> httpx2.Response:
        data, wanted = self.contents[file_id], request.headers.get("range")
        if not wanted:
            return stream(data)
        at = int(wanted.removeprefix("bytes=").rstrip("-"))
        span = f"bytes {at}-{len(data) - 1}/{len(data)}"
        return stream(data[at:], status=206, content_range=span)


class AnthropicHost(Host):
    dialect = "anthropic"
    create_path = list_path = "/v1/messages/batches"
    status_key = "processing_status"
    content_path = "/v1/messages/batches/msgbatch_1/results"
    endpoint = "/v1/messages"
    ask_path = "/v1/messages"

    def provider(self, **over: Any) -> Provider:
        from chimera_batch.providers.anthropic import AnthropicProvider

        profile = replace(builtin()["anthropic"], base_url="http://host.test", **over)
        return AnthropicProvider(profile, KEY, http_client=self.client(), sleep=self.waits.append)

    def batch(self, number: int = 1, requests: int = 2, **over: Any) -> dict[str, Any]:
        counts = {"processing": requests, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        made = {"id": f"msgbatch_{number}", "type": "message_batch", "processing_status": "in_progress"}
        made |= {
            "request_counts": counts,
            "created_at": "2026-09-21T14:13:20.154311+00:00",
            "results_url": None,
            **over,
        }
        self.batches[made["id"]] = made
        return made

    def finished(self, *rows: bytes) -> str:
        self.contents["msgbatch_1"] = b"\n".join(rows)  # no final newline, as recorded
        counts = {"processing": 0, "succeeded": len(rows), "errored": 0, "canceled": 0, "expired": 0}
        url = "https://elsewhere.test/results"
        return str(self.batch(processing_status="ended", request_counts=counts, results_url=url)["id"])

    def _row(self, custom_id: str, result: dict[str, Any]) -> bytes:
        return json.dumps({"custom_id": custom_id, "result": result}, ensure_ascii=False).encode()

    def ok(self, custom_id: str, text: str = "four") -> bytes:
        message = {**MESSAGE, "content": [{"type": "text", "text": text}]}
        return self._row(custom_id, {"type": "succeeded", "message": message})

    def errored(self, custom_id: str, code: str, status: int = 400, message: str = "no") -> bytes:
        error = {"type": "error", "error": {"details": None, "type": code, "message": message}, "request_id": None}
        return self._row(custom_id, {"type": "errored", "error": error})

    def expired(self, custom_id: str) -> bytes:
        return self._row(custom_id, {"type": "expired"})

    def cancelled(self, custom_id: str) -> bytes:
        return self._row(custom_id, {"type": "canceled"})

    def refusal(self, status: int, code: str = "bad", message: str = "no", **headers: str) -> httpx2.Response:
        error = {"type": "error", "error": {"type": code, "message": message}, "request_id": "req_1"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.Response(status, json=error, headers=named)

    def line(self, custom_id: str = "r1") -> bytes:
        params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "2+2?"}]}
        return json.dumps({"custom_id": custom_id, "params": params}).encode()

    def route(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        newest = list(reversed(self.batches.values()))
        if (method, path) == ("POST", "/v1/messages/batches"):
            requests = json.loads(request.content)["requests"]
            return httpx2.Response(200, json=self.batch(len(self.batches) + 1, len(requests)))
        if (method, path) == ("GET", "/v1/messages/batches"):
            return self.page(request, "after_id", newest)
        if (method, path) == ("POST", "/v1/messages"):
            return httpx2.Response(200, json=MESSAGE)
        match = re.fullmatch(r"/v1/messages/batches/([^/]+)(/results|/cancel)?", path)
        assert match, f"{method} {path} is not a path of this host"
        batch = self.batches.get(match[1])
        if batch is None:
            return self.refusal(404, "not_found_error", f"Message Batch {match[1]} not found.")
        if match[2] == "/results":
            return stream(self.contents[match[1]], content_type="application/x-jsonl")
        return httpx2.Response(200, json=batch)


def intent_for(host: Any, requests: int = 2, nonce: str = "0123abcd") -> Intent:
    return Intent(
        "s1", 1, nonce, "f" * 64, requests, 100, host.endpoint, host.model, "24h", "run-1", NOW + 60
    )  # the intent is written a minute after the host's clock says: clocks differ


def wire_file(host: Any, folder: Path, requests: int = 2) -> Path:
    path = folder / "wire.jsonl"
    path.write_bytes(b"".join(host.line(f"r{i}") + b"\n" for i in range(1, requests + 1)))
    return path


def known_profile(name: str) -> Profile:
    return builtin()[name]
