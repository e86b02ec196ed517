"""Faults that happen on the wire: a status instead of a reply, a connection that closes, a download cut short."""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import IO, Any

from chimera_batch.rehearsal import shapes_anthropic, shapes_openai
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.faults import Fault, Faults
from chimera_batch.rehearsal.web import Reply, Request

_CREATES = {("POST", "/v1/batches"), ("POST", "/v1/messages/batches")}
_MESSAGES = {
    429: "Rate limit reached. Please try again later.",
    500: "Internal server error",
    503: "The engine is currently overloaded, please try again later",
    529: "Overloaded",
}


@dataclass(slots=True)
class Wreck:
    """The fault of one request, or none."""

    fault: Fault = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        return self.fault.get("kind")

    def before(self) -> None:
        if self.kind == "slow":
            time.sleep(float(self.fault.get("seconds", 1.0)))

    def reply(self, request: Request, work: Callable[[], Reply]) -> Reply | None:
        """The reply, or None to hang up without one."""
        if self.kind == "close":
            return None
        if self.kind == "lose_create_reply":
            work()
            return None
        if self.kind == "http":
            if self.fault.get("after"):
                request.lost = True
                work()
            return _http(self.fault, request)
        return work()

    def limit(self, file: IO[bytes], first: int, length: int) -> int:
        """How many of the ``length`` bytes of a download from ``first`` on are sent."""
        if self.kind not in {"truncate_download", "reset_download"}:
            return length
        if "lines" in self.fault:
            file.seek(first)
            return min(length, sum(len(file.readline()) for _ in range(int(self.fault["lines"]))))
        return min(length, int(self.fault.get("bytes", 900)))


def waiting(faults: Faults, request: Request) -> Wreck:
    """The fault that this request has run into. The server's own paths have none."""
    if request.path.startswith("/_rehearsal/"):
        return Wreck()
    kinds = {"http", "close", "slow"}
    if (request.method, request.path) in _CREATES:
        kinds.add("lose_create_reply")
    if request.method == "GET" and request.path.endswith(("/content", "/results")):
        kinds |= {"truncate_download", "reset_download"}
    facts = {"path": request.path, "method": request.method, "profile": request.profile}
    taken = faults.take(kinds, facts)
    return Wreck(taken[0]) if taken else Wreck()


def hang_up(handler: BaseHTTPRequestHandler, *, reset: bool = False) -> None:
    """Close the connection, in order or with a reset."""
    handler.close_connection = True
    handler.wfile.flush()
    if reset:
        time.sleep(0.05)  # let the client have what was sent before the reset discards it
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # close() alone would wait for the handler's own files; a detached descriptor is closed, and reset, at once.
        socket.close(handler.connection.detach())


def _http(fault: Fault, request: Request) -> Reply:
    status = int(fault.get("status", 503))
    headers = {name.replace("_", "-"): str(fault[name]) for name in ("retry_after", "retry_after_ms") if name in fault}
    if status == 529:
        headers["x-should-retry"] = "true"
    if "html" in fault:
        return Reply(status, str(fault["html"]).encode(), kind="text/html", headers=headers)
    if "body" in fault:
        return Reply(status, fault["body"], headers=headers)
    refused = Refused(status, str(fault.get("message", _MESSAGES.get(status, "Bad night"))), code=fault.get("code"))
    body: dict[str, Any] = shapes_openai.refusal(refused)
    if request.dialect == "anthropic":
        body = shapes_anthropic.refusal(refused, secrets.token_hex(16))
    return Reply(status, body, headers=headers)
