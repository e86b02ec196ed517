"""A large round with further rows: what an earlier drawing asked stays as it is, and only what is new is drawn.

To find out, the rows query is run for keys and digests alone and held against those that were asked. Where a row is
gone or another one by now, the round is drawn whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.history.facts import Asked
from chimera_batch.pipeline.project import Stage
from chimera_batch.pipeline.stage import Source
from chimera_batch.steps import fingerprints
from chimera_batch.steps.columns import check_columns, check_keys
from chimera_batch.warehouse import NARROW, SCRATCH, Warehouse, over

FROM = 20_000  # rows of a round; a smaller one is written whole, as fewer objects are simpler
MOST = 16  # objects of a round; then it is written whole once more


@dataclass(frozen=True, slots=True)
class Added:
    """The rows that a round gains, as a Parquet file, and the round as it was asked before."""

    before: Asked
    rows: Path
    count: int
    rendering: str


def added(ctx: Context, stage: Stage, number: int, warehouse: Warehouse, stem: Path) -> Added | None:
    """What a round gains since it was last asked; None where it is to be drawn whole.

    Raises InputError for a rows query that makes columns or keys that rows may not have.
    """
    before = ctx.facts.asked.get((ctx.run, stage.name), {}).get(number)
    if before is None or stage.rows is None or before.rows < FROM or len(before.keys) >= MOST:
        return None
    told = {**ctx.project.params, "round": number}
    rendering = _rendering(ctx, stage, stage.rows, told, warehouse, stem)
    if rendering != before.rendering or not _view_known(ctx, before, warehouse):
        return None
    _write(stage.rows, "row_digests", told, warehouse, stem)
    warehouse.view("fresh_rows", [_path(stem, "row_digests")])
    warehouse.write(engine_sql("fresh_keys"), {}, _path(stem, "fresh_keys"), form=NARROW)
    warehouse.view("fresh_keys", [_path(stem, "fresh_keys")])
    if not warehouse.scalar(engine_sql("only_gained"), {}):
        return None
    count = _write(stage.rows, "further_rows", told, warehouse, stem)
    warehouse.view("fresh_rows", [_path(stem, "further_rows")])
    check_keys(stage.rows, warehouse)
    return Added(before, _path(stem, "further_rows"), count, rendering)


def _rendering(
    ctx: Context, stage: Stage, rows: Source, told: Mapping[str, Any], warehouse: Warehouse, stem: Path
) -> str:
    """What makes requests of rows with these columns; types are those that a Parquet file has."""
    _write(rows, "no_rows", told, warehouse, stem)
    warehouse.view("fresh_rows", [_path(stem, "no_rows")])
    return fingerprints.of_rendering(stage, ctx.project.params, check_columns(rows, warehouse))


def _view_known(ctx: Context, before: Asked, warehouse: Warehouse) -> bool:
    """Make the view ``fresh_asked``; False where an older version asked, which kept no digests of rows."""
    warehouse.view("fresh_asked", [ctx.store.fetch(key) for key in before.keys])
    return "content" in {name for name, _ in warehouse.describe(engine_sql("fresh_asked"), {})}


def _write(rows: Source, name: str, told: Mapping[str, Any], warehouse: Warehouse, stem: Path) -> int:
    return warehouse.write(over(engine_sql(name), rows), told, _path(stem, name), form=SCRATCH)


def _path(stem: Path, name: str) -> Path:
    return stem.with_name(f"{stem.name}.{name}.parquet")
