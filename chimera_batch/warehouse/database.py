"""Tables and queries as one DuckDB file that any DuckDB opens, without this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from chimera_batch.warehouse import connection as edge
from chimera_batch.warehouse import statements
from chimera_batch.warehouse.connection import Connection, SqlText
from chimera_batch.warehouse.scan import literal, quote

_OURS = re.compile(r"Function with name (\w+) does not exist")

OLDEST = "v1.0.0"
"""The oldest DuckDB that opens the file: by default 2.0 writes what no 1.x reads, and its next user may have one."""


_IF = 'CREATE MACRO "if"(test, yes, no) AS CASE WHEN test THEN yes ELSE no END'
"""A view keeps ``if(…)`` as a function by that name, which only DuckDB 2 has; 1.x reads it as CASE while it parses."""


def write_database(
    path: Path, tables: Mapping[str, Path], views: Mapping[str, SqlText], *, memory_limit: str = "512MB"
) -> tuple[dict[str, int], dict[str, str]]:
    """Make the file ``path``. Returns the rows of each table, and of each view that could not be made the reason.

    A view whose name a table has is called ``NAME_view``. Left out is what needs a table that is not there, a
    parameter, several statements or one of our own functions: DuckDB alone could not run it.
    """
    config: dict[str, Any] = {"memory_limit": memory_limit, "threads": "2", "autoload_known_extensions": "false"}
    config["storage_compatibility_version"] = OLDEST
    connection = duckdb.connect(str(path), config=config)
    try:
        connection.execute(_IF)
        rows = {name: _table(connection, name, file) for name, file in tables.items()}
        known = {name.casefold() for name in tables}
        left = {}
        for name, source in views.items():
            called = f"{name}_view" if name.casefold() in known else name
            if reason := _lacks(source, known) or _view(connection, called, source):
                left[name] = reason
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    return rows, left


def _table(connection: Connection, name: str, file: Path) -> int:
    reader = f"read_parquet({literal(str(file))}, hive_partitioning = false)"
    made = connection.execute(f"CREATE TABLE {quote(name)} AS SELECT * FROM {reader}").fetchone()  # noqa: S608 - quoted
    return int(made[0]) if made else 0


def _lacks(source: SqlText, known: set[str]) -> str | None:
    """Which tables of a query are not there."""
    read = {name.casefold() for name in statements.inputs(statements.split(source))}
    return f"needs {', '.join(sorted(read - known))}" if read - known else None


def _view(connection: Connection, name: str, source: SqlText) -> str | None:
    """Make a view; why it cannot be one, if so."""
    parsed = statements.split(source)
    final = statements.last(source, parsed)
    if len(parsed) > 1 or final.parameters:
        return "takes parameters" if final.parameters else "is several statements"
    try:
        connection.execute(f"CREATE VIEW {quote(name)} AS {final.text}")
    except duckdb.Error as error:
        ours = _OURS.search(message := edge.message_of(error))
        return f"needs chimera-batch's own function {ours[1]}: `query @{name}` has it" if ours else message
    return None
