"""What the answers of a stage took so far, from the views of ``standing``. Reads a bounded number of requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from chimera_batch.context import Context, engine_sql
from chimera_batch.cost import measured
from chimera_batch.cost.measured import Measured, Took
from chimera_batch.cost.sampling import LEAST
from chimera_batch.cost.tally import Terms
from chimera_batch.pipeline.project import Stage
from chimera_batch.records import Usage
from chimera_batch.steps import standing
from chimera_batch.warehouse import Warehouse

MOST = 5_000  # requests; more make no figure better that a person could tell


def measure(warehouse: Warehouse, terms: Terms) -> Measured | None:
    """None while too few requests were heard of. The views of ``standing.stand`` must be current.

    A random sample is preferred to more answers that are none: those that came first need not be like the rest.
    """
    heard = list(_heard(warehouse))
    sample = [took for sampled, took in heard if sampled]
    random = len(sample) >= LEAST
    found = sample if random else [took for _, took in heard]
    if len(found) < LEAST:
        return None
    return measured.measure(found, terms.price, batch=terms.batch, random=random)


def of_stage(ctx: Context, stage: Stage, terms: Terms) -> Measured | None:
    """The same for a stage as it was last asked, from the store alone."""
    with ctx.warehouse() as (warehouse, folder):
        counts = standing.as_asked(ctx, stage, warehouse, folder)
        return measure(warehouse, terms) if counts else None


def _heard(warehouse: Warehouse) -> Iterator[tuple[bool, Took]]:
    """(belongs to the sample, what it took) of each request that was heard of."""
    rows = warehouse.rows(engine_sql("measured"), {"most": MOST})
    for (_, sampled, ok, pending, tried, room, counted), askings in groupby(rows, key=lambda row: row[:7]):
        heard = [row[7:] for row in askings]
        usages = [usage for _, *tokens in heard if (usage := _usage(tokens)) != Usage()]
        cut = any(truncated for truncated, *_ in heard)
        yield bool(sampled), Took(counted, usages, cut, bool(ok), (tried, room) if pending else None)


def _usage(tokens: Sequence[int]) -> Usage:
    given, cached, short, long, written = tokens
    return Usage(given, cached, short, long, output_tokens=written)
