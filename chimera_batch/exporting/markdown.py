"""Text as Markdown that shows it and does nothing else: no markup, no link, no HTML, no hidden letter. Pure."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

MOST = 120  # characters of a cell
_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|~:@$=\"^]|(?<=[A-Za-z0-9])\.(?=[A-Za-z])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def safe(text: object, most: int = MOST) -> str:
    """On one line, at most so many characters, every mark of Markdown and HTML taken literally."""
    flat = " ".join(str(text).split())
    shown = "".join(letter for letter in flat if unicodedata.category(letter)[0] != "C")
    cut = shown if len(shown) <= most else shown[: most - 1] + "…"
    return _MARKUP.sub(lambda found: "\\" + found[0], cut).translate(_ENTITIES)


def cell(value: Any) -> str:
    """A value as a cell: numbers readable, NULL empty, everything else ``safe``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return f"{value:,.4g}" if -1000 < value < 1000 else f"{value:,.0f}"
    return safe(value.isoformat() if isinstance(value, dt.date | dt.time) else value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table."""
    head = "| " + " | ".join(safe(name) for name in columns) + " |"
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return [head, "|" + "---|" * len(columns), *lines]
