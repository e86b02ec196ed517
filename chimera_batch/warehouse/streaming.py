"""Python values, or lines of text, straight into a Parquet file a batch at a time: no table in between, one pass.

The rows are made in the thread that asks, DuckDB writes in another: while Python decodes the next rows, the last ones
are compressed. What waits between the two is bounded in bytes, so memory is that and DuckDB's limit, however many rows
there are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import wraps
from itertools import accumulate
from threading import Event
from typing import Any, NamedTuple

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.functions import Function
from chimera_batch.warehouse.arrow import Batches, Column, column, encoded
from chimera_batch.warehouse.belt import Belt
from chimera_batch.warehouse.connection import Connection, message_of, register
from chimera_batch.warehouse.instep import in_step
from chimera_batch.warehouse.scan import quote

_NAME = "streamed"
_AHEAD = 16 << 20  # bytes made and not yet written: DuckDB takes nothing while it compresses a row group of 8 MB

Values = Sequence[Sequence[Any]]
"""Rows, column by column; nothing at all where there are none."""
Columns = Mapping[str, tuple[str, str]]
"""Name -> (kind for ``arrow``, DuckDB's type in the file)."""
_LISTEN = 0.2  # seconds: Ctrl-C just before a wait without a limit would be heard when that is over
_LINES = {"file": "integer", "line": "integer", "place": "integer", "said": "text"}
_AS_WRITTEN = "join_order,build_side_probe_side"
"""Optimizers that would hold lines in memory to look up ids in them, as nobody knows beforehand how many there are."""


class Lines(NamedTuple):
    """Consecutive lines of one of several files, which are numbered from 1."""

    file: int
    first: int  # the number of the first of them, from 1
    place: int  # the byte at which it begins
    lines: Sequence[bytes]  # with their ends


def copy(cursor: Connection, columns: Columns, batches: Iterable[Values], into: str) -> int:
    """Run a COPY of the rows; returns how many. ``into``: what stands behind its query.

    Raises what the rows' maker raises, and InputError for a value that has no place in its column.
    """
    kinds = {name: kind for name, (kind, _) in columns.items()}
    select = ", ".join(f"{quote(name)}::{final} AS {quote(name)}" for name, (_, final) in columns.items())
    statement = f"COPY (SELECT {select} FROM {_NAME}) {into}"  # noqa: S608 - quoted
    belt = Belt[list[Column]](_AHEAD)
    with in_step, ThreadPoolExecutor(1, "copy") as beside:
        try:
            copied = beside.submit(_copy, cursor, Batches(kinds, belt.take()), statement, belt)
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


def sweep(
    cursor: Connection,
    statement: tuple[str, Mapping[str, Any]],
    lines: Iterable[Lines],
    functions: Sequence[Function],
    into: str,
) -> None:
    """Run a COPY of a query, given with its parameters, over a table ``swept_lines``; ``functions`` are its alone.

    Raises duckdb.Error, and what the reading of the lines or a function raises.
    """
    failed: list[BaseException] = []
    for function in functions:
        register(cursor, replace(function, call=_noted(function.call, failed)))
    cursor.execute(f"SET disabled_optimizers = '{_AS_WRITTEN}'")
    cursor.register("swept_lines", Batches(_LINES, _columns(lines, failed)))
    try:
        _beside(cursor, f"COPY ({statement[0]}) {into}", statement[1])
    except duckdb.Error:
        if failed:
            raise failed[0] from None
        raise
    finally:
        cursor.unregister("swept_lines")
        cursor.execute("RESET disabled_optimizers")
        for function in functions:
            cursor.remove_function(function.name)


def _beside(cursor: Connection, statement: str, params: Mapping[str, Any]) -> None:
    """Run it in another thread. In the main one Ctrl-C would strike inside of a call from C, and be lost there.

    It does not begin before the pool has told of its thread: one that it was interrupted in starting, nobody waits for.
    """
    begin, left = Event(), Event()

    def run() -> None:
        begin.wait()
        if not left.is_set():
            cursor.execute(statement, dict(params)).fetchall()

    with in_step, ThreadPoolExecutor(1, "sweep") as beside:
        try:
            swept = beside.submit(run)
            begin.set()
            while wait([swept], _LISTEN).not_done:
                pass
        except BaseException:
            left.set()
            while begin.is_set() and not swept.done():  # a statement that has not begun yet is not interrupted
                cursor.interrupt()
                wait([swept], _LISTEN)
            begin.set()
            raise
        swept.result()


def _noted(call: Callable[..., Any], failed: list[BaseException]) -> Callable[..., Any]:
    """The same, keeping what it raises: DuckDB makes an error of its own of it, of Ctrl-C too."""

    @wraps(call)
    def noted(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BaseException as error:
            failed.append(error)
            raise

    return noted


def _columns(lines: Iterable[Lines], failed: list[BaseException]) -> Iterator[list[Column]]:
    try:
        for file, first, place, some in lines:
            count = len(some)
            numbers = [file] * count, range(first, first + count), accumulate(map(len, some[:-1]), initial=place)
            yield [*(Column(count, 0, (None, array("q", each))) for each in numbers), encoded(some)]
    except BaseException as error:
        failed.append(error)
        raise
