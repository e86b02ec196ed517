"""A folder store whose disk fails once: full, over quota, read-only, torn out; at each step that a write takes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from chimera_batch.stores import disk
from chimera_batch.stores.local import FolderStore


class Half(io.FileIO):
    """A file that takes half of what it is given, then no more: what a disk does that fills up."""

    def write(self, data: Any) -> int:
        super().write(bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fails(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def _opens(number: int) -> Callable[..., Any]:
    """``os.open`` that refuses to make files."""
    real = os.open

    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        return _fails(number)() if flags & os.O_CREAT else real(path, flags, *more, **named)

    return open_


@dataclass(frozen=True, slots=True)
class DiskFault:
    """``exits``: with what a command may end that meets it."""

    target: Any
    name: str
    act: Callable[[], Callable[..., Any]]
    exits: tuple[int, ...] = (2,)


KINDS: dict[str, DiskFault] = {
    "full at open": DiskFault(os, "open", lambda: _opens(errno.ENOSPC)),
    "full in mid-write": DiskFault(os, "fdopen", lambda: lambda handle, _mode: Half(handle, "wb")),
    "full at fsync": DiskFault(os, "fsync", lambda: _fails(errno.ENOSPC)),
    "over quota at the name": DiskFault(os, "link", lambda: _fails(errno.EDQUOT)),
    "read-only": DiskFault(os, "open", lambda: _opens(errno.EROFS)),
    "not ours": DiskFault(os, "open", lambda: _opens(errno.EACCES)),
    "fsync of the folder fails, the name stays": DiskFault(disk, "sync_folder", lambda: _fails(errno.EIO)),
    "the disk is torn out": DiskFault(os, "open", lambda: _opens(errno.EIO)),
    "the server of the folder is gone": DiskFault(os, "open", lambda: _opens(errno.ESTALE), (5,)),
}


class FailingFolder(FolderStore):
    """The real store in a folder, whose ``at``-th write meets a fault. Counts its writes, of all commands together."""

    def __init__(self, root: Path, at: int, kind: str) -> None:
        super().__init__(root)
        self.at, self.kind = at, kind
        self.writes, self.struck = 0, False

    def _place(self, key: str, write: Callable[[Any], object]) -> bool:
        self.writes += 1
        if self.writes - 1 != self.at or self.exists(key):
            return super()._place(key, write)
        self.struck = True
        with _failing(KINDS[self.kind]):
            return super()._place(key, write)


@contextmanager
def _failing(fault: DiskFault) -> Iterator[None]:
    with mock.patch.object(fault.target, fault.name, fault.act()):
        yield
