"""A spool's copy in the store, for machines that may be gone tomorrow: at most a minute of replies is lost with one.

Only for stores that lie elsewhere; a store in a folder of this machine is gone with it too. What is copied lies under
``spools/`` and is named by no event: it is read when an attempt is taken over, and ``prune`` may delete it. Floor 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from chimera_batch.calls.spooling import whole_until
from chimera_batch.errors import MissingObject
from chimera_batch.requests import wire
from chimera_batch.stores.base import Store

EVERY = 60.0  # seconds
_PART = 32 << 20  # bytes of an object, before it is compressed
_PIECE = 1 << 20


def elsewhere(store: Store) -> bool:
    """Whether a store outlives this machine."""
    return "://" in store.url


class Mirror:
    """What ``spool`` gains goes to ``prefix``, part by part. One process writes it: the owner of the attempt."""

    def __init__(self, store: Store, prefix: str, spool: Path) -> None:
        self._store, self._prefix, self._spool = store, prefix, spool
        self._parts = self._copied = 0

    def copy(self) -> None:
        """Whole lines that have come since. Raises what the store raises; the next call goes on where this one was."""
        end = whole_until(self._spool) if self._spool.exists() else 0
        while self._copied < end:
            self._part(min(end, self._copied + _PART))

    def _part(self, end: int) -> None:
        with TemporaryDirectory(prefix="chimera-mirror-") as folder, self._spool.open("rb") as spool:
            spool.seek(self._copied)
            left = end - self._copied
            pieces = iter(lambda: spool.read(min(_PIECE, end - spool.tell())), b"")
            packed = Path(folder) / "part.jsonl.zst"
            wire.compress(pieces, packed)
            self._store.create_file(_key(self._prefix, self._parts), packed, drop=True)
        self._parts, self._copied = self._parts + 1, self._copied + left


def restore(store: Store, prefix: str, path: Path) -> bool:
    """Write what was copied to ``path``, which may hold nothing yet; False where nothing was.

    Parts are asked for by their numbers: a listing may leave one out, and what is behind a gap is no beginning.
    """
    parts = _parts(store, prefix)
    first = next(parts, None)
    if first is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as file:
        for part in chain([first], parts):
            for chunk in wire.read_chunks(part):
                file.write(chunk)
    return True


def _key(prefix: str, number: int) -> str:
    return f"{prefix}/{number:06d}.jsonl.zst"


def _parts(store: Store, prefix: str) -> Iterator[Path]:
    with suppress(MissingObject):
        for number in count():
            yield store.fetch(_key(prefix, number))
