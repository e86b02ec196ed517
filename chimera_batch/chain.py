"""From facts about stages to what each still costs, stage after stage. Pure. Floor 2.

Stages whose rows query can run are counted by the caller; those further down are priced from the manifest's ``assume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from chimera_batch.errors import InputError
from chimera_batch.stage import Assume
from chimera_batch.tally import Span, Tally, Terms, Work, assumed

INPUT_TOKENS = 2000
"""Input of a request that does not exist yet where the manifest assumes none. A warning says when it is used."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What the caller knows about one stage, in the manifest's order.

    A stage whose rows query can run has a ``tally`` (possibly empty) and ``wanted``; any other has ``tally=None``.
    A sql stage needs ``stage``, ``kind``, ``reads``, and ``rows`` where its table is up to date.
    """

    stage: str  # also the name of its table
    kind: Literal["ask", "sql"]
    reads: tuple[str, ...] = ()  # tables that its queries read; names that are no stage above are ignored
    rows: int | None = None  # sql: rows of its table
    provider: str = ""
    model: str = ""
    terms: Terms | None = None  # every ask stage has them
    ceiling: int | None = None  # output ceiling of requests that do not exist yet; None: an embedding
    assume: Assume = field(default_factory=Assume)
    samples: int = 1
    rounds: int = 1  # that may still run, the current one included; 1 once the stage has enough
    waves: int = 1  # batches of a round that wait for each other: 2 with a canary
    tally: Tally | None = None
    wanted: int = 0  # with a tally: all requests drawn so far, answered and in flight included
    answered: int = 0  # without: answers of an earlier run that will be found again
    in_flight: int = 0  # requests at the provider: paid for already, but still a turnaround


@dataclass(frozen=True, slots=True)
class StageCost:
    """One ask stage priced. ``basis`` says what the figure rests on."""

    facts: StageFacts
    work: Work
    basis: str
    requests: Span  # all that the stage will have, answered ones included
    rounds: tuple[int, int]  # that still have something to wait for: likely, most


@dataclass(frozen=True, slots=True)
class Chain:
    """All ask stages priced. ``turnarounds``: provider round trips that must follow one another, (likely, most)."""

    costs: tuple[StageCost, ...]
    turnarounds: tuple[int, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Done:
    """What later stages need to know of a stage: usable rows that it gives (None: unknown), turnarounds up to it."""

    usable: Span | None
    likely: int
    most: int
    growth: Decimal = Decimal(0)  # requests that are new, as a part of those that were there before


def chain(stages: Sequence[StageFacts]) -> Chain:
    """Price stage after stage, each from the rows that the ones above it leave.

    Raises InputError for a stage whose number of rows follows from nothing.
    """
    done: dict[str, _Done] = {}
    costs: list[StageCost] = []
    for facts in stages:
        likely, most = _waited(facts, done)
        if facts.kind == "sql":
            usable = Span.exactly(facts.rows) if facts.rows is not None else _upstream(facts, done)
            done[facts.stage] = _Done(usable, likely, most, _growth_above(facts, done))
            continue
        cost = _unknown_rows(facts, done) if facts.tally is None else _known_rows(facts, facts.tally)
        costs.append(cost)
        waves = facts.waves if _terms(facts).batch and not _terms(facts).synchronous else 0
        usable = cost.requests * Span.share(facts.assume.kept)
        before = int(cost.requests.likely) - cost.work.requests
        growth = Decimal(cost.work.requests) / before if before > 0 else Decimal(0)
        done[facts.stage] = _Done(usable, likely + cost.rounds[0] * waves, most + cost.rounds[1] * waves, growth)
    turnarounds = (max((d.likely for d in done.values()), default=0), max((d.most for d in done.values()), default=0))
    return Chain(tuple(costs), turnarounds, tuple(_assumptions(costs)))


def _unknown_rows(facts: StageFacts, done: dict[str, _Done]) -> StageCost:
    """A stage whose rows wait for stages above it."""
    total = _rows(facts, done) * Span.exactly(facts.samples)
    if facts.assume.rows is None:  # assumed rows are those of all rounds, derived ones those of one
        total = replace(total, ceiling=total.ceiling * facts.rounds)
    # A stage whose inputs changed after it was answered grows at least as they do, whatever was assumed of it once.
    grown = (facts.answered * _growth_above(facts, done)).to_integral_value(ROUND_CEILING)
    left = Span(*(max(part, grown) for part in total.whole(less=facts.answered).parts()))
    work = assumed(_terms(facts), left, _input_tokens(facts), facts.ceiling)
    rounds = (int(left.likely > 0), facts.rounds if left.ceiling else 0)
    return StageCost(facts, work, _basis(facts, left, known=False), total, rounds)


def _known_rows(facts: StageFacts, tally: Tally) -> StageCost:
    """A stage whose requests are counted; only further rounds of it are assumed."""
    later = _later_rounds(facts)
    work = tally.work() + assumed(_terms(facts), later, _input_tokens(facts), facts.ceiling)
    this = int(bool(tally.requests or facts.in_flight))
    likely = this + -(-int(later.likely) // max(1, facts.wanted))
    most = this + facts.rounds - 1
    left = Span.exactly(tally.requests) + later
    basis = _basis(facts, left, known=not later.likely)
    return StageCost(facts, work, basis, Span.exactly(facts.wanted) + later, (min(likely, most), most))


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


def _waited(facts: StageFacts, done: dict[str, _Done]) -> tuple[int, int]:
    """Turnarounds (likely, most) before the stage can start."""
    reads = {*facts.reads, *(facts.assume.rows_per or ())[:1]}
    above = [done[name] for name in done if name in reads]
    return max((d.likely for d in above), default=0), max((d.most for d in above), default=0)


def _input_tokens(facts: StageFacts) -> int:
    """Input of one request that does not exist yet: like those that do, or as assumed."""
    if facts.assume.input_tokens is not None:
        return facts.assume.input_tokens
    work = facts.tally.work() if facts.tally else Work()
    return -(-work.input_tokens // work.requests) if work.requests else INPUT_TOKENS


def _basis(facts: StageFacts, left: Span, *, known: bool) -> str:
    if not left.ceiling:
        return "answered"
    text = facts.tally.ceiling_tokens if facts.tally and facts.tally.requests else facts.ceiling
    if text and _terms(facts).output_tokens is None:
        return "ceiling"
    if not known or not left.likely:
        return "assumed"
    return "counted input, assumed output" if text else "counted input"


def _terms(facts: StageFacts) -> Terms:
    assert facts.terms is not None, facts.stage  # noqa: S101 - the caller prices every ask stage
    return facts.terms


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
