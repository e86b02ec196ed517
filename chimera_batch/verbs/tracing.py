"""A row back to every request, batch, raw line and cent behind it.

The way back needs no declared lineage: a row's short text values that are row keys of earlier stages are followed,
stage by stage, from the last table to the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.requests import wire
from chimera_batch.steps.standing import LANDED_COLUMNS, view_or_empty
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import Warehouse

_KEY_LENGTH = 200  # characters; a longer text is content, not a key
_INDEX = re.compile(r"\d{1,18}")  # what fits into 64 bits


@dataclass(slots=True)
class _Trail:
    keys: list[str]
    row: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    def follow(self, row: dict[str, Any]) -> None:
        known = set(self.keys)
        self.keys += [v for v in row.values() if isinstance(v, str) and 0 < len(v) <= _KEY_LENGTH and v not in known]


def _rows(ctx: Context) -> str:
    """The command that shows some rows that there are."""
    tables = [stage.name for stage in ctx.project.stages if (ctx.run, stage.name) in ctx.facts.tables]
    return ctx.command("query", f"SELECT row_key FROM {tables[-1]} LIMIT 10") if tables else ctx.command("status")  # noqa: S608 - a line to type


def trace(ctx: Context, key: str) -> dict[str, Any]:
    """The document of ``trace --json``. ``key``: a row key, or the ``index`` of a row of the last table.

    Raises InputError when no table and no stage of the run has such a row.
    """
    trail = _Trail([key])
    with ctx.warehouse() as (warehouse, _):
        for stage in reversed(ctx.project.stages):
            table = ctx.facts.tables.get((ctx.run, stage.name))
            if table is not None:
                warehouse.view("traced", [ctx.store.fetch(table.key)])
                _follow_table(trail, stage.name, warehouse)
            rounds = ctx.facts.asked.get((ctx.run, stage.name), {})
            if rounds:
                warehouse.view(
                    "asked", [ctx.store.fetch(key) for number in sorted(rounds) for key in rounds[number].keys]
                )
                _follow_asked(ctx, trail, stage.name, warehouse)
    if trail.row is None and not trail.steps:
        raise InputError(f"no row {key!r} in run {ctx.run}", hint=_rows(ctx))
    return {"run": ctx.run, "row": trail.row, "usd": _paid(trail), "steps": list(reversed(trail.steps))}


def _paid(trail: _Trail) -> float:
    """What all of it cost: two rows that ask the same question have paid for one answer."""
    once = {
        (step["request_id"], result["provider"], result["shard"], result["attempt"]): Decimal(str(result["usd"]))
        for step in trail.steps
        for result in step["results"]
    }
    return float(sum(once.values(), Decimal(0)))


def _follow_table(trail: _Trail, stage: str, warehouse: Warehouse) -> None:
    columns = [name for name, _ in warehouse.describe(engine_sql("traced"), {})]
    found = list(warehouse.rows(engine_sql("traced_rows"), {"keys": trail.keys}))
    nothing = not found and trail.row is None and not trail.steps
    if nothing and "index" in columns and _INDEX.fullmatch(trail.keys[0]):
        found = list(warehouse.rows(engine_sql("traced_index"), {"index": int(trail.keys[0])}))
    for values in found:
        row = dict(zip(columns, values, strict=True))
        trail.row = trail.row or {"stage": stage, **row}
        trail.follow(row)


def _follow_asked(ctx: Context, trail: _Trail, stage: str, warehouse: Warehouse) -> None:
    found = list(warehouse.rows(engine_sql("traced_asked"), {"keys": trail.keys}))
    for row_key, sample, identity, row in found:
        trail.follow(row)
        step = {"stage": stage, "row_key": row_key, "sample": sample, "request_id": identity}
        trail.steps.append({**step, "results": list(_results(ctx, stage, identity, warehouse))})


def _results(ctx: Context, stage: str, identity: str, warehouse: Warehouse) -> Iterator[dict[str, Any]]:
    """Every result of one request, with the raw line it was read from, from wherever the stage asked."""
    asking = ctx.project.stage(stage)
    for realm in dict.fromkeys((ctx.realm(asking), *ctx.left_realms(asking))):
        yield from _results_at(ctx, realm, identity, warehouse)


def _results_at(ctx: Context, realm: str, identity: str, warehouse: Warehouse) -> Iterator[dict[str, Any]]:
    pairs = [(s, a) for s in ctx.facts.in_realm(realm) for a in s.attempts]
    answers = list(prefetch(ctx.store, (key for _, attempt in pairs for key in attempt.answers)))
    view_or_empty(warehouse, "landed", answers, LANDED_COLUMNS)
    rows = warehouse.rows(engine_sql("traced_landed"), {"request_id": identity})
    attempts = {(shard.id, attempt.number): (shard, attempt) for shard, attempt in pairs}
    for values in rows:
        result = dict(zip(rows.columns, values, strict=True))
        yield _result(ctx, result, *attempts[(result["shard"], result["attempt"])])


def _result(ctx: Context, result: dict[str, Any], shard: Shard, attempt: Attempt) -> dict[str, Any]:
    raw = result["raw"]
    return {
        **result,
        "usd": float(result["usd"]),
        "provider": shard.provider,
        "model": result["model"] or shard.model,
        "batch": attempt.batch,
        "sent": attempt.submitted_at,
        "request": shard.key,
        "raw_line": _line(wire.read_lines(ctx.store.fetch(raw)), result["line"]) if raw else None,
    }


def _line(lines: Iterable[bytes], number: int) -> str:
    return next(islice(lines, number - 1, None), b"").decode("utf-8", errors="replace")
