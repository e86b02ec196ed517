"""Where a run's money went: by stage and outcome, by kept row, and beside what was said before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from chimera_batch import joining, keeping
from chimera_batch.context import Context, engine_sql
from chimera_batch.joining import Made
from chimera_batch.standing import LANDED_COLUMNS, view_or_empty
from chimera_batch.warehouse import Warehouse

_ATTEMPT_COLUMNS = {"realm": "VARCHAR", "stage": "VARCHAR", "shard": "VARCHAR", "attempt": "INTEGER"}


@dataclass(frozen=True, slots=True)
class Charged:
    """What one outcome of one stage was billed."""

    requests: int
    tokens: int  # input and output
    usd: Decimal


Wasted = Mapping[str, Charged]
"""By outcome: what was billed for answers that are not usable."""


def wasted(ctx: Context) -> Mapping[str, Wasted]:
    """What the run was billed for no usable answer, by stage. One query a host, however many stages."""
    found: dict[str, dict[str, Charged]] = defaultdict(dict)
    with ctx.warehouse() as (warehouse, _):
        pairs = ctx.facts.attempts(ctx.run)
        warehouse.load("attempts", _ATTEMPT_COLUMNS, ((s.realm, a.stage, s.id, a.number) for s, a in pairs))
        for realm, answers in _answers(ctx).items():
            warehouse.view("landed", answers)
            for stage, outcome, *amounts in warehouse.rows(engine_sql("charged_for"), {"realm": realm}):
                if outcome != "ok" and any(amounts[1:]):
                    found[stage][outcome] = _plus(found[stage].get(outcome), Charged(*amounts))
    return found


def _plus(one: Charged | None, other: Charged) -> Charged:
    if one is None:
        return other
    return Charged(one.requests + other.requests, one.tokens + other.tokens, one.usd + other.usd)


def view_charged(ctx: Context, warehouse: Warehouse, folder: Path) -> None:
    """Make the view ``charged``: every result of the run, whose it is and what it cost. Reads the view ``attempts``.

    Realm by realm: the same lines are the same shard at two hosts.
    """
    made = []
    for number, (realm, answers) in enumerate(_answers(ctx).items() or [("", [])]):
        view_or_empty(warehouse, "landed", answers, LANDED_COLUMNS)
        made.append(folder / f"charged-{number}.parquet")
        warehouse.write(engine_sql("charged"), {"realm": realm}, made[-1])
    warehouse.view("charged", made)


def _answers(ctx: Context) -> dict[str, list[Path]]:
    """The files of the run's results, by realm."""
    found: dict[str, list[Path]] = defaultdict(list)
    for shard, attempt in ctx.facts.attempts(ctx.run):
        found[shard.realm] += (ctx.store.fetch(key) for key in attempt.answers)
    return {realm: paths for realm, paths in found.items() if paths}


def tables(ctx: Context) -> dict[str, Made]:
    """The tables of the run that are made."""
    return {name: joining.made(ctx, table) for (run, name), table in ctx.facts.tables.items() if run == ctx.run}


@dataclass(frozen=True, slots=True)
class Kept:
    """What was worth its price, of one stage. ``rows`` None: its table is not made yet, or it asks nobody."""

    rows: int | None
    usd: Decimal  # billed to the stage

    @property
    def usd_per_row(self) -> Decimal | None:
        return self.usd / self.rows if self.rows else None


def kept(ctx: Context, made: Mapping[str, Made]) -> dict[str, Kept]:
    """Of each stage: rows that are kept, as far as the tables made so far can tell, and what they cost."""
    rows = keeping.kept_of(ctx.project.stages, ctx, made)
    return {s.name: Kept(rows.get(s.name), ctx.facts.spent(ctx.run, s.name)) for s in ctx.project.stages}
