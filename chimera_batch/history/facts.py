"""What the store knows: shards, their attempts, what was asked, the tables made.

``Facts`` is only ever changed by ``folding.apply``; everybody else reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from chimera_batch.history.undone import OutOfMoney
from chimera_batch.records import batch_priced, synchronous

Stand = Literal["claimed", "submitted", "stuck", "landed", "dropped"]
"""Where an attempt stands. ``stuck``: a person must decide. ``dropped``: nothing was executed, nothing is owed."""


@dataclass(slots=True)
class Attempt:
    """One sending of a shard's open requests."""

    number: int
    run: str
    stage: str
    nonce: str
    sha256: str
    requests: int
    bytes: int
    ids: str | None  # key of the Parquet file naming the ids sent; None: all members of the shard
    input_tokens: int
    usd: Decimal  # reserved: an upper bound of what this attempt can cost
    owner: str
    lease_until: float
    at: float
    stand: Stand = "claimed"
    file: str | None = None
    batch: str | None = None
    submitted_at: float | None = None
    status: str = "claimed"
    done: int = 0
    seen_at: float | None = None  # when status and done were last written down
    over: bool = False  # the batch had ended then, without all of its results
    words: set[str] = field(default_factory=set)  # the provider's for the batch so far
    most: int = 0  # the highest count that it told so far
    repeats: int = 0  # how often something was written down that had been told before
    reason: str | None = None
    answers: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)  # keys of the provider's files, as they came
    outcomes: dict[str, int] = field(default_factory=dict)
    billed: Decimal = Decimal(0)
    suspected: Decimal = Decimal(0)  # USD that may have been charged for what never came
    reported: dict[str, int] | None = None  # the provider's own totals of tokens, where it gave them
    landed_at: float | None = None
    queue_full_at: float | None = None  # when the host refused the file because its queue was full
    down: tuple[float, float] | None = None  # when the host took nothing, and until when it asked to be left alone
    quarantined: int = 0
    cleaned: bool = False
    cancel_at: float | None = None  # when somebody asked the provider to stop it
    cancel_reason: str | None = None  # None: a person asked
    taken_from: list[str] = field(default_factory=list)  # owners that fell silent, one after the other
    doubted_at: float | None = None  # since when it is not known whether the provider made a batch
    adopted: bool = False  # the batch was found by a look-up or named by a person, not told by create
    disowned: set[str] = field(default_factory=set)  # batches that were taken for this attempt and were not
    strays: list[str] = field(
        default_factory=list
    )  # batches made for it after it was settled otherwise: to be cancelled
    strays_over: set[str] = field(default_factory=set)  # of them, those whose cost is known by now
    written_off: bool = False  # a batch was made, and a person gave up its results
    blind: bool = False  # a person gave it up, and it is not known whether a batch was made
    price: dict[str, Any] | None = None  # the price row it was claimed at
    cache: bool | None = None  # its requests ask for prompt caching; None: as the shard's own bytes do
    forgiven: set[tuple[str, str]] = field(default_factory=set)  # (run, stage) whose `retry` forgets this attempt

    @property
    def cancel_asked(self) -> bool:
        return self.cancel_at is not None

    @property
    def is_open(self) -> bool:
        return self.stand in {"claimed", "submitted", "stuck"}

    @property
    def committed(self) -> Decimal:
        """USD that this attempt has cost, could still cost, and may have cost unseen."""
        return self.billed + (self.usd if self.is_open else 0) + self.suspected


@dataclass(slots=True)
class Shard:
    """One provider batch file's worth of requests; which ids belong to it never changes."""

    id: str
    realm: str
    stage: str  # the stage that packed it, for people
    key: str
    members: str
    requests: int
    bytes: int
    provider: str
    model: str
    endpoint: str
    window: str
    ceiling: int  # output tokens in the shard's own bytes
    schema: str | None
    cache: bool  # its requests ask for prompt caching
    canary: bool
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def synchronous(self) -> bool:
        """Its requests are single calls that answer at once, not a batch."""
        return synchronous(self.window)

    @property
    def batch_priced(self) -> bool:
        return batch_priced(self.window)

    def marked(self, attempt: Attempt) -> bool:
        """Whether an attempt's requests ask for prompt caching; claims of older versions say nothing of it."""
        return self.cache if attempt.cache is None else attempt.cache

    @property
    def current(self) -> Attempt | None:
        """The attempt that is under way, if one is."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].is_open else None


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows and request ids of one round of one stage. ``more``: objects with rows that it gained later."""

    round: int
    fingerprint: str
    key: str
    rows: int
    requests: int
    rendering: str | None = None  # digest of what makes requests of its rows; None: an older version asked it
    more: tuple[str, ...] = ()
    switches: int = 0  # how often the stage had fallen back to another model by then

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all its objects."""
        return (self.key, *self.more)

    @property
    def base(self) -> str:
        """The part of a wave's fingerprint that all waves of the stage have in common."""
        return self.fingerprint.partition(":")[0]

    def stands_for(self, other: Asked) -> bool:
        """Whether the other drawing adds nothing. Of two runners that draw the same wave the first one is heard."""
        waves = ":" in self.fingerprint and ":" in other.fingerprint
        return self.fingerprint == other.fingerprint or (waves and self.base == other.base)


