"""Which tables a query reads and what else it does, from DuckDB's own syntax tree as JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chimera_batch.warehouse.scan import names, tokens

Node = Any  # a JSON value of the tree

_OWN_SCHEMAS = {"", "main", "memory", "temp"}
_SYSTEM_SCHEMAS = {"information_schema", "pg_catalog"}


def tables(tree: Node, hidden: frozenset[str] = frozenset()) -> set[str]:
    """Names of the base tables under a node. A WITH name hides a table only where it is in scope: in
    ``WITH topics AS (SELECT * FROM topics)`` the inner one is the table.
    """
    if isinstance(tree, list):
        return {name for item in tree for name in tables(item, hidden)}
    if not isinstance(tree, dict):
        return set()
    found: set[str] = set()
    if tree.get("type") == "BASE_TABLE":
        name = _table_name(tree)
        found |= {name} if name and name.casefold() not in hidden else set()
    if tree.get("type") == "RECURSIVE_CTE_NODE":
        hidden |= {str(tree.get("cte_name", "")).casefold()}
    for entry in (tree.get("cte_map") or {}).get("map", []):
        found |= tables(entry["value"], hidden)
        hidden |= {str(entry["key"]).casefold()}
    for key, value in tree.items():
        if key != "cte_map":
            found |= tables(value, hidden)
    return found


def _table_name(node: dict[str, Any]) -> str | None:
    schema, name = str(node.get("schema_name") or ""), str(node.get("table_name") or "")
    if schema.casefold() in _SYSTEM_SCHEMAS or not name:
        return None
    return name if schema.casefold() in _OWN_SCHEMAS else f"{schema}.{name}"


def node_types(tree: Node) -> Iterator[str]:
    """The type of every query node: SELECT_NODE, SET_OPERATION_NODE, COPY_QUERY_NODE, …"""
    for node in _nodes(tree):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE"):
            yield kind


def table_functions(tree: Node) -> Iterator[str]:
    """Names of the functions in FROM, in lower case."""
    for node in _nodes(tree):
        if node.get("type") == "TABLE_FUNCTION":
            yield str((node.get("function") or {}).get("function_name", "")).casefold()


def functions(tree: Node) -> Iterator[str]:
    """Names of all functions, in lower case."""
    for node in _nodes(tree):
        if isinstance(name := node.get("function_name"), str):
            yield name.casefold()


def _nodes(tree: Node) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


_MAKES = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?:TABLE|VIEW|MACRO|FUNCTION)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r'("(?:""|[^"])+"|\w+)',
    re.IGNORECASE,
)


def made(statement: str) -> str | None:
    """The name that a CREATE statement makes."""
    found = _MAKES.search(statement)
    return names(found[1]) if found else None


def queries_in(statement: str) -> Iterator[str]:
    """Texts that may be the query inside a statement that has no JSON form, such as CREATE … AS query; best first."""
    marks = list(tokens(statement))
    for place, token in enumerate(marks):
        if token.kind == "word" and token.text.upper() == "AS":
            after = marks[place + 1] if place + 1 < len(marks) else None
            rest = statement[token.end :]
            yield statement[after.end :] if after and after.text.upper() == "TABLE" else rest
            yield f"SELECT {rest}"


def words_after_from(statement: str) -> set[str]:
    """A rough reading where there is no tree: names after FROM, JOIN and PIVOT, less those that WITH gives."""
    marks = [token for token in tokens(statement) if token.kind in {"word", "name", "mark"}]
    found, given = set(), set()
    for token, after, then in zip(marks, marks[1:], [*marks[2:], None], strict=False):
        if token.kind == "word" and token.text.upper() in {"FROM", "JOIN", "PIVOT", "UNPIVOT", "PIVOT_WIDER"}:
            called = then is not None and then.text == "("
            if after.kind != "mark" and not called:
                found.add(names(after.text))
        if after.text.upper() == "AS" and then is not None and then.text == "(" and token.kind != "mark":
            given.add(names(token.text).casefold())
    return {name for name in found if name.casefold() not in given}
