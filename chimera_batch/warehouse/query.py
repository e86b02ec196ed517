"""What a person asks of a run's tables: read-only SQL with no way out of the database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.warehouse import connection as edge
from chimera_batch.warehouse import guard, statements
from chimera_batch.warehouse.connection import Connection, Inline, SqlText
from chimera_batch.warehouse.result import Result
from chimera_batch.warehouse.scan import literal, tokens

_FETCH = 2_000
_LISTING = re.compile(
    r"^desc\b|\b(show|describe|summarize|information_schema|query|query_table|(duckdb|pragma|pg|sqlite)_\w+)\b"
)
"""What a query has in it that lists tables, or puts their names together; without comments, in lower case."""


@dataclass(frozen=True, slots=True)
class Later:
    """A table that is made when it is first needed: ``make`` writes the Parquet file ``path``."""

    path: Path
    make: Callable[[Path], object]


@contextmanager
def open_query(
    tables: Mapping[str, Sequence[Path]],
    temp: Path,
    *,
    later: Mapping[str, Later] | None = None,
    unsafe: bool = False,
    memory_limit: str = "512MB",
    threads: int = 2,
) -> Iterator[Query]:
    """Views over exactly these files, then the door is shut: no other file, no network, no settings. ``temp``: a folder
    of this process alone. ``unsafe`` leaves the door open and lets any statement run.

    A table without files has no rows and no columns yet: it is named in the error of a query that asks for it.
    ``later``: tables that are only made when a query names them.
    """
    connection, query = edge.connect(temp, memory_limit=memory_limit, threads=threads), None
    try:
        for name, files in tables.items():
            if files:
                edge.view(connection, name, files)
        query = Query(connection, temp / "export.parquet.part", tables, dict(later or {}), unsafe)
        if not unsafe:
            query.lock([file for files in tables.values() for file in files])
        yield query
    finally:
        if query is not None:
            query.close()
        connection.close()


class Query:
    """Open tables. One result at a time: asking again ends the one before."""

    def __init__(
        self,
        connection: Connection,
        export: Path,
        tables: Mapping[str, Sequence[Path]],
        later: dict[str, Later],
        unsafe: bool,
    ) -> None:
        self._connection = connection
        self._export = export
        self._tables = {**tables, **{name: [table.path] for name, table in later.items()}}
        self._later = later  # those that are still to be made
        self._unsafe = unsafe
        self._beside: list[Connection] = []  # one for each relation: rows may be streaming from ours meanwhile

    def lock(self, files: Sequence[Path]) -> None:
        """Shut the door. The one file that may be written is ``to_parquet``'s, inside the temp folder."""
        later = [table.path for table in self._later.values()]
        allowed = ", ".join(literal(str(path)) for path in [*files, *later, self._export])
        self._connection.execute(f"SET allowed_paths = [{allowed}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def close(self) -> None:
        """End what relations still read."""
        for connection in self._beside:
            connection.close()

    def query(self, sql: str | SqlText) -> Result:
        """Run one reading statement and stream its rows. Raises InputError, with the line, for anything else."""
        source, text, line = self._readable(sql)
        cursor = self._execute(source, text, line)
        described = cursor.description or []
        return Result(
            _distinct([str(column[0]) for column in described]),
            tuple(str(column[1]) for column in described),
            self._stream(cursor, source, line),
            lambda path: self._to_parquet(source, text, line, path),
            lambda: self._related(source, text, line),
        )

    def relation(self, sql: str | SqlText) -> duckdb.DuckDBPyRelation:
        """One SELECT as DuckDB's own relation: lazy, to be built upon, and gone when the tables are closed.

        Raises InputError like ``query``, and for a statement that is no SELECT.
        """
        return self._related(*self._readable(sql))

    def _readable(self, sql: str | SqlText) -> tuple[SqlText, str, int]:
        """The statement that is to be run, the line it begins on, and where it stands; what it needs is made."""
        source = Inline(sql) if isinstance(sql, str) else sql
        self._make(source.text)
        if self._unsafe:
            return source, self._unsafe_prefix(source), 1
        statement = guard.reading(source)
        self._no_parameters(source, statement)
        return source, statement.text, statement.line

    def _related(self, source: SqlText, text: str, line: int) -> duckdb.DuckDBPyRelation:
        beside = self._connection.cursor()
        self._beside.append(beside)
        try:
            found = beside.sql(text)
        except duckdb.Error as error:
            raise edge.input_error(error, source, line, hint=self._hint(error)) from error
        if found is None:  # a statement without rows
            raise InputError("a frame is made of a SELECT", where=f"{source.path}:{line}")
        return found

    def _make(self, sql: str) -> None:
        """Make the tables that a query names, or all of them where it may list what there is. Words that are no names
        count too: a table too many costs time, one too few an answer."""
        text = " ".join(token.text for token in tokens(sql)).casefold()
        for name in list(self._later):
            if _LISTING.search(text) or re.search(rf"\b{re.escape(name.casefold())}\b", text):
                table = self._later.pop(name)
                table.make(table.path)
                edge.view(self._connection, name, [table.path])

    @staticmethod
    def _no_parameters(source: SqlText, statement: statements.Statement) -> None:
        for name, line in statement.parameters.items():
            where = f"{source.path}:{line}"
            raise InputError(f"a query takes no parameters, but this one has ${name}", where=where)

    def _unsafe_prefix(self, source: SqlText) -> str:
        """Run all statements but the last; the last is the result."""
        parsed = statements.split(source)
        if not parsed:
            raise InputError("there is no SQL statement to run", where=f"{source.path}:1")
        for statement in parsed[:-1]:
            self._execute(source, statement.text, statement.line)
        return parsed[-1].text

    def _execute(self, source: SqlText, text: str, line: int) -> Connection:
        try:
            return self._connection.execute(text)
        except duckdb.Error as error:
            raise edge.input_error(error, source, line, hint=self._hint(error)) from error

    def _hint(self, error: duckdb.Error) -> str | None:
        if not isinstance(error, duckdb.CatalogException) or "Table with name" not in str(error):
            return None
        full = ", ".join(sorted(name for name, files in self._tables.items() if files)) or "none"
        empty = ", ".join(sorted(name for name, files in self._tables.items() if not files))
        return f"tables: {full}" + (f"; no rows yet: {empty}" if empty else "")

    def _stream(self, cursor: Connection, source: SqlText, line: int) -> Iterator[tuple[Any, ...]]:
        try:
            while batch := cursor.fetchmany(_FETCH):
                yield from batch
        except duckdb.Error as error:
            raise edge.input_error(error, source, line) from error

    def _to_parquet(self, source: SqlText, text: str, line: int, path: Path) -> int:
        target = literal(str(self._export))
        try:
            copied = self._execute(source, f"COPY ({text}\n) TO {target} (FORMAT parquet, COMPRESSION zstd)", line)
            row = copied.fetchone()
            part = path.with_name(path.name + ".part")
            shutil.move(self._export, part)
            part.replace(path)
        finally:
            self._export.unlink(missing_ok=True)
        return int(row[0]) if row else 0


def _distinct(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns as keys of an object: the second ``count`` becomes ``count_1``."""
    found: list[str] = []
    for column in columns:
        name, number = column, 0
        while name in found:
            number += 1
            name = f"{column}_{number}"
        found.append(name)
    return tuple(found)
