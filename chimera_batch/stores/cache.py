"""Local copies of remote objects: complete or absent, private, read-only. May be deleted whenever nothing runs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from chimera_batch.stores import disk


class ObjectCache:
    """A folder of copies, found by the object's whole address and checked by its version (an ETag) and size.

    The version is in the file's name, so that a store that was wiped and filled anew never serves its old content.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def knows(self, address: str) -> bool:
        """Whether any version of the object was ever copied; if not, there is nothing to compare."""
        return self._place(address).is_dir()

    def find(self, address: str, version: str, size: int) -> Path | None:
        """The copy of exactly this version, or None."""
        path = self._file(address, version)
        return path if path.is_file() and path.stat().st_size == size else None

    def save(self, address: str, version: str, chunks: Iterable[bytes], size: int) -> Path | None:
        """Write a copy; None, and nothing is kept, when ``chunks`` are not ``size`` bytes long.

        Raises InputError for a full disk or a folder that cannot be written.
        """
        path = self._file(address, version)
        with disk.explained("the cache folder", self._folder):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.parent / f"{uuid4().hex}.part"
            disk.write_private(part, lambda out: out.writelines(chunks))
            if part.stat().st_size != size:
                part.unlink()
                return None
            part.chmod(0o400)
            return part.rename(path)

    def forget(self, address: str) -> None:
        """Remove all copies of an object."""
        shutil.rmtree(self._place(address), ignore_errors=True)

    def _place(self, address: str) -> Path:
        return self._folder / "objects" / hashlib.sha256(address.encode()).hexdigest()[:40]

    def _file(self, address: str, version: str) -> Path:
        """The address's last segment stays, as readers go by suffixes such as ``.jsonl.zst``."""
        digest = hashlib.sha256(version.encode()).hexdigest()[:16]
        return self._place(address) / f"{digest}-{address.rpartition('/')[2]}"
