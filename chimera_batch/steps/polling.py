"""What the providers say of the attempts under way, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import get_args

from chimera_batch.calls import asking
from chimera_batch.context import Context
from chimera_batch.errors import EngineWhy, ProviderDown, ProviderError, ProviderRefused
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.history.sightings import Look
from chimera_batch.records import BatchState
from chimera_batch.steps import collecting, recovery
from chimera_batch.steps.recovery import intent_of

_ORDINARY = {"", "validating", "in_progress", "finalizing", "cancelling", "canceling"} | (
    {"submitted", "scheduled", "inprogress", "stopping"}  # Bedrock's
)  # words that say: still working
_STOPPING = ("cancel", "stop")  # in a word that says: it is being cancelled already
_FULL_CODES = {"token_limit_exceeded"}
_TYPED = {"cancel": "stop it", "resend": "give it up"}  # what a person can do about a batch that takes too long
_LISTED = 5  # problems of a file that are said; all of them stand in the answers or in the provider's own record
_LARGE = 1_000  # requests of a batch that is landed beside another one
_BESIDE = 2  # batches landed at once; each takes its own memory
_LISTEN = 0.2  # seconds: Ctrl-C just before a wait without a limit would be heard when that is over
_VALIDATION_TRIES = 5  # a file that the provider refuses as a whole this often is a person's problem


def poll(ctx: Context) -> bool:
    """Bring every attempt under way one step further; True when anything changed."""
    changed, large = False, list[tuple[Shard, Attempt]]()
    realms = ctx.realms()
    ctx.ledger.refresh()
    for shard, attempt in list(ctx.facts.attempts()):
        if shard.realm not in realms:
            continue
        if shard.synchronous:
            changed |= attempt.stand == "claimed" and asking.recover(ctx, shard, attempt)
            continue
        if attempt.stand == "claimed":
            changed |= recovery.resolve(ctx, shard, attempt, intent_of(shard, attempt)) or not attempt.is_open
        if attempt.stand == "submitted" and attempt.requests >= _LARGE:
            large.append((shard, attempt))
        elif attempt.stand == "submitted":
            changed |= _poll_one(ctx, shard, attempt)
        elif attempt.stand == "landed" and not attempt.cleaned:
            collecting.clean(ctx, shard, attempt)
        if attempt.strays:
            recovery.cancel_strays(ctx, shard, attempt)
    return any(_side_by_side(ctx, large)) or changed


def _side_by_side(ctx: Context, attempts: Sequence[tuple[Shard, Attempt]]) -> list[bool]:
    """Poll them two at a time. What one of them raises comes when all have been polled."""
    if len(attempts) == 1:
        return [_poll_one(ctx, *attempts[0])]
    with ThreadPoolExecutor(_BESIDE, "poll") as beside:
        try:
            polled = [beside.submit(_poll_one, ctx, *one, threads=1) for one in attempts]
            while wait(polled, _LISTEN).not_done:
                pass
        except BaseException:  # Ctrl-C: what has begun ends, all others are for another day
            beside.shutdown(wait=False, cancel_futures=True)
            raise
    for error in [error for one in polled if (error := one.exception())][1:]:
        ctx.say(str(error))
    return [one.result() for one in polled]


def _poll_one(ctx: Context, shard: Shard, attempt: Attempt, *, threads: int = 2) -> bool:
    host = ctx.host(shard)
    assert attempt.batch is not None  # noqa: S101 - a submitted attempt has a receipt
    try:
        state = host.state(attempt.batch)
        stopping = any(word in state.status.lower() for word in _STOPPING)
        if attempt.cancel_asked and state.phase == "working" and not stopping:
            with suppress(ProviderRefused):  # it may be over by now
                host.cancel(attempt.batch)
        settled = partial(_settled, ctx, shard, attempt, state)
        if state.phase == "ended" and (state.files or settled()):
            return collecting.land(ctx, shard, attempt, state, settled, threads=threads)
    except ProviderDown as error:
        ctx.note(shard, str(error))
        return False
    except ProviderRefused as error:
        # The batch or its files are gone: asking again may be paid twice, so a person decides.
        ctx.ledger.stuck(shard, attempt, f"{attempt.batch} cannot be read: {error}")
        return True
    if state.phase == "rejected":
        return _rejected(ctx, shard, attempt, state)
    if state.phase == "working":
        _look(ctx, shard, attempt, state)
    return False


def _settled(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> bool:
    """Whether a batch has been over without all of its files for long enough to believe it: what no file holds is
    asked, and paid, again, and a host may be slow to show a file."""
    ctx.ledger.seen(shard, attempt, Look(state.status, state.done, over=True))
    if attempt.over and attempt.seen_at is not None and ctx.clock() - attempt.seen_at >= ctx.timing.settle:
        return True
    lacks = "lacks some" if state.files else "has no"
    ctx.note(shard, f"{attempt.batch} is {state.status!r} and {lacks} results; waiting in case they show late")
    return False


def _look(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> None:
    """Note how far a batch is, and say what is not as usual."""
    if state.status.lower() not in _ORDINARY:
        ctx.note(shard, f"{shard.provider} says {state.status!r}, a word we do not know: taken for still working")
    ctx.ledger.seen(shard, attempt, Look(state.status, state.done))
    now = ctx.clock()
    verb = recovery.remedy(attempt, now, ctx.timing)
    if verb in _TYPED:
        waited = (now - (attempt.submitted_at or attempt.at)) / 3600
        command = ctx.command(verb, "--shard", shard.id, why=_TYPED[verb])
        ctx.note(shard, f"{attempt.batch} is {state.status!r} after {waited:.0f} hours: {command}")


def _rejected(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> bool:
    """The provider refused the file as a whole: nothing was executed, nothing is owed."""
    listed = [f"{p.code or 'error'}{f' (line {p.line})' if p.line else ''}: {p.message}" for p in state.problems]
    more = f"; and {len(listed) - _LISTED:,} more" if len(listed) > _LISTED else ""
    reason = f"{shard.provider} refused the file: {'; '.join(listed[:_LISTED]) or state.status}{more}"
    ctx.note(shard, reason)
    bad = {p.line: p for p in reversed(state.problems) if p.line is not None}  # of one line the first counts
    of_lines = bool(bad) and all(problem.line is not None for problem in state.problems)
    refused = sum(1 for other in shard.attempts if other.status == state.status)
    if of_lines and refused < _VALIDATION_TRIES:
        collecting.land_refused_lines(ctx, shard, attempt, state.status, bad)
        collecting.clean(ctx, shard, attempt)
        return True
    full = bool({problem.code for problem in state.problems} & _FULL_CODES)
    ctx.ledger.dropped(shard, attempt, reason, queue_full=full)
    with suppress(ProviderError):
        collecting.discard(ctx, shard, attempt, state)
    engine = bool({problem.code for problem in state.problems} & set(get_args(EngineWhy)))
    if full or engine:  # no row has failed; an engine that does not run is heard of again where it is asked next
        return True
    raise ProviderRefused(f"{shard.id}: {reason}", status=400, hint=ctx.command("status"))
