"""The spool of synchronous calls: on this machine, durable, before any of it is a fact in the store.

Two files beside each other. ``….jsonl`` holds the replies, one a line, as a batch's file would. ``….begun`` says which
calls were begun: ``+ID`` before a call, ``-ID`` after one that was certainly not charged. What was begun and has
neither a reply nor such a line may have been charged for nothing.

Many calls end at once, and a disk takes its time: what comes while it is being waited for is written together, and
waited for together. Nothing here holds more of a spool than a piece.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_PIECE = 1 << 20  # bytes


class Spool:
    """The spool of one attempt. Open it (``with``) to write; the verbs may be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._calls = path.with_suffix(".begun")
        self._open = ExitStack()

    def __enter__(self) -> Spool:
        """The record of calls first: a reply without one is from a version that kept none."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._begun = _Log(self._open.enter_context(self._calls.open("ab")))
        self._replies = _Log(self._open.enter_context(self.path.open("ab")))
        _sync(folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def begin(self, ids: Iterable[str]) -> None:
        """These calls begin now. Durable on return, so that a call that was made is never unknown."""
        self._begun.append(b"".join(b"+%b\n" % identity.encode() for identity in ids))

    def uncharged(self, identity: str) -> None:
        """This call ended without an answer and is certain to be on nobody's bill."""
        self._begun.append(b"-%b\n" % identity.encode())

    def reply(self, line: bytes) -> None:
        """An answer, durable on return."""
        self._replies.append(line.rstrip(b"\n") + b"\n")

    def begun(self) -> set[str] | None:
        """Ids of the calls that were begun, less those that are on nobody's bill; None where no record was kept."""
        if not self._calls.exists():
            return None
        found: set[str] = set()
        with self._calls.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # the last one may have been cut off
                    (found.add if line[:1] == b"+" else found.discard)(line[1:-1].decode("ascii", "replace"))
        return found

    def mend(self) -> Path:
        """The replies, without a last line that was cut off by a crash; an empty file where there were none."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch()
        elif (end := whole_until(self.path)) != self.path.stat().st_size:
            os.truncate(self.path, end)
        return self.path

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._calls.unlink(missing_ok=True)


class _Log:
    """A file that many threads append to. Whoever finds nobody at it writes for all that have come by then."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._turn = threading.Condition()
        self._coming: list[bytes] = []
        self._come = self._done = 0  # how many pieces were given, and how many of them are durable
        self._busy = False
        self._failed: OSError | None = None

    def append(self, data: bytes) -> None:
        """Durable on return. Raises OSError, from then on for everybody: what follows a torn piece is not written."""
        with self._turn:
            self._coming.append(data)
            self._come += 1
            mine = self._come
            while self._done < mine:
                if self._failed is not None:
                    raise self._failed
                if self._busy:
                    self._turn.wait()
                else:
                    self._write()

    def _write(self) -> None:
        """All that has come; the turn is let go meanwhile."""
        pieces, upto = self._coming, self._come
        self._coming, self._busy = [], True
        self._turn.release()
        failed: OSError | None = None
        try:
            self._file.write(b"".join(pieces))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            failed = error
        finally:
            self._turn.acquire()
            self._busy, self._failed = False, failed
            if failed is None:
                self._done = upto
            self._turn.notify_all()


def whole_until(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _PIECE)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


def _sync(folder: Path) -> None:
    """New names in a folder are durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
