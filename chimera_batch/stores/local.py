"""The store in a folder: one file per object, made by a hard link, so that it appears whole and only once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from chimera_batch.errors import ChimeraError, MissingObject
from chimera_batch.stores import disk, probing
from chimera_batch.stores.keys import SPOOL, check_key, check_prefix, is_segment

_LINK_TRIES = 5  # a folder can vanish between mkdir and link only while a delete empties it


def connect(url: str, *, cache: Path) -> FolderStore:
    """The store in the folder ``url``; ``~`` is the home folder. The folder is made by the first write."""
    del cache  # the objects are local files already
    return FolderStore(Path(os.path.abspath(Path(url).expanduser())))  # noqa: PTH100 - resolve() would follow links


class FolderStore:
    """A Store in a local folder, private to its owner (0600 files, 0700 folders). Safe to use from several threads.

    Half-written files live in ``.part/`` under the root, are never listed, and may be deleted when nothing runs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spool = root / SPOOL
        self._made: set[Path] = set()  # folders whose own names are known to be durable

    def __repr__(self) -> str:
        return f"FolderStore({self.url!r})"

    @property
    def url(self) -> str:
        """The absolute path of the folder."""
        return str(self._root)

    def create(self, key: str, data: bytes) -> bool:
        """See Store. Raises InputError for a folder that cannot be written or a full disk."""
        return self._place(key, lambda out: out.write(data))

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        """See Store. Copies, as a link would let a later change of ``path`` change the object.

        What is dropped is changed no more: it becomes the object where it lies on the store's file system.
        """
        with path.open("rb") as source:
            won = self._give(key, path, source) if drop else None
            if won is None:
                won = self._place(key, lambda out: shutil.copyfileobj(source, out, disk.CHUNK))
        if drop:
            path.unlink(missing_ok=True)
        return won

    def read(self, key: str) -> bytes:
        """See Store."""
        path = self._path(key)
        with _explained(self._root):
            try:
                return path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise self._missing(key) from None

    def fetch(self, key: str) -> Path:
        """The object's own file: not to be changed."""
        if not self.exists(key):
            raise self._missing(key)
        return self._path(key)

    def exists(self, key: str) -> bool:
        """See Store. A folder that may not be read raises InputError; it never looks like an absent key."""
        path = self._path(key)
        with _explained(self._root):
            return path.is_file()

    def size(self, key: str) -> int:
        """See Store."""
        return self.fetch(key).stat().st_size

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store. Visits only folders that can hold a wanted key; files that are not objects are passed over."""
        start = check_prefix(prefix).rpartition("/")[0]
        return _walk(self._root, f"{start}/" if start else "", prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        """See Store. Folders that become empty go too."""
        for key in keys:
            path = self._path(key)
            with _explained(self._root):
                if path.is_file():
                    path.unlink(missing_ok=True)
                self._prune(path.parent)

    def probe(self) -> None:
        """See Store."""
        probing.probe(self)

    def sub(self, prefix: str) -> FolderStore:
        """See Store."""
        return FolderStore(self._path(prefix))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _missing(self, key: str) -> ChimeraError:
        return MissingObject("is not in the store", where=f"{self.url}/{key}")

    def _place(self, key: str, write: Callable[[BinaryIO], object]) -> bool:
        final = self._path(key)
        if self.exists(key):  # spares writing a large file only to throw it away
            return False
        with _explained(self._root):
            self._make_folder(self._spool)
            part = self._spool / f"{uuid4().hex}.part"
            disk.write_private(part, write)
            try:
                return self._link(part, final)
            finally:
                part.unlink(missing_ok=True)

    def _give(self, key: str, path: Path, file: BinaryIO) -> bool | None:
        """Make a local file, open as ``file``, the object; None where it lies on another file system."""
        final = self._path(key)
        if self.exists(key):
            return False
        with _explained(self._root):
            self._make_folder(self._root)
            if os.fstat(file.fileno()).st_dev != self._root.stat().st_dev:
                return None
            disk.make_private(file)
            try:
                return self._link(path, final)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return None

    def _link(self, part: Path, final: Path) -> bool:
        for _ in range(_LINK_TRIES):
            try:
                self._make_folder(final.parent)
                final.hardlink_to(part)
            except FileNotFoundError:  # a delete removed the empty folder under us
                self._made.clear()
                continue
            except FileExistsError:
                if not final.is_file():
                    raise
                # On NFS the reply to a link that was made can be lost, and its repeat says "exists": ask the inode.
                if not final.samefile(part):
                    return False
            disk.sync_folder(final.parent)
            return True
        raise ChimeraError("the folder keeps vanishing while it is written to", where=str(final.parent))

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, and make their names durable, once for each folder and process."""
        if folder in self._made:
            return
        above = folder == self._root or not folder.is_relative_to(self._root)
        if above and folder.is_dir():  # made by its owner; what lies above it may not even be ours to read
            self._made.add(folder)
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        disk.sync_folder(folder.parent)
        self._made.add(folder)

    def _prune(self, folder: Path) -> None:
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return
            self._made.discard(folder)
            folder = folder.parent


def _walk(root: Path, folder: str, prefix: str, after: str) -> Iterator[str]:
    for found in _entries(root, folder, prefix, after):
        if found.endswith("/"):
            yield from _walk(root, found, prefix, after)
        else:
            yield found


def _entries(root: Path, folder: str, prefix: str, after: str) -> list[str]:
    """Keys of one folder, and its folders with a slash behind, in key order ("a-b" < "a/…" < "a0")."""
    found = []
    with _explained(root), suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / folder) as scan:
        for entry in scan:
            key = folder + entry.name
            if not _may_hold(key, prefix, after) or not is_segment(entry.name):
                continue  # decided by name alone: a journal's folder has many entries and few are new
            if entry.is_dir(follow_symlinks=False):
                found.append(key + "/")
            elif key.startswith(prefix) and key > after and entry.is_file(follow_symlinks=False):
                found.append(key)
    return sorted(found)


def _may_hold(key: str, prefix: str, after: str) -> bool:
    """Whether ``key``, or a key below it if it is a folder, can start with ``prefix`` and sort after ``after``."""
    below = key + "/"
    return (key.startswith(prefix) or prefix.startswith(below)) and (below > after or after.startswith(below))


def _explained(root: Path) -> AbstractContextManager[None]:
    return disk.explained("the store's folder", root)
