"""Replies of one attempt, line by line → columns of landed rows, and what they add up to. Pure; floor 2.

What is the same for all rows of a batch, or can be worked out for all of them at once, is: a million rows that are each
put together by hand take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chimera_batch.cost.metering import Meter
from chimera_batch.cost.prices import Price
from chimera_batch.records import Outcome, Reply, Usage
from chimera_batch.results import reconciling

Columns = list[Sequence[Any]]
"""Landed rows, column by column as in ``NAMES``; ``usd`` in units of the attempt's ``Sent.meter``."""
_WHOSE = ("shard", "attempt", "request_id", "outcome", "transient", "ceiling")
_SAID = ("text", "reasoning", "answer", "embedding", "finish", "model", "code", "message")
NAMES = (*_WHOSE, *_SAID, *Usage._fields, "usd", "raw", "line")
"""``standing.LANDED_COLUMNS`` has their types."""

_FREE = Usage()


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
    def lead(self) -> str:
        """What every custom id of the attempt begins with."""
        return f"{self.nonce}-"

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
    suspected: Decimal = Decimal(0)  # what may have been charged without a row, by `reconciling`
    reported: Usage | None = None  # the provider's own totals

    def count(self, outcome: Outcome, by: int = 1) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + by


class Found:
    """Replies of one file that became rows, in step: whose, its answer as JSON, its line there, and what it said."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.identities: list[str] = []
        self.answers: list[str | None] = []
        self.lines: list[int | None] = []
        self.replies: list[Reply] = []

    def add(self, identity: str, reply: Reply, line: int | None) -> None:
        """A row without an answer that was held against a schema."""
        self.identities.append(identity)
        self.replies.append(reply)
        self.answers.append(None)
        self.lines.append(line)

    def columns(self) -> tuple[list[tuple[Any, ...]], list[tuple[int, ...]]]:
        """By field of ``Reply`` and by field of ``Usage``."""
        used = [reply[7] or _FREE for reply in self.replies]
        return list(zip(*self.replies, strict=True)), list(zip(*used, strict=True))


def columns(found: Found, sent: Sent, tally: Tally, meter: Meter) -> Columns:
    """The rows as columns; adds them to the tally."""
    rows = len(found.identities)
    if not rows:
        return []
    by_field, tokens = found.columns()
    _, outcomes, texts, reasonings, vectors, finishes, models, _, codes, messages, passing, accounts, tiers, took = (
        by_field
    )
    usd = _usd(tokens, _rates(sent, tiers), meter)
    if sent.price.gpu is not None:
        usd = [cost if ns is None else meter.machine(ns) for cost, ns in zip(usd, took, strict=True)]
    _count(tally, outcomes, tokens)
    if any(usd):
        tally.usd += meter.usd(sum(usd))
    return [
        [sent.shard] * rows,
        [sent.attempt] * rows,
        found.identities,
        outcomes,
        # nothing is wrong with the request of a refused account: mend it and run again
        [a or b for a, b in zip(passing, accounts, strict=True)] if any(accounts) else passing,
        list(map(sent.ceilings.__getitem__, found.identities)),
        _texts(texts, found.answers),
        reasonings,
        found.answers,
        [list(vector) if vector else None for vector in vectors] if any(vectors) else [None] * rows,
        finishes,
        models,
        codes,
        messages,
        *tokens,
        usd,
        [found.file] * rows,
        found.lines,
    ]


def _texts(texts: Sequence[str | None], answers: Sequence[str | None]) -> Sequence[str | None]:
    """What an answer says letter for letter is not kept a second time."""
    if not any(answers):
        return texts
    return [None if text == answer else text for text, answer in zip(texts, answers, strict=True)]


def _rates(sent: Sent, tiers: Sequence[str | None]) -> bool | list[bool]:
    """Whether each row is billed at the batch rates; one word where all are alike."""
    if not sent.batch_price or sent.tier is None:
        return sent.batch_price
    return [tier is None or tier == sent.tier for tier in tiers]


def _usd(tokens: Sequence[Sequence[int]], rates: bool | list[bool], meter: Meter) -> list[int]:
    given, cached, written, long, made, _ = tokens
    if isinstance(rates, list):
        return [meter.units(usage, batch=batch) for usage, batch in zip(_usages(tokens), rates, strict=True)]
    if any(cached) or any(written) or any(long) or max(given) > meter.untiered:
        return [meter.units(usage, batch=rates) for usage in _usages(tokens)]
    each_given, _, each_made = meter.plain(batch=rates)
    return [a * each_given + b * each_made for a, b in zip(given, made, strict=True)]


def _usages(tokens: Sequence[Sequence[int]]) -> Iterator[Usage]:
    return map(Usage._make, zip(*tokens, strict=True))


def _count(tally: Tally, outcomes: Sequence[Outcome], tokens: Sequence[Sequence[int]]) -> None:
    for outcome, rows in Counter(outcomes).items():
        tally.count(outcome, rows)
    if 0 in tokens[0]:  # a row without tokens counts for nothing, whatever else its usage says
        tokens = list(zip(_FREE, *(usage for usage in _usages(tokens) if usage[0] or usage[4]), strict=True))
    tally.usage = reconciling.plus(tally.usage, Usage(*map(sum, tokens)))
