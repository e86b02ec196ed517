"""What a report is asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROWS = 500
"""Rows of the sample, unless said: a page of a few megabytes that opens at once, on a phone too."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One report. ``table``: the stage whose rows are sampled; None: the last one whose table is made.

    ``beside``: manifests of runs that analyse this one, whose sections are shown too.
    """

    path: Path
    rows: int = ROWS
    table: str | None = None
    beside: tuple[Path, ...] = ()
