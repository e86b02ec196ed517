"""Local copies of remote objects: complete or absent, private, read-only. May be deleted whenever nothing runs.

A copy is synced to the disk behind the reader's back. Until that is done its time of modification is ``_UNSYNCED``, and
no other process takes it for a copy: after a power cut it might be empty.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from chimera_batch.stores import disk

_UNSYNCED = 0  # seconds since 1970: no copy is as old


class ObjectCache:
    """A folder of copies, found by the object's whole address and checked by its version (an ETag) and size.

    The version is in the file's name, so that a store that was wiped and filled anew never serves its old content.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: set[Path] = set()  # saved by this process and not synced yet
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="sync")  # Python's end waits for it

    def knows(self, address: str) -> bool:
        """Whether any version of the object was ever copied; if not, there is nothing to compare."""
        return any(self._versions(address))

    def find(self, address: str, version: str, size: int) -> Path | None:
        """The copy of exactly this version, or None."""
        path = self._file(address, version)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        trusted = found.st_mtime != _UNSYNCED or path in self._own
        return path if trusted and found.st_size == size else None

    def save(self, address: str, version: str, write: Callable[[BinaryIO], object], size: int) -> Path | None:
        """Have a copy written; None, and nothing is kept, when it is not ``size`` bytes long.

        Raises InputError for a full disk or a folder that cannot be written.
        """
        path = self._file(address, version)
        with disk.explained("the cache folder", self._folder):
            part = path.parent / f"{uuid4().hex}.part"
            try:
                disk.write_private(part, write, mode=0o400, sync=False)
            except FileNotFoundError:  # a folder is made for many objects: making one costs as much as writing one
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                disk.write_private(part, write, mode=0o400, sync=False)
            if part.stat().st_size != size:
                part.unlink()
                return None
            os.utime(part, (_UNSYNCED, _UNSYNCED))
            self._own.add(path)
            part.rename(path)
        self._syncing.submit(self._sync, path)
        return path

    def settle(self) -> None:
        """Wait until everything that was saved is synced."""
        self._syncing.submit(lambda: None).result()

    def _sync(self, path: Path) -> None:
        with suppress(OSError):  # forgotten meanwhile, or a disk that fails: then it stays a copy of this process alone
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
                os.utime(handle)
            finally:
                os.close(handle)
            self._own.discard(path)

    def forget(self, address: str) -> None:
        """Remove all copies of an object."""
        folder, _ = self._place(address)
        for name in self._versions(address):
            (folder / name).unlink(missing_ok=True)

    def _versions(self, address: str) -> Iterator[str]:
        folder, digest = self._place(address)
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from (name for name in os.listdir(folder) if name.startswith(digest))  # noqa: PTH208 - half the time

    def _place(self, address: str) -> tuple[Path, str]:
        """The folder of some 1/256 of all objects, and how the names of this one's copies begin there."""
        digest = hashlib.sha256(address.encode()).hexdigest()
        return self._folder / "objects" / digest[:2], digest[2:32]

    def _file(self, address: str, version: str) -> Path:
        """The address's last segment stays, as readers go by suffixes such as ``.jsonl.zst``."""
        folder, digest = self._place(address)
        return folder / f"{digest}-{hashlib.sha256(version.encode()).hexdigest()[:16]}-{address.rpartition('/')[2]}"
