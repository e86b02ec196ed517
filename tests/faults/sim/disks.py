"""A folder store whose disk fails once: full, over quota, read-only, torn out; at each step that a write takes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


def _half(_number: int) -> Callable[..., Any]:
    return lambda handle, _mode: Half(handle, "wb")


@dataclass(frozen=True, slots=True)
class DiskFault:
    """``name`` of ``target`` does what ``how`` makes of the errno ``number``.

    ``exits``: with what a command may end that meets it.
    """

    target: Any
    name: str
    how: Callable[[int], Callable[..., Any]]
    number: int
    exits: tuple[int, ...] = (2,)

    @property
    def of_a_file_handed_over(self) -> DiskFault:
        """Nothing is written of it any more: what would fail there fails at its name."""
        return self if self.how is _fails else replace(self, target=os, name="link", how=_fails)


KINDS: dict[str, DiskFault] = {
    "full at open": DiskFault(os, "open", _opens, errno.ENOSPC),
    "full in mid-write": DiskFault(os, "fdopen", _half, errno.ENOSPC),
    "full at fsync": DiskFault(os, "fsync", _fails, errno.ENOSPC),
    "over quota at the name": DiskFault(os, "link", _fails, errno.EDQUOT),
    "read-only": DiskFault(os, "open", _opens, errno.EROFS),
    "not ours": DiskFault(os, "open", _opens, errno.EACCES),
    "fsync of the folder fails, the name stays": DiskFault(disk, "sync_folder", _fails, errno.EIO),
    "the disk is torn out": DiskFault(os, "open", _opens, errno.EIO),
    "the server of the folder is gone": DiskFault(os, "open", _opens, errno.ESTALE, (5,)),
}


class FailingFolder(FolderStore):
    """The real store in a folder, whose ``at``-th write meets a fault. Counts its writes, of all commands together."""

    def __init__(self, root: Path, at: int, kind: str) -> None:
        super().__init__(root)
        self.at, self.kind = at, kind
        self.writes, self.struck = 0, False

    def _place(self, key: str, write: Callable[[Any], object]) -> bool:
        with self._disk(key, KINDS[self.kind]):
            return super()._place(key, write)

    def _give(self, key: str, path: Path, file: Any) -> bool | None:
        with self._disk(key, KINDS[self.kind].of_a_file_handed_over):
            return super()._give(key, path, file)

    @contextmanager
    def _disk(self, key: str, fault: DiskFault) -> Iterator[None]:
        self.writes += 1
        if self.writes - 1 != self.at or self.exists(key):
            yield
            return
        self.struck = True
        with mock.patch.object(fault.target, fault.name, fault.how(fault.number)):
            yield
