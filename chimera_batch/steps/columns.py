"""What the columns of a rows query and of a table must be: checked where they are made, so that nothing goes astray.

Row keys are text: a number or a date would be spelt differently by SQL, templates and other tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.context import engine_sql
from chimera_batch.errors import InputError
from chimera_batch.pipeline.stage import Source
from chimera_batch.warehouse import Warehouse

ANSWERS_OWN = frozenset(
    {"round", "sample", "request_id", "outcome", "text", "reasoning", "answer", "embedding", "model"}
)
"""Columns that the view ``answers`` adds to those of the rows query."""


def check_rows(query: Source, warehouse: Warehouse) -> list[tuple[str, str]]:
    """Refuse a rows query whose columns or keys rows may not have; returns its columns, with their types.

    The view ``fresh_rows`` holds its rows. Raises InputError naming the column or the row key.
    """
    found = check_columns(query, warehouse)
    check_keys(query, warehouse)
    return found


def check_columns(query: Source, warehouse: Warehouse) -> list[tuple[str, str]]:
    """Refuse a rows query whose columns the engine could mistake for its own; returns them, with their types."""
    found = warehouse.describe(engine_sql("fresh"), {})
    for name, _ in found:
        if name.lower() in ANSWERS_OWN:
            raise InputError(
                f"the rows query yields a column {name}, which is a name of the answers' own",
                where=str(query.path),
                hint=f"SELECT {name} AS {query.path.stem.removesuffix('_rows')}_{name.lower()}, …",
            )
    _check_type(query, "rows query", found)
    return found


def check_table(query: Source, params: Mapping[str, Any], warehouse: Warehouse) -> None:
    """Refuse a table query without a row key before it is run. Raises InputError."""
    _check_type(query, "table query", warehouse.describe(query, params))


def _check_type(query: Source, what: str, columns: list[tuple[str, str]]) -> None:
    kinds = {name.lower(): kind for name, kind in columns}
    if "row_key" not in kinds:
        raise InputError(f"the {what} yields no column row_key", where=str(query.path), hint="SELECT … AS row_key, …")
    if kinds["row_key"] not in {"VARCHAR", '"NULL"'}:  # the latter of a bare NULL, which `check_keys` refuses
        raise InputError(
            f"row_key is of type {kinds['row_key']}; it must be text",
            where=str(query.path),
            hint="SELECT (…)::VARCHAR AS row_key, …",
        )


def check_keys(query: Source, warehouse: Warehouse, *, ordered: bool = False) -> None:
    """Every row of the view ``fresh_rows`` has its own row key. Raises InputError naming the first that has none.

    ``ordered``: they are in the order of their keys, so that the same key stands side by side.
    """
    if ordered and not warehouse.scalar(engine_sql("row_keys_bad"), {}):
        return
    where = str(query.path)
    for row_key, times in warehouse.few(engine_sql("row_keys"), {}):
        if not row_key:
            raise InputError(
                f"{times} rows have an empty row_key", where=where, hint="make row_key a stable, unique text"
            )
        raise InputError(
            f"row_key {row_key!r} stands on {times} rows", where=where, hint="add columns to row_key until it is unique"
        )
