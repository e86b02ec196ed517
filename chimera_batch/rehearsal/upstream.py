"""An OpenAI-compatible server that answers in place of the minds: real generations behind the batch protocols."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from chimera_batch.rehearsal import upstream_messages
from chimera_batch.rehearsal.asks import Refused

_MESSAGES: Final = "/v1/messages"
_CHAT: Final = "/v1/chat/completions"
_CONNECT = 10.0  # seconds
_ANSWER = 6 * 3600.0  # seconds: a long trace on a small machine takes hours, a dead peer is noticed at last
_TRIES = 5
_PAUSE = 0.5  # seconds after the first failure, twice as long after each further one
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unreachable(Exception):
    """Nobody speaks HTTP at the upstream's address."""


class Gone(Exception):
    """The server is going down: what was under way was not answered."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where the upstream is and how it may be asked."""

    url: str  # its base URL, such as http://127.0.0.1:8000/v1; without a path, /v1 is meant
    model: str = ""  # what to ask for in place of the request's model; "": the request's own
    key: str = ""
    at_once: int = 8

    def connection(self) -> http.client.HTTPConnection:
        """One to its host, not open yet. Raises ValueError for an address that is none."""
        place = urlsplit(self.url)
        if place.scheme not in {"http", "https"} or not place.hostname:
            raise ValueError(f"{self.url} is not an address like http://127.0.0.1:8000/v1")
        if place.scheme == "https":
            return http.client.HTTPSConnection(place.hostname, place.port, timeout=_CONNECT)
        return http.client.HTTPConnection(place.hostname, place.port, timeout=_CONNECT)

    def path(self, path: str) -> str:
        """Where ``/v1/…`` lies there."""
        return (urlsplit(self.url).path.rstrip("/") or "/v1") + path.removeprefix("/v1")

    def headers(self) -> dict[str, str]:
        said = {"content-type": "application/json"}
        return said | {"authorization": f"Bearer {self.key}"} if self.key else said

    def __repr__(self) -> str:
        return f"Link({self.url!r}, {self.model!r}, at_once={self.at_once})"  # without the key


@dataclass(frozen=True, slots=True)
class Given:
    """What the upstream said to one request: an HTTP status and a body in the dialect of whoever asked."""

    status: int
    body: dict[str, Any]


class Upstream:
    """Asks one server, ``at_once`` requests at a time. Safe to use from several threads.

    A host name in the environment's proxies has no say here: the upstream is asked directly.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._places = threading.BoundedSemaphore(link.at_once)
        self._gone = threading.Event()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def ask(self, path: str, asked: Mapping[str, Any]) -> Given:
        """The answer to one request, or the upstream's refusal of it. Messages are translated, there and back.

        What may pass (no connection, 429, 5xx) is tried again a few times, then it is a 503 of this one request.
        Raises Refused for what has no translation, and Gone.
        """
        translated = path == _MESSAGES
        body = upstream_messages.chat_of(asked) if translated else dict(asked)
        if self.link.model:
            body["model"] = self.link.model
        with self._places:
            given = self._tried(_CHAT if translated else path, orjson.dumps(body))
        if translated and given.status == 200:
            return Given(200, upstream_messages.message_of(given.body))
        return given

    def close(self) -> None:
        """Let go of what is under way; whoever waits for it gets Gone."""
        self._gone.set()
        with self._lock:
            for connection in self._open:
                if connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def _tried(self, path: str, body: bytes) -> Given:
        given = Given(503, {})
        for turn in range(_TRIES):
            if self._gone.wait(_PAUSE * 2 ** (turn - 1) if turn else 0):
                raise Gone
            try:
                given = self._sent(path, body)
            except (OSError, http.client.HTTPException) as error:
                given = Given(503, {"error": {"message": f"the upstream does not answer: {error or type(error)}"}})
            if self._gone.is_set() and given.status != 200:
                raise Gone
            if given.status not in _AGAIN:
                break
        return given

    def _sent(self, path: str, body: bytes) -> Given:
        """One try on a connection of its own: a kept one may be closed by the server at the moment of its use."""
        with self._held(self.link.connection()) as connection:
            connection.connect()
            connection.sock.settimeout(_ANSWER)
            connection.request("POST", self.link.path(path), body, self.link.headers())
            reply = connection.getresponse()
            return _read(reply.status, reply.read())

    @contextmanager
    def _held(self, connection: http.client.HTTPConnection) -> Iterator[http.client.HTTPConnection]:
        with self._lock:
            self._open.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def reach(link: Link) -> None:
    """Say at the start what would otherwise be said by every request. Raises Unreachable."""
    try:
        connection = link.connection()
    except ValueError as error:
        raise Unreachable(str(error)) from error
    try:
        connection.request("GET", link.path("/v1/models"), headers=link.headers())
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"nobody answers at {link.url}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if status in {401, 403}:
        raise Unreachable(f"{link.url} wants a key, or another one: --upstream-key-env NAME")


def refusal(given: Given) -> Refused:
    """The upstream's own words, whether it says them as OpenAI, as FastAPI or as a page."""
    told = given.body.get("error", given.body)
    if not isinstance(told, Mapping):
        told = {"message": told}
    message = told.get("message") or told.get("detail") or "The upstream refused this request."
    code, param = (told.get(name) if isinstance(told.get(name), str) else None for name in ("code", "param"))
    return Refused(given.status, str(message), code=code, param=param)


def _read(status: int, raw: bytes) -> Given:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = raw[:500].decode("utf-8", "replace")
    if isinstance(body, dict) and (status != 200 or "error" not in body):
        return Given(status, body)
    if status == 200:
        status, body = 502, body.get("error") if isinstance(body, dict) else f"not an answer: {str(body)[:200]}"
    return Given(status, {"error": body if isinstance(body, dict) else {"message": str(body)}})
