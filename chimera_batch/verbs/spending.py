"""Where a run's money went: by stage and outcome, by kept row, and beside what was said before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.steps.fingerprints import digest
from chimera_batch.steps.remembering import code, recall, remember
from chimera_batch.stores.overlap import prefetch

if TYPE_CHECKING:
    from chimera_batch.steps.joining import Made
    from chimera_batch.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Charged:
    """What one outcome of one stage was billed."""

    requests: int
    tokens: int  # input and output
    usd: Decimal


Wasted = Mapping[str, Charged]
"""By outcome: what was billed for answers that are not usable."""


def wasted(ctx: Context) -> Mapping[str, Wasted]:
    """What the run was billed for no usable answer, by stage. Each landing is read once on a machine."""
    heard = {_landing(attempt): (shard, attempt) for shard, attempt in _unusable(ctx)}
    key, known = digest(code("charged_for")), recall(ctx, "wasted")
    bills: dict[str, Any] = known[1] if known and known[0] == key else {}
    if heard.keys() - bills.keys():
        bills = {name: bill for name, bill in bills.items() if name in heard}
        bills |= _billed(ctx, [pair for name, pair in heard.items() if name not in bills])
        remember(ctx, "wasted", key, bills)
    found: dict[str, dict[str, Charged]] = defaultdict(dict)
    for name, (_, attempt) in heard.items():
        for outcome, requests, tokens, usd in bills[name]:
            one = Charged(requests, tokens, Decimal(usd))
            found[attempt.stage][outcome] = _plus(found[attempt.stage].get(outcome), one)
    return {
        stage: {outcome: one for outcome, one in sorted(by_outcome.items()) if one.tokens or one.usd}
        for stage, by_outcome in found.items()
    }


def _unusable(ctx: Context) -> Iterator[tuple[Shard, Attempt]]:
    """The run's attempts that landed anything but usable answers."""
    for shard, attempt in ctx.facts.attempts(ctx.run):
        if attempt.answers and attempt.outcomes.keys() != {"ok"}:
            yield shard, attempt


def _landing(attempt: Attempt) -> str:
    """Names what an attempt landed: its keys hold a digest of their content."""
    return " ".join(attempt.answers)


def _billed(ctx: Context, pairs: Sequence[tuple[Shard, Attempt]]) -> dict[str, list[list[Any]]]:
    """Of each landing, what every outcome but ``ok`` came to: requests, tokens, dollars as text."""
    found: dict[str, list[list[Any]]] = {_landing(attempt): [] for _, attempt in pairs}
    with ctx.warehouse() as (warehouse, _):
        for realm in {shard.realm for shard, _ in pairs}:
            mine = {(shard.id, attempt.number): attempt for shard, attempt in pairs if shard.realm == realm}
            keys = (key for one in mine.values() for key in one.answers)
            warehouse.view("landed", list(prefetch(ctx.store, keys)))
            for shard, number, outcome, requests, tokens, usd in warehouse.rows(engine_sql("charged_for"), {}):
                found[_landing(mine[shard, number])].append([outcome, requests, tokens, str(usd)])
    return found


def _plus(one: Charged | None, other: Charged) -> Charged:
    if one is None:
        return other
    return Charged(one.requests + other.requests, one.tokens + other.tokens, one.usd + other.usd)


def view_charged(ctx: Context, warehouse: Warehouse, folder: Path) -> None:
    """Make the view ``charged``: every result of the run, whose it is and what it cost. Reads the view ``attempts``.

    Realm by realm: the same lines are the same shard at two hosts.
    """
    from chimera_batch.steps.standing import LANDED_COLUMNS, view_or_empty  # noqa: PLC0415 - not for `status`

    made = []
    for number, (realm, answers) in enumerate(_answers(ctx).items() or [("", [])]):
        view_or_empty(warehouse, "landed", answers, LANDED_COLUMNS)
        made.append(folder / f"charged-{number}.parquet")
        warehouse.write(engine_sql("charged"), {"realm": realm}, made[-1])
    warehouse.view("charged", made)


def _answers(ctx: Context) -> dict[str, list[Path]]:
    """The files of the run's results, by realm."""
    found: dict[str, list[str]] = defaultdict(list)
    for shard, attempt in ctx.facts.attempts(ctx.run):
        found[shard.realm] += attempt.answers
    return {realm: list(prefetch(ctx.store, keys)) for realm, keys in found.items() if keys}


def tables(ctx: Context) -> dict[str, Made]:
    """The tables of the run that are made."""
    from chimera_batch.steps import joining  # noqa: PLC0415 - not for `status`

    return {name: joining.made(ctx, table) for (run, name), table in ctx.facts.tables.items() if run == ctx.run}


@dataclass(frozen=True, slots=True)
class Kept:
    """What was worth its price, of one stage. ``rows`` None: its table is not made yet, or it asks nobody."""

    rows: int | None
    usd: Decimal  # billed to the stage

    @property
    def usd_per_row(self) -> Decimal | None:
        return self.usd / self.rows if self.rows else None


def kept(ctx: Context) -> dict[str, Kept]:
    """Of each stage: rows that are kept, as far as the tables made so far can tell, and what they cost."""
    rows = _kept_rows(ctx)
    return {s.name: Kept(rows.get(s.name), ctx.facts.spent(ctx.run, s.name)) for s in ctx.project.stages}


def _kept_rows(ctx: Context) -> dict[str, int]:
    made = {name: table.sha256 for (run, name), table in ctx.facts.tables.items() if run == ctx.run}
    stages = [[stage.name, stage.kind, stage.table.text if stage.table else None] for stage in ctx.project.stages]
    key, known = digest([code("every_row", "kept_own", "kept_later"), made, stages]), recall(ctx, "kept")
    if known is None or known[0] != key:
        from chimera_batch.verbs import keeping  # noqa: PLC0415 - only where it is not remembered

        known = key, keeping.kept_of(ctx.project.stages, ctx, tables(ctx))
        remember(ctx, "kept", *known)
    return dict(known[1])
