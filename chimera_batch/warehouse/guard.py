"""Which SQL a person may run read-only: one statement that reads. Decided on DuckDB's syntax tree, not on words.

The type of a statement is not enough: ``WITH x AS (COPY …) SELECT`` is a SELECT, and ``EXPLAIN ANALYZE COPY`` writes.
"""

from __future__ import annotations

import re

from chimera_batch.errors import InputError
from chimera_batch.warehouse import statements
from chimera_batch.warehouse.connection import Inline, SqlText
from chimera_batch.warehouse.scan import names, tokens
from chimera_batch.warehouse.tables import functions, node_types, table_functions

_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

_READING_FUNCTIONS = re.compile(
    r"range|generate_series|unnest|repeat|repeat_row|summary|glob|sniff_csv|query_table"
    r"|(json_(each|tree))|(read_(parquet|csv|csv_auto|json\w*|ndjson\w*|text|blob))|(parquet_\w+)|(duckdb_\w+)|(pragma_\w+)"
    r"|icu_calendar_names|pg_timezone_names|test_all_types"
)

_WRITING_FUNCTIONS = {"write_log", "setval", "nextval"}

_FOREIGN = {"query", "json_execute_serialized_sql", "arrow_scan", "pandas_scan", "python_map_function", "seq_scan"}
"""Functions in FROM that run text or follow raw pointers. Where there is a tree, the list of reading ones decides."""

_WRITING_WORD = re.compile(
    r"ALTER|ATTACH|CALL|CHECKPOINT|COMMENT|COPY|CREATE|DELETE|DETACH|DROP|EXECUTE|EXPORT|IMPORT|INSERT|INSTALL|LOAD|MERGE"
    r"|PRAGMA|PREPARE|RESET|SET|TRUNCATE|UPDATE|USE|VACUUM",
    re.IGNORECASE,
)

_EXPLAIN = re.compile(r"EXPLAIN\s+(?:ANALYZE\s+)?(?:\([^()]*\)\s*)?", re.IGNORECASE)

_HINT = "a query reads: SELECT, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN; --unsafe lifts this"


def reading(source: SqlText) -> statements.Statement:
    """The one statement of a query. Raises InputError where there is none or several, or it does not only read."""
    parsed = statements.split(source)
    if not parsed:
        raise InputError("there is no SQL statement to run", where=f"{source.path}:1")
    if len(parsed) > 1:
        where = f"{source.path}:{parsed[1].line}"
        raise InputError(f"one statement at a time, not {len(parsed)}", where=where, hint=_HINT)
    if reason := _refusal(parsed[0].kind, parsed[0].text):
        raise InputError(reason, where=f"{source.path}:{parsed[0].line}", hint=_HINT)
    return parsed[0]


def _refusal(kind: str, text: str) -> str | None:
    if kind == "EXPLAIN" and (found := _EXPLAIN.match(text)):
        inner = statements.split(Inline(text[found.end() :]))
        return _refusal(inner[0].kind, inner[0].text) if len(inner) == 1 else "nothing to explain"
    if kind not in {"SELECT", "MULTI"}:
        return f"{kind} is refused: queries are read-only"
    tree = statements.tree(text)
    if tree is None:  # a PIVOT whose columns come from the data has no tree: judged by its words, more strictly
        return _refused_words(text)
    for node in node_types(tree):
        if node not in _READING_NODES:
            return f"{node.removesuffix('_QUERY_NODE')} is refused: queries are read-only"
    for name in table_functions(tree):
        if not _READING_FUNCTIONS.fullmatch(name):
            return f"{name}() is refused: queries are read-only"
    called = sorted(_WRITING_FUNCTIONS.intersection(functions(tree)))
    return f"{called[0]}() is refused: queries are read-only" if called else None


def _refused_words(text: str) -> str | None:
    found = list(tokens(text))
    words = {token.text.upper() for token in found if token.kind == "word" and _WRITING_WORD.fullmatch(token.text)}
    called = {names(token.text).casefold() for token in found if token.kind in {"word", "name"}}
    called &= _FOREIGN | _WRITING_FUNCTIONS
    bad = sorted(words) + sorted(called)
    return f"{bad[0]} is refused: queries are read-only" if bad else None
