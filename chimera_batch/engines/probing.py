"""Two questions to a server of this machine: is it healthy, and what do its gauges say."""

from __future__ import annotations

import http.client

_PATIENCE = 5.0  # seconds
_LARGEST = 16 << 20  # bytes: the gauges of a server with a hundred adapters are some hundred KB


def healthy(port: int) -> bool:
    """Whether ``GET /health`` answers 200."""
    return _get(port, "/health") is not None


def metrics(port: int) -> str | None:
    """The page of ``GET /metrics``; None where there is none, nobody answers in time, or it is no page of gauges."""
    return _get(port, "/metrics")


def _get(port: int, path: str) -> str | None:
    # Not urllib: a proxy named in the environment has no business with a loopback address.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        data = reply.read(_LARGEST + 1)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return data.decode("utf-8", "replace") if reply.status == 200 and len(data) <= _LARGEST else None
