"""From facts about stages to what each still costs, stage after stage. Pure. Floor 2.

Stages whose rows query can run are counted by the caller; those further down are priced from the manifest's ``assume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from chimera_batch.cost import measured
from chimera_batch.cost.stagefacts import INPUT_TOKENS, StageCost, StageFacts
from chimera_batch.cost.tally import NOTHING, Span, Tally, Work, assumed
from chimera_batch.cost.waiting import Waited, Waits
from chimera_batch.errors import InputError


@dataclass(frozen=True, slots=True)
class Chain:
    """All ask stages priced, and how long the run waits."""

    costs: tuple[StageCost, ...]
    waited: Waited
    warnings: tuple[str, ...]

    @property
    def turnarounds(self) -> tuple[int, int]:
        """(likely, most)"""
        return self.waited.likely, self.waited.most


@dataclass(frozen=True, slots=True)
class _Done:
    """What later stages need to know of a stage: usable rows that it gives (None: unknown)."""

    usable: Span | None
    growth: Decimal = Decimal(0)  # requests that are new, as a part of those that were there before


def chain(stages: Sequence[StageFacts]) -> Chain:
    """Price stage after stage, each from the rows that the ones above it leave.

    Raises InputError for a stage whose number of rows follows from nothing.
    """
    done: dict[str, _Done] = {}
    costs: list[StageCost] = []
    waits = Waits()
    for facts in stages:
        if facts.kind == "sql":
            done[facts.stage] = _Done(_rows_of_sql(facts, done), _growth_above(facts, done))
            waits.add(facts.stage, facts.reads, waits.before(facts.reads))
            continue
        cost = _unknown_rows(facts, done) if facts.tally is None else _known_rows(facts, facts.tally)
        costs.append(cost)
        before = int(cost.requests.likely) - cost.work.requests
        growth = Decimal(cost.work.requests) / before if before > 0 else Decimal(0)
        done[facts.stage] = _Done(cost.requests * Span.share(facts.assume.kept), growth)
        _wait(cost, waits)
    return Chain(tuple(costs), waits.longest(), tuple(_assumptions(costs)))


def _wait(cost: StageCost, waits: Waits) -> None:
    """Add a stage's own turnarounds; its further rounds are its own, or go through the stages below as well."""
    facts, this, (likely, most) = cost.facts, cost.this, cost.further
    reads = [*facts.reads, *(facts.assume.rows_per or ())[:1]]
    waves = facts.waves + (facts.canary_from is not None and cost.work.requests >= facts.canary_from)
    if not facts.priced_at.batch or facts.priced_at.synchronous:
        waves = 0
    one = Waited().then((1, 1), min(1, waves), facts.hours)
    rounds = (this, this) if facts.after else (this + likely, this + most)
    waits.add(facts.stage, reads, waits.before(reads).then(rounds, waves, facts.hours), one)
    if facts.after is not None:
        waits.repeat(facts.after, reads, (likely, most))


def _rows_of_sql(facts: StageFacts, done: dict[str, _Done]) -> Span | None:
    if facts.rows is None:
        return _upstream(facts, done)
    more = facts.drawn.more(facts.rows) if facts.drawn else NOTHING
    return Span.exactly(facts.rows) + more


def _unknown_rows(facts: StageFacts, done: dict[str, _Done]) -> StageCost:
    """A stage whose rows wait for stages above it."""
    total = _rows(facts, done) * Span.exactly(facts.samples)
    if facts.assume.rows is None:  # assumed rows are those of all rounds, derived ones those of one
        total = replace(total, ceiling=total.ceiling * facts.rounds)
    # A stage whose inputs changed after it was answered grows at least as they do, whatever was assumed of it once.
    grown = (facts.answered * _growth_above(facts, done)).to_integral_value(ROUND_CEILING)
    left = Span(*(max(part, grown) for part in total.whole(less=facts.answered).parts()))
    work = _unseen(facts, left)
    this = int(left.likely > 0)
    further = (0, facts.rounds - this if left.ceiling else 0)
    return StageCost(facts, work, _basis(facts, left, known=False), total, this, further)


