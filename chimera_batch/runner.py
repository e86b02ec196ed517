"""plan · submit · poll · collect · join: one pass over all stages, and the loop that converges.

``advance`` is the whole engine: it may be killed anywhere and called again, by anyone, on any machine. ``converge``
calls it until nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chimera_batch import asking, fingerprints, joining, planning, polling, standing, submitting
from chimera_batch.context import Context
from chimera_batch.errors import InputError
from chimera_batch.facts import Asked, Table
from chimera_batch.project import Stage
from chimera_batch.warehouse import Warehouse

_PACK_TRIES = 50  # how often another runner may pack first before we call it a bug


@dataclass(slots=True)
class Progress:
    """What a pass found: what is still under way or waited for, and what only a person or a budget can free."""

    tables: dict[str, Table] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)  # stages without a current table
    in_flight: int = 0
    waits: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return not self.unfinished


def converge(ctx: Context, *, until: str | None = None) -> Progress:
    """Advance until the run is done, or until only a person, a budget or nobody can move it on."""
    while True:
        progress = advance(ctx, until=until)
        if progress.done or progress.stuck or (progress.over and not progress.in_flight):
            return progress
        if not _anything_new(ctx, progress):
            return progress


def _anything_new(ctx: Context, progress: Progress) -> bool:
    """Wait for the providers, without planning anything again, until one of them has moved."""
    while progress.in_flight or progress.waits:
        ctx.sleep(ctx.timing.poll)
        before = _position(ctx)
        if polling.poll(ctx) or _position(ctx) != before or not progress.in_flight:
            return True
    return False


def _position(ctx: Context) -> tuple[int, ...]:
    """What has landed or gone out, in numbers: changes whenever planning could find something new."""
    stands = [attempt.stand for _, attempt in ctx.ledger.refresh().attempts()]
    return tuple(stands.count(stand) for stand in ("claimed", "submitted", "stuck", "landed", "dropped"))


def advance(ctx: Context, *, until: str | None = None) -> Progress:
    """One pass: collect what ended, then take every stage as far as it goes."""
    polling.poll(ctx)
    progress = Progress()
    for stage in stages_until(ctx, until):
        with ctx.warehouse() as (warehouse, folder):
            inputs = inputs_of(stage, progress.tables, warehouse)
            if inputs is None:
                progress.unfinished.append(stage.name)
                continue
            table = _current(ctx, stage, inputs) or _Step(ctx, stage, inputs, warehouse, folder).take(progress)
        if table is None:
            progress.unfinished.append(stage.name)
        else:
            progress.tables[stage.name] = table
    _account_for(ctx, progress)
    return progress


def stages_until(ctx: Context, until: str | None) -> list[Stage]:
    stages = list(ctx.project.stages)
    if until is None:
        return stages
    return stages[: stages.index(ctx.project.stage(until)) + 1]


def inputs_of(stage: Stage, tables: Mapping[str, Table], warehouse: Warehouse) -> dict[str, Table] | None:
    """The tables that a stage reads; None while one of them is not made yet."""
    sources = [stage.rows, stage.table, stage.rounds.until if stage.rounds else None]
    reads = {name for source in sources if source for name in warehouse.inputs(source)} - OWN_VIEWS
    return {name: tables[name] for name in sorted(reads)} if reads <= tables.keys() else None


OWN_VIEWS = {"answers", "previous"}
"""What the engine itself offers to a stage's SQL."""


def fingerprint_of(ctx: Context, stage: Stage, inputs: Mapping[str, Table]) -> str:
    contents = {name: table.sha256 for name, table in inputs.items()}
    retries = ctx.facts.retries.get((ctx.run, stage.name), 0)
    return fingerprints.of_stage(stage, ctx.project.params, contents, retries)


def _current(ctx: Context, stage: Stage, inputs: Mapping[str, Table]) -> Table | None:
    """The stage's table, if nothing that shapes it has changed since it was made."""
    table = ctx.facts.tables.get((ctx.run, stage.name))
    return table if table and table.fingerprint == fingerprint_of(ctx, stage, inputs) else None


def _account_for(ctx: Context, progress: Progress) -> None:
    for shard, attempt in ctx.facts.attempts(ctx.run):
        if attempt.stand == "stuck":
            progress.stuck.append(f"{shard.id}: {attempt.reason}")
        elif attempt.is_open:
            progress.in_flight += 1


@dataclass(frozen=True, slots=True)
class _Step:
    """One stage, one pass."""

    ctx: Context
    stage: Stage
    inputs: Mapping[str, Table]
    warehouse: Warehouse
    folder: Path

    def take(self, progress: Progress) -> Table | None:
        """The stage's table, or None while its answers are not all in."""
        joining.view_inputs(self.ctx, self.inputs, self.warehouse)
        if self.stage.kind == "sql":
            return self._table(None)
        asked: list[Asked] = []
        for number in range(1, (self.stage.rounds.max if self.stage.rounds else 1) + 1):
            content = joining.view_previous(self.ctx, self.stage, asked, self.warehouse, self.folder)
            if asked and joining.enough(self.ctx, self.stage, number - 1, self.warehouse):
                break
            asked.append(self._ask(number, content))
            counts = self._send(asked, progress)
            if not counts.settled:
                return None
        return self._table(self._stand(asked))

    def _table(self, counts: standing.Standing | None) -> Table:
        mark = fingerprint_of(self.ctx, self.stage, self.inputs)
        return joining.make_table(self.ctx, self.stage, mark, counts, self.warehouse, self.folder)

    def _ask(self, number: int, previous: str) -> Asked:
        """The round's requests: as they were drawn before, or drawn now if anything that shapes them changed."""
        ctx, stage = self.ctx, self.stage
        contents = {name: table.sha256 for name, table in self.inputs.items()}
        mark = fingerprints.of_round(stage, ctx.project.params, contents, previous)
        known = ctx.facts.asked.get((ctx.run, stage.name), {}).get(number)
        if known is not None and known.fingerprint == mark:
            return known
        drawn = planning.draw(ctx, stage, number, self.warehouse, self.folder)
        if not drawn.rows:
            ctx.say(f"{stage.name}: the rows query yields no rows")
        return planning.keep_asked(ctx, stage, number, mark, drawn)

    def _stand(self, asked: list[Asked]) -> standing.Standing:
        standing.prepare(self.ctx, self.stage, asked, self.warehouse)
        return standing.take(self.ctx, self.stage, self.warehouse, self.folder)

    def _send(self, asked: list[Asked], progress: Progress) -> standing.Standing:
        """Pack and send what is missing; how the requests stand afterwards."""
        counts = self._stand(asked)
        for _ in range(_PACK_TRIES):
            if not counts.states["not_asked"]:
                break
            planning.pack(self.ctx, self.stage, self.warehouse, self.folder)
            counts = self._stand(asked)
        else:
            raise InputError(
                "other runners keep packing the same realm",
                where=f"stage {self.stage.name}",
                hint=f"chimera-batch run {self.ctx.project.path}",
            )
        if counts.states["packed"] or counts.states["retryable"]:
            sending = submitting.send(self.ctx, self.stage, self.warehouse, self.folder)
            progress.waits += sending.waits
            progress.over += sending.over
            if sending.sent:
                if self.stage.window == "now":
                    asking.ask(self.ctx, self.stage)
                return self._stand(asked)
        return counts


def describe(progress: Progress) -> Mapping[str, Any]:
    """For tests and logs."""
    return {"done": progress.done, "unfinished": progress.unfinished, "in_flight": progress.in_flight}
