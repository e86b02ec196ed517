"""What the estimate knows of a stage, and what it makes of it. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from chimera_batch.cost import sampling
from chimera_batch.cost.measured import Measured
from chimera_batch.cost.tally import Span, Tally, Terms, Work
from chimera_batch.pipeline.stage import Assume

INPUT_TOKENS = 2000
"""Input of a request that does not exist yet where the manifest assumes none. A warning says when it is used."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A table made of the first ``answered`` of the ``wanted`` requests of a stage."""

    answered: int
    wanted: Span

    def more(self, rows: int) -> Span:
        """Rows still to come where ``rows`` came of those answered, with the luck of the sample and of the rest."""
        left = Span(*(max(Decimal(0), part - self.answered) for part in self.wanted.parts()))
        each, (low, high) = Decimal(rows) / self.answered, self._each(rows)
        luck = (1 + self.answered / left.likely).sqrt() if left.likely else Decimal(1)
        low, high = max(Decimal(0), each - (each - low) * luck), each + (high - each) * luck
        if rows <= self.answered:
            high = min(Decimal(1), high)
        return left * Span(low, each, high, max(Decimal(1), high))

    def _each(self, rows: int) -> tuple[Decimal, Decimal]:
        """What a request gives on average, from and to: a share, or a count where it may give several rows."""
        if rows <= self.answered:
            low, _, high = sampling.share(rows, self.answered)
            return Decimal(str(low)), Decimal(str(high))
        each = Decimal(rows) / self.answered
        error = 2 * (each / self.answered).sqrt()
        return max(Decimal(0), each - error), each + error


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
    after: str | None = None  # a further round waits for this later stage, and for all in between
    waves: int = 1  # batches of a round that wait for each other: 2 with a canary
    canary_from: int | None = None  # so many requests that do not exist yet will be preceded by a canary
    tally: Tally | None = None
    wanted: int = 0  # with a tally: all requests drawn so far, answered and in flight included
    answered: int = 0  # without: answers of an earlier run that will be found again
    in_flight: int = 0  # requests at the provider: paid for already, but still a turnaround
    measured: Measured | None = None  # of enough answers of this stage
    drawn: Drawn | None = None  # its rows come from a stage above of which only a part is answered
    asked: int = 0  # with a tally: questions of its rows, equal ones counted each time
    routes: tuple[tuple[str, Decimal], ...] = ()  # models that it may ask, the chosen one first: USD of a request
    hours: tuple[float | None, float] = (None, 0.0)  # of one turnaround: as past batches took, as the provider promises

    @property
    def priced_at(self) -> Terms:
        """The terms of an ask stage."""
        assert self.terms is not None, self.stage  # noqa: S101 - every ask stage is given terms
        return self.terms


@dataclass(frozen=True, slots=True)
class StageCost:
    """One ask stage priced. ``basis`` says what the figure rests on."""

    facts: StageFacts
    work: Work
    basis: str
    requests: Span  # all that the stage will have, answered ones included
    this: int  # whether the current round still has something to wait for
    further: tuple[int, int]  # rounds after it: likely, most
