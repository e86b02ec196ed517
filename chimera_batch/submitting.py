"""Open requests → an admitted claim → the provider → a receipt.

The order of writes is the safety: the claim (with its reservation) is a fact before the provider hears of anything,
the receipt is one right after; what lies between is looked up by ``recovery``, never sent again blindly.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from chimera_batch import recovery, wire
from chimera_batch.admission import Caps, Ruling, Wish, admit
from chimera_batch.context import Context, engine_sql
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import AccountRefused, MaybeCreated, NeedsDecision, ProviderDown, ProviderRefused
from chimera_batch.facts import Attempt, Facts, Shard, shard_name
from chimera_batch.ledger import money
from chimera_batch.project import Stage
from chimera_batch.records import Intent
from chimera_batch.warehouse import Warehouse

_SENT_COLUMNS = {"request_id": "VARCHAR", "ceiling": "INTEGER"}
BREAKER_FROM = 20  # executed requests; fewer say nothing about the rest


@dataclass(slots=True)
class Sending:
    """What became of a stage's wish to send. ``waits``: reasons to come back later; ``over``: what the budget stops."""

    sent: int = 0
    waits: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An attempt on local disk, ready to be claimed."""

    nonce: str
    path: Path
    wire: wire.Wire
    ids: Path | None  # the ids sent with their ceilings, when they are not simply all of the shard
    input_tokens: int
    usd: Decimal


def send(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> Sending:
    """Send every open request that may be sent now. The view ``standing`` must be current."""
    result = Sending()
    realm = ctx.realm(stage)
    open_rows = list(warehouse.rows(engine_sql("open"), {}))
    wanted = {name: {i: c for _, i, c in rows} for name, rows in groupby(open_rows, key=itemgetter(0))}
    shards = [ctx.ledger.shard(realm, name) for name in wanted]
    check_breaker(ctx, stage)
    if canary := [shard for shard in shards if shard.canary and not shard.attempts]:
        shards = canary
    elif _canary_out(ctx, stage):
        result.waits.append(f"{stage.name}: waiting for its canary of the first requests")
        return result
    for shard in sorted(shards, key=lambda shard: shard.id):
        if shard.current is None:
            _send_shard(ctx, stage, shard, wanted[shard.id], result, warehouse, folder)
    return result


def _canary_out(ctx: Context, stage: Stage) -> bool:
    mine = (s for s in ctx.facts.in_realm(ctx.realm(stage)) if s.stage == stage.name and s.canary)
    return any(shard.current is not None and shard.current.number == 1 for shard in mine)


def check_breaker(ctx: Context, stage: Stage) -> None:
    """Stop a stage whose answers are mostly unusable before the rest of it is bought."""
    mark = (ctx.run, stage.name)
    counts: dict[str, int] = {}
    for _, attempt in ctx.facts.attempts(ctx.run):
        if attempt.stage == stage.name and mark not in attempt.forgiven:
            for outcome, number in attempt.outcomes.items():
                counts[outcome] = counts.get(outcome, 0) + number
    judged = sum(counts.get(name, 0) for name in ("ok", "invalid", "refused", "truncated"))
    if judged >= BREAKER_FROM and counts.get("ok", 0) < stage.breaker * judged:
        said = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        raise NeedsDecision(
            f"only {counts.get('ok', 0)} of {judged} answers are usable ({said}); the rest is not bought",
            where=f"stage {stage.name}",
            hint=f"look: chimera-batch query @outcomes; then edit the prompt, or chimera-batch retry {ctx.project.path}"
            f" --stage {stage.name}",
        )


def _send_shard(
    ctx: Context,
    stage: Stage,
    shard: Shard,
    ceilings: Mapping[str, int],
    result: Sending,
    warehouse: Warehouse,
    folder: Path,
) -> None:
    prepared = _prepare(ctx, shard, ceilings, warehouse, folder)
    attempt, ruling = _claim(ctx, stage, shard, prepared)
    if ruling.verdict == "budget":
        result.over.append(ruling.reason)
    elif ruling.verdict == "wait":
        result.waits.append(ruling.reason)
    if attempt is None:
        return
    ctx.say(
        f"{stage.name}: sending {attempt.requests:,} requests to {shard.provider}"
        f" ({shard.id}, attempt {attempt.number})"
    )
    if shard.window == "now":
        result.sent += 1  # answered by collecting.ask_now, which needs no receipt
        return
    if _submit(ctx, shard, attempt, prepared.path):
        result.sent += 1
    else:
        result.waits.append(f"{stage.name}: {attempt.reason or 'the provider is not reachable'}")


def _prepare(ctx: Context, shard: Shard, ceilings: Mapping[str, int], warehouse: Warehouse, folder: Path) -> Prepared:
    """Write the exact bytes of an attempt and price them at their upper bound, request by request."""
    nonce = secrets.token_hex(4)
    raised = frozenset(identity for identity, ceiling in ceilings.items() if ceiling != shard.ceiling)
    path = folder / f"{shard.id}.{nonce}.jsonl"
    sent = wire.build(
        ctx.store.fetch(shard.key),
        path,
        nonce=nonce,
        ceilings=ceilings,
        raised=raised,
        with_ceiling=ENDPOINTS[shard.endpoint].with_ceiling,
    )
    price = ctx.price(shard)
    usd, tokens = Decimal(0), 0
    warehouse.view("fresh_members", [ctx.store.fetch(shard.members)])
    for _, identity, counted, bound in warehouse.rows(engine_sql("fresh_members"), {}):
        if identity in ceilings:
            usd += price.most(bound, ceilings[identity], batch=shard.window != "now", cache=shard.cache)
            tokens += counted
    ids = None
    if len(ceilings) != shard.requests or raised:
        ids = folder / f"{shard.id}.{nonce}.ids.parquet"
        warehouse.load("sent", _SENT_COLUMNS, sorted(ceilings.items()))
        warehouse.write(engine_sql("sent"), {}, ids)
    return Prepared(nonce, path, sent, ids, tokens, usd)


def _claim(ctx: Context, stage: Stage, shard: Shard, prepared: Prepared) -> tuple[Attempt | None, Ruling]:
    """Claim the attempt in the journal if it is admitted there; the reservation is part of the claim."""
    number = len(shard.attempts) + 1
    ids = f"requests/{shard.realm}/{shard.id}.{number}-{prepared.nonce}.ids.parquet" if prepared.ids else None
    if prepared.ids and ids:
        ctx.store.create_file(ids, prepared.ids)
    ruling = Ruling("taken")
    caps = caps_of(ctx, stage)

    def decide(facts: Facts) -> Mapping[str, Any] | None:
        nonlocal ruling
        now = ctx.clock()
        wish = Wish(shard.realm, shard.id, number, ctx.run, stage.name, prepared.usd, prepared.input_tokens, now)
        ruling = admit(facts, wish, caps)
        if ruling.verdict != "go":
            return None
        return {
            "type": "claimed",
            "realm": shard.realm,
            "shard": shard.id,
            "attempt": number,
            "run": ctx.run,
            "stage": stage.name,
            "nonce": prepared.nonce,
            "sha256": prepared.wire.sha256,
            "requests": prepared.wire.requests,
            "bytes": prepared.wire.bytes,
            "ids": ids,
            "input_tokens": prepared.input_tokens,
            "usd": money(prepared.usd),
            "lease_until": now + ctx.timing.lease,
        }

    won = ctx.ledger.write(decide) is not None
    return (ctx.facts.shards[shard_name(shard.realm, shard.id)].attempts[number - 1] if won else None), ruling


def caps_of(ctx: Context, stage: Stage) -> Caps:
    profile = ctx.profile(stage)
    return Caps(
        run_usd=ctx.budget_usd,
        stage_usd=stage.budget_usd,
        batches_per_hour=profile.batches_per_hour,
        enqueued_tokens=profile.enqueued_tokens,
    )


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


def _submit(ctx: Context, shard: Shard, attempt: Attempt, path: Path) -> bool:
    """Upload, create, write the receipt. False: nothing was created, or it is not known yet."""
    host = ctx.host(shard)
    intent = intent_of(shard, attempt)
    try:
        file = host.upload(intent, path)
        if file is not None and not ctx.ledger.uploaded(shard, attempt, file):
            host.discard([file])
            return False
        if ctx.clock() > attempt.lease_until - ctx.timing.lease / 10:
            # Somebody may be taking this claim over right now: creating would risk a second batch.
            ctx.ledger.dropped(shard, attempt, "the lease ran out before the batch was created", when="claimed")
            return False
        batch = host.create(intent, path, file)
    except MaybeCreated as error:
        ctx.say(f"{shard.id}: the reply to create was lost ({error}); looking it up")
        return recovery.look_up(ctx, shard, attempt, intent)
    except ProviderDown as error:
        ctx.ledger.dropped(shard, attempt, str(error), when="claimed")
        return False
    except (ProviderRefused, AccountRefused) as error:
        ctx.ledger.dropped(shard, attempt, str(error), when="claimed")
        raise
    recovery.receipt(ctx, shard, attempt, batch)
    return True
