"""Open requests → an admitted claim → the provider → a receipt.

The order of writes is the safety: the claim (with its reservation) is a fact before the provider hears of anything,
the receipt is one right after; what lies between is looked up by ``recovery``, never sent again blindly.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.doing import Doing
from chimera_batch.errors import (
    AccountRefused,
    EngineFailed,
    MaybeCreated,
    NeedsDecision,
    ProviderDown,
    ProviderError,
    ProviderRefused,
)
from chimera_batch.history.counts import Standing
from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.history.ledger import money
from chimera_batch.pipeline.project import Stage
from chimera_batch.rules.admission import Caps, Ruling, Wish, admit, largest, rooms, worth_sending
from chimera_batch.rules.shortfall import Over
from chimera_batch.steps import recovery
from chimera_batch.steps.paying import marks
from chimera_batch.steps.preparing import Open, Prepared, prepare, still_open
from chimera_batch.steps.recovery import intent_of
from chimera_batch.warehouse import Warehouse

BREAKER_FROM = 20  # judged answers; fewer say nothing about the rest
_JUDGED = ("ok", "invalid", "refused", "truncated")
_TURNAROUND = timedelta(days=1)  # a model that is shut down within a batch's time may leave it unanswered
_TRIES = 5  # how often other runners may take the room that was seen before this one comes back later


def check_breaker(ctx: Context, stage: Stage, counts: Standing) -> None:
    """Stop a stage whose answers are mostly unusable before the rest of it is bought. Raises NeedsDecision."""
    judged = sum(counts.outcomes.get(name, 0) for name in _JUDGED)
    usable = counts.outcomes.get("ok", 0)
    if judged >= BREAKER_FROM and usable < stage.breaker * judged:
        said = ", ".join(f"{number} {name}" for name, number in counts.outcomes.items())
        raise NeedsDecision(
            f"only {usable} of {judged} answers are usable ({said}); the rest is not bought",
            where=f"stage {stage.name}",
            hint="\n".join(
                [
                    ctx.command("query", "@outcomes"),
                    ctx.command("retry", "--stage", stage.name, why="once the prompt is mended"),
                ]
            ),
        )


@dataclass(slots=True)
class Sender:
    """Sends what is open of one stage. ``waits``: reasons to come back later; ``over``: what the budget stops."""

    ctx: Context
    stage: Stage
    warehouse: Warehouse
    folder: Path
    sent: int = 0
    synchronous: bool = False  # some of it is to be asked now
    marks: bool | None = None  # whether its requests ask for prompt caching; None: not decided yet
    waits: list[str] = field(default_factory=list)
    until: list[float] = field(default_factory=list)  # of those waits that a moment ends: when
    over: list[Over] = field(default_factory=list)

    def send(self) -> None:
        """Send every open request that may be sent now. The view ``standing`` must be current."""
        names = {name for (name,) in self.warehouse.rows(engine_sql("open_shards"), {})}
        realm = list(self.ctx.facts.in_realm(self.ctx.realm(self.stage)))
        shards = [shard for shard in realm if shard.id in names]
        later: list[Shard] = []
        if canary := [shard for shard in shards if shard.canary and not _landed(shard)]:
            shards, later = canary, [shard for shard in shards if shard not in canary]
        elif any(shard.canary and shard.current and shard.stage == self.stage.name for shard in realm):
            self.waits.append(f"{self.stage.name}: waiting for its canary, the first few requests")
            return
        # The facts move on with every write of ours, the view does not: what another runner sends and lands meanwhile
        # still looks open here. So each next attempt's number is fixed now, and claiming it fails once it is taken.
        todo = [(shard, len(shard.attempts) + 1) for shard in shards if shard.current is None]
        for gone, (shard, number) in enumerate(todo):
            if self.ctx.run in self.ctx.facts.halted:
                return
            self.ctx.doing([Doing("sending", self.stage.name, gone, len(todo), "batches")])
            self._send_shard(shard, number)
        if self.over:  # then what was to follow its canary is undone too
            self.over += [self._undone(self._open(shard), asked=False) for shard in later]

    def _send_shard(self, shard: Shard, number: int) -> None:
        """Send what is open of a shard, or as much of it as there is room for.

        The room is looked at before any bytes are made, because what fits decides which bytes; the claim rules again.
        """
        found = self._open(shard)
        ruling = Ruling("wait", f"{self.stage.name}: other runners claim the room as it comes")
        for _ in range(_TRIES):
            facts, caps = self.ctx.ledger.refresh(), caps_of(self.ctx, self.stage)
            count, seen = largest(facts, lambda some: self._wish(number, found.first(some)), found.costs, caps)
            if seen.verdict != "go":
                ruling = seen
                break
            prepared = prepare(self.ctx, found.first(count), self.warehouse, self.folder)
            attempt, decided = self._claim(number, prepared)
            if attempt is not None:
                self._deliver(shard, attempt, prepared)
                return
            if decided.verdict != "budget":
                ruling = decided
                break
        if ruling.verdict == "budget":
            self.over.append(self._undone(found))
        else:
            self.waits.append(ruling.reason)
            self.until += [] if ruling.until is None else [ruling.until]

    def _open(self, shard: Shard) -> Open:
        if self.marks is None:
            self.marks = marks(self.ctx, self.stage, self.warehouse)
        return still_open(self.ctx, shard, self.warehouse, marks=self.marks)

    def _wish(self, number: int, sends: Open) -> Wish:
        run, stage, now = self.ctx.run, self.stage.name, self.ctx.clock()
        seen = self.stage.switches
        return Wish(sends.shard.realm, sends.shard.id, number, run, stage, sends.usd, sends.tokens, now, seen)

    def _undone(self, found: Open, *, asked: bool = True) -> Over:
        """``asked``: the budget said no; else it was not asked, because this waits for its canary."""
        ctx, stage = self.ctx, self.stage
        left = rooms(ctx.facts, caps_of(ctx, stage), ctx.run, stage.name, ctx.clock())
        least = found.first(worth_sending(found.costs, left)).usd if asked else None
        return Over(self.stage.name, len(found.ids), found.usd, least)

    def _deliver(self, shard: Shard, attempt: Attempt, prepared: Prepared) -> None:
        """Carry out a claim."""
        said = f"sending {attempt.requests:,} requests to {shard.provider} ({shard.id}, attempt {attempt.number})"
        self.ctx.say(f"{self.stage.name}: {said}")
        if ends := self.ctx.price(shard).retirement(self.ctx.today, _TURNAROUND):
            self.ctx.note(shard, ends)
        if shard.synchronous:  # the calls are made by `asking`, which finds the claim
            self.sent, self.synchronous = self.sent + 1, True
        elif submit(self.ctx, shard, attempt, prepared.path):
            self.sent += 1
        else:
            why = attempt.reason or self.ctx.notes.get(shard.id) or "not sent yet"
            self.waits.append(f"{self.stage.name}: {why}")

    def _claim(self, number: int, prepared: Prepared) -> tuple[Attempt | None, Ruling]:
        """Claim the attempt in the journal if it is admitted there; the reservation is part of the claim."""
        ctx, shard = self.ctx, prepared.sends.shard
        ids = None
        if prepared.ids is not None:
            ids = f"requests/{shard.realm}/{shard.id}.{number}-{prepared.nonce}.ids.parquet"
            ctx.store.create_file(ids, prepared.ids, drop=True)
        ruling = Ruling("taken")

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            nonlocal ruling
            wish = self._wish(number, prepared.sends)
            ruling = admit(facts, wish, caps_of(ctx, self.stage))
            return _claim_event(wish, prepared, ids, wish.now + ctx.timing.lease) if ruling.verdict == "go" else None

        won = ctx.ledger.write(decide) is not None
        return (shard.attempts[number - 1] if won else None), ruling


def _landed(shard: Shard) -> bool:
    return any(attempt.stand == "landed" for attempt in shard.attempts)


def _claim_event(wish: Wish, prepared: Prepared, ids: str | None, lease_until: float) -> dict[str, Any]:
    return {
        "type": "claimed",
        "at": wish.now,  # the day whose cap ruled on it is the day that it is counted on
        "realm": wish.realm,
        "shard": wish.shard,
        "attempt": wish.attempt,
        "run": wish.run,
        "stage": wish.stage,
        "nonce": prepared.nonce,
        "sha256": prepared.wire.sha256,
        "requests": prepared.wire.requests,
        "bytes": prepared.wire.bytes,
        "ids": ids,
        "input_tokens": wish.input_tokens,
        "usd": money(wish.usd),
        "price": prepared.sends.price.as_row(),
        "cache": prepared.sends.marks,
        "lease_until": lease_until,
    }


def caps_of(ctx: Context, stage: Stage) -> Caps:
    profile = ctx.profile(stage)
    hourly, tokens = profile.batches_per_hour, profile.enqueued_tokens
    least = 1 if stage.synchronous else profile.min_requests
    dollars = ctx.budget_usd, stage.budget_usd
    return Caps(*dollars, hourly, tokens, ctx.timing.queue, ctx.budget_day_usd, least, ctx.begun)


def submit(ctx: Context, shard: Shard, attempt: Attempt, path: Path) -> bool:
    """Upload, create, write the receipt. False: nothing was created, or it is not known yet."""
    try:
        batch = _create(ctx, shard, attempt, path)
    except MaybeCreated as error:
        ctx.ledger.doubted(shard, attempt)
        ctx.say(f"{shard.id}: the reply to create was lost ({error}); looking it up")
        return recovery.look_up(ctx, shard, attempt, intent_of(shard, attempt))
    except EngineFailed as error:  # an engine of our own: what is to be done about it is not decided here
        _give_back(ctx, shard, attempt, str(error))
        raise
    except ProviderDown as error:
        ctx.note(shard, f"nothing was sent: {error}")
        _give_back(ctx, shard, attempt, str(error), down=error)
        return False
    except ProviderRefused as error:
        if not _give_back(ctx, shard, attempt, str(error)):
            ctx.note(shard, f"attempt {attempt.number} was settled by another runner, who removed its file")
            return False
        raise
    except AccountRefused as error:
        _give_back(ctx, shard, attempt, str(error))
        raise
    return batch is not None and recovery.receipt(ctx, shard, attempt, batch)


def _create(ctx: Context, shard: Shard, attempt: Attempt, path: Path) -> str | None:
    """The batch's id; None when the claim was lost on the way, and nothing was created."""
    host, intent = ctx.host(shard), intent_of(shard, attempt)
    file = host.upload(intent, path)
    # The upload may have taken most of the lease: it begins anew, unless somebody has taken the claim over by now.
    if file is not None and not ctx.ledger.uploaded(shard, attempt, file, ctx.clock() + ctx.timing.lease):
        host.discard([file])
        return None
    if ctx.clock() > attempt.lease_until - ctx.timing.lease / 10:
        # This process was paused. Somebody may be taking the claim over right now: creating would risk a second batch.
        _give_back(ctx, shard, attempt, "the lease ran out before the batch was created")
        return None
    return host.create(intent, path, file)


def _give_back(ctx: Context, shard: Shard, attempt: Attempt, reason: str, *, down: ProviderDown | None = None) -> bool:
    """Drop a claim of which nothing was created, and its upload; False when another runner has settled it.

    ``down``: the host takes nothing for now, so the next try waits, and longer each time.
    """
    if down is not None and not down.full:
        dropped = ctx.ledger.turned_away(shard, attempt, reason, down.retry_after)
    else:
        dropped = ctx.ledger.dropped(shard, attempt, reason, when="claimed", queue_full=down is not None)
    if dropped and attempt.file is not None:
        with suppress(ProviderError):
            ctx.host(shard).discard([attempt.file])
    return dropped
