"""May this attempt be sent now? Pure; decided on the facts at the journal position of the claim itself.

Two runners cannot both be told yes for the same dollar, token or place in the hour, because the loser of the journal
position decides again on facts that hold the winner's claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import Literal

from chimera_batch.history.facts import Facts, Shard, day_of

_LONGEST = 3600.0  # seconds that a host is left alone at most
_DOUBLED = 12  # times at most: the longest wait is reached long before

Verdict = Literal["go", "wait", "budget", "taken"]


@dataclass(frozen=True, slots=True)
class Caps:
    """What limits a claim: dollars of the run, stage and day, the host's batches per hour and enqueued tokens."""

    run_usd: Decimal | None
    stage_usd: Decimal | None
    batches_per_hour: int | None
    enqueued_tokens: int | None
    queue_wait: float = 60.0  # seconds to wait after a host was full or down, doubled each time in a row
    day_usd: Decimal | None = None  # of what the run claims on one UTC day
    least: int = 1  # requests; the host takes no smaller batch
    since: float = 0.0  # that the host was down before this moment holds nothing back: a person says, try now


@dataclass(frozen=True, slots=True)
class Wish:
    """The attempt that a runner would like to claim. ``usd`` is an upper bound of its cost."""

    realm: str
    shard: str
    attempt: int
    run: str
    stage: str
    usd: Decimal
    input_tokens: int
    now: float  # seconds since the epoch
    switches: int = 0  # how often the stage had fallen back when this was wished for


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    reason: str = ""
    until: float | None = None  # of a wait that is over by itself: when to ask again, in seconds since the epoch


Limit = Literal["run", "stage", "day"]


@dataclass(frozen=True, slots=True)
class Room:
    """One cap in dollars and how much of it is used: billed, reserved, or suspected to be lost."""

    limit: Limit
    name: str  # for people
    cap: Decimal
    committed: Decimal

    @property
    def left(self) -> Decimal:
        """Below zero where a cap was lowered afterwards."""
        return self.cap - self.committed


def admit(facts: Facts, wish: Wish, caps: Caps) -> Ruling:
    """Rule on a wish. ``taken``: somebody else moved this shard; look again."""
    shard = facts.shards[f"{wish.realm}/{wish.shard}"]
    if shard.current is not None or len(shard.attempts) + 1 != wish.attempt:
        return Ruling("taken", "another runner claimed it first")
    if wish.run in facts.halted:  # also between the runner's look and this claim
        return Ruling("wait", f"{wish.stage}: the run was cancelled")
    if len(facts.switches.get((wish.run, wish.stage), ())) != wish.switches:
        return Ruling("wait", f"{wish.stage}: it fell back to another model meanwhile")
    return _over_budget(facts, wish, caps) or _must_wait(facts, shard, wish, caps) or Ruling("go")


def rooms(facts: Facts, caps: Caps, run: str, stage: str, now: float) -> list[Room]:
    """Every cap in dollars that what a stage of a run claims now must fit into."""
    today = day_of(now)
    found: list[Room] = []
    if caps.run_usd is not None:
        found.append(Room("run", "budget", caps.run_usd, facts.committed(run)))
    if caps.stage_usd is not None:
        found.append(Room("stage", f"cap of stage {stage}", caps.stage_usd, facts.committed(run, stage)))
    if caps.day_usd is not None:
        found.append(Room("day", "cap of the day", caps.day_usd, facts.committed(run, day=today)))
    return found


def _over_budget(facts: Facts, wish: Wish, caps: Caps) -> Ruling | None:
    for room in rooms(facts, caps, wish.run, wish.stage, wish.now):
        if room.committed + wish.usd > room.cap:
            today = " today" if room.limit == "day" else ""
            return Ruling(
                "budget",
                f"{wish.stage}: up to ${wish.usd:.2f} more on top of ${room.committed:.2f} spent, reserved or"
                f" suspected{today} could pass the {room.name} of ${room.cap:.2f}",
            )
    return None


