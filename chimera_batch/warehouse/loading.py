"""Python rows into a table: written as JSON lines beside the database and read by DuckDB, about 500,000 a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import orjson

from chimera_batch.errors import InputError
from chimera_batch.warehouse.connection import Connection, message_of
from chimera_batch.warehouse.scan import literal, quote

_LEAST_OBJECT = 16 * 1024 * 1024  # DuckDB's own limit for one line; raised only for a longer one, for it costs memory

Convert = Callable[[Any], Any]


def load(
    connection: Connection, temp: Path, name: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]
) -> int:
    """Make or replace table ``name``; returns its rows. Nothing is changed where a row does not fit."""
    if not columns:
        raise ValueError(f"table {name} needs columns")
    path = temp / f"load-{uuid4().hex}.jsonl"
    try:
        count, longest = _write(path, name, columns, rows)
        try:
            connection.execute(_statement(path, name, columns, longest) if count else _empty(name, columns))
        except duckdb.Error as error:
            raise InputError(f"table {name}: {message_of(error)}") from error
    finally:
        path.unlink(missing_ok=True)
    return count


def _write(path: Path, name: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> tuple[int, int]:
    keys = [f"c{place}" for place in range(len(columns))]
    converts = [(place, convert) for place, kind in enumerate(columns.values()) if (convert := _convert(kind))]
    number, longest = 0, 0
    with path.open("wb", buffering=1 << 20) as file:
        for number, row in enumerate(rows, 1):
            if len(row) != len(keys):
                raise InputError(f"{len(row)} values for {len(keys)} columns", where=f"table {name}, row {number}")
            values = dict(zip(keys, row, strict=True))
            try:
                for place, convert in converts:
                    if row[place] is not None:
                        values[keys[place]] = convert(row[place])
                line = orjson.dumps(values, default=str, option=orjson.OPT_APPEND_NEWLINE)
            except (TypeError, ValueError) as error:  # a lone surrogate, an integer beyond 64 bits, an object
                raise InputError(f"a value cannot be stored: {error}", where=f"table {name}, row {number}") from error
            file.write(line)
            longest = max(longest, len(line))
    return number, longest


def _convert(kind: str) -> Convert | None:
    """What JSON cannot say by itself, by column type."""
    base = kind.upper().partition("(")[0].strip()
    if kind.endswith("]"):
        return None
    if base in {"DOUBLE", "FLOAT", "REAL"}:
        return lambda value: value if math.isfinite(value) else str(float(value))
    if base in {"HUGEINT", "UHUGEINT"}:
        return str
    if base == "BLOB":
        return lambda value: bytes(value).hex()
    if base == "JSON":
        return lambda value: value if isinstance(value, str) else orjson.dumps(value).decode()
    return None


def _statement(path: Path, name: str, columns: Mapping[str, str], longest: int) -> str:
    plain = {"BLOB": "VARCHAR", "JSON": "VARCHAR"}
    read = ", ".join(
        f"c{place}: {literal(plain.get(kind.upper(), kind))}" for place, kind in enumerate(columns.values())
    )
    select = ", ".join(
        f"{_value(f'c{place}', kind)} AS {quote(column)}" for place, (column, kind) in enumerate(columns.items())
    )
    return (
        f"CREATE OR REPLACE TABLE {quote(name)} AS SELECT {select} FROM read_json({literal(str(path))},"  # noqa: S608 - quoted
        f" format = 'newline_delimited', compression = 'uncompressed', columns = {{{read}}},"
        f" maximum_object_size = {max(_LEAST_OBJECT, longest + 1)})"
    )


def _empty(name: str, columns: Mapping[str, str]) -> str:
    """No file is read where there is none to speak of: many small tables stay empty in most passes."""
    made = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
    return f"CREATE OR REPLACE TABLE {quote(name)} ({made})"


def _value(key: str, kind: str) -> str:
    if kind.upper() == "BLOB":
        return f"unhex({key})"
    return f"{key}::JSON" if kind.upper() == "JSON" else key
