"""What of a shard is still to be sent, what each of it can cost at most, and the exact bytes of an attempt.

Nothing here is a fact yet: ``submitting`` claims what is prepared, or throws it away.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path

from chimera_batch.context import Context, engine_sql
from chimera_batch.cost.prices import Price
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import StoreConflict
from chimera_batch.history.facts import Shard
from chimera_batch.requests import wire
from chimera_batch.warehouse import Warehouse, in_step

_SENT_COLUMNS = {"request_id": "VARCHAR", "ceiling": "INTEGER"}


@dataclass(frozen=True)
class Open:
    """A shard's open requests, in the order in which they go where there is not room for all of them.

    That order is that of their ids. Those are digests, so the first of them are an unbiased sample of the rest.
    """

    shard: Shard
    price: Price
    ids: Sequence[str]
    ceilings: Sequence[int]  # output tokens at most, of each
    counts: Sequence[int]  # tokens of each prompt
    costs: Sequence[Decimal]  # the most that each can cost, in USD
    marks: bool = False  # they ask for prompt caching

    def first(self, count: int) -> Open:
        if count >= len(self.ids):
            return self
        ids, ceilings = self.ids[:count], self.ceilings[:count]
        return replace(self, ids=ids, ceilings=ceilings, counts=self.counts[:count], costs=self.costs[:count])

    @cached_property
    def usd(self) -> Decimal:
        """An upper bound of what sending them costs."""
        return sum(self.costs, Decimal(0))

    @property
    def tokens(self) -> int:
        """Prompt tokens, as counted."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An attempt on local disk, ready to be claimed."""

    nonce: str
    path: Path
    wire: wire.Wire
    ids: Path | None  # the ids sent with their ceilings, when they are not simply all of the shard
    sends: Open


def still_open(ctx: Context, shard: Shard, warehouse: Warehouse, *, marks: bool = False) -> Open:
    """Price what is to be sent of a shard, request by request. The view ``standing`` must be current.

    A synchronous call is reserved at the standard rates: at the batch rates (flex) a host could still charge those.
    """
    price, batch = ctx.price(shard), not shard.synchronous
    warehouse.view("fresh_members", [ctx.store.fetch(shard.members)])

    @cache  # many requests are alike, and most of the time here would go into multiplying the same numbers
    def cost(bound: int, ceiling: int) -> Decimal:
        return price.most(bound, ceiling, batch=batch, cache=marks)

    rows = list(warehouse.rows(engine_sql("open"), {"shard": shard.id}))
    ids, ceilings, counts, bounds = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Open(shard, price, ids, ceilings, counts, list(map(cost, bounds, ceilings)), marks)


def prepare(ctx: Context, sends: Open, warehouse: Warehouse, folder: Path) -> Prepared:
    """Write the exact bytes of an attempt that sends these requests."""
    shard, nonce = sends.shard, secrets.token_hex(4)
    ceilings = dict(zip(sends.ids, sends.ceilings, strict=True))
    letter = letter_of(shard, nonce, ceilings, marks=sends.marks)
    path = folder / f"{shard.id}.{nonce}.jsonl"
    built = write(ctx, shard, letter, path)
    ids = None
    if len(ceilings) != shard.requests or letter.raised:
        ids = folder / f"{shard.id}.{nonce}.ids.parquet"
        warehouse.load("sent", _SENT_COLUMNS, sorted(ceilings.items()))
        warehouse.write(engine_sql("sent"), {}, ids)
    return Prepared(nonce, path, built, ids, sends)


def letter_of(shard: Shard, nonce: str, ceilings: Mapping[str, int], *, marks: bool) -> wire.Letter:
    """What an attempt makes of a shard's lines. ``ceilings``: the requests that it sends, with output ceilings."""
    edit = wire.edit_of(ENDPOINTS[shard.endpoint], shard.window, (shard.cache, marks))
    return wire.Letter.of(nonce, ceilings, shard.ceiling, edit)


def write(ctx: Context, shard: Shard, letter: wire.Letter, path: Path) -> wire.Wire:
    """The exact bytes of an attempt, from the shard's lines in the store; the same again for the same letter."""
    lines = ctx.store.fetch(shard.key)
    if not letter.sends_all(shard.requests):
        return wire.build(lines, path, letter, ENDPOINTS[shard.endpoint].with_ceiling)
    with in_step:
        built = wire.build_whole(lines, path, letter.nonce)
    if built.requests != shard.requests:
        raise StoreConflict(
            f"the shard holds {built.requests} lines, not {shard.requests}",
            where=shard.key,
            hint="the object was changed or copied in part; restore the store from its backup",
        )
    return built
