"""Where words and punctuation stand in SQL text, comments and strings aside. Pure; the grammar is DuckDB's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["comment", "string", "name", "parameter", "word", "mark"]

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>[eE]'(?:\\.|''|[^'\\])*(?:'|\Z)|'(?:''|[^'])*(?:'|\Z)
      |\$\$.*?(?:\$\$|\Z)|\$(?P<tag>[A-Za-z_]\w*)\$.*?(?:\$(?P=tag)\$|\Z))
  | (?P<name>"(?:""|[^"])*(?:"|\Z))
  | (?P<parameter>\$\w+)
  | (?P<word>\w+)
  | (?P<mark>[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    start: int  # offset into the text
    end: int


def tokens(sql: str) -> Iterator[Token]:
    """Every token but the comments, in order. Never fails: what DuckDB would refuse comes out as some token."""
    for found in _TOKEN.finditer(sql):
        kind = found.lastgroup if found.lastgroup != "tag" else "string"
        if kind != "comment":
            yield Token(kind, found.group(), found.start(), found.end())  # type: ignore[arg-type]  # the group names are Kind


def line_at(text: str, offset: int) -> int:
    """The 1-based line of an offset."""
    return text.count("\n", 0, offset) + 1


def bare(statement: str) -> str:
    """A statement without its semicolon and the comment after that, so that it can stand in parentheses."""
    for token in tokens(statement):
        if token.kind == "mark" and token.text == ";":
            return statement[: token.start]
    return statement


def start(statement: str) -> int:
    """Offset of the first token: where a statement begins once the comments above it are left out."""
    first = next(tokens(statement), None)
    return first.start if first else 0


def names(word: str) -> str:
    """A word or a quoted name as DuckDB knows it."""
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def quote(name: str) -> str:
    """A name that can stand in SQL whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"
