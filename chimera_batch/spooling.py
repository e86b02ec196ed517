"""The spool of synchronous calls: on this machine, durable, before any of it is a fact in the store.

Two files beside each other. ``….jsonl`` holds the replies, one a line, as a batch's file would. ``….begun`` says which
calls were begun: ``+ID`` before a call, ``-ID`` after one that was certainly not charged. What was begun and has
neither a reply nor such a line may have been charged for nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO


class Spool:
    """The spool of one attempt. Open it (``with``) to write; the verbs may be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._calls = path.with_suffix(".begun")
        self._lock = threading.Lock()
        self._open = ExitStack()

    def __enter__(self) -> Spool:
        """The record of calls first: a reply without one is from a version that kept none."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._begun: BinaryIO = self._open.enter_context(self._calls.open("ab"))
        self._replies: BinaryIO = self._open.enter_context(self.path.open("ab"))
        _sync(folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def begin(self, ids: Iterable[str]) -> None:
        """These calls begin now. Durable on return, so that a call that was made is never unknown."""
        self._append(self._begun, b"".join(b"+%b\n" % identity.encode() for identity in ids))

    def uncharged(self, identity: str) -> None:
        """This call ended without an answer and is certain to be on nobody's bill."""
        self._append(self._begun, b"-%b\n" % identity.encode())

    def reply(self, line: bytes) -> None:
        self._append(self._replies, line.rstrip(b"\n") + b"\n")

    def begun(self) -> set[str] | None:
        """Ids of the calls that were begun, less those that are on nobody's bill; None where no record was kept."""
        if not self._calls.exists():
            return None
        found: set[str] = set()
        for line in _whole(self._calls).splitlines():
            (found.add if line[:1] == b"+" else found.discard)(line[1:].decode("ascii", "replace"))
        return found

    def mend(self) -> Path:
        """The replies, without a last line that was cut off by a crash; an empty file where there were none."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch()
        elif len(whole := _whole(self.path)) != self.path.stat().st_size:
            self.path.write_bytes(whole)
        return self.path

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._calls.unlink(missing_ok=True)

    def _append(self, file: BinaryIO, data: bytes) -> None:
        with self._lock:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _whole(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]


def _sync(folder: Path) -> None:
    """New names in a folder are durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
