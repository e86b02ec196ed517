"""How a stage stands, from the store alone: counted once, and remembered until anything that decides it has changed.

A standing rests on what was asked, on the shards that hold it, on their attempts, and on the manifest's rules. An id
belongs to one shard of a realm for ever, so once all requests have a shard no other one matters, and what other stages
and runs do meanwhile makes nothing here out of date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chimera_batch.context import Context, engine_sql
from chimera_batch.history.counts import NOTHING as NO_REQUESTS
from chimera_batch.history.counts import Standing, last_asked
from chimera_batch.history.facts import Asked, Attempt, Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.rules.fallback import name_of
from chimera_batch.steps.basis import basis
from chimera_batch.steps.remembering import recall, remember
from chimera_batch.stores.overlap import prefetch

if TYPE_CHECKING:
    from chimera_batch.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Counted:
    """How the requests of a stage stand, and how many answers it bought that no row of it asks for any more."""

    standing: Standing
    orphaned: int


NOTHING = Counted(NO_REQUESTS, 0)
"""Of a stage that has asked nothing yet."""


def counted(ctx: Context, stage: Stage) -> Counted:
    """How a stage stands as it was last asked."""
    asked = last_asked(ctx.facts, ctx.run, stage)
    if not asked:
        return NOTHING
    found = _recalled(ctx, stage, asked)
    if found is not None:
        return found
    from chimera_batch.steps import standing as counting  # noqa: PLC0415 - nothing is counted where all is remembered

    with ctx.warehouse() as (warehouse, folder):
        counts = counting.as_asked(ctx, stage, warehouse, folder)
        assert counts is not None, stage.name  # noqa: S101 - something was asked
        return keep(ctx, stage, counts, warehouse)


def keep(ctx: Context, stage: Stage, counts: Standing, warehouse: Warehouse) -> Counted:
    """Remember how a stage was found to stand as it was last asked. The view ``asked`` must be current."""
    found = Counted(counts, _orphaned(ctx, stage, counts, warehouse))
    if counts.position == ctx.ledger.position:  # else it may be out of date, and would be kept as if it were not
        _remember(ctx, stage, last_asked(ctx.facts, ctx.run, stage), found)
    return found


def _recalled(ctx: Context, stage: Stage, asked: Sequence[Asked]) -> Counted | None:
    known = recall(ctx, _name(stage))
    if known is None:
        return None
    key, value = known
    try:
        shards = _shards(ctx, stage, value["shards"])
        if key != basis(ctx, stage, asked, shards):
            return None
        counts = Standing(value["states"], value["outcomes"], tuple(value["reasons"]))
        return Counted(counts, value["orphaned"])
    except (KeyError, TypeError):  # of another version, or broken
        return None


def _remember(ctx: Context, stage: Stage, asked: Sequence[Asked], found: Counted) -> None:
    counts = found.standing
    names = None if counts.states["not_asked"] else sorted(counts.placed)
    key = basis(ctx, stage, asked, _shards(ctx, stage, names))
    told = {"states": counts.states, "outcomes": counts.outcomes, "reasons": counts.reasons}
    remember(ctx, _name(stage), key, {**told, "orphaned": found.orphaned, "shards": names})


def _name(stage: Stage) -> str:
    return f"standing of {stage.name}"


def _shards(ctx: Context, stage: Stage, names: Sequence[str] | None) -> list[Shard]:
    """The shards of the realm that matter: those named, or all of them while some requests have none (None); and those
    that the stage has sent; and all of models that it left."""
    realm, left = ctx.facts.in_realm(ctx.realm(stage)), ctx.left_shards(stage)
    if names is None:
        return [*realm, *left]
    known = set(names)
    mine = [shard for shard in realm if shard.id in known or any(_sent(ctx, stage, one) for one in shard.attempts)]
    return mine + left


def _sent(ctx: Context, stage: Stage, attempt: Attempt) -> bool:
    """Whether this stage of this run has bought what an attempt asked, or is about to."""
    return (attempt.run, attempt.stage) == (ctx.run, stage.name) and attempt.stand != "dropped"


def _orphaned(ctx: Context, stage: Stage, counts: Standing, warehouse: Warehouse) -> int:
    """Reads only what was sent of shards that are not wanted as a whole. The view ``asked`` must be current."""
    left = {name_of(call) for call in stage.left}
    keys = [
        attempt.ids or shard.members
        for shard in ctx.facts.in_realm(ctx.realm(stage))
        if (shard.provider, shard.model) not in left and counts.placed.get(shard.id, 0) < shard.requests
        for attempt in shard.attempts
        if _sent(ctx, stage, attempt)
    ]
    elsewhere = _orphaned_left(ctx, stage, warehouse)
    if not keys:
        return elsewhere
    warehouse.view("sent", list(prefetch(ctx.store, keys)))
    return int(warehouse.scalar(engine_sql("orphaned"), {})) + elsewhere


def _orphaned_left(ctx: Context, stage: Stage, warehouse: Warehouse) -> int:
    """Answers that the stage bought from models that it left, and that no row asks for."""
    mine = [
        key
        for call in stage.left
        for shard in ctx.shards_of(call)
        for attempt in shard.attempts
        if _sent(ctx, stage, attempt)
        for key in attempt.answers
    ]
    if not mine:
        return 0
    warehouse.view("sent_left", list(prefetch(ctx.store, mine)))
    return int(warehouse.scalar(engine_sql("orphaned_left"), {}))
