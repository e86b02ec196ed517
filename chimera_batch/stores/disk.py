"""Files written so that they survive a crash and stay private, and what the system's refusals mean for a person.

Shared by the folder store and by the local cache of the S3 store.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chimera_batch.errors import ChimeraError, InputError, StoreDown

CHUNK = 1 << 20  # bytes; what is copied at a time
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a family of errno means. ``says`` and ``hint`` know {what}, {folder}, {above} and {reason}."""

    numbers: frozenset[int]
    says: str
    hint: str
    kind: type[ChimeraError] = InputError


_REFUSALS = (
    _Refusal(
        frozenset({errno.ENOSPC, errno.EDQUOT}),
        "the disk under {what} is full",
        "free some space, then run the same line again",
    ),
    _Refusal(
        frozenset({errno.EACCES, errno.EPERM, errno.EROFS}),
        "{what} cannot be used: {reason}",
        "ls -ld {folder} {above}   # must be yours",
    ),
    _Refusal(
        frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}),
        "{what} lies on a file system without hard links, which the store needs to write each object exactly once",
        "choose a folder on a local disk, or an s3:// store",
    ),
    _Refusal(
        frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR}),
        "{what} has a file where a folder is needed, or a folder where a file is needed",
        "ls -la {folder}   # move away what chimera-batch did not write",
    ),
    _Refusal(
        frozenset({errno.EIO, errno.ENXIO, errno.ENODEV}),
        "the disk under {what} fails: {reason}",
        "dmesg | tail   # what the system says of the disk; what was written is kept",
    ),
    _Refusal(
        frozenset({errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN}),
        "{what} lies on a server that does not answer: {reason}",
        "ls {folder}   # once it answers again, run the same line again",
        StoreDown,
    ),
)


def write_private(path: Path, write: Callable[[BinaryIO], object], *, mode: int = _PRIVATE, sync: bool = True) -> None:
    """Make ``path`` (which must not exist), have it written and synced; on failure nothing is left."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as out:
            write(out)
            if sync:
                out.flush()
                os.fsync(out.fileno())
    except BaseException:  # a KeyboardInterrupt in mid-copy must not leave 200 MB behind either
        path.unlink(missing_ok=True)
        raise


def make_private(file: BinaryIO) -> None:
    """Of a file that was written by others: its owner's alone, and synced."""
    os.chmod(file.fileno(), _PRIVATE)  # noqa: PTH101 - the file that is open, whatever has its name by now
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; without it a power cut can lose a file whose content was synced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(what: str, folder: Path) -> Iterator[None]:
    """Turn an OSError into a ChimeraError that says what to do. ``what`` names the place, e.g. "the store's folder"."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # an SDK's error that merely derives from OSError (botocore's time-outs do)
            raise
        raise explain(error, what, folder) from error


def explain(error: OSError, what: str, folder: Path) -> ChimeraError:
    """Pure: the error that a person gets to see for ``error`` under ``folder``."""
    at, reason = str(error.filename or folder), error.strerror or str(error)
    for known in _REFUSALS:
        if error.errno in known.numbers:
            told = {"what": what, "folder": folder, "above": folder.parent, "reason": reason}
            return known.kind(known.says.format(**told), where=at, hint=known.hint.format(**told))
    return ChimeraError(f"{what} failed: {reason}", where=at, hint=f"ls -la {folder}; df {folder}")
