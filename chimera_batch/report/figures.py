"""One table of the page: its cells as people read them, and the exact value behind each number. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from chimera_batch.cost.money import dollars
from chimera_batch.report.visible import clipped, visible

MOST = 200
"""Rows of a table in the page: more are for ``query``."""
_CELL = 400  # characters
_SHARES = ("part", "agreement", "_share", "share_")


@dataclass(frozen=True, slots=True)
class Cell:
    """``value``: the number itself, for whoever reads the page by machine; None: the cell is a text."""

    text: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """Rows under their columns' names; ``more``: how many further ones the query has."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]] = field(repr=False)
    more: int = 0

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """What stands above each column, and whether it holds numbers."""
        return [(name.replace("_", " "), self._numeric(n)) for n, name in enumerate(self.columns)]

    @property
    def cells(self) -> list[list[Cell]]:
        """The first rows, ready to be shown."""
        return [[cell(n, v) for n, v in zip(self.columns, row, strict=True)] for row in self.rows[:MOST]]

    def objects(self) -> list[dict[str, Any]]:
        """Rows as a chart's data: numbers plain, texts visible."""
        return [{n: datum(v) for n, v in zip(self.columns, row, strict=True)} for row in self.rows]

    def _numeric(self, place: int) -> bool:
        known = [row[place] for row in self.rows if row[place] is not None]
        return bool(known) and all(isinstance(v, int | float | Decimal) and not isinstance(v, bool) for v in known)


def cell(name: str, value: Any) -> Cell:
    """One value under its column's name, which says what it is: dollars, a share, a count."""
    if value is None or isinstance(value, bool):
        return Cell({None: "–", True: "yes", False: "no"}[value])
    if isinstance(value, int):
        return Cell(f"{value:,}", str(value))
    if isinstance(value, float | Decimal):
        return Cell(_number(name, float(value)), format(value, "f") if isinstance(value, Decimal) else repr(value))
    if isinstance(value, datetime):
        return Cell(f"{value:%Y-%m-%d %H:%M:%S}")
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Cell(visible(clipped(text, _CELL)))


def _number(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if "usd" in name or name.startswith("quoted_"):
        return dollars(value)
    if any(word in name for word in _SHARES):
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def datum(value: Any) -> Any:
    """A value as a chart takes it: exactness ends where pixels begin."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, str):
        return visible(clipped(value, 120))
    return value if isinstance(value, bool | int | float) or value is None else str(value)
