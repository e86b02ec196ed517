"""Result lines of one attempt → landed rows. Reconciles against the ids sent; loses no line, trusts no count.

Every id sent ends in exactly one row. A line that is no result is kept apart with its bytes, file, line number and
offset; so are lines of other batches and second lines of an id already answered.

What every line goes through stands in one loop and makes one tuple: with millions of lines, a call more for each is
seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import orjson

from chimera_batch import reconciling
from chimera_batch.metering import Meter
from chimera_batch.prices import Price
from chimera_batch.records import Outcome, Problem, Reply, Usage
from chimera_batch.schemas import validator
from chimera_batch.wire import NONCE_LENGTH, Piece

_EXECUTED = frozenset({"ok", "truncated", "refused", "invalid"})
_LEAD = NONCE_LENGTH + 1  # of a custom id: the nonce and a dash
_UNFIT = "the answer does not fit the schema"
_FREE = Usage()
_PIECE = 1 << 21  # bytes of lines that are turned into columns together
_OUTCOME, _USAGE, _USD = 3, slice(14, 20), 20  # places in a row

Row = tuple[Any, ...]
"""One landed row in the columns of ``standing.LANDED_COLUMNS``; ``usd`` in units of the attempt's ``Sent.meter``."""

Judge = Callable[[str], str | None]
"""Text of an answer → its canonical JSON if it fits the schema, else None."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What an attempt sent, for reconciling."""

    shard: str
    attempt: int
    nonce: str
    ceilings: Mapping[str, int]  # request id -> output ceiling
    absent: Outcome | None  # what an id in no file counts as: missing, expired, cancelled; None: as not asked
    price: Price
    batch_price: bool
    tier: str | None = None  # the service tier asked for; a reply that names another is billed at the standard rates

    @property
    def meter(self) -> Meter:
        """Made anew: keep it."""
        return Meter(self.price)


@dataclass(slots=True)
class Tally:
    """What a landing adds up to."""

    keep_apart: Callable[[dict[str, Any]], None]  # takes the record of a quarantined line
    usd: Decimal = Decimal(0)
    outcomes: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Outcome] = field(default_factory=dict)  # request id -> its outcome
    quarantined: int = 0
    foreign: int = 0  # of them, results with an id that this attempt did not send
    apart: str | None = None  # why the first of them was
    whys: dict[Outcome, str] = field(default_factory=dict)  # what was said of the first request with each bad outcome
    account: str | None = None  # an error that hits every row: quota, billing, key
    usage: Usage = field(default_factory=Usage)  # of all rows that came with one
    unbilled: dict[str, bool] = field(default_factory=dict)  # id of a row without usage -> whether it was executed
    malformed: int = 0  # quarantined lines that are no results at all: any of them may be a row of ours
    rows: int = 0  # lines that became one
    suspected: Decimal = Decimal(0)  # what may have been charged without a row, by `reconciling`
    reported: Usage | None = None  # the provider's own totals

    def count(self, outcome: Outcome, by: int = 1) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + by


@cache
def judge_of(schema: str | None) -> Judge | None:
    """A compiled judge for a response schema (JSON text)."""
    if schema is None:
        return None
    validate = validator(schema)

    def judge(text: str) -> str | None:
        try:
            value = orjson.loads(_unfenced(text))
            validate(value)
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except (ValueError, TypeError, RecursionError):  # orjson's and the validator's; nested too deep to be written
            return None

    return judge


