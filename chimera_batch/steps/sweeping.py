"""The results of an attempt in one sweep by DuckDB, which then is held against what came and what was sent. Floor 4."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chimera_batch.context import engine_sql
from chimera_batch.errors import InputError
from chimera_batch.records import Outcome, Usage
from chimera_batch.requests import wire
from chimera_batch.results import reconciling
from chimera_batch.results.decoding import Tally
from chimera_batch.results.sweeping import Others, Reading, UnsweptError, parameters
from chimera_batch.warehouse import Lines, Warehouse

LEAST = 1_000
"""Requests: fewer are read by Python before DuckDB has begun."""
_PIECE = 1 << 18  # bytes of lines that DuckDB is handed at once: a hundred rows pay for the handing


@dataclass(frozen=True, slots=True)
class Sweep:
    """How an attempt is read. ``plain``: the SQL that knows its host's lines; ``ceiling``: of requests that name none.

    ``warehouse``: with a view ``sent`` of the requests. ``into``: COPY's target.
    """

    warehouse: Warehouse
    plain: str
    ceiling: int
    into: str

    def run(self, files: Sequence[tuple[str, Path]], reading: Reading, tally: Tally, path: Path) -> None:
        """Write the rows to ``path`` and fill the tally. Raises UnsweptError where all has to be read line by line.

        ``files``: the names that rows know them by, and where they are.
        """
        names = [name for name, _ in files]
        params = {**parameters(reading.sent, names, reading.schema), "ceiling": self.ceiling}
        with ExitStack() as stack:
            opened = [stack.enter_context(file.open("rb")).fileno() for _, file in files]
            others = Others(names, lambda file, place, size: os.pread(opened[file - 1], size, place), reading)
            lines = _lines([file for _, file in files], others)
            try:
                self.warehouse.sweep(engine_sql(self.plain), params, lines, others.functions, self.into)
            except InputError as error:  # a line beyond DuckDB's memory; Python has room for one
                raise UnsweptError(error.message) from error
            self.warehouse.view("swept", [path])
            found, seen = self._count(tally)
            if not (others.complete and found == len(seen) == others.expected):  # which of them, only Python can tell
                raise UnsweptError("an id comes twice, or was not sent")
            others.book(tally)
        tally.seen = seen  # the others' too, as their rows are among them

    def _count(self, tally: Tally) -> tuple[int, dict[str, Outcome]]:
        """Add up the rows; how many come of a line, and whose they are, each id once however often it comes."""
        lines = 0
        seen: dict[str, Outcome] = {}
        for outcome, requests, found, ids, usd, *tokens in self.warehouse.rows(engine_sql("swept"), {}):
            lines += found
            seen.update(dict.fromkeys(ids.split(), outcome))
            tally.count(outcome, requests)
            tally.usd += usd
            tally.usage = reconciling.plus(tally.usage, Usage(*tokens))
        return lines, seen


def _lines(files: Sequence[Path], others: Others) -> Iterator[Lines]:
    for number, file in enumerate(files, 1):
        for piece in wire.read_pieces(file, _PIECE):
            others.lines += len(piece.lines)
            yield Lines(number, *piece)
    others.complete = True
