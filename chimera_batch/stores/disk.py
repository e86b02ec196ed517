"""Files written so that they survive a crash and stay private, and what the system's refusals mean for a person.

Shared by the folder store and by the local cache of the S3 store.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from chimera_batch.errors import ChimeraError, InputError

CHUNK = 1 << 20  # bytes; what is copied at a time

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_private(path: Path, write: Callable[[BinaryIO], object], *, mode: int = 0o600, sync: bool = True) -> None:
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
    at = str(error.filename or folder)
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return InputError(
            f"the disk under {what} is full", where=at, hint="free some space, then run the same line again"
        )
    if error.errno in _CLOSED:
        return InputError(
            f"{what} cannot be used: {reason}", where=at, hint=f"ls -ld {folder} {folder.parent}   # must be yours"
        )
    if error.errno in _NO_LINKS:
        return InputError(
            f"{what} lies on a file system without hard links, which the store needs to write each object exactly once",
            where=at,
            hint="choose a folder on a local disk, or an s3:// store",
        )
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return InputError(
            f"{what} has a file where a folder is needed, or a folder where a file is needed",
            where=at,
            hint=f"ls -la {folder}   # move away what chimera-batch did not write",
        )
    return ChimeraError(f"{what} failed: {reason}", where=at)