def largest(facts: Facts, wish_of: Callable[[int], Wish], costs: Sequence[Decimal], caps: Caps) -> tuple[int, Ruling]:
    """How many of the first requests to wish for, all of them if that is possible, and the ruling on that wish.

    ``wish_of``: the wish for so many of the first requests; ``costs``: an upper bound for each of them.
    """
    ruling = admit(facts, wish_of(len(costs)), caps)
    if ruling.verdict != "budget":
        return len(costs), ruling
    none = wish_of(0)
    count = fitting(costs, rooms(facts, caps, none.run, none.stage, none.now))
    if caps.least > 1:  # both what goes and what is left must be enough for a batch
        count = min(count, len(costs) - caps.least)
        count = count if count >= caps.least else 0
    return (count, admit(facts, wish_of(count), caps)) if count else (0, ruling)


def fitting(costs: Sequence[Decimal], found: Sequence[Room]) -> int:
    """How many of the first requests may go although not all of them may; 0 where so few are not worth a turnaround.

    ``costs``: an upper bound for each request, in the order in which they go.
    """
    fits = min((_prefix(costs, room.left) for room in found), default=len(costs))
    return fits if fits >= worth_sending(costs, found) else 0


def worth_sending(costs: Sequence[Decimal], found: Sequence[Room]) -> int:
    """The least number of requests that are worth a turnaround: a tenth of those that could ever go at once.

    A cap of the day comes back every day, so a shard that no day has room for is sent day by day; the other caps do
    not, and raising one costs a person less than twenty nights.
    """
    at_once = min((_prefix(costs, room.cap) for room in found if room.limit == "day"), default=len(costs))
    return max(1, -(-at_once // 10))


def _prefix(costs: Iterable[Decimal], room: Decimal) -> int:
    count, total = 0, Decimal(0)
    for cost in costs:
        total += cost
        if total > room:
            break
        count += 1
    return count


def _must_wait(facts: Facts, shard: Shard, wish: Wish, caps: Caps) -> Ruling | None:
    """What the host allows of batches; synchronous calls are none, and have limits of their own."""
    if shard.synchronous:
        return None
    batches = [other for other in facts.in_realm(wish.realm) if not other.synchronous]
    recent = sorted(a.at for b in batches for a in b.attempts if a.stand != "dropped" and a.at > wish.now - 3600)
    if caps.batches_per_hour is not None and len(recent) >= caps.batches_per_hour:
        said = f"{len(recent)} batches in the last hour is what {shard.provider} allows"
        return Ruling("wait", said, recent[len(recent) - max(1, caps.batches_per_hour)] + 3600)
    full = max(_free_at(_full(batches, shard.model), caps.queue_wait), default=0.0)
    if full > wish.now:
        return Ruling("wait", f"the queue of {shard.provider} for {shard.model} was full; trying again later", full)
    down = max(_free_at(_down(batches, caps.since), caps.queue_wait), default=0.0)
    if down > wish.now:
        return Ruling("wait", f"{shard.provider} was down; trying again later", down)
    open_ones = [other.current for other in batches if other.model == shard.model]
    enqueued = sum(attempt.input_tokens for attempt in open_ones if attempt is not None)
    most = caps.enqueued_tokens
    if most is not None and enqueued and enqueued + wish.input_tokens > most:
        return Ruling("wait", f"{enqueued:,} of {most:,} prompt tokens of {shard.model} are enqueued")
    return None


Refusals = list[tuple[float, float]]
"""(when, until when the host itself asked to be left alone) of what one shard was refused in a row, the last first."""


def _full(batches: Iterable[Shard], model: str) -> Iterator[Refusals]:
    """Where the host's queue for this model was full."""
    for shard in batches:
        if shard.model == model:
            row = takewhile(lambda attempt: attempt.queue_full_at is not None, reversed(shard.attempts))
            yield [(attempt.queue_full_at or 0.0, 0.0) for attempt in row]


def _down(batches: Iterable[Shard], since: float) -> Iterator[Refusals]:
    """Where the host took nothing, whatever the model."""

    for shard in batches:
        row = takewhile(lambda down: down is not None and down[0] > since, (a.down for a in reversed(shard.attempts)))
        yield [down for down in row if down is not None]


def _free_at(refused: Iterable[Refusals], wait: float) -> Iterator[float]:
    """When it is worth trying again: ``wait`` seconds after the last refusal, twice as long after each one in a row,
    and not before the host itself says so; an hour at most."""
    for row in refused:
        if row:
            (last, asked), doubled = row[0], min(len(row) - 1, _DOUBLED)
            yield min(last + _LONGEST, max(asked, last + wait * 2**doubled))
