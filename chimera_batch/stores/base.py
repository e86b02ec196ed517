"""What a store promises. A store keeps objects by key and never overwrites one.

Floor 2. A store knows nothing of DuckDB, batches or runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A folder or an S3 prefix. Keys are relative paths of ``[A-Za-z0-9._@=-]`` segments joined by ``/``."""

    @property
    def url(self) -> str:
        """The address as a person would type it: a folder path or ``s3://bucket/prefix``."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write ``data`` under ``key`` if nothing is there yet; durable on return.

        Returns False when the key exists already (somebody else was first, or we were, before a crash).
        """
        ...

    def create_file(self, key: str, path: Path) -> bool:
        """Like ``create`` with the content of a local file, streamed. The local file is left alone."""
        ...

    def read(self, key: str) -> bytes:
        """The whole object. Raises MissingObject."""
        ...

    def fetch(self, key: str) -> Path:
        """A local file with the object's content, read-only, cached by key. Raises MissingObject."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys that start with ``prefix`` and sort after ``after``, in order."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Only for ``prune`` and for probes; missing keys are ignored."""
        ...

    def probe(self) -> None:
        """Prove that the store can be written and honours create-if-absent; leaves nothing behind.

        Raises InputError naming the store and what it got wrong.
        """
        ...

    def sub(self, prefix: str) -> Store:
        """The store below a prefix, e.g. the rehearsal's side."""
        ...
