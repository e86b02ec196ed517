"""What a store promises. A store keeps objects by key and never overwrites one.

Floor 2. A store knows nothing of DuckDB, batches or runs.

Errors of every verb: ValueError for a bad key (a bug of ours); InputError for what a person must mend (an unwritable
folder, a full disk, credentials, the bucket); NotFinished when a server is unreachable after the retries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A folder or an S3 prefix. Keys are relative paths of ``[A-Za-z0-9._@=-]`` segments joined by ``/``.

    ``.``, ``..`` and ``.part`` are no segments; a segment has at most 200 characters, a key 700. A key is never also
    the folder of other keys. Safe to use from several threads, and from several processes and machines at once.
    """

    @property
    def url(self) -> str:
        """The address as a person would type it: a folder path or ``s3://bucket/prefix``."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write ``data`` under ``key`` if nothing is there yet; durable on return, and whole or absent at any moment.

        Returns False when the key exists already: somebody else was first, or we were, before a crash. A lost reply
        is settled before returning, so True means that the object there is of this very call. After an error the
        object may be there or not: read again before deciding anything.
        """
        ...

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        """Like ``create`` with the content of a local file, streamed. The local file is left alone.

        With ``drop`` it is gone on return, and stays after an error. It may have become the object itself, then too, so
        it is never written to again. Raises FileNotFoundError when ``path`` is not there.
        """
        ...

    def read(self, key: str) -> bytes:
        """The whole object. Raises MissingObject."""
        ...

    def fetch(self, key: str) -> Path:
        """A local file with the object's content, read-only, cached by key. Raises MissingObject.

        It keeps the suffix of the key. It stays until the key or the cache is deleted.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object under ``key`` now."""
        ...

    def size(self, key: str) -> int:
        """Bytes of the object. Raises MissingObject."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys that start with ``prefix`` and sort after ``after``, in order of their characters (ASCII).

        ``prefix`` may end in mid-segment; ``""`` is everything. ``after`` is a whole key or any text to compare with,
        and what sorts before it is skipped cheaply. What is created meanwhile may or may not be seen, and a key may be
        given for a while although it was deleted: whoever reads what was listed has to expect MissingObject.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Only for ``prune`` and for probes; missing keys are ignored."""
        ...

    def probe(self) -> None:
        """Prove that the store can be written and honours create-if-absent; leaves no object behind.

        Raises InputError naming the store and what it got wrong.
        """
        ...

    def sub(self, prefix: str) -> Store:
        """The store below a prefix, e.g. the rehearsal's side."""
        ...
