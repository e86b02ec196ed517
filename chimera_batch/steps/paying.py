"""What a run has measured of a stage, and what that decides: cache marks, and longer tries of truncated answers.

Both rest on the facts alone, at the prices of the claims, so every machine decides alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.cost import caching, lengths
from chimera_batch.cost.lengths import Lengths
from chimera_batch.cost.prices import Price
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.pipeline.project import Stage
from chimera_batch.records import Usage
from chimera_batch.requests.render import Renderer
from chimera_batch.warehouse import Warehouse

_MARKED_COLUMNS = {"shard": "VARCHAR", "attempt": "INTEGER"}


def marks(ctx: Context, stage: Stage, warehouse: Warehouse) -> bool:
    """Whether the stage's next attempts mark their beginning for the prompt cache. ``landed`` must be current."""
    call = stage.calls[0]
    if call.cache != "auto":
        return call.cache
    if not ENDPOINTS[call.endpoint].marks_cache:
        return False  # such a host caches unasked, or not at all
    marked = [
        (shard.id, attempt.number)
        for shard, attempt in ctx.facts.attempts(ctx.run)
        if attempt.stage == stage.name and shard.model == call.model and shard.marked(attempt)
    ]
    warehouse.load("marked", _MARKED_COLUMNS, marked)
    results, *tokens = next(iter(warehouse.rows(engine_sql("marked"), {})))
    rates = _price(ctx, stage).rates(tier=0, batch=stage.batch_priced)
    assert stage.prompt is not None  # noqa: S101 - the manifest gives every ask stage a prompt
    shared = Renderer(call, stage.prompt, ctx.project.params).shared_tokens
    return caching.wanted(call.cache, shared, ctx.profile(stage).cache_from_tokens, (results, Usage(*tokens)), rates)


@dataclass(frozen=True, slots=True)
class LongerTries:
    """Whether truncated answers of a stage are asked again. ``reasons``: why not, for people, filled in on the way."""

    measured: Lengths
    price: Price
    batch: bool
    worth: Decimal | None  # what a usable row has cost so far; None while there is none
    reasons: dict[int, str] = field(default_factory=dict)  # by the ceiling that was not enough

    def pay(self, tried: int, most: int) -> bool:
        """Of an answer that was cut at ``tried`` output tokens, with room for ``most``."""
        found = lengths.longer(self.measured, tried, most, self.price, batch=self.batch)
        if lengths.pays(self.measured, found, self.worth):
            return True
        self.reasons[tried] = (
            f"given up: cut at {tried:,} output tokens; a try with {most:,} would cost ${found.usd:.4f} and finish"
            f" {found.share:.0%} of them, a usable row has cost ${self.worth or 0:.4f} so far"
        )
        return False


def longer_tries(ctx: Context, stage: Stage, warehouse: Warehouse) -> LongerTries | None:
    """None where the manifest does not ask for it. The views ``asked`` and ``landed`` must be current."""
    if not stage.longer_if_it_pays:
        return None
    ceiling = stage.calls[0].max_output_tokens
    found = next(iter(warehouse.rows(engine_sql("lengths"), {"ceiling": ceiling})))
    finished, truncated, deciles, given, usd, usable = found
    shares = tuple((place / 10, tokens) for place, tokens in enumerate(deciles or (), 1))
    # answers that another run has paid for are worth what they cost there
    spent = max(usd, _spent(ctx, stage))
    measured = Lengths(ceiling, finished, truncated, shares, given)
    return LongerTries(measured, _price(ctx, stage), stage.batch_priced, spent / usable if usable else None)


def basis(ctx: Context, stage: Stage) -> list[Any]:
    """What ``longer_tries`` rests on beside the views: it decides alike as long as this and they are the same."""
    ceiling, price = stage.calls[0].max_output_tokens, _price(ctx, stage).as_row()
    return [ceiling, price, stage.batch_priced, str(_spent(ctx, stage))]


def _spent(ctx: Context, stage: Stage) -> Decimal:
    """USD billed to a stage and to those above it."""
    names = [one.name for one in ctx.project.stages]
    above = names[: names.index(stage.name) + 1]
    return sum((ctx.facts.spent(ctx.run, name) for name in above), Decimal(0))


def _price(ctx: Context, stage: Stage) -> Price:
    """The price of the run's latest claim of the stage, so that a decision does not change with the price table."""
    call = stage.calls[0]
    claimed = [
        (attempt.at, shard.id, shard, attempt)
        for shard, attempt in ctx.facts.attempts(ctx.run)
        if attempt.stage == stage.name
        and attempt.price
        and (shard.provider, shard.model) == (call.provider, call.model)
    ]
    if not claimed:
        return ctx.price_of(call.provider, call.model)
    _, _, shard, attempt = max(claimed, key=lambda one: one[:2])
    return ctx.claimed_price(shard, attempt)
