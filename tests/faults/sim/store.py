"""A store in memory that several machines share, seen through one process, with the failures that a real one has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chimera_batch.errors import MissingObject
from chimera_batch.stores.base import Store
from tests.faults.sim.world import Process

LAG = 600.0  # seconds for which a listing that lags leaves new objects out


@dataclass
class Objects:
    """What lies in the store, and since when."""

    data: dict[str, bytes] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)


class SimStore:
    """A Store. Copies of objects lie in the machine's folder."""

    url = "sim://store"

    def __init__(self, objects: Objects, process: Process) -> None:
        self._objects = objects
        self._process = process
        self._cache = process.machine.folder / "objects"
        self._cache.mkdir(parents=True, exist_ok=True)

    def create(self, key: str, data: bytes) -> bool:
        with self._process.call("store.create"):
            if key in self._objects.data:
                return False
            self._objects.data[key] = bytes(data)
            self._objects.made[key] = self._process.world.clock()
            return True

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        won = self.create(key, path.read_bytes())
        if drop:
            path.unlink()
        return won

    def read(self, key: str) -> bytes:
        with self._process.call("store.read"):
            return self._found(key)

    def fetch(self, key: str) -> Path:
        with self._process.call("store.fetch"):
            data = self._found(key)
        path = self._cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}-{key.rpartition('/')[2]}"
        if not path.exists():
            path.write_bytes(data)
        return path

    def exists(self, key: str) -> bool:
        with self._process.call("store.read"):
            return key in self._objects.data

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        with self._process.call("store.list") as fault:
            until = self._process.world.clock() - (LAG if fault and fault.kind == "lags" else 0)
            keys = sorted(
                k for k, at in self._objects.made.items() if k.startswith(prefix) and k > after and at <= until
            )
        return iter(keys)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._objects.data.pop(key, None)
            self._objects.made.pop(key, None)

    def probe(self) -> None:
        """Nothing to prove."""

    def size(self, key: str) -> int:
        with self._process.call("store.read"):
            return len(self._found(key))

    def sub(self, prefix: str) -> Store:
        raise NotImplementedError(prefix)

    def _found(self, key: str) -> bytes:
        try:
            return self._objects.data[key]
        except KeyError:
            raise MissingObject("is not in the store", where=key) from None
