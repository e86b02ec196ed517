"""A batch at a simulated host: what it executes when, what becomes of its rows, what it says of itself meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from chimera_batch.providers import anthropic_shapes, openai_shapes
from tests.faults.sim import answers

NEVER = 1e12


@dataclass(slots=True)
class Row:
    """One request of a batch. ``usd`` None: refused, not executed. ``delivered``: its line can be read."""

    custom_id: str
    at: float  # when its turn comes
    tokens: tuple[int, int] | None
    usd: Decimal | None
    lines: list[bytes]
    usable: bool = False
    delivered: bool = True
    priced: bool = True  # its line tells the usage
    error: bool = False  # its line stands in the error file


@dataclass
class Plan:
    """When what happens to a batch, in seconds of the clock."""

    validated: float
    stops: float  # nothing is executed from here on
    final: float  # the status is one that ends it
    files: float  # output and error file can be seen
    word: str = "completed"
    output: float = 0.0  # the output file alone comes this late
    shown: float = 0.0  # in lists
    no_files: bool = False


@dataclass
class SimBatch:
    """``kinds``: the faults that are at work in it."""

    id: str
    dialect: str
    created: float
    rows: list[Row]
    plan: Plan
    nonce: str = ""
    file_id: str | None = None
    metadata: dict[str, str] | None = None
    totals: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    skew: float = 0.0
    cuts: int = 0  # downloads of it that ended early, without an error

    def executed(self, now: float) -> Iterator[Row]:
        if self.plan.word != "failed":
            yield from (row for row in self.rows if row.usd is not None and row.at <= min(now, self.plan.stops))

    def working(self, now: float) -> bool:
        return now < self.plan.final

    def cancel(self, now: float) -> None:
        """Stop it; what was executed by now is delivered after a while."""
        if self.working(now) and "cancel" not in self.plan.word and self.plan.word != "failed":
            self.plan.word, self.plan.stops = "cancelled", min(now, self.plan.stops)
            self.plan.final = self.plan.files = now + 240.0

    def status(self, now: float) -> str:
        plan = self.plan
        if not self.working(now):
            return plan.word
        if plan.word == "cancelled" and now >= plan.stops:
            return "cancelling"
        if "batch_flaps" in self.kinds and abs(now - (self.created + plan.final) / 2) < 60:
            return "completed"
        if "batch_unknown_word" in self.kinds and now < self.created + 4000:
            return "paused"
        if now < plan.validated:
            return "validating"
        return "finalizing" if now >= plan.stops else "in_progress"

    def raw(self, now: float) -> dict[str, Any]:
        """The object that the host would send."""
        made = _anthropic if self.dialect == "anthropic" else _openai
        return made(self, now)

    def results(self, which: str) -> bytes:
        """The bytes of its results: ``out``, ``err``, or ``all``."""
        wanted = [
            row for row in self.rows if which == "all" or row.error == (which == "err") or row.at > self.plan.stops
        ]
        told = [list(self._told(row, which)) for row in wanted]
        order = [number for number, lines in enumerate(told) for _ in lines]
        if "rows_shuffled" in self.kinds:
            random.Random(self.id).shuffle(order)
        turns = [iter(lines) for lines in told]  # of two answers to one request the host's first stays the first
        return b"".join(next(turns[number]) + b"\n" for number in order)

    def _told(self, row: Row, which: str) -> Iterator[bytes]:
        """The lines of one request."""
        if row.at <= self.plan.stops:
            yield from row.lines
        elif which != "out" and self.plan.word in {"expired", "cancelled"}:
            yield answers.ended_of(self.dialect, row.custom_id, self.plan.word)

    def odd_lines(self) -> int:
        """How many lines of its results are no first line of a request of its own."""
        shapes = anthropic_shapes if self.dialect == "anthropic" else openai_shapes
        own, lines = set[str](), self.results("all").split(b"\n")[:-1]
        for line in lines:
            with suppress(ValueError):
                own.add(shapes.decode(line).custom_id)
        return len(lines) - len(own & {row.custom_id for row in self.rows})


def _openai(batch: SimBatch, now: float) -> dict[str, Any]:
    plan, status, over = batch.plan, batch.status(now), not batch.working(now)
    none = "" if "batch_empty_ids" in batch.kinds else None
    shown = over and now >= plan.files and plan.word != "failed" and not plan.no_files
    output = shown and now >= plan.files + plan.output and bool(batch.results("out"))
    errors = shown and bool(batch.results("err"))
    done = list(batch.executed(now))
    counts = {"total": len(batch.rows), "completed": len(done), "failed": 0}
    if "batch_counts_lie" in batch.kinds:
        counts |= {"completed": len(batch.rows) + 3, "failed": 1}
    found: dict[str, Any] = {
        "id": batch.id,
        "object": "batch",
        "status": status,
        "created_at": int(batch.created + batch.skew),
        "input_file_id": batch.file_id,
        "output_file_id": f"{batch.id}.out" if output else none,
        "error_file_id": f"{batch.id}.err" if errors else none,
        "request_counts": counts if plan.word != "failed" else {"total": 0, "completed": 0, "failed": 0},
        "metadata": batch.metadata,
        "errors": {"object": "list", "data": batch.problems} if batch.problems and over else None,
        "usage": None,
    }
    if batch.totals and over and plan.word != "failed":
        made = [row.tokens or (0, 0) for row in done]
        found["usage"] = {"input_tokens": sum(i for i, _ in made), "output_tokens": sum(o for _, o in made)}
    return found


def _anthropic(batch: SimBatch, now: float) -> dict[str, Any]:
    over, status = not batch.working(now), batch.status(now)
    word = "ended" if over else {"cancelling": "canceling", "paused": "paused"}.get(status, "in_progress")
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    counts["succeeded" if over and "batch_counts_lie" not in batch.kinds else "processing"] = len(batch.rows)
    made = datetime.fromtimestamp(batch.created + batch.skew, UTC).isoformat()
    return {"id": batch.id, "processing_status": word, "request_counts": counts, "created_at": made}
