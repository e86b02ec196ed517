"""Result lines of one attempt → landed rows. Reconciles against the ids sent; loses no line, trusts no count.

Every id sent ends in exactly one row. A line that is no result is kept apart with its bytes, file and line number; so
are lines of other batches and second lines of an id already answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any

import orjson

from chimera_batch import reconciling
from chimera_batch.prices import Price
from chimera_batch.records import Outcome, Problem, Reply, Usage
from chimera_batch.schemas import validator
from chimera_batch.wire import split_custom_id

_EXECUTED = frozenset({"ok", "truncated", "refused", "invalid"})

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
    tier: str | None = (
        None  # the service tier asked for; a reply that names another one is billed at the standard rates
    )


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
        except ValueError:  # orjson's error and the validator's are ValueErrors
            return None
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    return judge


def _unfenced(text: str) -> str:
    """Compatible hosts wrap JSON in a Markdown fence at times; that is not worth paying for again."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped


def rows(
    lines: Iterable[tuple[str, int, bytes]],
    decode: Callable[[bytes], Reply],
    sent: Sent,
    judge: Judge | None,
    tally: Tally,
) -> Iterator[tuple[Any, ...]]:
    """Landed rows of (file, line number, bytes) lines, in the columns of ``standing.LANDED_COLUMNS``."""
    for file, number, line in lines:
        if not line.strip():
            continue
        try:
            reply = decode(line)
        except ValueError as error:
            tally.malformed += 1
            _quarantine(tally, file, number, line, f"not a result: {error}")
            continue
        identity = _identity(reply.custom_id, sent)
        if identity is None:
            tally.foreign += 1
            _quarantine(tally, file, number, line, "an id that this attempt did not send")
            continue
        judged = _judged(reply, judge)
        first = tally.seen.get(identity)
        if first is not None and (first == "ok" or judged[0].outcome != "ok"):
            _quarantine(tally, file, number, line, "a second line for the same request")
            continue
        if first is not None:  # a usable answer after an unusable line: both are kept, the usable one counts
            tally.count(first, -1)
        tally.seen[identity] = judged[0].outcome
        _note_usage(tally, identity, reply)
        yield _row(sent, identity, judged, tally, file, number)


def _note_usage(tally: Tally, identity: str, reply: Reply) -> None:
    """An answer was executed even where the host leaves its usage out; an error without usage is not charged."""
    if reply.usage is not None and (reply.usage.input_tokens or reply.usage.output_tokens):
        tally.usage = reconciling.plus(tally.usage, reply.usage)
        tally.unbilled.pop(identity, None)
    else:
        tally.unbilled[identity] = reply.outcome in _EXECUTED


def absent_rows(sent: Sent, tally: Tally) -> Iterator[tuple[Any, ...]]:
    """Rows for the ids that no file held."""
    if sent.absent is None:
        return
    for identity in sent.ceilings:
        if identity not in tally.seen:
            yield _row(sent, identity, (Reply("", sent.absent), None), tally, None, None)


def refused_row(sent: Sent, identity: str, problem: Problem, tally: Tally) -> tuple[Any, ...]:
    """The row of a request that the provider's whole-file validation named: a definite error, nothing billed."""
    reply = Reply("", "error", code=problem.code, message=problem.message)
    return _row(sent, identity, (reply, None), tally, None, problem.line)


def _identity(custom_id: str, sent: Sent) -> str | None:
    parts = split_custom_id(custom_id)
    if parts is None or parts[0] != sent.nonce or parts[1] not in sent.ceilings:
        return None
    return parts[1]


def _judged(reply: Reply, judge: Judge | None) -> tuple[Reply, str | None]:
    """A reply with its outcome after the schema check, and its JSON."""
    if reply.outcome != "ok" or judge is None:
        return reply, None
    answer = judge(reply.text or "")
    if answer is None:
        return replace(reply, outcome="invalid", message="the answer does not fit the schema"), None
    return reply, answer


def _row(
    sent: Sent, identity: str, judged: tuple[Reply, str | None], tally: Tally, file: str | None, number: int | None
) -> tuple[Any, ...]:
    reply, answer = judged
    usage = reply.usage or Usage()
    batch = sent.batch_price and (sent.tier is None or reply.tier in {None, sent.tier})
    usd = sent.price.cost(usage, batch=batch) if reply.usage else Decimal(0)
    tally.usd += usd
    tally.count(reply.outcome)
    if reply.message and reply.outcome != "ok":
        tally.whys.setdefault(reply.outcome, reply.message)
    if reply.account:
        tally.account = reply.message or reply.code
    return (
        sent.shard,
        sent.attempt,
        identity,
        reply.outcome,
        reply.transient or reply.account,  # nothing is wrong with the request: mend the account and run again
        sent.ceilings[identity],
        reply.text,
        reply.reasoning,
        answer,
        list(reply.embedding) if reply.embedding else None,
        reply.finish,
        reply.model,
        reply.code,
        reply.message,
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_long_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usd,
        file,
        number,
    )


def _quarantine(tally: Tally, file: str, number: int, line: bytes, reason: str) -> None:
    """Keep a line that is no row of ours: its bytes (as Latin-1, which every byte survives), file and line number."""
    tally.quarantined += 1
    tally.apart = tally.apart or reason
    tally.keep_apart({"file": file, "line": number, "reason": reason, "bytes": line.decode("latin-1")})