def _known_rows(facts: StageFacts, tally: Tally) -> StageCost:
    """A stage whose requests are counted; only rows still to come of it are assumed, and further rounds."""
    later = _later_rounds(facts)
    if facts.drawn is not None:
        later += facts.drawn.more(facts.wanted).whole()
    work = (measured.work(tally, facts.measured) if facts.measured else tally.work()) + _unseen(facts, later)
    this = int(bool(tally.requests or facts.in_flight or (facts.drawn and later.likely)))
    most = facts.rounds - 1
    likely = 0 if facts.drawn else -(-int(later.likely) // max(1, facts.wanted))
    left = Span.exactly(tally.requests) + later
    basis = _basis(facts, left, known=not later.likely)
    return StageCost(facts, work, basis, Span.exactly(facts.wanted) + later, this, (min(likely, most), most))


def _unseen(facts: StageFacts, requests: Span) -> Work:
    """Requests that do not exist yet: like those that were measured, else as assumed."""
    work = assumed(facts.priced_at, requests, _input_tokens(facts), facts.ceiling)
    if facts.measured is None or not work.usd.ceiling:
        return work
    return measured.expected(facts.measured, requests, work.usd.ceiling / requests.whole().ceiling)


def _later_rounds(facts: StageFacts) -> Span:
    """Requests of the rounds after this one: likely up to the assumed rows, at most as many again each time."""
    likely = max(0, (facts.assume.rows or 0) * facts.samples - facts.wanted) if facts.rounds > 1 else 0
    most = max(likely, (facts.rounds - 1) * facts.wanted)
    return Span(Decimal(0), Decimal(likely), Decimal(likely), Decimal(most))


def _rows(facts: StageFacts, done: dict[str, _Done]) -> Span:
    """Rows of a stage whose rows query cannot run yet."""
    assume = facts.assume
    if assume.rows is not None:
        return Span.exactly(assume.rows)
    above = done.get(assume.rows_per[0]) if assume.rows_per else None
    base = above.usable if above else _upstream(facts, done)
    if base is None:
        raise InputError(
            "how many rows the stage will have is not known yet and follows from no stage above it",
            where=f"stage {facts.stage}",
            hint="assume: {rows: 100}  or  assume: {rows_per: {STAGE: 1}}",
        )
    return base * Span.exactly(Decimal(str(assume.rows_per[1]))) if assume.rows_per else base


def _upstream(facts: StageFacts, done: dict[str, _Done]) -> Span | None:
    """Usable rows of the latest stage that this one reads: joins seldom yield more than their last table."""
    for name in reversed(done):
        if name in facts.reads:
            return done[name].usable
    return None


def _growth_above(facts: StageFacts, done: dict[str, _Done]) -> Decimal:
    return max((done[name].growth for name in done if name in facts.reads), default=Decimal(0))


def _input_tokens(facts: StageFacts) -> int:
    """Input of one request that does not exist yet: like those that do, or as assumed."""
    if facts.assume.input_tokens is not None:
        return facts.assume.input_tokens
    work = facts.tally.work() if facts.tally else Work()
    return -(-work.input_tokens // work.requests) if work.requests else INPUT_TOKENS


def _basis(facts: StageFacts, left: Span, *, known: bool) -> str:
    if not left.ceiling:
        return "answered"
    if facts.measured is not None:
        return facts.measured.basis
    if facts.drawn is not None:
        return f"assumed, rows from {facts.drawn.answered:,} answers"
    text = facts.tally.ceiling_tokens if facts.tally and facts.tally.requests else facts.ceiling
    if text and facts.priced_at.output_tokens is None:
        return "ceiling"
    if not known or not left.likely:
        return "assumed"
    return "counted input, assumed output" if text else "counted input"


def _assumptions(costs: Iterable[StageCost]) -> Iterable[str]:
    """What the manifest leaves open and what is taken instead."""
    guessed = [c.facts.stage for c in costs if c.basis == "ceiling"]
    if guessed:
        line = "assume: {output_tokens: N}"
        yield f"no output length is assumed for {', '.join(guessed)}: priced at the output ceiling; add  {line}"
    guessed = [
        c.facts.stage for c in costs if c.work.requests and not c.facts.tally and c.facts.assume.input_tokens is None
    ]
    if guessed:
        line = "assume: {input_tokens: N}"
        yield f"{INPUT_TOKENS:,} input tokens a request are assumed for {', '.join(guessed)}; to change it add  {line}"
