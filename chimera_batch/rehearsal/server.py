"""The loopback HTTP server: connections, authentication, faults on the wire; the routes answer what is asked."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from chimera_batch.rehearsal import control, shapes_anthropic, shapes_openai, wrecks
from chimera_batch.rehearsal.anthropic_api import AnthropicApi
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.desk import Desk
from chimera_batch.rehearsal.guests import Guests
from chimera_batch.rehearsal.openai_api import OpenAIApi
from chimera_batch.rehearsal.web import Reply, Request, find, span

_PIECE = 1 << 16

_log = logging.getLogger("chimera_batch.rehearsal")


class Server(ThreadingHTTPServer):
    """Serves one desk on 127.0.0.1; port 0 picks one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, desk: Desk, port: int = 0, guests: Guests | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.guests = guests or Guests()
        self.desk = desk
        self.routes = [*OpenAIApi(desk).routes, *AnthropicApi(desk).routes]
        self.seen: deque[dict[str, Any]] = deque(maxlen=20_000)
        self.last_request = time.monotonic()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, request: Request) -> Reply:
        """Raises Refused."""
        if request.path.startswith("/_rehearsal/"):
            return control.answer(self.desk, list(self.seen), self.guests, request)
        action, arguments = find(self.routes, request.method, request.path)
        _authorize(request)
        return action(request, *arguments)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the middle of a reply is an ordinary night, not something for stderr.
        _log.info("connection lost", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    timeout = 120  # of an idle connection

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _serve(self) -> None:
        self.server.last_request = time.monotonic()
        request = self._request()
        wreck = wrecks.waiting(self.server.desk.faults, request)
        told = {"method": request.method, "path": request.path, "profile": request.profile, "at": time.time()}
        told["fault"] = wreck.kind
        wreck.before()
        reply = wreck.reply(request, lambda: self._answer(request))
        told["status"] = reply.status if reply else 0
        if not request.path.startswith("/_rehearsal/"):
            self.server.seen.append(told)
        if reply is None:
            wrecks.hang_up(self)
            return
        self._drain(request.chunks)
        if reply.file is not None:
            self._send_file(reply, wreck)
        else:
            self._send(reply)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        profile, path = _split(unquote(parts.path))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query))
        return Request(self.command, path, profile, query, headers, self._chunks(headers))

    def _answer(self, request: Request) -> Reply:
        try:
            return self.server.answer(request)
        except Refused as refused:
            return _refusal(request, refused)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:  # noqa: BLE001 - a bug here must look like the provider's 500, and be in the log
            _log.exception("%s %s", request.method, request.path)
            return _refusal(request, Refused(500, "The rehearsal failed; see server.log in its state folder."))

    def _chunks(self, headers: dict[str, str]) -> Iterator[bytes]:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            while size := self._size(self.rfile.readline().split(b";")[0].strip(), 16):
                yield from self._exactly(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
        else:
            yield from self._exactly(self._size(headers.get("content-length", "0").encode(), 10))

    def _size(self, told: bytes, base: int) -> int:
        """Raises Refused: nobody knows then where the next request would begin, so the connection ends."""
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}" if base == 16 else rb"[0-9]{1,15}", told):
            self.close_connection = True
            raise Refused(400, "The length of the request's body cannot be read.")
        return int(told, base)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, _PIECE))
            if not piece:
                raise ConnectionError("the body ended early")
            size -= len(piece)
            yield piece

    def _drain(self, chunks: Iterator[bytes]) -> None:
        """Read what the route left of the body: a client that is still sending would see a reset, not the reply."""
        with suppress(Refused):  # the length of a body that no route wanted
            for _ in chunks:
                pass

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        self._head(reply, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, reply: Reply, wreck: wrecks.Wreck) -> None:
        if reply.file is None or not reply.file.exists():
            self._send(Reply(404, {"error": {"message": "gone", "type": "invalid_request_error"}}))
            return
        with reply.file.open("rb") as file:  # from now on its deletion does not matter
            size = file.seek(0, 2)
            try:
                part = span(self.headers.get("range"), size)
            except Refused:
                self._send(Reply(416, {}, headers={"content-range": f"bytes */{size}"}))
                return
            first, last = part or (0, size - 1)
            if part:
                reply.status = 206
                reply.headers["content-range"] = f"bytes {first}-{last}/{size}"
            reply.headers["accept-ranges"] = "bytes"
            length = last - first + 1
            limit = wreck.limit(file, first, length)
            self._head(reply, None if wreck.kind == "truncate_download" else length)
            _copy(file, self.wfile, first, limit)
        if limit < length:
            wrecks.hang_up(self, reset=wreck.kind == "reset_download")

    def _head(self, reply: Reply, length: int | None) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("x-request-id", f"req_{secrets.token_hex(16)}")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if length is None:
            self.close_connection = True
        else:
            self.send_header("content-length", str(length))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()


def _copy(source: Any, target: Any, first: int, length: int) -> None:
    source.seek(first)
    while length > 0:
        piece = source.read(min(length, _PIECE))
        if not piece:
            break
        target.write(piece)
        length -= len(piece)


def _split(path: str) -> tuple[str, str]:
    """Profile and path; without a profile the dialect names it."""
    at = path.find("/v1/")
    if at < 0:
        return "openai", path
    rest = path[at:]
    return path[:at].strip("/") or ("anthropic" if rest.startswith("/v1/messages") else "openai"), rest


def _authorize(request: Request) -> None:
    key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if request.dialect == "anthropic":
        if not request.headers.get("x-api-key") and not key:
            raise Refused(401, "x-api-key header is required")
    elif not key:
        raise Refused(401, "You didn't provide an API key.", code="invalid_api_key")


def _refusal(request: Request, refused: Refused) -> Reply:
    if request.dialect == "anthropic":
        return Reply(refused.status, shapes_anthropic.refusal(refused, secrets.token_hex(16)))
    return Reply(refused.status, shapes_openai.refusal(refused))
