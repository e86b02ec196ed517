"""How far the batches under way are, told to whoever looks while a run waits for them."""

from __future__ import annotations

from chimera_batch.context import Context
from chimera_batch.cost.pacing import Forecasts
from chimera_batch.doing import Doing, nobody


def tell(ctx: Context) -> None:
    """Tell of every batch that this run waits for, whichever run sent it, the largest first."""
    if ctx.doing is nobody:
        return
    realms, forecasts = ctx.realms(), Forecasts(ctx.facts, ctx.clock())
    found: list[Doing] = []
    for shard, attempt in ctx.facts.attempts():
        if shard.realm not in realms or attempt.stand != "submitted":
            continue
        expected = forecasts.of(shard, attempt)
        told = (expected.at, expected.basis) if expected else (None, None)
        found.append(Doing("waiting", shard.id, attempt.done, attempt.requests, attempt.status, *told))
    ctx.doing(sorted(found, key=lambda one: -(one.total or 0)))
