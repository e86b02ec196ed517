"""A SQL file taken apart by DuckDB's parser: its statements, their lines, their parameters, the tables they read.

Parsing depends on the text alone, so each text is taken apart once in a process, on a connection that holds nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.warehouse.connection import Connection, Inline, SqlText, input_error
from chimera_batch.warehouse.scan import bare, line_at, start, tokens
from chimera_batch.warehouse.tables import made, queries_in, tables, words_after_from

_ONE_AT_A_TIME = threading.Lock()  # what a connection does


@cache
def _parser() -> Connection:
    """One thread and no background ones, so that a process may fork beside it."""
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "threads": "1",
    }
    return duckdb.connect(":memory:", config=config)


@dataclass(frozen=True, slots=True)
class Statement:
    text: str  # from its first word, without the semicolon
    kind: str  # DuckDB's: SELECT, CREATE, COPY, EXPLAIN, MULTI (a PIVOT whose columns come from the data), …
    line: int  # of its first word, 1-based
    parameters: Mapping[str, int]  # name -> line of its first use


def split(source: SqlText) -> list[Statement]:
    """The statements of a file. Raises InputError where it does not parse or has its parameters in the wrong place."""
    try:
        found = list(_split(source.text))
    except duckdb.Error as error:
        raise input_error(error, source, 1) from error
    _only_the_last_takes_parameters(source, found)
    return found


@lru_cache(256)
def _split(text: str) -> tuple[Statement, ...]:
    with _ONE_AT_A_TIME:
        parsed = _parser().extract_statements(text)
    found, offset = [], 0
    for item in parsed:
        at = text.find(item.query, offset)
        at = at if at >= 0 else offset
        offset = at + len(item.query)
        begins = at + start(item.query)
        parameters = {name: _line_of(text, at, name) for name in sorted(item.named_parameters)}
        bared = bare(item.query[start(item.query) :])
        found.append(Statement(bared, item.type.name, line_at(text, begins), parameters))
    return tuple(found)


def _line_of(text: str, offset: int, parameter: str) -> int:
    for token in tokens(text[offset:]):
        if token.kind == "parameter" and token.text[1:].casefold() == parameter.casefold():
            return line_at(text, offset + token.start)
    return line_at(text, offset)


def _only_the_last_takes_parameters(source: SqlText, statements: list[Statement]) -> None:
    for statement in statements:
        for name, line in statement.parameters.items():
            where = f"{source.path}:{line}"
            if name.isdigit():
                raise InputError("parameters are given by name", where=where, hint="write $name instead of ? or $1")
            if statement is not statements[-1]:
                hint = "move it to the last statement; CREATE MACRO and CREATE VIEW cannot take parameters"
                raise InputError(f"${name} is used before the last statement", where=where, hint=hint)


def last(source: SqlText, statements: list[Statement]) -> Statement:
    """The statement that makes the file's rows. Raises InputError where there is none."""
    if not statements:
        raise InputError("the file holds no SQL statement", where=f"{source.path}:1")
    statement = statements[-1]
    if statement.kind not in {"SELECT", "MULTI"}:
        where = f"{source.path}:{statement.line}"
        raise InputError(f"the last statement is a {statement.kind}, not a SELECT", where=where)
    return statement


def over(source: SqlText, rows: SqlText) -> SqlText:
    """A file that reads ``fresh_rows``, run over what another file makes, without making that first.

    Errors name the lines of ``rows``. Raises InputError where that has no last SELECT, and ValueError where ``source``
    is more than one.
    """
    (asked,) = split(source)
    *before, final = split(rows)
    last(rows, [final])
    text = ""
    for statement in before:
        text += _down_to(text, statement.line) + statement.text + ";"
    text += f"{_down_to(text, final.line)}WITH fresh_rows AS ({final.text}\n)\n{asked.text}"
    return Inline(text, rows.name, rows.path)


def _down_to(text: str, line: int) -> str:
    return "\n" * (line - 1 - text.count("\n"))


def tree(query: str) -> Any:
    """DuckDB's syntax tree of a query, or None where it has no JSON form (it is no SELECT, or does not parse)."""
    try:
        with _ONE_AT_A_TIME:
            row = _parser().execute("SELECT json_serialize_sql($text::VARCHAR)", {"text": query}).fetchone()
    except duckdb.Error:
        return None
    try:
        found = json.loads(row[0]) if row else {"error": True}
    except RecursionError:  # nested more deeply than Python follows
        return None
    return None if found["error"] else found["statements"]


def inputs(statements: list[Statement]) -> set[str]:
    """Tables that the statements read, less those that they make themselves."""
    read: set[str] = set()
    own: set[str] = set()
    for statement in statements:
        read |= {name for name in _reads(statement.text) if name.casefold() not in own}
        if statement.kind == "CREATE" and (name := made(statement.text)):
            own.add(name.casefold())
    return read


@lru_cache(256)
def _reads(text: str) -> frozenset[str]:
    for query in (text, *queries_in(text)):
        if (found := tree(query)) is not None:
            try:
                return frozenset(tables(found))
            except RecursionError:  # nested more deeply than Python follows
                break
    return frozenset(words_after_from(text))


def lines_of(source: SqlText, read: set[str]) -> dict[str, int]:
    """Where each table is first named in the SQL, for an error's sake."""
    found: dict[str, int] = {}
    wanted = {name.rpartition(".")[2].casefold(): name for name in read}
    for token in tokens(source.text):
        name = wanted.get(token.text.strip('"').casefold())
        if name and token.kind in {"word", "name"} and name not in found:
            found[name] = line_at(source.text, token.start)
    return {name: found.get(name, 1) for name in sorted(read)}


def execute(cursor: Connection, source: SqlText, statement: Statement, text: str, bound: Mapping[str, Any]) -> None:
    try:
        cursor.execute(text, dict(bound))
    except (duckdb.Error, UnicodeEncodeError, RuntimeError) as error:  # the last: "std::bad_cast", of an odd key
        raise input_error(error, source, statement.line) from error


def bind(source: SqlText, statement: Statement, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a statement uses. Compared first: an unbound $name would silently take a SET VARIABLE."""
    given = {name.casefold(): value for name, value in params.items()}
    for name, line in statement.parameters.items():
        if name.casefold() not in given:
            hint = f"give it: params: {{{name}: …}}" + (f" (given: {', '.join(sorted(params))})" if params else "")
            raise InputError(f"parameter ${name} has no value", where=f"{source.path}:{line}", hint=hint)
    return {name: given[name.casefold()] for name in statement.parameters}
