"""May this attempt be sent now? Pure; decided on the facts at the journal position of the claim itself.

Two runners cannot both be told yes for the same dollar, token or place in the hour, because the loser of the journal
position decides again on facts that hold the winner's claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from chimera_batch.facts import Facts, Shard

Verdict = Literal["go", "wait", "budget", "taken"]


@dataclass(frozen=True, slots=True)
class Caps:
    """What limits a claim: dollars of the run and stage, the host's batches per hour and enqueued prompt tokens."""

    run_usd: Decimal | None
    stage_usd: Decimal | None
    batches_per_hour: int | None
    enqueued_tokens: int | None
    queue_wait: float = 60.0  # seconds to wait after a host's queue was full, doubled each time in a row


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


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    reason: str = ""


def admit(facts: Facts, wish: Wish, caps: Caps) -> Ruling:
    """Rule on a wish. ``taken``: somebody else moved this shard; look again."""
    shard = facts.shards[f"{wish.realm}/{wish.shard}"]
    if shard.current is not None or len(shard.attempts) + 1 != wish.attempt:
        return Ruling("taken", "another runner claimed it first")
    if wish.run in facts.halted:  # also between the runner's look and this claim
        return Ruling("wait", f"{wish.stage}: the run was cancelled")
    return _over_budget(facts, wish, caps) or _must_wait(facts, shard, wish, caps) or Ruling("go")


def _over_budget(facts: Facts, wish: Wish, caps: Caps) -> Ruling | None:
    for cap, stage, name in (
        (caps.run_usd, None, "budget"),
        (caps.stage_usd, wish.stage, f"cap of stage {wish.stage}"),
    ):
        if cap is None:
            continue
        # what a stray or lost batch may have cost counts too: the budget holds whatever the provider charges for it
        lost = facts.suspected(wish.run, stage)
        committed = facts.spent(wish.run, stage) + facts.reserved(wish.run, stage) + lost
        if committed + wish.usd > cap:
            return Ruling(
                "budget",
                f"{wish.stage}: up to ${wish.usd:.2f} more on top of ${committed:.2f} spent, reserved or suspected"
                f" could pass the {name} of ${cap:.2f}",
            )
    return None


def _must_wait(facts: Facts, shard: Shard, wish: Wish, caps: Caps) -> Ruling | None:
    """What the host allows of batches; synchronous calls are none, and have limits of their own."""
    if shard.window == "now":
        return None
    batches = [other for other in facts.in_realm(wish.realm) if other.window != "now"]
    recent = sum(a.stand != "dropped" and a.at > wish.now - 3600 for other in batches for a in other.attempts)
    if caps.batches_per_hour is not None and recent >= caps.batches_per_hour:
        return Ruling("wait", f"{recent} batches in the last hour is what {shard.provider} allows")
    if _queue_free_at(facts, shard, caps.queue_wait) > wish.now:
        return Ruling("wait", f"the queue of {shard.provider} for {shard.model} was full; trying again later")
    open_ones = [other.current for other in batches if other.model == shard.model]
    enqueued = sum(attempt.input_tokens for attempt in open_ones if attempt is not None)
    most = caps.enqueued_tokens
    if most is not None and enqueued and enqueued + wish.input_tokens > most:
        return Ruling("wait", f"{enqueued:,} of {most:,} prompt tokens of {shard.model} are enqueued")
    return None


def _queue_free_at(facts: Facts, shard: Shard, wait: float) -> float:
    """When it is worth trying again after the host's queue for this model was full; at most an hour later."""
    latest = 0.0
    for other in facts.in_realm(shard.realm):
        if other.model != shard.model:
            continue
        refused = 0
        for attempt in reversed(other.attempts):
            if attempt.queue_full_at is None:
                break
            refused += 1
            if refused == 1:
                last = attempt.queue_full_at
        if refused:
            latest = max(latest, last + min(3600.0, wait * 2 ** (refused - 1)))
    return latest
