"""The warehouse: views over Parquet files, SQL files run over them, Parquet files made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.functions import Function
from chimera_batch.warehouse import connection as edge
from chimera_batch.warehouse import header, statements, streaming
from chimera_batch.warehouse.connection import Connection, Inline, SqlText
from chimera_batch.warehouse.loading import load
from chimera_batch.warehouse.memory import alone, least
from chimera_batch.warehouse.ordering import KEPT, NARROW, SCRATCH, Form, Into, is_ordered, write_in_order
from chimera_batch.warehouse.scan import quote

_T = TypeVar("_T")

Parameters = Mapping[str, Any]

_WAITING = "2MB"  # of rows that are to be fetched: with DuckDB's own 10 MB nothing is sooner done
_FETCH = 2_000  # rows of one fetch: big enough to be fast, small enough for rows of 60 kB


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a query, streamed: iterate once."""

    columns: tuple[str, ...]
    types: tuple[str, ...]  # DuckDB's names
    iterator: Iterator[tuple[Any, ...]]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.iterator


class Warehouse:
    """DuckDB in memory; a context manager. ``temp``: a folder of this process alone, for spilling and loading.

    Everything that SQL gets wrong raises InputError with the file and line. Each file runs on a connection of its own,
    so what it makes with CREATE TEMP is gone afterwards, and rows may be read while other files run.
    """

    def __init__(self, temp: Path, *, memory_limit: str = "512MB", threads: int = 2) -> None:
        self._temp = temp
        self._connect = partial(edge.connect, temp, memory_limit=memory_limit, threads=threads)
        self._memory_limit = memory_limit
        self._connected: Connection | None = None
        self._open: set[Connection] = set()
        self._kinds: dict[str, str] = {}  # names that were made, in lower case as DuckDB compares them: TABLE or VIEW

    @property
    def _connection(self) -> Connection:
        """Opened when it is first needed: that takes 20 ms, and reading a file before it runs does without."""
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Everything in it is gone; rows still being read end with an error. May be called twice."""
        for cursor in list(self._open):
            self._release(cursor)
        if self._connected is not None:
            self._connected.close()

    def view(self, name: str, files: Sequence[Path]) -> None:
        """Make or replace a view over Parquet files (listed, no patterns). Raises ValueError without files."""
        self._make(name, "VIEW")
        edge.view(self._connection, name, files)

    def define(self, name: str, source: SqlText) -> None:
        """Make or replace a view from a file of one statement without parameters; its tables may change later."""
        final = statements.last(source, statements.split(source))
        self._make(name, "VIEW")
        statements.execute(self._connection, source, final, f"CREATE OR REPLACE VIEW {quote(name)} AS {final.text}", {})

    def load(self, name: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> int:
        """Make or replace a table from Python rows, streamed; returns how many. ``columns``: name to DuckDB type.

        Exact for any text. Raises InputError, naming the row, for a value that has no place in its column.
        """
        self._make(name, "TABLE")
        return load(self._connection, self._temp, name, columns, rows)

    def listed(self, name: str, columns: Mapping[str, str], path: Path) -> None:
        """Make or replace a view over a local text file: a row on each line, values separated by commas, none quoted.

        For ids and numbers that this process wrote itself: ten times as fast as ``load``.
        """
        self._make(name, "VIEW")
        edge.listed(self._connection, name, columns, path)

    def _make(self, name: str, kind: str) -> None:
        """A name may change from view to table and back, which CREATE OR REPLACE alone refuses."""
        before = self._kinds.get(name.lower())
        if before not in {None, kind}:
            self._connection.execute(f"DROP {before} IF EXISTS {quote(name)}")
        self._kinds[name.lower()] = kind

    # -- reading a file before it runs

    def check(self, source: SqlText, params: Parameters) -> list[header.Flaw]:
        """All that can be known of a SQL file without data: it parses, its parameters are given.

        Returns what is untrue in the comment that it starts with, which stops no run. Raises InputError with file:line
        for what would.
        """
        parsed = statements.split(source)
        final = statements.last(source, parsed)
        read = statements.lines_of(source, statements.inputs(parsed))
        told = header.parse(source.text)
        statements.bind(source, final, params)
        return header.flaws(told, reads=read, parameters=final.parameters)

    def inputs(self, source: SqlText) -> frozenset[str]:
        """Names of the tables that the file reads, as it spells them. Raises InputError where it does not parse."""
        return frozenset(statements.inputs(statements.split(source)))

    # -- running

    def rows(self, source: SqlText, params: Parameters) -> Rows:
        """Run a file and stream its rows. Parameters that it does not use are left out; a missing one is refused."""
        cursor, final = self._run(source, params, "{}")
        described = cursor.description or []
        return Rows(
            tuple(str(column[0]) for column in described),
            tuple(str(column[1]) for column in described),
            self._stream(cursor, source, final.line),
        )

    def scalar(self, source: SqlText, params: Parameters) -> Any:
        """The one value of a file that makes one column; None where it makes no row. Takes little memory."""
        found = self._least(lambda: self._column(source, params), little=NARROW.little)
        if len(found) > 1:
            raise InputError(f"one row is wanted, not {len(found)}", where=f"{source.path}:1")
        return found[0][0] if found else None

    def few(self, source: SqlText, params: Parameters) -> list[tuple[Any, ...]]:
        """The rows of a file that makes few of many, all at once. Takes little memory."""
        return self._least(lambda: list(self.rows(source, params)), little=NARROW.little)

    def _column(self, source: SqlText, params: Parameters) -> list[tuple[Any, ...]]:
        rows = self.rows(source, params)
        if len(rows.columns) != 1:
            raise InputError(f"one column is wanted, not {', '.join(rows.columns)}", where=f"{source.path}:1")
        return list(rows)

    def describe(self, source: SqlText, params: Parameters) -> list[tuple[str, str]]:
        """Columns and DuckDB types of the rows that a file makes, without making them."""
        cursor, _ = self._run(source, params, "SELECT * FROM ({}\n) LIMIT 0")
        try:
            return [(str(column[0]), str(column[1])) for column in cursor.description or []]
        finally:
            self._release(cursor)

    def write(
        self,
        source: SqlText | str,
        params: Parameters,
        to: Path,
        *,
        order_by: str | None = None,
        metadata: Mapping[str, str] | None = None,
        form: Form = KEPT,
    ) -> int:
        """Run a file into a Parquet file and return its rows. The same rows in the same order give the same bytes.

        ``order_by`` is SQL over the result's columns, and unlike an ORDER BY in the file it copes with more text than
        memory. ``metadata`` becomes the file's key-value metadata. ``to`` appears whole and synced (scratch files are
        not), or not at all.
        """
        source = Inline(source) if isinstance(source, str) else source
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(to.name + ".part")
        into = partial(form.target, part, metadata or {})
        try:
            with alone(self._connection) if form.alone else nullcontext():
                if order_by is None:
                    count = self._copy(source, params, into(""), little=form.little)
                else:
                    count = self._copy_in_order(source, params, order_by, into, part if form.steady else None)
            if form.synced:
                _sync(part)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)
        return count

    def stream(self, columns: streaming.Columns, batches: Iterable[streaming.Values], into: str) -> int:
        """Write batches of Python values as they are made into COPY's target ``into``; returns how many."""
        with closing(self._connection.cursor()) as cursor:
            return streaming.copy(cursor, columns, batches, into)

    def sweep(
        self,
        source: SqlText,
        params: Parameters,
        lines: Iterable[streaming.Lines],
        functions: Sequence[Function],
        into: str,
    ) -> None:
        """Run a file of one statement over lines as they are read, its table ``lines``, into COPY's target ``into``."""
        final = statements.last(source, statements.split(source))
        statement = final.text, statements.bind(source, final, params)
        with closing(self._connection.cursor()) as cursor:
            try:
                streaming.sweep(cursor, statement, lines, functions, into)
            except duckdb.Error as error:
                raise edge.input_error(error, source, final.line) from error

    def _copy(self, source: SqlText, params: Parameters, into: str, *, little: Sequence[str] = ()) -> int:
        return self._least(lambda: self._copied(source, params, into), little=little)

    def _copied(self, source: SqlText, params: Parameters, into: str) -> int:
        cursor, final = self._run(source, params, f"COPY ({{}}\n) {_braced(into)}")
        try:
            return int(next(self._stream(cursor, source, final.line))[0])
        finally:
            self._release(cursor)

    def _least(self, work: Callable[[], _T], *, little: Sequence[str]) -> _T:
        return least(self._connection, work, self._memory_limit, little=little)

    def _copy_in_order(self, source: SqlText, params: Parameters, order: str, into: Into, part: Path | None) -> int:
        raw = self._temp / f"unordered-{uuid4().hex}.parquet"
        cursor = self._connection.cursor()
        try:
            with nullcontext() if part else alone(self._connection):
                rows = self._copy(source, params, into("") if part else SCRATCH.target(raw, {}))
            if part and is_ordered(cursor, part, order):
                return rows
            raw = part.replace(raw) if part else raw
            return write_in_order(cursor, raw, order, into, self._memory_limit)
        except duckdb.Error as error:
            raise InputError(f"ordering by {order}: {edge.message_of(error)}", where=f"{source.path}:1") from error
        finally:
            cursor.close()
            raw.unlink(missing_ok=True)

    def _run(self, source: SqlText, params: Parameters, wrap: str) -> tuple[Connection, statements.Statement]:
        """Run a file on a cursor of its own, its last statement put in place of ``{}``."""
        parsed = statements.split(source)
        final = statements.last(source, parsed)
        bound = statements.bind(source, final, params)
        cursor = self._connection.cursor()
        cursor.execute(f"SET SESSION streaming_buffer_size = '{_WAITING}'")
        self._open.add(cursor)
        try:
            for statement in parsed[:-1]:
                statements.execute(cursor, source, statement, statement.text, {})
            statements.execute(cursor, source, final, wrap.format(final.text), bound)
        except BaseException:
            self._release(cursor)
            raise
        return cursor, final

    def _stream(self, cursor: Connection, source: SqlText, line: int) -> Iterator[tuple[Any, ...]]:
        try:
            while batch := cursor.fetchmany(_FETCH):
                yield from batch
        except duckdb.Error as error:
            raise edge.input_error(error, source, line) from error
        finally:
            self._release(cursor)

    def _release(self, cursor: Connection) -> None:
        self._open.discard(cursor)
        cursor.close()


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
