"""Falling back: the rules of a stage held against the facts, and its switch to another model written down.

Nothing moves while anything of the stage is under way: it is waited for, collected and billed, so that no row is bought
at two hosts. Then the switch is one event, and the stage is taken again with the model that it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NoReturn

from chimera_batch.context import Context
from chimera_batch.cost import pacing
from chimera_batch.errors import EngineFailed, ProviderDown
from chimera_batch.history.counts import Standing
from chimera_batch.history.facts import Facts
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline.stage import Fallback, Hint, Stage
from chimera_batch.records import Call, Usage, batch_priced
from chimera_batch.rules import fallback, routing
from chimera_batch.rules.fallback import Pace, Sent, name_of

DEADLINE = "deadline"
_SAID = 300  # characters of an engine's last words that the event repeats


class Moved(Exception):
    """The stage has to be taken again: it asks another model by now, or is about to."""


@dataclass(frozen=True, slots=True)
class Due:
    """A stage that is to go on with ``to``. ``reason``: the rule's word, a colon, what it rests on."""

    to: Call
    reason: str
    cancels: bool = False  # what is under way is not waited for to its end


def due(ctx: Context, stage: Stage, counts: Standing) -> Due | None:
    """Whether a stage with unanswered requests has to go on elsewhere, by its rules and all that is known."""
    rule, further = stage.fallback, _further(ctx, stage)
    if rule is None or not further or counts.settled or ctx.run in ctx.facts.halted:
        return None
    found = fallback.sent(ctx.facts, ctx.run, stage)
    if trouble := ctx.troubles.get((stage.name, *name_of(stage.calls[0]))):
        return Due(further[0], trouble)
    if why := _late(ctx, stage, rule, found, counts):
        return Due(further[0], f"{DEADLINE}: {why}", cancels=True)
    if "expired" in rule.on and (why := fallback.expired(found)):
        return Due(further[0], f"expired: {why}")
    if "down" in rule.on and (why := fallback.down(found)):
        return Due(further[0], f"down: {why[:_SAID]}")
    return _dear(ctx, stage, rule, found, further)


def go(ctx: Context, stage: Stage, found: Due, counts: Standing) -> str:
    """Switch, if nothing is under way: raises Moved. Else says what is waited for."""
    if found.cancels:
        _cancel(ctx, stage)
    here, there = ("/".join(name_of(call)) for call in (stage.calls[0], found.to))
    if not counts.states["in_flight"]:
        if write(ctx.ledger, ctx.run, stage, found.to, found.reason):
            ctx.say(f"{stage.name}: falls back from {here} to {there} ({found.reason})")
        if len(ctx.facts.switches.get((ctx.run, stage.name), ())) != stage.switches:
            raise Moved
    return f"{stage.name}: goes on with {there} when what {here} has is over ({found.reason})"


def write(ledger: Ledger, run: str, stage: Stage, to: Call, reason: str) -> bool:
    """Make the switch a fact. False when another runner did, or when something of the stage is under way after all."""

    def decide(facts: Facts) -> Mapping[str, Any] | None:
        if len(facts.switches.get((run, stage.name), ())) != stage.switches:
            return None
        if any(attempt.is_open and attempt.stage == stage.name for _, attempt in facts.attempts(run)):
            return None
        left, told = stage.calls[0], {"type": "switched", "run": run, "stage": stage.name}
        now = {"provider": to.provider, "model": to.model}
        return {**told, **now, "left": {"provider": left.provider, "model": left.model}, "reason": reason}

    return ledger.write(decide) is not None


def failed(ctx: Context, stage: Stage, error: ProviderDown) -> NoReturn:
    """The model that a stage asks cannot be had: raises Moved where a rule provides for that, else the error."""
    cause = fallback.cause_of(error.why) if isinstance(error, EngineFailed) else "down"
    if stage.fallback is None or cause not in stage.fallback.on or not _further(ctx, stage):
        raise error
    said = " ".join(error.message.split())[:_SAID]
    ctx.troubles[(stage.name, *name_of(stage.calls[0]))] = f"{cause}: {said}"
    ctx.silences.pop(stage.name, None)
    for shard, attempt in list(ctx.facts.attempts(ctx.run)):  # of these nothing was asked yet
        if attempt.stage == stage.name and attempt.owner == ctx.ledger.owner and attempt.doubted_at is None:
            ctx.ledger.dropped(shard, attempt, said, when="claimed")
    raise Moved from error


def warning(ctx: Context, stage: Stage) -> str | None:
    """What an estimate cannot price: where a stage may go on, and what a request should cost there."""
    further = _further(ctx, stage) if stage.fallback else []
    if not further:
        return None
    here, *there = ("/".join(name_of(call)) for call in (stage.calls[0], *further))
    priced = [
        f"{name} (about ${_expected(ctx, stage, call):.6f} a request)"
        for name, call in zip(there, further, strict=True)
    ]
    return f"stage {stage.name}: priced at {here}; it may fall back to {', then '.join(priced)}"


