"""Printing for people: tables and lines on stdout. Rich on a terminal, plain aligned text anywhere else."""

# ruff: noqa: PLC0415 - rich is slow to import and only a terminal needs it

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from chimera_batch.cli.said import Said
from chimera_batch.cli.texts import columns_of, json_text, one_line, plain

REHEARSAL = "REHEARSAL: nothing was paid; answers are invented"

_NUMBER = re.compile(r"<?-?\$?-?[\d,]*\.?\d+([eE][+-]?\d+)?%?")

Rows = Sequence[Sequence[str]]
"""Rows of text, the heading first."""


def to_terminal() -> bool:
    """Whether somebody looks at stdout right now, on a terminal that can do more than print lines."""
    return sys.stdout.isatty() and not plainly()


def plainly() -> bool:
    """Whether only lines of text are wanted: `--plain`, or a terminal that calls itself dumb."""
    from chimera_batch.settings import dumb_terminal

    said = _said()
    return (said is not None and said.plain) or dumb_terminal()


def _said() -> Said | None:
    ctx = click.get_current_context(silent=True)
    return ctx.find_object(Said) if ctx else None


def _settle() -> None:
    if said := _said():
        said.settle()


def answerable() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def line(text: object = "") -> None:
    """One line or several, made safe."""
    _settle()
    click.echo(plain(text))


def document(content: Any) -> None:
    """The one JSON document of ``--json``."""
    _settle()
    click.echo(json_text(content))


def dollars(amount: float) -> str:
    """See ``money.dollars``."""
    from chimera_batch.cost import money

    return money.dollars(amount)


def table(rows: Rows, *, total: bool = False) -> None:
    """Print a table. ``total``: the last row is a sum and stands apart."""
    _settle()
    safe = [[one_line(cell) for cell in row] for row in rows]
    if to_terminal():
        _rich(safe, total)
    else:
        for text in aligned(safe, total=total):
            click.echo(text)


def aligned(rows: Rows, *, total: bool = False) -> list[str]:
    """The rows as lines of text in columns, numbers to the right."""
    right = numeric(rows)
    widths = [max(columns_of(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = (_pad(cell, width, right=side) for cell, width, side in zip(row, widths, right, strict=True))
        lines.append("  ".join(padded).rstrip())
    rule = "  ".join("-" * width for width in widths)
    lines.insert(1, rule)
    if total:
        lines.insert(-1, rule)
    return lines


def _pad(cell: str, width: int, *, right: bool) -> str:
    blank = " " * (width - columns_of(cell))
    return blank + cell if right else cell + blank


def numeric(rows: Rows) -> list[bool]:
    """Which columns hold numbers only: empty cells and dashes do not count, and one number must be there."""
    found = []
    for n in range(len(rows[0])):
        cells = [row[n] for row in rows[1:] if row[n] not in {"", "-"}]
        found.append(bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells))
    return found


def _rich(rows: Rows, total: bool) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # Text is never read as markup

    shown = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))  # an estimate has eleven columns
    for name, right in zip(rows[0], numeric(rows), strict=True):
        shown.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for number, row in enumerate(rows[1:], 2):
        if total and number == len(rows):
            shown.add_section()
        shown.add_row(*map(Text, row))
    Console(file=sys.stdout, markup=False, highlight=False, emoji=False).print(shown)


class PlainStream:
    """A text stream for a terminal that only lets ``plain`` text through."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(plain(text))
