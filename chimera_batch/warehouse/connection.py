"""Opening DuckDB the way this project wants it, and telling its errors in the words of the SQL file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import duckdb
from duckdb.func import FunctionNullHandling

from chimera_batch.errors import InputError
from chimera_batch.functions import FUNCTIONS, Function
from chimera_batch.warehouse.arenas import few_arenas
from chimera_batch.warehouse.scan import literal, quote

Connection = duckdb.DuckDBPyConnection

_BUFFER = 4 << 20  # bytes of a text file that DuckDB reads at once, per thread; its own 32 MB are kept until the end


class SqlText(Protocol):
    """One SQL file: ``project.Source`` fits."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Inline:
    """SQL that has no file, such as what a person typed."""

    text: str
    name: str = "query"
    path: Path = Path("query")


def connect(temp: Path, *, memory_limit: str, threads: int) -> Connection:
    """An empty database in memory that reaches for nothing on its own: no extension downloads, no Python variables.

    ``temp`` is where it spills when ``memory_limit`` is reached. Insertion order is kept: without it the same memory
    does less, and bytes would differ between runs.
    """
    few_arenas()
    temp.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": memory_limit,
        "threads": str(threads),
        "temp_directory": str(temp),
        "preserve_insertion_order": "true",
        "python_enable_replacements": "false",
    }
    try:
        connection = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        raise InputError(f"the database does not open: {message_of(error)}") from error
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    for function in FUNCTIONS:
        register(connection, function)
    return connection


def register(connection: Connection, function: Function) -> None:
    """Let SQL call it, on every connection to this database."""
    call = function.call

    @wraps(call)  # DuckDB counts the parameters of what it is given
    def null_in_null_out(*arguments: Any) -> Any:
        return None if None in arguments else call(*arguments)

    types: list[Any] = [*function.parameters]
    # SPECIAL, so that a function may also answer NULL: DuckDB's own NULL rule forbids that
    connection.create_function(
        function.name,
        null_in_null_out,
        types,
        function.returns,
        null_handling=FunctionNullHandling.SPECIAL,
        side_effects=False,
    )


def view(connection: Connection, name: str, files: Sequence[Path]) -> None:
    """A view over Parquet files, read by column name. ValueError: no files; InputError: an unreadable one."""
    if not files:
        raise ValueError(f"table {name} has no files")
    for file in files:
        if not file.is_file():
            raise InputError(f"table {name}: there is no file {file}", where=str(file))
    listed = ", ".join(literal(str(file)) for file in files)
    # a segment such as "k=v" in a path is no column
    reader = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT * FROM {reader}")  # noqa: S608 - quoted
    except duckdb.Error as error:
        raise InputError(f"table {name}: {message_of(error)}", where=str(files[0])) from error


def listed(connection: Connection, name: str, columns: Mapping[str, str], file: Path) -> None:
    """A view over a text file of comma-separated values without quotes, in the order of its lines."""
    typed = ", ".join(f"{literal(column)}: {literal(kind)}" for column, kind in columns.items())
    form = f"header = false, auto_detect = false, quote = '', escape = '', delim = ',', columns = {{{typed}}}"
    reader = f"read_csv({literal(str(file))}, buffer_size = {_BUFFER}, {form})"
    connection.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT * FROM {reader}")  # noqa: S608 - quoted


_POSITION = re.compile(r"\n\nLINE (\d+):.*", re.DOTALL)


def message_of(error: BaseException) -> str:
    """DuckDB's message on one line, without the excerpt of the SQL."""
    if isinstance(error, UnicodeEncodeError):
        return "a parameter is not valid Unicode (a lone surrogate)"
    told = _POSITION.sub("", str(error)).partition("\n\nPossible solutions:")[0]
    return " ".join(told.split())


def line_of(error: BaseException) -> int | None:
    """The line that DuckDB points at, 1-based, within the text that it was given."""
    found = _POSITION.search(str(error))
    return int(found[1]) if found else None


def input_error(error: BaseException, source: SqlText, first_line: int, *, hint: str | None = None) -> InputError:
    """The error of a person's SQL. ``first_line``: the file's line on which the text given to DuckDB begins."""
    line = line_of(error)
    at = first_line + line - 1 if line is not None else first_line
    if isinstance(error, duckdb.OutOfMemoryException):
        hint = (
            "leave ORDER BY out, or select fewer and smaller columns: this holds more text at once than memory allows"
        )
    return InputError(message_of(error), where=f"{source.path}:{at}", hint=hint)
