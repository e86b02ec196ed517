"""A batch host in memory with a bill of its own, in the OpenAI dialect or with Anthropic's properties.

What it sends goes through the adapters' own readers of shapes and of lists; what its transport does wrong comes as the
errors that an adapter raises after its own patience (``providers/base.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.errors import MaybeCreated, ProviderRefused
from chimera_batch.providers import anthropic_shapes, listing, openai_shapes
from chimera_batch.providers.base import Profile
from chimera_batch.records import BatchState, Intent, Reply
from tests.faults.sim import answers, fates
from tests.faults.sim.batches import SimBatch
from tests.faults.sim.world import Process, World

_SKEW = {"openai": 600.0, "anthropic": 300.0}  # as the adapters have it
_PAGE = 3  # objects of a page of a list
LATE = 90.0  # seconds after which a create that was lost takes effect


@dataclass(frozen=True, slots=True)
class Execution:
    """One request that the host executed, and charges."""

    request: str
    nonce: str
    at: float
    usd: Decimal
    usable: bool
    delivered: bool
    priced: bool
    batch: SimBatch | None  # None: a synchronous call
    note: str = ""


@dataclass
class Late:
    """A create whose request is still on its way."""

    at: float
    intent: Intent
    sent: bytes
    file: str | None


@dataclass
class HostWorld:
    """What the host is, whoever asks. ``totals``: its batches tell how many tokens they were."""

    name: str
    world: World
    profile: Profile
    totals: bool
    files: dict[str, tuple[str, bytes, float]] = field(default_factory=dict)
    uploads: int = 0  # ever: an id is never given twice, though its file may be gone
    batches: dict[str, SimBatch] = field(default_factory=dict)
    calls: list[Execution] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        return self.profile.dialect

    def bill(self) -> list[Execution]:
        """What was executed by now, in the order of time."""
        now = self.world.clock()
        found = list(self.calls)
        for batch in self.batches.values():
            for row in batch.executed(now):
                head, request = row.custom_id[:8], answers.identity(row.custom_id)
                usd = row.usd or Decimal(0)
                delivered = row.delivered and not batch.plan.no_files
                found.append(Execution(request, head, row.at, usd, row.usable, delivered, row.priced, batch))
        return sorted(found, key=lambda one: one.at)

    def begin(self, intent: Intent, sent: bytes, file: str | None, *kinds: str, at: float | None = None) -> SimBatch:
        """A batch comes to be, now or ``at`` a time before; the faults that are due for it strike it."""
        due = self.world.due(f"{self.name}.batch")
        found = {fault.kind: fault for fault in due if self.dialect == "openai" or fault.kind not in fates.OPENAI_ONLY}
        for fault in found.values():
            self.world.strike(fault)
        batch = fates.batch_of(
            f"{self.name}-{len(self.batches) + 1}", self.dialect, sent, at or self.world.clock(), found
        )
        batch.kinds |= set(kinds)
        batch.nonce, batch.file_id, batch.totals = intent.nonce, file, self.totals
        batch.metadata = intent.metadata if self.profile.keeps_metadata else None
        self.batches[batch.id] = batch
        return batch

    def arrive(self) -> None:
        """Creates that were on their way for so long took effect then, if the file is there: nobody called since."""
        due = [one for one in self.late if one.at <= self.world.clock()]
        self.late = [one for one in self.late if one not in due]
        for one in due:
            if one.file is None or one.file in self.files:
                self.begin(one.intent, one.sent, one.file, "late", at=one.at)


class SimHost:
    """A Provider: the host as one process reaches it."""

    def __init__(self, host: HostWorld, process: Process) -> None:
        self._host, self._process, self._name = host, process, host.name
        self.profile = host.profile
        self.plain = openai_shapes.PLAIN if host.dialect == "openai" else {}

    @property
    def _now(self) -> float:
        return self._host.world.clock()

    def _call(self, verb: str) -> Any:
        self._host.arrive()
        return self._process.call(f"{self._name}.{verb}")

    def upload(self, intent: Intent, path: Path) -> str | None:
        if not self.profile.deletes_files:
            return None
        with self._call("upload"):
            self._host.uploads += 1
            file = f"file-{self._name}-{self._host.uploads}"
            self._host.files[file] = (intent.file_name, path.read_bytes(), self._now)
        return file

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        sent = path.read_bytes()
        with self._call("create") as fault:
            kind = fault.kind if fault else ""
            if file_id is not None and file_id not in self._host.files:
                raise ProviderRefused("Cannot find file", status=400)
            if kind == "lost_late":
                self._host.late.append(Late(self._now + LATE, intent, sent, file_id))
                raise MaybeCreated("create: no reply (ReadTimeout)", hint="run again")
            made = self._host.begin(intent, sent, file_id, *([kind] if kind else []))
        return made.id

    def find(self, intent: Intent) -> list[BatchState]:
        with self._call("find") as fault:
            made = [batch for batch in self._host.batches.values() if batch.plan.shown <= self._now]
            raws = [batch.raw(self._now) for batch in reversed(made)]
            page = _paged(raws, loops=fault is not None and fault.kind == "loops")
            listed = listing.since(page, intent.at - _SKEW[self._host.dialect], self._name)
            found = [self._shape(raw) for raw in listed if self._may_be(raw, intent)]
        if self._host.dialect == "anthropic":
            return [state for state in found if state.total == intent.requests]
        return found

    def _may_be(self, raw: Mapping[str, Any], intent: Intent) -> bool:
        if self.profile.keeps_metadata:
            return bool(raw["metadata"]["chimera_nonce"] == intent.nonce)
        if self._host.dialect == "openai":
            return self._host.files.get(raw["input_file_id"], ("",))[0] == intent.file_name
        return True

    def _shape(self, raw: Mapping[str, Any]) -> BatchState:
        shapes = anthropic_shapes if self._host.dialect == "anthropic" else openai_shapes
        return shapes.batch_state(raw)

    def state(self, batch_id: str) -> BatchState:
        with self._call("state"):
            return self._shape(self._known(batch_id).raw(self._now))

    def _known(self, batch_id: str) -> SimBatch:
        if batch_id not in self._host.batches:
            raise ProviderRefused(f"there is no batch {batch_id}", status=404)
        return self._host.batches[batch_id]

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        known = self._known(batch.id)
        for handle in batch.files:
            with self._call("fetch") as fault:
                which = "all" if self._host.dialect == "anthropic" else handle.rpartition(".")[2]
                data = known.results(which)
                if fault is not None and fault.kind == "cut":
                    known.cuts += 1
                    data = data[: int(len(data) * (1 - fault.share))]
                path = folder / f"{handle}.jsonl"
                path.write_bytes(data)
            yield path

    def decode(self, line: bytes) -> Reply:
        return (anthropic_shapes if self._host.dialect == "anthropic" else openai_shapes).decode(line)

    def cancel(self, batch_id: str) -> None:
        with self._call("cancel"):
            self._known(batch_id).cancel(self._now)

    def discard(self, file_ids: Iterable[str]) -> None:
        for file in file_ids if self.profile.deletes_files else ():
            with self._call("discard"):
                self._host.files.pop(file, None)

    def find_uploads(self, intent: Intent) -> list[str]:
        with self._call("find_uploads"):
            return [file for file, (name, _, _) in self._host.files.items() if name == intent.file_name]

    def close(self) -> None:
        """Nothing to let go of."""

    def ask(self, line: bytes) -> bytes:
        with self._call("ask") as fault:
            asked = orjson.loads(line)
            row = fates.row_of(self._host.dialect, asked, self._now, single=True)
            kind = fault.kind if fault else ""
            if row.usd is not None and kind == "broken":
                row = fates.unusable(self._host.dialect, row, '{"m": "no"}', single=True)
            if row.usd is not None and kind == "truncated":
                body = asked.get("body") or asked.get("params") or {}
                row = fates.unusable(self._host.dialect, row, '{"n": 1', most=answers.ceiling_of(body), single=True)
            if row.usd is not None:
                lost = kind if kind.endswith("_after") else ""
                request, nonce = answers.identity(row.custom_id), row.custom_id[:8]
                self._host.calls.append(
                    Execution(request, nonce, self._now, row.usd, row.usable, not lost, True, None, lost)
                )
        return row.lines[0]


def _paged(raws: list[dict[str, Any]], *, loops: bool) -> listing.Page:
    """The list in small pages, newest first. ``loops``: its cursor leads back to the beginning."""

    def page(after: str | None) -> Mapping[str, Any]:
        ids = [raw["id"] for raw in raws]
        start = 0 if after is None or loops else ids.index(after) + 1
        return {"data": raws[start : start + _PAGE], "has_more": loops or start + _PAGE < len(raws)}

    return page
