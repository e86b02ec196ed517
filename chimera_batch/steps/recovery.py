"""A lost reply, a silent owner: find out what became of a claim before anything is sent again.

Where the provider keeps our metadata the look-up is exact. Where it keeps none (Anthropic), a batch of the same count
made after the intent is a candidate; one is adopted (and proven by the nonce in its results), several are shown to a
person. Finding nothing counts only after ``timing.settle`` seconds, when a late create would have shown.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from decimal import Decimal
from typing import Literal

from chimera_batch.context import Context, Timing
from chimera_batch.errors import ProviderDown, ProviderError, ProviderRefused
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.providers.base import Provider
from chimera_batch.records import BatchState, Intent, Usage
from chimera_batch.results import reconciling
from chimera_batch.results.reconciling import Unbilled
from chimera_batch.settings import alive
from chimera_batch.steps import collecting

Owner = Literal["mine", "alive", "dead", "silent"]
Remedy = Literal["wait", "cancel", "stopping", "resend"]


def intent_of(shard: Shard, attempt: Attempt) -> Intent:
    """The intent as the provider's adapter wants it."""
    return Intent(
        shard=shard.id,
        attempt=attempt.number,
        nonce=attempt.nonce,
        sha256=attempt.sha256,
        requests=attempt.requests,
        bytes=attempt.bytes,
        endpoint=shard.endpoint,
        model=shard.model,
        window=shard.window,
        run=attempt.run,
        at=attempt.at,
    )


def owner_of(ctx: Context, attempt: Attempt) -> Owner:
    """Who holds a claim: this process, a living one on this machine, a dead one, or one that let its lease run out."""
    if attempt.owner == ctx.ledger.owner:
        return "mine"
    living = alive(attempt.owner)
    if living is False:
        return "dead"
    return "alive" if ctx.clock() < attempt.lease_until else "silent"


def remedy(attempt: Attempt, now: float, timing: Timing) -> Remedy:
    """What helps against a batch that the provider says is working. Pure.

    Up to ``timing.overdue`` after it was submitted it may end by itself (``wait``). Then it is to be cancelled, and has
    ``timing.stopping`` to stop. Only one that hangs even so may be sent again: what it did would be paid twice.
    """
    if now - (attempt.submitted_at or attempt.at) <= timing.overdue:
        return "wait"
    if attempt.cancel_at is None:
        return "cancel"
    return "stopping" if now - attempt.cancel_at < timing.stopping else "resend"


def receipt(ctx: Context, shard: Shard, attempt: Attempt, batch: str) -> bool:
    """Write down which batch an attempt became.

    If the attempt was settled otherwise while this process was paused, the record wins: a batch that it does not name
    is ours alone and is cancelled, never adopted twice.
    """
    if ctx.ledger.submitted(shard, attempt, batch):
        return True
    if batch not in ctx.facts.batch_ids(shard.realm):
        ctx.ledger.stray(shard, attempt, batch)
        ctx.say(f"{shard.id}: attempt {attempt.number} was settled by another runner; cancelling {batch}")
    cancel_strays(ctx, shard, attempt)
    return False


