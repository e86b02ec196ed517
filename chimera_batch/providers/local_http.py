"""The connections to an engine of one's own: kept open, without a limit of time, and cut off all at once. Floor 2.

An answer may take hours and comes all at the end, so silence says nothing; that the other machine is gone is noticed
by the kernel (TCP keep-alive). Whoever gives up cuts the connections, which wakes every thread that waits on one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import httpx2

from chimera_batch.providers.host_http import Bounded

_NO_LIMIT = httpx2.Timeout(None, connect=10.0)
_PROBE = httpx2.Timeout(5.0)
_KEEP_ALIVE = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))  # seconds, times


class Connections:
    """As many connections as there are calls. ``idle``: seconds after which one is not used again.

    A server closes idle connections when it likes (vLLM and SGLang: after 5 s), and a request that meets that moment is
    lost; so ``idle`` stays below what the server allows. Proxies of the environment are not for one's own machines.
    """

    def __init__(self, *, idle: float) -> None:
        self._sockets: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._gone = threading.Event()
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=idle)
        transport = httpx2.HTTPTransport(limits=limits, socket_options=_socket_options(), trust_env=False)
        self._client = Bounded(timeout=_NO_LIMIT, transport=transport, trust_env=False)

    @property
    def closed(self) -> bool:
        return self._gone.is_set()

    def sleep(self, seconds: float) -> None:
        """Until then, or until they are closed."""
        self._gone.wait(seconds)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Raises what httpx2 raises, and SaidError for a reply that is too long."""
        said = {"Content-Type": "application/json", **headers}
        try:
            return self._client.post(url, content=body, headers=said, extensions={"trace": self._trace})
        except RuntimeError as error:  # httpx2's word for a client that was closed
            raise httpx2.ConnectError(str(error)) from error

    def probe(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        """A small question that is answered at once or not at all."""
        return self._client.get(url, headers=dict(headers), timeout=_PROBE)

    def close(self) -> None:
        """Cut off every call that is under way; it raises in its own thread."""
        with self._lock:
            self._gone.set()
            for one in list(self._sockets):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Know every socket, so that it can be cut off."""
        if event not in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            return
        found = info["return_value"].get_extra_info("socket")
        with self._lock:
            self._sockets.add(found)
            if self.closed:
                with suppress(OSError):
                    found.shutdown(socket.SHUT_RDWR)


def _socket_options() -> list[tuple[int, int, int]]:
    """Those that this system knows."""
    found = []
    for name, value in _KEEP_ALIVE:
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        if hasattr(socket, name):
            found.append((level, getattr(socket, name), value))
    return found
