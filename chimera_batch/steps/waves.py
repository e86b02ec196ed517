"""Waves: rounds of a stage that are sized from what later stages kept of the ones before.

A stage with ``rounds: {after: T}`` asks a first round; all stages down to T are taken as far as they go; then, from the
closed rounds and from T's table, its ``until`` query says whether that is enough and its rows query what else to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from chimera_batch.context import Context, engine_sql
from chimera_batch.history.facts import Ended
from chimera_batch.pipeline.project import Stage
from chimera_batch.pipeline.stage import Rounds
from chimera_batch.requests.drawn import Drawn
from chimera_batch.steps import drawing, fingerprints, joining
from chimera_batch.steps.joining import Made
from chimera_batch.steps.stepping import Step, inputs_of
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import Warehouse


def ending_at(stages: Sequence[Stage], stage: Stage) -> Stage | None:
    """The stage above whose further waves wait for this one's table."""
    return next((above for above in stages if above.rounds and above.rounds.after == stage.name), None)


def again(ctx: Context, stage: Stage, tables: Mapping[str, Made]) -> bool:
    """Whether the stages from this one on are to be taken again, since a further wave of it is asked.

    Every table down to the one that its waves wait for must be in ``tables``. A new wave is made a fact here, and so is
    the word that there are enough. Raises InputError for an ``until`` query that answers neither true nor false.
    """
    with ctx.warehouse() as (warehouse, folder):
        inputs = inputs_of(stage, tables, warehouse) or {}
        step = Step(ctx, stage, inputs, warehouse, folder)
        table = step.current()
        if table is None or table.sha256 != tables[stage.name].sha256:
            return True  # another runner has asked a further wave meanwhile
        kept = tables[_rounds(stage).after or ""]
        mark = fingerprints.of_end(stage, ctx.project.params, step.fingerprint, kept.sha256)
        ended = ctx.facts.ended.get((ctx.run, stage.name))
        if ended is None or ended.fingerprint != mark:
            joining.view_inputs(inputs, warehouse)
            ended = _ask_or_end(step, kept, mark)
        return ended is None


def missed(ctx: Context, stage: Stage) -> str | None:
    """What to tell a person about a stage whose waves ended before its ``until`` query said enough."""
    ended = ctx.facts.ended.get((ctx.run, stage.name))
    if ended is None or stage.rounds is None or stage.rounds.until is None or ended.reason == "enough":
        return None
    asked = f"{ended.rounds} wave{'s' if ended.rounds > 1 else ''}"
    until = f"{stage.rounds.until.name} still says that this is not enough"
    if ended.reason == "max":
        return (
            f"{stage.name}: the target was missed: all {asked} that `rounds: {{max: …}}` allows are asked, and {until}"
        )
    return f"{stage.name}: the target was missed: after {asked} its rows query has nothing new to ask, and {until}"


def left(ctx: Context, stage: Stage, drawn: int = 0) -> int:
    """How many waves may still be asked after those that are, or are ``drawn``. 0 for a stage without waves."""
    if stage.rounds is None or stage.rounds.after is None or (ctx.run, stage.name) in ctx.facts.ended:
        return 0
    asked = len(ctx.facts.asked.get((ctx.run, stage.name), {}))
    return max(0, stage.rounds.max - max(asked, drawn))


def _rounds(stage: Stage) -> Rounds:
    assert stage.rounds is not None, stage.name  # noqa: S101 - only stages with waves come here
    return stage.rounds


def _ask_or_end(step: Step, kept: Made, mark: str) -> Ended | None:
    """Ask a further wave (None), or say why there is none."""
    ctx, stage = step.ctx, step.stage
    asked = step.waves()
    paths = list(prefetch(ctx.store, (key for wave in asked for key in wave.keys)))
    previous = joining.view_previous(ctx, stage, paths, step.warehouse, step.folder)
    joining.view_kept(kept, step.warehouse, step.folder)
    if joining.enough(ctx, stage, len(asked), step.warehouse):
        return _end(ctx, stage, Ended(mark, len(asked), "enough"))
    if len(asked) >= _rounds(stage).max:
        return _end(ctx, stage, Ended(mark, len(asked), "max"))
    drawn = drawing.draw(ctx, stage, len(asked) + 1, step.warehouse, step.folder)
    drawn = _new(ctx, drawn, paths, step.warehouse, step.folder)
    if not drawn.rows:
        return _end(ctx, stage, Ended(mark, len(asked), "nothing new"))
    fingerprint = fingerprints.of_wave(step.mark(""), previous, kept.sha256)
    wave, _ = drawing.keep_asked(ctx, stage, len(asked) + 1, fingerprint, drawn)
    ctx.say(f"{stage.name}: wave {wave.round} asks {wave.rows:,} further rows")
    return None


def _end(ctx: Context, stage: Stage, ended: Ended) -> Ended:
    ctx.ledger.ended(ctx.run, stage.name, ended)
    if said := missed(ctx, stage):
        ctx.say(said)
    return ended


def _new(ctx: Context, drawn: Drawn, asked: Sequence[Path], warehouse: Warehouse, folder: Path) -> Drawn:
    """A wave without the rows that an earlier one asked, so that a rows query may as well name all that it wants."""
    warehouse.view("asked", asked)
    warehouse.view("drawn", [drawn.path])
    path = folder / "wave.parquet"
    warehouse.write(engine_sql("new_asked"), {}, path, metadata=ctx.marks)
    warehouse.view("drawn", [path])
    ((rows, requests),) = warehouse.few(engine_sql("new_counts"), {})
    return Drawn(path, rows, requests, drawn.rendering)
