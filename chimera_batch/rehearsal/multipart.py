"""multipart/form-data as a stream: a 200 MB upload passes through without ever being in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r'(?:^|[;\s])name="((?:[^"\\]|\\.)*)"')
_FILE = re.compile(r'filename="((?:[^"\\]|\\.)*)"')


class BadForm(ValueError):
    """The body is not the multipart form that its header promises."""


@dataclass(frozen=True, slots=True)
class Part:
    """The start of a part; its bytes follow as ``bytes`` events."""

    name: str
    file_name: str | None


def boundary_of(content_type: str) -> bytes:
    """The boundary in a Content-Type header. Raises BadForm."""
    found = re.search(r'boundary="?([^";,]{1,200})"?', content_type)
    if not content_type.lower().startswith("multipart/form-data") or not found:
        raise BadForm("expected multipart/form-data with a boundary")
    return found[1].strip().encode()


def events(chunks: Iterator[bytes], boundary: bytes) -> Iterator[Part | bytes]:
    """For each part a ``Part``, then its content in pieces. Raises BadForm when the body ends early."""
    mark = b"\r\n--" + boundary
    # The first delimiter has no line break before it; lending it one makes all delimiters alike.
    buffer = _Buffer(chunks, b"\r\n")
    for _ in buffer.until(mark):
        pass  # a preamble, which clients do not send
    while True:
        if buffer.take(2) == b"--":
            break
        yield _part(b"\r\n" + b"".join(buffer.until(b"\r\n\r\n")))
        yield from buffer.until(mark)
    for _ in chunks:
        pass  # an epilogue


def _part(head: bytes) -> Part:
    text = head.decode("utf-8", "replace")
    name = _NAME.search(text)
    if name is None:
        raise BadForm("a part has no name")
    file = _FILE.search(text)
    return Part(_plain(name[1]), _plain(file[1]) if file else None)


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted).replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


class _Buffer:
    """The few bytes that cannot be judged yet, in front of the chunks to come."""

    def __init__(self, chunks: Iterator[bytes], start: bytes) -> None:
        self._chunks = chunks
        self._held = start

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Everything before ``mark``, which is swallowed."""
        while (at := self._held.find(mark)) < 0:
            safe = len(self._held) - len(mark) + 1
            if safe > 0:
                yield self._held[:safe]
                self._held = self._held[safe:]
            self._more()
        if at:
            yield self._held[:at]
        self._held = self._held[at + len(mark) :]

    def take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _more(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise BadForm("the form ends before its last boundary")
        self._held += chunk
