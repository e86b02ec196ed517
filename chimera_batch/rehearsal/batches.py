"""A batch and its life, as pure functions of its record and the clock: no thread has to move it along.

``validate``, ``work`` and ``finalize`` are durations in real seconds, the compression already applied.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from chimera_batch.rehearsal.faults import Fault, find

How = Literal["completed", "expired", "cancelled"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a batch ends and how many of its rows are executed; decided before the first is."""

    how: How
    finished: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What execution left behind."""

    at: float
    how: How
    output: str | None  # file id (OpenAI) or the results' file name (Anthropic)
    error: str | None
    ok: int
    failed: int
    unfinished: int
    usage: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything known of a batch; a change makes a new one."""

    id: str
    n: int  # the nth batch ever created here
    dialect: Literal["openai", "anthropic"]
    profile: str
    endpoint: str
    created: float
    validate: float
    work: float
    finalize: float
    input_file_id: str = ""
    window: str = "24h"
    metadata: dict[str, str] | None = None
    version: str = ""  # anthropic-version of the create
    faults: tuple[Fault, ...] = ()
    model: str | None = None
    input_tokens: int = 0
    total: int | None = None  # None until the file was checked
    problems: tuple[dict[str, Any], ...] = ()
    cancelled: float | None = None  # when cancellation was asked for
    verdict: Verdict | None = None
    answered: int | None = None  # rows that an upstream has answered, while it does
    ended: Ended | None = None
    billed: bool = False
    deleted: bool = False

    @property
    def begins(self) -> float:
        return self.created + self.validate

    @property
    def due(self) -> float:
        """When the work is done by the clock."""
        return self.begins + self.work

    @property
    def over(self) -> bool:
        """Nothing is left to do: failed, or executed and billed."""
        return bool(self.problems) or self.billed


def pack(batch: Batch) -> dict[str, Any]:
    return asdict(batch)


def unpack(told: dict[str, Any]) -> Batch:
    """The inverse of ``pack``, through JSON."""
    known = {name: told[name] for name in (field.name for field in fields(Batch)) if name in told}
    known["faults"] = tuple(known["faults"])
    known["problems"] = tuple(known["problems"])
    known["verdict"] = Verdict(**known["verdict"]) if known["verdict"] else None
    known["ended"] = Ended(**known["ended"]) if known["ended"] else None
    return Batch(**known)


def status(batch: Batch, now: float) -> str:
    """OpenAI's word; ``anthropic_status`` turns it into Anthropic's."""
    if batch.total is None or now < batch.begins:
        return "validating" if batch.cancelled is None else "cancelling"
    if batch.problems:
        return "failed"
    if batch.ended is not None and batch.billed:
        if now >= ends(batch):
            return batch.ended.how
        return "cancelling" if batch.ended.how == "cancelled" else "finalizing"
    return _at_work(batch)


def _at_work(batch: Batch) -> str:
    if batch.cancelled is not None:
        return "cancelling"
    if odd := find(batch.faults, "stuck"):
        return str(odd.get("status", "in_progress"))
    odd = find(batch.faults, "unknown_status")
    return str(odd.get("status", "paused")) if odd else "in_progress"


def anthropic_status(batch: Batch, now: float) -> str:
    told = status(batch, now)
    if told in {"completed", "expired", "cancelled"}:
        return "ended"
    if batch.cancelled is not None or told == "cancelling":
        return "canceling"
    return told if told not in {"validating", "finalizing", "failed"} else "in_progress"


def ends(batch: Batch) -> float:
    """When the terminal status shows. Only for a batch that was executed."""
    if batch.ended is None:
        return math.inf
    asked = batch.cancelled if batch.ended.how == "cancelled" and batch.cancelled is not None else batch.due
    return max(asked, batch.ended.at) + batch.finalize


def counts(batch: Batch, now: float) -> dict[str, int]:
    """OpenAI's ``request_counts``."""
    said = {"total": batch.total or 0, "completed": 0, "failed": 0}
    if batch.problems or batch.total is None or now < batch.begins or early(batch):
        return {"total": 0, "completed": 0, "failed": 0}
    if batch.ended is not None and batch.billed:
        said |= {"completed": batch.ended.ok, "failed": batch.ended.failed}
        lie = find(batch.faults, "counts_lie")
        return said | {name: int(lie[name]) for name in said if name in lie} if lie else said
    return said | {"completed": progress(batch, now)}


def progress(batch: Batch, now: float) -> int:
    """Rows done by the clock, or as told; one short of all until they really are."""
    total = batch.total or 0
    if batch.answered is not None:
        return max(0, min(total - 1, batch.answered))
    done = min(max(now - batch.begins, 0.0), batch.work)  # before the division: work may be as good as nothing
    share = done / batch.work if batch.work > 0 else 1.0
    return max(0, min(total - 1, int(total * share)))


def early(batch: Batch) -> bool:
    """Cancelled before any row could begin."""
    return batch.cancelled is not None and batch.cancelled < batch.begins


def wants_execution(batch: Batch) -> float | None:
    """From when on it should be executed; None: never, or not yet known."""
    if batch.over or batch.total is None or batch.ended is not None:
        return None
    if batch.cancelled is not None:
        return min(batch.due, batch.cancelled)
    return None if find(batch.faults, "stuck") else batch.due


def judge(batch: Batch) -> Verdict:
    """How it ends. A cancellation keeps the rows that were done by then."""
    total = batch.total or 0
    for kind, how in (("expire", "expired"), ("cancel", "cancelled")):
        if fault := find(batch.faults, kind):
            return Verdict("expired" if how == "expired" else "cancelled", min(total, int(fault.get("finished", 0))))
    if batch.cancelled is not None and batch.cancelled < batch.due:
        return Verdict("cancelled", progress(batch, batch.cancelled))
    return Verdict("completed", total)
