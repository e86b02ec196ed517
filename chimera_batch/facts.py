"""What the journal's events add up to. Pure: the same events always give the same facts.

``Facts`` is only ever changed by ``apply``; everybody else reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from chimera_batch.errors import StoreConflict

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
    seen_at: float | None = None  # when status and done last changed
    reason: str | None = None
    answers: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    billed: Decimal = Decimal(0)
    landed_at: float | None = None
    queue_full_at: float | None = None  # when the host refused the file because its queue was full
    quarantined: int = 0
    cleaned: bool = False
    cancel_asked: bool = False
    taken_from: str | None = None  # the owner that fell silent, after a takeover
    forgiven: set[tuple[str, str]] = field(default_factory=set)  # (run, stage) whose `retry` forgets this attempt

    @property
    def is_open(self) -> bool:
        return self.stand in {"claimed", "submitted", "stuck"}


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
    def current(self) -> Attempt | None:
        """The attempt that is under way, if one is."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].is_open else None


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows and request ids of one round of one stage."""

    round: int
    fingerprint: str
    key: str
    rows: int
    requests: int


@dataclass(frozen=True, slots=True)
class Table:
    """A stage's finished result and how its requests stood when it was made."""

    fingerprint: str
    key: str
    sha256: str
    rows: int
    standing: dict[str, int]
    outcomes: dict[str, int]


@dataclass(slots=True)
class Facts:
    """Everything the store knows, apart from the contents of its objects."""

    last_run: str | None = None
    manifests: dict[str, str] = field(default_factory=dict)  # run -> path of its manifest when last run
    shards: dict[str, Shard] = field(default_factory=dict)  # by "realm/id"
    asked: dict[tuple[str, str], dict[int, Asked]] = field(default_factory=dict)  # (run, stage) -> round -> asked
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    retries: dict[tuple[str, str], int] = field(default_factory=dict)  # (run, stage) -> how often `retry` was said
    halted: set[str] = field(default_factory=set)  # runs that a person cancelled and nobody has started again
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

    def batch_ids(self) -> set[str]:
        return {attempt.batch for _, attempt in self.attempts() if attempt.batch}


def shard_name(realm: str, shard: str) -> str:
    return f"{realm}/{shard}"


def apply(facts: Facts, event: dict[str, Any]) -> None:
    """Fold one event in. Unknown types are left alone: a later version may have written them.

    Raises StoreConflict for an event that does not fit the facts before it.
    """
    fold = _FOLDS.get(event["type"])
    if fold is None:
        return
    try:
        fold(facts, event)
    except (KeyError, IndexError, TypeError, ValueError, InvalidOperation) as error:
        raise StoreConflict(
            f"event {event.get('n')} ({event['type']}) does not fit what came before it: {error!r}",
            hint="the journal was edited or copied in part; restore the store from its backup",
        ) from error


def _attempt(facts: Facts, event: dict[str, Any]) -> Attempt:
    shard = facts.shards[shard_name(event["realm"], event["shard"])]
    return shard.attempts[int(event["attempt"]) - 1]


def _run(facts: Facts, event: dict[str, Any]) -> None:
    facts.last_run = event["run"]
    facts.manifests[event["run"]] = event["manifest"]
    facts.halted.discard(event["run"])


def _halted(facts: Facts, event: dict[str, Any]) -> None:
    facts.halted.add(event["run"])


def _asked(facts: Facts, event: dict[str, Any]) -> None:
    rounds = facts.asked.setdefault((event["run"], event["stage"]), {})
    number = event["round"]
    rounds[number] = Asked(number, event["fingerprint"], event["key"], event["rows"], event["requests"])
    for later in [r for r in rounds if r > number]:  # asked from what this round now replaces
        del rounds[later]


def _packed(facts: Facts, event: dict[str, Any]) -> None:
    names = ("realm", "stage", "key", "members", "requests", "bytes", "provider", "model", "endpoint", "window")
    flags = ("ceiling", "schema", "cache", "canary")
    shard = Shard(id=event["shard"], **{name: event[name] for name in (*names, *flags)})
    facts.shards[shard_name(shard.realm, shard.id)] = shard
    facts.packs[shard.realm] = facts.packs.get(shard.realm, 0) + 1


def _claimed(facts: Facts, event: dict[str, Any]) -> None:
    names = ("run", "stage", "nonce", "sha256", "requests", "bytes", "ids", "input_tokens", "lease_until", "at")
    attempt = Attempt(
        number=event["attempt"],
        usd=Decimal(event["usd"]),
        owner=event["by"],
        **{name: event[name] for name in names},
    )
    facts.shards[shard_name(event["realm"], event["shard"])].attempts.append(attempt)


def _taken(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.taken_from = attempt.owner
    attempt.owner = event["by"]
    attempt.lease_until = event["lease_until"]


def _uploaded(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).file = event["file"]


def _submitted(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.stand, attempt.batch, attempt.submitted_at = "submitted", event["batch"], event["at"]
    attempt.status = "submitted"
    attempt.reason = None


def _seen(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.status, attempt.done, attempt.seen_at = event["status"], event["done"], event["at"]


def _stuck(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.stand, attempt.reason, attempt.status = "stuck", event["reason"], "stuck"


def _landed(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.answers.append(event["key"])
    attempt.billed += Decimal(event["usd"])
    attempt.quarantined += event["quarantined"]
    for outcome, count in event["outcomes"].items():
        attempt.outcomes[outcome] = attempt.outcomes.get(outcome, 0) + count
    if event["final"]:
        attempt.stand, attempt.status, attempt.landed_at = "landed", event["status"], event["at"]
        attempt.done = attempt.requests


def _dropped(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.stand, attempt.reason, attempt.status = "dropped", event["reason"], "dropped"
    attempt.queue_full_at = event["at"] if event.get("queue_full") else None


def _cleaned(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).cleaned = True


def _cancel(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).cancel_asked = True


def _table(facts: Facts, event: dict[str, Any]) -> None:
    names = ("fingerprint", "key", "sha256", "rows", "standing", "outcomes")
    facts.tables[(event["run"], event["stage"])] = Table(**{name: event[name] for name in names})


def _retry(facts: Facts, event: dict[str, Any]) -> None:
    mark = (event["run"], event["stage"])
    facts.retries[mark] = facts.retries.get(mark, 0) + 1
    for _, attempt in facts.attempts():
        if not attempt.is_open:
            attempt.forgiven.add(mark)


_FOLDS = {
    "run": _run,
    "halted": _halted,
    "asked": _asked,
    "packed": _packed,
    "claimed": _claimed,
    "taken": _taken,
    "uploaded": _uploaded,
    "submitted": _submitted,
    "seen": _seen,
    "stuck": _stuck,
    "landed": _landed,
    "dropped": _dropped,
    "cleaned": _cleaned,
    "cancel": _cancel,
    "table": _table,
    "retry": _retry,
}
EVENT_TYPES = frozenset(_FOLDS)