@dataclass(frozen=True, slots=True)
class Switched:
    """A stage fell back to a later one of its models. ``reason``: the rule's word, a colon, what it rests on."""

    provider: str
    model: str
    reason: str
    at: float
    left: tuple[str, str]  # (provider, model) asked until then

    @property
    def to(self) -> tuple[str, str]:
        return self.provider, self.model


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a stage asks no further wave: ``enough``, ``max`` (of them), or ``nothing new`` to ask."""

    fingerprint: str  # of all that this rests on
    rounds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """A stage's finished result and how its requests stood when it was made.

    ``making``: digest of what made it of its answers and of what was asked; None where an older version did.
    """

    fingerprint: str
    key: str
    sha256: str
    rows: int
    standing: dict[str, int]
    outcomes: dict[str, int]
    making: str | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """What the rest of a stage was said to cost at one moment, and what it had cost by then. Dollars."""

    at: float
    fingerprint: str  # of the manifest's texts that were quoted
    requests: int
    low: Decimal
    likely: Decimal
    high: Decimal
    ceiling: Decimal
    basis: str
    spent: Decimal  # billed, reserved or suspected at that moment

    def total(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """(low, likely, high, ceiling) of the stage as a whole."""
        low, likely, high, ceiling = (self.spent + part for part in (self.low, self.likely, self.high, self.ceiling))
        return low, likely, high, ceiling


@dataclass(slots=True)
class Facts:
    """Everything the store knows, apart from the contents of its objects."""

    last_run: str | None = None
    manifests: dict[str, str] = field(default_factory=dict)  # run -> path of its manifest when last run
    shards: dict[str, Shard] = field(default_factory=dict)  # by "realm/id"
    asked: dict[tuple[str, str], dict[int, Asked]] = field(default_factory=dict)  # (run, stage) -> round -> asked
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    made_at: dict[tuple[str, str], float] = field(default_factory=dict)  # (run, stage) -> when its last table was
    ended: dict[tuple[str, str], Ended] = field(default_factory=dict)  # (run, stage) whose waves are over
    quotes: dict[tuple[str, str], list[Quoted]] = field(default_factory=dict)  # (run, stage) -> the oldest first
    retries: dict[tuple[str, str], int] = field(default_factory=dict)  # (run, stage) -> how often `retry` was said
    switches: dict[tuple[str, str], list[Switched]] = field(default_factory=dict)  # (run, stage) -> the oldest first
    halted: set[str] = field(default_factory=set)  # runs that a person cancelled and nobody has started again
    out_of_money: dict[str, OutOfMoney] = field(default_factory=dict)  # run that a budget stopped, and nothing since
    told: dict[str, str] = field(default_factory=dict)  # run -> digest of what a person was last told of its end
    packs: dict[str, int] = field(default_factory=dict)  # realm -> number of shards packed; guards the subtraction

    def in_realm(self, realm: str) -> Iterator[Shard]:
        return (shard for shard in self.shards.values() if shard.realm == realm)

    def attempts(self, run: str | None = None) -> Iterator[tuple[Shard, Attempt]]:
        for shard in self.shards.values():
            for attempt in shard.attempts:
                if run is None or attempt.run == run:
                    yield shard, attempt

    def spent(self, run: str, stage: str | None = None) -> Decimal:
        """USD billed to a run (or to one of its stages)."""
        return sum((a.billed for _, a in self.attempts(run) if stage in {None, a.stage}), Decimal(0))

    def reserved(self, run: str, stage: str | None = None) -> Decimal:
        """USD that attempts under way could still cost."""
        return sum((a.usd for _, a in self.attempts(run) if a.is_open and stage in {None, a.stage}), Decimal(0))

    def suspected(self, run: str, stage: str | None = None) -> Decimal:
        """USD that may have been charged for what never came: requests without a row, calls whose reply was lost,
        strays before they were cancelled, what a person wrote off. Never more than the attempts reserved, once for
        each batch."""
        mine = (attempt for _, attempt in self.attempts(run) if stage in {None, attempt.stage})
        return sum((attempt.suspected for attempt in mine), Decimal(0))

    def committed(self, run: str, stage: str | None = None, *, day: int | None = None) -> Decimal:
        """USD billed, reserved or suspected: the most that a run, or a part of it, has cost or can still cost.

        ``day``: only attempts that were claimed on that UTC day (see ``day_of``).
        """
        mine = (a for _, a in self.attempts(run) if stage in {None, a.stage} and (day is None or day_of(a.at) == day))
        return sum((attempt.committed for attempt in mine), Decimal(0))

    def quoted(self, run: str, stage: str) -> Quoted | None:
        """The quote that a stage's bill is held against, of the manifest as quoted last: the last one made before
        two thirds of the money were committed, else the first. A quote of what is nearly over is no forecast."""
        quotes, committed = self.quotes.get((run, stage), []), self.committed(run, stage)
        quotes = [quote for quote in quotes if quote.fingerprint == quotes[-1].fingerprint]
        early = [quote for quote in quotes if quote.spent * 3 <= committed * 2] or quotes[:1]
        return early[-1] if early else None

    def batch_ids(self, realm: str) -> set[str]:
        """Every batch of a realm that a fact names; two hosts may use the same ids."""
        mine = [attempt for shard in self.in_realm(realm) for attempt in shard.attempts]
        return {attempt.batch for attempt in mine if attempt.batch}.union(*(attempt.strays for attempt in mine))


def day_of(at: float) -> int:
    """The number of the UTC day that a moment (seconds since the epoch) lies in."""
    return int(at // 86400)


def shard_name(realm: str, shard: str) -> str:
    return f"{realm}/{shard}"
