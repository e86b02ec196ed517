"""A proxy that spoils HTTP byte by byte between the real SDKs and the rehearsal's server, on orders that are data.

It speaks HTTP itself, so that nothing between its orders and the client's socket can mend what was spoilt: every reply
is written as bytes, and ends as it was told to. What it was ordered and has not met yet shows in ``left``.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "openai.upload": ("POST", r"/openai/v1/files"),
    "openai.uploads": ("GET", r"/openai/v1/files"),
    "openai.file": ("GET", r"/openai/v1/files/[^/]+"),
    "openai.download": ("GET", r"/openai/v1/files/[^/]+/content"),
    "openai.discard": ("DELETE", r"/openai/v1/files/[^/]+"),
    "openai.create": ("POST", r"/openai/v1/batches"),
    "openai.list": ("GET", r"/openai/v1/batches"),
    "openai.poll": ("GET", r"/openai/v1/batches/[^/]+"),
    "openai.cancel": ("POST", r"/openai/v1/batches/[^/]+/cancel"),
    "openai.ask": ("POST", r"/openai/v1/chat/completions"),
    "anthropic.create": ("POST", r"/anthropic/v1/messages/batches"),
    "anthropic.list": ("GET", r"/anthropic/v1/messages/batches"),
    "anthropic.poll": ("GET", r"/anthropic/v1/messages/batches/[^/]+"),
    "anthropic.download": ("GET", r"/anthropic/v1/messages/batches/[^/]+/results"),
    "anthropic.cancel": ("POST", r"/anthropic/v1/messages/batches/[^/]+/cancel"),
    "anthropic.ask": ("POST", r"/anthropic/v1/messages"),
}
"""Every call that a run can make of the two protocols: the name of an endpoint -> method, pattern of its path."""

End = Literal["whole", "close", "reset"]
Length = Literal["told", "untold", "chunked"]


@dataclass(frozen=True)
class Seen:
    """What the client gets to see of one exchange. ``cut``: bytes of the body that are sent, None for all.

    ``end``: whether the connection is kept, closed in order, or reset behind them; ``pause``: seconds before each of
    ``pieces`` pieces of the body; ``silent``: not even a status line is sent.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    end: End = "whole"
    length: Length = "told"
    pause: float = 0.0
    pieces: int = 1
    silent: bool = False


@dataclass(frozen=True)
class Exchange:
    """One request on its way through; ``forward`` lets it arrive."""

    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    upstream: str

    def forward(self) -> Seen:
        """The host's own reply, whole."""
        place = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            kept = {n: v for n, v in self.headers.items() if n not in {"host", "connection", "transfer-encoding"}}
            connection.request(self.method, self.path, self.body or None, kept)
            reply = connection.getresponse()
            headers = {n.lower(): v for n, v in reply.getheaders() if n.lower() not in _HOP}
            return Seen(reply.status, headers, reply.read())
        finally:
            connection.close()


_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Proxy:
    """Listens on loopback, forwards to ``upstream``. ``order`` what is to be spoilt; ``struck`` counts what was.

    An order is (kind, endpoint, number): that exchange of that endpoint, counted from now and from 1, meets the
    damage ``kind`` of ``tests/faults/damages.py``.
    """

    def __init__(self, upstream: str, damages: Mapping[str, Any], port: int = 0) -> None:
        self.upstream, self.damages = upstream, damages
        self.struck: Counter[tuple[str, str]] = Counter()
        self.met: list[tuple[str, str, str]] = []  # (kind, endpoint, the request's idempotency key)
        self._orders: dict[tuple[str, int], str] = {}
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def left(self) -> list[tuple[str, int]]:
        """Orders that no exchange has met."""
        with self._lock:
            return sorted(self._orders)

    def order(self, orders: Iterable[tuple[str, str, int]]) -> None:
        """These, and no others."""
        with self._lock:
            self._counted.clear()
            self._orders = {(endpoint, number): kind for kind, endpoint, number in orders}
            unknown = [*(self._orders.values() - self.damages.keys())]
            assert not unknown, unknown
            assert all(endpoint in ENDPOINTS for endpoint, _ in self._orders)

    def play(self, exchange: Exchange) -> Seen:
        """What the client sees of an exchange."""
        with self._lock:
            self._counted[exchange.endpoint] += 1
            kind = self._orders.pop((exchange.endpoint, self._counted[exchange.endpoint]), None)
            if kind is not None:
                self.struck[kind, exchange.endpoint] += 1
                self.met.append((kind, exchange.endpoint, exchange.headers.get("idempotency-key", "")))
        return exchange.forward() if kind is None else self.damages[kind](exchange)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def proxy(upstream: str, damages: Mapping[str, Any]) -> Iterator[Proxy]:
    opened = Proxy(upstream, damages)
    try:
        yield opened
    finally:
        opened.close()


def endpoint_of(method: str, target: str) -> str:
    """The name of what is called; "" for the server's own paths."""
    path = urlsplit(target).path
    return next((name for name, (verb, form) in ENDPOINTS.items() if verb == method and re.fullmatch(form, path)), "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Proxy, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or an upstream that has ended: what a night is made of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._chunks() if "chunked" in headers.get("transfer-encoding", "") else self._read(headers)
        name = endpoint_of(self.command, self.path)
        exchange = Exchange(name, self.command, self.path, headers, body, self.server.owner.upstream)
        try:
            self._show(self.server.owner.play(exchange))
        except (OSError, http.client.HTTPException):  # either side has gone
            self.close_connection = True

    do_GET = do_POST = do_DELETE = _serve

    def _read(self, headers: Mapping[str, str]) -> bytes:
        return self.rfile.read(int(headers.get("content-length") or 0))

    def _chunks(self) -> bytes:
        found = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(found)

    def _show(self, seen: Seen) -> None:
        if not seen.silent:
            self.wfile.write(_head(seen))
        body = seen.body if seen.cut is None else seen.body[: seen.cut]
        size = max(1, -(-len(body) // seen.pieces))
        for at in range(0, max(1, len(body)), size):
            if seen.pause:
                self.wfile.flush()
                time.sleep(seen.pause)
            piece = body[at : at + size]
            if not seen.silent and piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if seen.length == "chunked" else piece)
        if seen.length == "chunked" and seen.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if seen.end != "whole" or seen.length == "untold":
            self._hang_up(reset=seen.end == "reset")

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            time.sleep(0.02)  # let the client have what was sent before the reset discards it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def _head(seen: Seen) -> bytes:
    framing = {"told": f"content-length: {len(seen.body)}", "chunked": "transfer-encoding: chunked", "untold": ""}
    lines = [f"HTTP/1.1 {seen.status} {http.client.responses.get(seen.status, 'Odd')}"]
    lines += [f"{name}: {value}" for name, value in seen.headers.items()]
    lines += [line for line in (framing[seen.length], "connection: close" if seen.length == "untold" else "") if line]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
