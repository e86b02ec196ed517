"""A trip wire around a store's writes and a provider's calls: at the k-th of them something happens to the process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from chimera_batch.errors import ChimeraError
from chimera_batch.providers.base import Provider
from chimera_batch.records import BatchState, Intent
from chimera_batch.stores import probing
from chimera_batch.stores.base import Store

T = TypeVar("T")
When = Literal["before", "after"]
Act = Literal["kill", "stop", "error", "broken"]
"""``error``: an error of the project's own, as the stores raise; ``broken``: an OSError from nowhere."""


@dataclass
class Wire:
    """What happens where. ``kind``: "store", "host" or a call's own name ("host.create"); ``at`` counts from 1."""

    kind: str
    when: When
    at: int
    act: Act
    count: int = 0
    say: Callable[[str], Any] = print
    _lock: Any = field(default=None, repr=False)

    def step(self, kind: str, what: str, call: Callable[[], T]) -> T:
        """Do ``call``, tripping before or after it if it is the one."""
        mine = self._counted(kind)
        if mine and self.when == "before":
            self._trip(f"before {kind} {what}")
        done = call()
        if mine and self.when == "after":
            self._trip(f"after {kind} {what}")
        return done

    def _counted(self, kind: str) -> bool:
        self._lock = self._lock or threading.Lock()  # made here: a lock cannot be sent to another process
        with self._lock:
            self.count += kind == self.kind or kind.startswith(f"{self.kind}.")
            return self.count == self.at and (kind == self.kind or kind.startswith(f"{self.kind}."))

    def _trip(self, where: str) -> None:
        self.say(f"HIT {where}")
        if self.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.act == "error":
            raise ChimeraError(f"the store failed {where}")
        else:
            raise OSError(5, "Input/output error", where)


class TrippedStore:
    """A store whose writes are counted."""

    def __init__(self, inner: Store, wire: Wire) -> None:
        self._inner, self._wire = inner, wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, key: str, data: bytes) -> bool:
        return self._wire.step("store.create", _said(key, data), lambda: self._inner.create(key, data))

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> bool:
        return self._wire.step("store.create_file", key, lambda: self._inner.create_file(key, path, drop=drop))

    def delete(self, keys: Iterable[str]) -> None:
        listed = list(keys)
        self._wire.step("store.delete", " ".join(listed), lambda: self._inner.delete(listed))

    def probe(self) -> None:
        probing.probe(self)  # type: ignore[arg-type]  # through ourselves, so that its writes count


def _said(key: str, data: bytes) -> str:
    """A journal event is told apart by its type, not by its number."""
    return f"{key} {json.loads(data)['type']}" if key.startswith("journal/") else key


class TrippedHosts:
    """The hosts of a run, each behind the wire."""

    def __init__(self, inner: Callable[[str], Provider], wire: Wire) -> None:
        self._inner, self._wire = inner, wire
        self._made: dict[str, TrippedHost] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, name: str) -> TrippedHost:
        return self._made.setdefault(name, TrippedHost(self._inner(name), self._wire))


class TrippedHost:
    """A provider whose calls are counted."""

    def __init__(self, inner: Provider, wire: Wire) -> None:
        self._inner, self._wire = inner, wire
        self.profile = inner.profile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def upload(self, intent: Intent, path: Path) -> str | None:
        return self._step("upload", intent.shard, lambda: self._inner.upload(intent, path))

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        return self._step("create", intent.shard, lambda: self._inner.create(intent, path, file_id))

    def find(self, intent: Intent) -> list[BatchState]:
        return self._step("find", intent.shard, lambda: self._inner.find(intent))

    def state(self, batch_id: str) -> BatchState:
        return self._step("state", "", lambda: self._inner.state(batch_id))

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        return iter(self._step("fetch", "", lambda: list(self._inner.fetch(batch, folder))))

    def discard(self, file_ids: Iterable[str]) -> None:
        listed = list(file_ids)
        self._step("discard", f"{len(listed)} files", lambda: self._inner.discard(listed))

    def find_uploads(self, intent: Intent) -> list[str]:
        return self._step("find_uploads", intent.shard, lambda: self._inner.find_uploads(intent))

    def cancel(self, batch_id: str) -> None:
        self._step("cancel", "", lambda: self._inner.cancel(batch_id))

    def ask(self, line: bytes) -> bytes:
        return self._step("ask", "", lambda: self._inner.ask(line))

    def _step(self, name: str, what: str, call: Callable[[], T]) -> T:
        return self._wire.step(f"host.{name}", f"{self.profile.name} {what}".strip(), call)