def cancel_strays(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    """Stop batches that were made for an attempt after it was settled otherwise; tried again on every pass.

    Of one that has stopped, the provider's totals say what it cost; until then, and where it gives none, all that the
    attempt reserved is suspected.
    """
    for batch in attempt.strays:
        if batch in attempt.strays_over:
            continue
        with suppress(ProviderError):
            state = ctx.host(shard).state(batch)
            if state.phase == "working":
                ctx.host(shard).cancel(batch)
            elif state.phase == "rejected" or state.usage is not None:
                ctx.ledger.stray_over(shard, attempt, batch, unread_cost(ctx, shard, attempt, state)[0])


def unread_cost(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState | None) -> tuple[Decimal, Usage | None]:
    """What a batch whose results nobody reads may have cost, and the provider's totals: at most its reservation.

    ``state``: None where the provider cannot be asked.
    """
    if state is not None and state.phase == "rejected":
        return Decimal(0), None
    if state is None or state.phase != "ended" or state.usage is None:
        return attempt.usd, None
    everything = Unbilled(attempt.requests, most=attempt.usd, feared=attempt.usd, longest=sys.maxsize)
    found = reconciling.suspect(everything, Usage(), state.usage, collecting.terms_of(ctx, shard, attempt))
    return found.usd, state.usage


def write_off(ctx: Context, shard: Shard, attempt: Attempt, reason: str) -> bool:
    """A person gives an attempt up; what it may have cost stays suspected. False if it was settled meanwhile."""
    state = None
    if attempt.batch is not None:
        with suppress(ProviderError):
            state = ctx.host(shard).state(attempt.batch)
    begun = attempt.batch is not None or attempt.doubted_at is not None or attempt.stand == "stuck" or shard.synchronous
    cost = unread_cost(ctx, shard, attempt, state) if begun else (Decimal(0), None)
    if not ctx.ledger.written_off(shard, attempt, reason, cost):
        return False
    if state is not None and state.phase == "working":  # nobody waits for it any more: what it has not begun is saved
        with suppress(ProviderError):
            ctx.host(shard).cancel(state.id)
    if attempt.file is not None:  # a create that is still under way fails without it
        with suppress(ProviderError):
            ctx.host(shard).discard([attempt.file])
    return True


def resolve(ctx: Context, shard: Shard, attempt: Attempt, intent: Intent) -> bool:
    """Bring a claim without a receipt further. True when it became a batch."""
    owner = owner_of(ctx, attempt)
    if owner == "alive" or attempt.stand != "claimed":
        return False
    if owner != "mine" and not ctx.ledger.take_over(shard, attempt, lease_until=ctx.clock() + ctx.timing.lease):
        return False
    return look_up(ctx, shard, attempt, intent, silent=owner == "silent" or _was_silent(attempt))


def _was_silent(attempt: Attempt) -> bool:
    """Taken over, at any time, from an owner that may still wake up and create."""
    return any(alive(owner) is not False for owner in attempt.taken_from)


def look_up(ctx: Context, shard: Shard, attempt: Attempt, intent: Intent, *, silent: bool = False) -> bool:
    """Ask the provider for this claim's batch: adopt it, let it go, wait, or leave it to a person.

    ``silent``: the claim's former owner may still wake up.
    """
    host, asked = ctx.host(shard), ctx.clock()  # what is found is as of then, however long the reply takes to be read
    try:
        known = ctx.facts.batch_ids(shard.realm) | attempt.disowned
        found = [state for state in host.find(intent) if state.id not in known]
    except ProviderDown as error:
        ctx.note(shard, f"cannot look up the batch: {error}")
        return False
    exact = host.profile.keeps_metadata or host.profile.deletes_files  # by metadata, or by the name of its own file
    if found and (exact or (len(found) == 1 and not _rivals(ctx, shard, attempt))):
        return _adopt(ctx, shard, attempt, found)
    if found:
        _leave_to_a_person(ctx, shard, attempt, found)
        return False
    if asked - (attempt.doubted_at or attempt.at) < ctx.timing.settle:
        ctx.note(shard, "the reply to create was lost; waiting until a late batch would show")
        return False
    if silent and not host.profile.deletes_files:  # nothing can make a late create fail
        _leave_to_a_person(ctx, shard, attempt, found)
        return False
    _let_go(ctx, host, shard, attempt, intent)
    return False


def _rivals(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Whether another claim without a receipt could own the same candidate: as many requests, at the same host."""
    return any(
        other is not attempt and other.stand in {"claimed", "stuck"} and other.requests == attempt.requests
        for sibling in ctx.facts.in_realm(shard.realm)
        for other in sibling.attempts
    )


def _adopt(ctx: Context, shard: Shard, attempt: Attempt, found: list[BatchState]) -> bool:
    oldest, *others = sorted(found, key=lambda state: (state.created_at or 0.0, state.id))
    adopted = ctx.ledger.submitted(shard, attempt, oldest.id, adopted=True)
    if adopted:
        ctx.say(f"{shard.id}: adopted {oldest.id}, whose receipt was lost")
        for other in others:
            ctx.say(f"{shard.id}: cancelling {other.id}, a second batch of the same attempt")
            ctx.ledger.stray(shard, attempt, other.id)
        cancel_strays(ctx, shard, attempt)
    return adopted


def _let_go(ctx: Context, host: Provider, shard: Shard, attempt: Attempt, intent: Intent) -> None:
    """Nothing was created. The uploaded file goes first, so that a create that is still under way fails validation."""
    try:
        uploads = set(host.find_uploads(intent)) | ({attempt.file} if attempt.file else set())
        host.discard(sorted(uploads))
    except ProviderError as error:
        ctx.note(shard, f"cannot remove the uploaded file of a lost attempt: {error}")
        return
    if ctx.ledger.dropped(shard, attempt, "no batch was created", when="claimed"):
        ctx.note(shard, "no batch was created; its requests are sent again")


def _leave_to_a_person(ctx: Context, shard: Shard, attempt: Attempt, found: list[BatchState]) -> None:
    made = ", ".join(state.id for state in found) or "none shows yet"
    ctx.ledger.stuck(
        shard,
        attempt,
        f"the reply to create was lost; batches that could be it: {made}",
    )


def adopt(ctx: Context, shard: Shard, attempt: Attempt, batch: str) -> bool:
    """A person says: this batch is that attempt. Raises ProviderRefused if the provider does not know the batch."""
    state = ctx.host(shard).state(batch)
    if state.total not in {None, 0, attempt.requests}:
        raise ProviderRefused(f"{batch} holds {state.total} requests, the attempt sent {attempt.requests}", status=409)
    return ctx.ledger.submitted(shard, attempt, batch, adopted=True)
