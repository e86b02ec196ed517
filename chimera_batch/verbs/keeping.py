"""How many rows of a stage were worth their price: those that are kept, as far as the tables at hand can tell.

A table with a BOOLEAN column ``kept`` says it itself. Otherwise those rows are kept that are still there in the last
sql table made from this one without asking anybody again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chimera_batch.context import Context, engine_sql
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps.joining import Made
from chimera_batch.steps.stepping import reads_of
from chimera_batch.warehouse import Warehouse


def kept(ctx: Context, stage: Stage, tables: Mapping[str, Made]) -> int | None:
    """Rows of an ask stage that are kept; None while its table is not made. ``tables``: those that are, by name."""
    return kept_of([stage], ctx, tables).get(stage.name)


def kept_of(stages: Iterable[Stage], ctx: Context, tables: Mapping[str, Made]) -> dict[str, int]:
    """The same for several stages; those that ask nobody, or whose table is not made, are left out."""
    with ctx.warehouse() as (warehouse, _):
        asking = [stage for stage in stages if stage.kind == "ask" and stage.name in tables]
        return {stage.name: _kept(ctx, stage, tables, warehouse) for stage in asking}


def _kept(ctx: Context, stage: Stage, tables: Mapping[str, Made], warehouse: Warehouse) -> int:
    warehouse.view("stage_table", [tables[stage.name].path])
    columns = warehouse.describe(engine_sql("every_row"), {})
    if ("kept", "BOOLEAN") in columns:
        return int(warehouse.scalar(engine_sql("kept_own"), {}))
    last = _last(ctx, stage, tables, warehouse)
    if last is None:
        return tables[stage.name].rows
    warehouse.view("later_table", [tables[last].path])
    return int(warehouse.scalar(engine_sql("kept_later"), {}))


def _last(ctx: Context, stage: Stage, tables: Mapping[str, Made], warehouse: Warehouse) -> str | None:
    """The last sql stage with a table that comes from this stage through sql stages alone."""
    below, last = {stage.name}, None
    for other in ctx.project.stages:
        if other.kind == "sql" and other.name in tables and reads_of(other, warehouse) & below:
            below.add(other.name)
            last = other.name
    return last