def alarm(ctx: Context, stage: Stage) -> float | None:
    """When a stage's time is over, in seconds since the epoch: then it is looked at again, whatever is under way."""
    rule, began = stage.fallback, _began(ctx, stage)
    if rule is None or rule.within_hours is None or began is None or not _further(ctx, stage):
        return None
    end = began + rule.within_hours * 3600
    return end if ctx.clock() < end else None


def _further(ctx: Context, stage: Stage) -> list[Call]:
    return fallback.later(ctx.told.by_name[stage.name], ctx.facts.switches.get((ctx.run, stage.name), ()))


def _began(ctx: Context, stage: Stage) -> float | None:
    """When the first request of the stage was claimed, since it last was complete: its time counts from there.

    None where it counts no more: a stage that moved for want of time gains none by moving on.
    """
    since = ctx.facts.made_at.get((ctx.run, stage.name), 0.0)
    switches = ctx.facts.switches.get((ctx.run, stage.name), ())
    if any(switch.reason.startswith(f"{DEADLINE}:") and switch.at > since for switch in switches):
        return None
    mine = (a for _, a in ctx.facts.attempts(ctx.run) if a.stage == stage.name and a.stand != "dropped")
    return min((attempt.at for attempt in mine if attempt.at > since), default=None)


def watch(ctx: Context, stage: Stage, counts: Standing) -> Callable[[int], bool]:
    """Whether a stage that is asked synchronously will be late, given how many replies have come since now.

    The claims must be facts; ``counts``: how the stage stood before them.
    """
    rule, found = stage.fallback, fallback.sent(ctx.facts, ctx.run, stage)
    pace = _pace(ctx, stage, found, counts)
    if rule is None or rule.within_hours is None or pace is None or not _further(ctx, stage):
        return lambda _heard: False
    hours = rule.within_hours

    def late(heard: int) -> bool:
        now = replace(pace, answered=pace.answered + heard, left=max(0, pace.left - heard))
        return fallback.late(now, hours, ctx.clock()) is not None

    return late


def _late(ctx: Context, stage: Stage, rule: Fallback, found: Sent, counts: Standing) -> str | None:
    """Why it will not be done in time; that holds on while batches that were cancelled for it end."""
    pace = _pace(ctx, stage, found, counts)
    if rule.within_hours is None or pace is None:
        return None
    if any(attempt.cancel_reason == DEADLINE for _, attempt in found):
        return f"the {rule.within_hours:g} hours were at risk"
    return fallback.late(pace, rule.within_hours, ctx.clock())


def _pace(ctx: Context, stage: Stage, found: Sent, counts: Standing) -> Pace | None:
    """How the stage gets on at the model that it asks; None before its first claim, and where time does not count."""
    began = _began(ctx, stage)
    if began is None:
        return None
    heard = [attempt for _, attempt in found if attempt.stand != "dropped" and attempt.at >= began]
    return Pace(
        began=began,
        since=min((attempt.at for attempt in heard), default=ctx.clock()),
        answered=sum(attempt.outcomes.get("ok", 0) for attempt in heard),
        left=counts.wanted - counts.states["answered"] - counts.states["given_up"],
        promised=_promised(ctx, stage, found),
    )


def _promised(ctx: Context, stage: Stage, found: Sent) -> tuple[tuple[float, float], ...]:
    """When each batch under way was submitted, and the hours that it takes: as others took, else as is promised."""
    typical = pacing.typical_hours(ctx.facts, ctx.realm(stage), stage.calls[0].model, stage.window)
    hours = pacing.promised_hours(stage.window) if typical is None else typical
    batches = (attempt for shard, attempt in found if not shard.synchronous and attempt.is_open)
    return tuple((attempt.submitted_at or attempt.at, hours) for attempt in batches)


def _dear(ctx: Context, stage: Stage, rule: Fallback, found: Sent, further: list[Call]) -> Due | None:
    """The next model that is expected to keep the price, if this one does not."""
    most = rule.usd_per_request
    if most is None:
        return None
    why = fallback.dear(found, _expected(ctx, stage, stage.calls[0]), most)
    kept = [call for call in further if _expected(ctx, stage, call) <= most]
    return Due(kept[0], f"price: {why}, more than ${most:f}") if why and kept else None


def _expected(ctx: Context, stage: Stage, call: Call) -> Decimal:
    """USD that one request to a model should cost."""
    told = ctx.told.by_name[stage.name]
    hint = dict(zip(told.calls, told.hints, strict=True)).get(call) if told.hints else None
    given, made = routing.expected(told, call, hint or Hint())
    batch = batch_priced(told.window) and not ctx.told.profiles[call.provider].only_now
    return ctx.price_of(call.provider, call.model).cost(Usage(given, output_tokens=made), batch=batch)


def _cancel(ctx: Context, stage: Stage) -> None:
    """Ask to stop what is under way; what is finished by then is collected and billed, and its answers stand."""
    for shard, attempt in list(ctx.facts.attempts(ctx.run)):
        if attempt.stage == stage.name and attempt.is_open and not shard.synchronous and not attempt.cancel_asked:
            ctx.ledger.cancel(shard, attempt, DEADLINE)
            ctx.say(f"{shard.id}: asking {shard.provider} to stop, as the stage goes on elsewhere")
