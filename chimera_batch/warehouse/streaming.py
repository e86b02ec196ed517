"""Python rows straight into a Parquet file, a list at a time: no table and no file in between, one pass.

The rows are made in the thread that asks, DuckDB writes in another: while Python decodes the next rows, the last ones
are compressed. A few lists wait between the two, so memory is theirs and DuckDB's limit, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import Any

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.warehouse.arrow import Batches, Column, column
from chimera_batch.warehouse.connection import Connection, message_of
from chimera_batch.warehouse.scan import quote

_NAME = "streamed"
_AHEAD = 2  # lists that are made and not yet written
_LOOK = 0.2  # seconds after which a maker that waits looks whether anybody still writes

Item = Sequence[Column] | BaseException | None
"""A list's columns; what went wrong in the making; None: the end."""


Rows = Sequence[Sequence[Any]]
Columns = Mapping[str, tuple[str, str]]
"""Name -> (kind for ``arrow``, DuckDB's type in the file)."""


def copy(cursor: Connection, columns: Columns, lists: Iterable[Rows], into: str) -> int:
    """Run a COPY of the rows; returns how many. ``into``: what stands behind its query.

    Raises what the rows' maker raises, and InputError for a value that has no place in its column.
    """
    kinds = {name: kind for name, (kind, _) in columns.items()}
    select = ", ".join(f"{quote(name)}::{final} AS {quote(name)}" for name, (_, final) in columns.items())
    waiting = Queue[Item](_AHEAD)
    batches = Batches(kinds, _taken(waiting))
    with ThreadPoolExecutor(1, "copy") as beside:
        copied = beside.submit(_copy, cursor, batches, f"COPY (SELECT {select} FROM {_NAME}) {into}")  # noqa: S608 - quoted
        try:
            for rows in filter(None, lists):
                if not _put(waiting, _made(kinds.values(), rows), copied):
                    break
            _put(waiting, None, copied)
        except BaseException as error:
            _put(waiting, error, copied)
            raise
        return copied.result()


def _copy(cursor: Connection, batches: Batches, statement: str) -> int:
    cursor.register(_NAME, batches)
    try:
        (count,) = cursor.execute(statement).fetchone() or (0,)
    except duckdb.Error as error:
        raise InputError(f"rows cannot be stored: {message_of(error)}") from error
    finally:
        cursor.unregister(_NAME)
    return int(count)


def _made(kinds: Iterable[str], rows: Rows) -> list[Column]:
    try:
        return [column(*one) for one in zip(kinds, zip(*rows, strict=True), strict=True)]
    except (TypeError, UnicodeEncodeError, OverflowError) as error:  # not the column's; a lone surrogate
        raise InputError(f"a value cannot be stored: {error}") from error


def _put(waiting: Queue[Item], item: Item, copied: Future[int]) -> bool:
    """Hand an item over; False when nobody takes any more, because the writing failed."""
    while not copied.done():
        try:
            waiting.put(item, timeout=_LOOK)
        except Full:
            continue
        return True
    return False


def _taken(waiting: Queue[Item]) -> Iterator[Sequence[Column]]:
    while (item := waiting.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
