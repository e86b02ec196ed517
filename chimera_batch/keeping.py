"""How many rows of a stage were worth their price: those that are kept, as far as the tables at hand can tell.

A table with a BOOLEAN column ``kept`` says it itself. Otherwise those rows are kept that are still there in the last
sql table made from this one without asking anybody again.
"""

from __future__ import annotations

from collections.abc import Mapping

from chimera_batch.context import Context, engine_sql
from chimera_batch.joining import Made
from chimera_batch.project import Stage
from chimera_batch.stepping import reads_of
from chimera_batch.warehouse import Warehouse


def kept(ctx: Context, stage: Stage, tables: Mapping[str, Made]) -> int | None:
    """Rows of an ask stage that are kept; None while its table is not made. ``tables``: those that are, by name."""
    made = tables.get(stage.name)
    if made is None:
        return None
    with ctx.warehouse() as (warehouse, _):
        warehouse.view("stage_table", [made.path])
        columns = warehouse.describe(engine_sql("every_row"), {})
        if ("kept", "BOOLEAN") in columns:
            return int(warehouse.scalar(engine_sql("kept_own"), {}))
        last = _last(ctx, stage, tables, warehouse)
        if last is None:
            return made.rows
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
