"""A host with the files and batches of OpenAI's API, on 127.0.0.1, for ``bench.field``: one process, nothing clever.

An upload goes to disk as it comes. A batch is accepted if OpenAI would take it (50,000 requests, 200 MB, whole lines)
and then rests until ``POST /_field/release``: only then are its answers written, in an order of their own, so that
whoever asks measures one half of the job at a time. Every request must hold the system prompt and one row's user
message, each row once: ``GET /_field/state`` says how many did, and what was wrong with the first that did not.

    python bench/field/host.py STATE_FOLDER JOB.json      # prints its port
"""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import random
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

MOST_REQUESTS, MOST_BYTES = 50_000, 200 << 20
PIECE = 1 << 20
ANSWER = """{{"summary":"{words}","label":"{label}","confidence":0.{number:04d}}}"""
WORDS = (
    "The passage argues that the harvest of 1893 – “a year without shade” – changed how the valley kept its water; it "
    "names three causes, weighs them against the parish's own ledgers, and leaves the last one open. A reader who "
    "knows the region would ask for the prices of grain, which the author has but does not print. "
) * 5


class Desk:
    """Files, batches, and what was asked. One lock: requests come a few at a time."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.folder, self.job = folder, job
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.files: dict[str, dict[str, Any]] = {}
        self.spans: dict[str, tuple[Path, int, int]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.wanted = {_digest(job["user"].format(**row)) for row in _rows(job)}
        self.wrong = ""
        self.requests = self.rows = self.answered = 0

    def path(self) -> Path:
        return self.folder / f"{next(self.numbers)}.part"

    def file(self, path: Path, span: tuple[int, int], name: str, purpose: str) -> dict[str, Any]:
        with self.lock:
            name_id = f"file-{len(self.files) + 1:06d}"
            made = {
                "id": name_id, "object": "file", "bytes": span[1] - span[0], "created_at": int(time.time()),
                "filename": name, "purpose": purpose, "status": "processed", "expires_at": None, "status_details": None,
            }  # fmt: skip
            self.files[name_id], self.spans[name_id] = made, (path, *span)
            return made

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        path, start, end = self.spans[asked["input_file_id"]]
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            rows = _count(held, start, end)
        if rows > MOST_REQUESTS or end - start > MOST_BYTES:
            raise ValueError(f"{rows} requests in {end - start} bytes: more than a batch may hold")
        with self.lock:
            name, now = f"batch_{len(self.batches) + 1:06d}", int(time.time())
            self.requests += rows
            batch = {
                "id": name, "object": "batch", "endpoint": asked["endpoint"], "errors": None,
                "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
                "status": "in_progress", "output_file_id": None, "error_file_id": None,
                "created_at": now, "in_progress_at": now, "expires_at": now + 86_400, "finalizing_at": None,
                "completed_at": None, "failed_at": None, "expired_at": None, "cancelling_at": None,
                "cancelled_at": None, "request_counts": {"total": rows, "completed": 0, "failed": 0},
                "metadata": asked.get("metadata"),
            }  # fmt: skip
            self.batches[name] = batch
            return batch

    def release(self) -> None:
        """Answer whatever rests."""
        for batch in list(self.batches.values()):
            if batch["status"] != "in_progress":
                continue
            path = self.path()
            self._answer(batch, path)
            made = self.file(path, (0, path.stat().st_size), f"{batch['id']}_output.jsonl", "batch_output")
            total = batch["request_counts"]["total"]
            batch["request_counts"] = {"total": total, "completed": total, "failed": 0}
            batch["output_file_id"] = made["id"]
            batch["finalizing_at"] = batch["completed_at"] = int(time.time())
            batch["status"] = "completed"  # last: whoever reads this without the lock finds the rest

    def _answer(self, batch: dict[str, Any], path: Path) -> None:
        source, start, end = self.spans[batch["input_file_id"]]
        with source.open("rb") as file:
            file.seek(start)
            lines = file.read(end - start).splitlines()
        random.Random(batch["id"]).shuffle(lines)
        with path.open("wb") as out:
            for line in lines:
                request = orjson.loads(line)
                self._check(request)
                out.write(self._result(request["custom_id"], request["body"]["model"]))

    def _check(self, request: dict[str, Any]) -> None:
        system, user = request["body"]["messages"]
        digest = _digest(user["content"])
        if system["content"] == self.job["system"] and digest in self.wanted:
            self.wanted.remove(digest)
            self.rows += 1
        else:
            self.wrong = self.wrong or f"not a row's messages, or asked twice: {request['custom_id']}"

    def _result(self, custom_id: str, model: str) -> bytes:
        number = self.answered = self.answered + 1
        said = ANSWER.format(words=WORDS[: 1_050 + number % 300], label="bcdf"[number % 4], number=number % 10_000)
        body = {
            "id": f"chatcmpl-{number:024x}", "object": "chat.completion", "created": 1_790_000_000, "model": model,
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": said, "refusal": None, "annotations": []},
                "logprobs": None, "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": 320, "completion_tokens": 270 + number % 60, "total_tokens": 590 + number % 60,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0, "audio_tokens": 0,
                    "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default", "system_fingerprint": "fp_0123456789",
        }  # fmt: skip
        line = {
            "id": f"batch_req_{number:024x}", "custom_id": custom_id,
            "response": {"status_code": 200, "request_id": f"{number:032x}", "body": body}, "error": None,
        }  # fmt: skip
        return orjson.dumps(line) + b"\n"

    def state(self) -> dict[str, Any]:
        outputs = [str(self.spans[b["output_file_id"]][0]) for b in self.batches.values() if b["output_file_id"]]
        told = {"requests": self.requests, "rows": self.rows, "wrong": self.wrong, "outputs": outputs}
        return {**told, "batches": len(self.batches)}


def _rows(job: dict[str, Any]) -> Any:
    with Path(job["rows"]).open("rb") as lines:
        yield from map(orjson.loads, lines)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


def _count(held: mmap.mmap, start: int, end: int) -> int:
    """Lines, the last one with or without its newline."""
    newlines = sum(held[at : min(at + PIECE, end)].count(b"\n") for at in range(start, end, PIECE))
    return newlines + (end > start and held[end - 1 : end] != b"\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: Server

    def do_GET(self) -> None:
        path, desk = urlsplit(self.path).path.removeprefix("/v1"), self.server.desk
        if path == "/_field/state":
            self._json(desk.state())
        elif found := re.fullmatch(r"/files/([^/]+)/content", path):
            self._send(desk.spans[found[1]])
        elif found := re.fullmatch(r"/(files|batches)/([^/]+)", path):
            held = getattr(desk, found[1]).get(found[2])
            self._json(held or {"error": {"message": "not found"}}, 200 if held else 404)
        elif path in {"/files", "/batches"}:
            self._json({"object": "list", "data": list(getattr(desk, path[1:]).values())[::-1], "has_more": False})
        else:
            self._json({"error": {"message": f"no such path: {path}"}}, 404)

    def do_POST(self) -> None:
        path, desk = urlsplit(self.path).path.removeprefix("/v1"), self.server.desk
        if path == "/files":
            self._upload(desk)
            return
        body = b"".join(self._body())
        if path == "/batches":
            try:
                self._json(desk.create(orjson.loads(body)))
            except (KeyError, ValueError) as error:
                self._json({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)
        elif path == "/_field/release":
            desk.release()
            self._json(desk.state())
        else:
            self._json({"error": {"message": f"no such path: {path}"}}, 404)

    def do_DELETE(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        self._json({"id": name, "object": "file", "deleted": self.server.desk.files.pop(name, None) is not None})

    def _upload(self, desk: Desk) -> None:
        path = desk.path()
        with path.open("wb") as out:
            out.writelines(self._body())
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
        mark = b"--" + boundary[1].encode() if boundary else b""
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            at, span, name, purpose = held.find(mark), None, "upload", ""
            while (start := held.find(b"\r\n\r\n", at)) >= 0:
                head, end = held[at:start].decode("utf-8", "replace"), held.find(b"\r\n" + mark, start)
                if 'name="file"' in head:
                    span = (start + 4, end)
                    name = (re.search(r'filename="([^"]*)"', head) or ["", name])[1]
                elif 'name="purpose"' in head:
                    purpose = held[start + 4 : end].decode()
                at = end + 2
        if span is None or purpose != "batch":
            self._json({"error": {"message": "a file with the purpose batch is needed"}}, 400)
        else:
            self._json(desk.file(path, span, name, purpose))

    def _body(self) -> Any:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(PIECE, left))):
            left -= len(piece)
            yield piece

    def _json(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self._head(status, "application/json", len(data))
        self.wfile.write(data)

    def _send(self, span: tuple[Path, int, int]) -> None:
        path, start, end = span
        self._head(200, "application/octet-stream", end - start)
        with path.open("rb") as file:
            file.seek(start)
            self.connection.sendfile(file, start, end - start)

    def _head(self, status: int, kind: str, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Silent: what was asked is in the state."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.desk = desk

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away with its connection open is none."""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(Desk(folder, json.loads(Path(sys.argv[2]).read_bytes())))
    print(server.server_port, flush=True)
    server.serve_forever()
