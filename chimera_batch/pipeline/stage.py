"""What a stage is once its files are read: frozen, with nothing left to look up. Floor 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from chimera_batch.records import Call, batch_priced, synchronous


@dataclass(frozen=True)
class Source:
    """One SQL, prompt or schema file. ``name`` as the manifest writes it; line ends are ``\\n`` on every platform."""

    name: str
    path: Path
    text: str

    def line_of(self, offset: int) -> int:
        """The 1-based line of a character offset into ``text``."""
        return self.text.count("\n", 0, offset) + 1

    def where(self, line: int = 1) -> str:
        return f"{self.path}:{line}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a request is asked again after one outcome, and by what its output ceiling grows each time."""

    times: int
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Rounds:
    max: int
    until: Source | None = None  # a query of one boolean: enough?
    after: str | None = None  # a later stage: its table is made before a further round is asked (a wave)
    sized_by: tuple[str, ...] = ()  # params that say how many rows a round asks for, and nothing else of them


@dataclass(frozen=True, slots=True)
class Assume:
    """What the estimate takes for granted while nothing is measured. Tokens per request; ``kept`` is a share of rows.

    ``rows_per``: (stage above, rows of this stage per row of that one).
    """

    rows: int | None = None
    rows_per: tuple[str, float] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    kept: float = 1.0


@dataclass(frozen=True, slots=True)
class Hint:
    """What the manifest says of one choice of model beside how it is asked: only routing reads it."""

    output_tokens: int | None = None  # expected per request; models differ in how long they answer
    context_tokens: int | None = None  # that the model takes, input and output together


Cause = Literal["no_gpu", "out_of_memory", "crash", "expired", "down"]
"""What can make a stage fall back to another of its models."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """When a stage goes on with the next of its models. ``within_hours``: of its first claim, to be done.

    ``usd_per_request``: what one may be expected to cost, and may have cost on average.
    """

    on: tuple[Cause, ...] = ("no_gpu", "out_of_memory", "crash")
    within_hours: float | None = None
    usd_per_request: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step. A ``sql`` stage has only ``table``, the query that makes it, be it of files or of another run's
    table; an ``ask`` stage has calls, prompt, rows.

    ``where`` is the manifest's line. ``budget_usd`` caps this stage alone. ``canary``: requests of the first wave,
    None = decided by size, 0 = none. ``breaker``: the least share of usable answers. ``route``: ask the first of the
    calls, or the cheapest (``opening`` puts it first). ``longer_if_it_pays``: truncated ones are asked again only then.
    A run may have fallen back: then the call that it asks now is in front, ``left`` are those that it came from, whose
    answers stand, and ``switches`` is how often it did, by the journal.
    """

    name: str
    kind: Literal["ask", "sql"]
    where: str
    table: Source | None = None
    calls: tuple[Call, ...] = ()
    prompt: Source | None = None
    rows: Source | None = None
    schema: Source | None = None
    samples: int = 1
    rounds: Rounds | None = None
    window: str = "24h"
    assume: Assume = field(default_factory=Assume)
    retry: Mapping[str, Rule] = field(default_factory=dict)  # by outcome, passing errors under "transient"
    budget_usd: Decimal | None = None
    canary: int | None = None
    breaker: float = 0.5
    route: Literal["first", "cheapest"] = "first"
    hints: tuple[Hint, ...] = ()  # one for each call
    fallback: Fallback | None = None
    left: tuple[Call, ...] = ()
    switches: int = 0
    longer_if_it_pays: bool = False
    files: tuple[Path, ...] = ()  # of a person's, whose rows are the table
    borrowed: tuple[str, str] | None = None  # (run, stage) of this store whose table it is; ``opening`` looks it up

    @property
    def synchronous(self) -> bool:
        return synchronous(self.window)

    @property
    def batch_priced(self) -> bool:
        return batch_priced(self.window)
