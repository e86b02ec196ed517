"""Python values straight into a Parquet file, a batch at a time: no table and no file in between, one pass.

The rows are made in the thread that asks, DuckDB writes in another: while Python decodes the next rows, the last ones
are compressed. What waits between the two is bounded in bytes, so memory is that and DuckDB's limit, however many rows
there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.warehouse.arrow import Batches, Column, column
from chimera_batch.warehouse.belt import Belt
from chimera_batch.warehouse.connection import Connection, message_of
from chimera_batch.warehouse.instep import in_step
from chimera_batch.warehouse.scan import quote

_NAME = "streamed"
_AHEAD = 16 << 20  # bytes made and not yet written: DuckDB takes nothing while it compresses a row group of 8 MB

Values = Sequence[Sequence[Any]]
"""Rows, column by column; nothing at all where there are none."""
Columns = Mapping[str, tuple[str, str]]
"""Name -> (kind for ``arrow``, DuckDB's type in the file)."""


def copy(cursor: Connection, columns: Columns, batches: Iterable[Values], into: str) -> int:
    """Run a COPY of the rows; returns how many. ``into``: what stands behind its query.

    Raises what the rows' maker raises, and InputError for a value that has no place in its column.
    """
    kinds = {name: kind for name, (kind, _) in columns.items()}
    select = ", ".join(f"{quote(name)}::{final} AS {quote(name)}" for name, (_, final) in columns.items())
    statement = f"COPY (SELECT {select} FROM {_NAME}) {into}"  # noqa: S608 - quoted
    belt = Belt[list[Column]](_AHEAD)
    with in_step, ThreadPoolExecutor(1, "copy") as beside:
        copied = beside.submit(_copy, cursor, Batches(kinds, belt.take()), statement, belt)
        try:
            for values in filter(None, batches):
                made = _made(kinds.values(), values)
                if not belt.put(made, sum(one.bytes for one in made)):
                    break
        except BaseException:
            belt.end(broken=True)
            raise
        belt.end()
        return copied.result()


def _copy(cursor: Connection, scan: Batches, statement: str, belt: Belt[list[Column]]) -> int:
    cursor.register(_NAME, scan)
    try:
        (count,) = cursor.execute(statement).fetchone() or (0,)
    except duckdb.Error as error:
        raise InputError(f"rows cannot be stored: {message_of(error)}") from error
    finally:
        belt.leave()
        cursor.unregister(_NAME)
    return int(count)


def _made(kinds: Iterable[str], values: Values) -> list[Column]:
    try:
        return [column(*one) for one in zip(kinds, values, strict=True)]
    except (TypeError, UnicodeEncodeError, OverflowError) as error:  # not the column's; a lone surrogate
        raise InputError(f"a value cannot be stored: {error}") from error