def _unfenced(text: str) -> str:
    """Compatible hosts wrap JSON in a Markdown fence at times; that is not worth paying for again."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped


class File(NamedTuple):
    """A file of results: the name that rows know it by, and its lines."""

    name: str
    pieces: Iterable[Piece]


def rows(
    files: Iterable[File], decode: Callable[[bytes], Reply], sent: Sent, judge: Judge | None, tally: Tally
) -> Iterator[list[Row]]:
    """Landed rows in lists of about 2 MB of lines; ``tally`` counts what has been taken."""
    decoder, found, size = _Decoder(decode, sent, judge, tally), list[Row](), 0
    for name, pieces in files:
        for piece in pieces:
            found += decoder.rows(name, piece)
            size += piece.bytes
            if size >= _PIECE:
                yield decoder.counted(found)
                found, size = [], 0
    yield decoder.counted(found)


class _Decoder:
    """Lines of one attempt into rows, piece by piece."""

    def __init__(self, decode: Callable[[bytes], Reply], sent: Sent, judge: Judge | None, tally: Tally) -> None:
        self._decode, self._sent, self._judge, self._tally = decode, sent, judge, tally
        self._lead, self._meter = f"{sent.nonce}-", sent.meter

    def rows(self, file: str, piece: Piece) -> list[Row]:
        """The rows of a piece; what is none is quarantined."""
        sent, tally, decode, judge, lead = self._sent, self._tally, self._decode, self._judge, self._lead
        ceilings, seen, shard, attempt, cost = sent.ceilings, tally.seen, sent.shard, sent.attempt, self._cost
        found: list[Row] = []
        number, end = piece.first - 1, piece.offset
        for line in piece.lines:
            number, offset, end = number + 1, end, end + len(line) + 1
            try:
                reply = decode(line)
            except (ValueError, RecursionError) as error:
                if line.strip():
                    tally.malformed += 1
                    _quarantine(tally, (file, number, offset), line, f"not a result: {error}")
                continue
            custom_id, outcome, text, reasoning, vector, finish, model, usage, code, message, passing, account, _ = (
                reply
            )
            identity = custom_id[_LEAD:]
            if identity not in ceilings or custom_id[:_LEAD] != lead:
                tally.foreign += 1
                _quarantine(tally, (file, number, offset), line, "an id that this attempt did not send")
                continue
            answer = None
            if judge is not None and outcome == "ok":
                answer = judge(text or "")
                if answer is None:
                    outcome, message = "invalid", _UNFIT
            if identity in seen and not _outdoes(tally, identity, outcome):
                _quarantine(tally, (file, number, offset), line, "a second line for the same request")
                continue
            seen[identity] = outcome
            if outcome != "ok" or account:
                _note_trouble(tally, outcome, message, (message or code) if account else None)
            usd, usage = cost(identity, reply)
            found.append(
                (shard, attempt, identity, outcome, passing or account, ceilings[identity], text, reasoning, answer,
                 list(vector) if vector else None, finish, model, code, message, *usage, usd, file, number)
            )  # fmt: skip
        return found

    def _cost(self, identity: str, reply: Reply) -> tuple[int, Usage]:
        """An answer was executed even where the host leaves its usage out; an error without usage is not charged."""
        usage = reply.usage
        if usage is None:
            self._tally.unbilled[identity] = reply.outcome in _EXECUTED
            return 0, _FREE
        if not (usage.input_tokens or usage.output_tokens):
            self._tally.unbilled[identity] = reply.outcome in _EXECUTED
        elif self._tally.unbilled:
            self._tally.unbilled.pop(identity, None)
        sent = self._sent
        batch = sent.batch_price and (sent.tier is None or reply.tier is None or reply.tier == sent.tier)
        return self._meter.units(usage, batch=batch), usage

    def counted(self, found: list[Row]) -> list[Row]:
        """Rows, added to the tally column by column."""
        tally = self._tally
        if not found:
            return found
        tally.rows += len(found)
        columns = list(zip(*found, strict=True))
        for outcome, rows in Counter(columns[_OUTCOME]).items():
            tally.count(outcome, rows)
        usages = [row for row in zip(*columns[_USAGE], strict=True) if row[0] or row[4]]
        if usages:
            tally.usage = reconciling.plus(tally.usage, Usage(*map(sum, zip(*usages, strict=True))))
        usd = sum(columns[_USD])
        if usd:
            tally.usd += self._meter.usd(usd)
        return found


def _outdoes(tally: Tally, identity: str, outcome: Outcome) -> bool:
    """Whether a second line counts: a usable answer after an unusable line. Both are kept, the usable one counts."""
    first = tally.seen[identity]
    if first == "ok" or outcome != "ok":
        return False
    tally.count(first, -1)
    return True


def _note_trouble(tally: Tally, outcome: Outcome, message: str | None, account: str | None) -> None:
    if message and outcome != "ok":
        tally.whys.setdefault(outcome, message)
    tally.account = account or tally.account


def absent_rows(sent: Sent, tally: Tally) -> list[Row]:
    """Rows for the ids that no file held."""
    if sent.absent is None:
        return []
    gone = [identity for identity in sent.ceilings if identity not in tally.seen]
    if gone:
        tally.count(sent.absent, len(gone))
    return [_empty_row(sent, identity, sent.absent) for identity in gone]


def refused_row(sent: Sent, identity: str, problem: Problem, tally: Tally) -> Row:
    """The row of a request that the provider's whole-file validation named: a definite error, nothing billed."""
    tally.count("error")
    _note_trouble(tally, "error", problem.message, None)
    return _empty_row(sent, identity, "error", problem)


def _empty_row(sent: Sent, identity: str, outcome: Outcome, problem: Problem | None = None) -> Row:
    code, message, line = (problem.code, problem.message, problem.line) if problem else (None, None, None)
    whose = (sent.shard, sent.attempt, identity, outcome, False, sent.ceilings[identity])
    return (*whose, *[None] * 6, code, message, *_FREE, 0, None, line)


def _quarantine(tally: Tally, at: tuple[str, int, int], line: bytes, reason: str) -> None:
    """Keep a line that is no row of ours: its bytes (as Latin-1, which every byte survives), and where it stood."""
    file, number, offset = at
    tally.quarantined += 1
    tally.apart = tally.apart or reason
    said = {"file": file, "line": number, "offset": offset, "reason": reason, "bytes": line.decode("latin-1")}
    tally.keep_apart(said)
