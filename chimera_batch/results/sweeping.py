"""Results that DuckDB reads by itself, and what Python has to say of the others. Pure; floor 2.

Nearly every line of a result file is plain: nothing about it needs a decision. A SQL file reads, prices and writes
these in one sweep, in two thirds of the time that Python takes. Every other line comes here, first for the row that it
makes, and when all is written once more, in the order of the files, for the books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from chimera_batch.endpoints.usage import MOST
from chimera_batch.functions import Function
from chimera_batch.requests.wire import Piece
from chimera_batch.results.decoding import Decode, Decoder
from chimera_batch.results.judging import judge_of, structure_of
from chimera_batch.results.tabling import NAMES, Columns, Found, Sent, Tally, columns

PLACES = 12  # digits behind the point that dollars have in a row
_DIGITS = 24  # that they have in all
_FEW = 1_000  # lines that may be anything; of more than that, three quarters must be plain
_SHARE = 4

Read = Callable[[int, int, int], bytes]
"""Number of a file, an offset and a length → the bytes there."""


class Reading(NamedTuple):
    """How the lines of an attempt are read."""

    decode: Decode
    sent: Sent
    schema: str | None  # JSON text


class UnsweptError(Exception):
    """The lines have to be read one after the other, and why."""


class Others:
    """The lines of an attempt that are not plain. ``names``: of its files, as rows know them."""

    def __init__(self, names: Sequence[str], read: Read, reading: Reading) -> None:
        self._names, self._read = names, read
        self._decode, self._sent, self._judge = reading.decode, reading.sent, judge_of(reading.schema)
        self._meter = reading.sent.meter
        self._asked: dict[tuple[int, int], tuple[int, int]] = {}  # file and line -> offset and length
        self._rows: set[tuple[int, int]] = set()
        self.lines = 0  # how many were read so far, plain ones included
        self.complete = False  # whether these are all

    @property
    def functions(self) -> list[Function]:
        """What the SQL calls."""
        numbers = ("BIGINT",) * 4
        return [
            Function("decided", self.decide, numbers, "VARCHAR"),
            Function("fits", self.fits, ("VARCHAR",), "BOOLEAN"),
        ]

    @property
    def expected(self) -> int:
        """How many rows with a line there must be."""
        return self.lines - len(self._asked) + len(self._rows)

    def fits(self, text: str) -> bool:
        """Whether an answer fits the schema and is its own JSON."""
        return self._judge is None or self._judge(text) == text

    def decide(self, file: int, line: int, place: int, size: int) -> str | None:
        """The row that a line makes, as JSON; None where it makes none. Raises UnsweptError: so many are not
        plain that reading all of them one after the other takes less time."""
        self._asked[file, line] = place, size
        if len(self._asked) > _FEW and len(self._asked) * _SHARE > self.lines:
            raise UnsweptError(f"more than one in {_SHARE} is no plain answer")
        tally = Tally(keep_apart=lambda record: None)
        found = self._decoded((file, line), tally)
        if not found.identities:
            return None
        self._rows.add((file, line))
        return _row(columns(found, self._sent, tally, self._meter), self._meter.usd)

    def book(self, tally: Tally) -> None:
        """Count them, and keep apart what is no row."""
        for which in sorted(self._asked):
            self._decoded(which, tally)

    def _decoded(self, which: tuple[int, int], tally: Tally) -> Found:
        (file, line), (place, size) = which, self._asked[which]
        found = Found(self._names[file - 1])
        Decoder(self._decode, self._sent, self._judge, tally).read(
            Piece(line, place, [self._read(file, place, size)]), found
        )
        return found


def _row(made: Columns, usd: Callable[[int], object]) -> str:
    told = {name: values[0] for name, values in zip(NAMES, made, strict=True)}
    return orjson.dumps({**told, "usd": f"{usd(told['usd']):f}"}).decode()


def sweepable(sent: Sent) -> bool:
    """Whether the price of an attempt can be told in SQL: per token, with as many digits as rows have, and no more."""
    if sent.price.gpu is not None or sent.meter.places > PLACES:
        return False
    most: int = 10**_DIGITS // MOST
    return sum(_rates(sent)) < most


def parameters(sent: Sent, names: Sequence[str], schema: str | None) -> dict[str, Any]:
    """What the SQL is given."""
    given, cached, made = _rates(sent)
    return {
        "lead": sent.lead,
        "shard": sent.shard,
        "attempt": sent.attempt,
        "absent": sent.absent,
        "files": list(names),
        "judged": schema is not None,
        "structure": structure_of(schema),
        "tier": sent.tier if sent.batch_price else None,  # another tier is billed at the standard rates
        "most": MOST,
        "most_given": min(sent.meter.untiered, MOST - 1),
        "each_given": given,
        "each_cached": cached,
        "each_made": made,
    }


def _rates(sent: Sent) -> tuple[int, ...]:
    """Of a token given, cached and made, in units of ``10**-PLACES`` dollars."""
    meter = sent.meter
    scale: int = 10 ** (PLACES - meter.places)
    return tuple(rate * scale for rate in meter.plain(batch=sent.batch_price))
