"""The document of ``status --json``: where every request stands and what it cost, read from the store alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from chimera_batch.context import REHEARSAL, Context, unnamed
from chimera_batch.cost import pacing
from chimera_batch.history.counts import STATES
from chimera_batch.history.facts import Attempt, Quoted, Shard, Switched, day_of
from chimera_batch.pipeline.project import Stage
from chimera_batch.records import Call
from chimera_batch.steps import recalling
from chimera_batch.verbs import spending
from chimera_batch.verbs.spending import Kept, Wasted


def status(ctx: Context) -> dict[str, Any]:
    """Counts as of the last plan: rows queries are not run again. ``wanted`` is always the sum of the states."""
    wasted, kept = spending.wasted(ctx), spending.kept(ctx)
    stages = [
        _stage(ctx, stage) | _money(ctx, stage, wasted.get(stage.name, {}), kept[stage.name])
        for stage in ctx.project.stages
    ]
    blocked = ctx.blocked(in_flight=any(stage["in_flight"] for stage in stages))
    state = "stuck" if blocked else _state(ctx, stages)
    document = {
        "run": ctx.run,
        "rehearsal": ctx.rehearse,
        "store": ctx.store.url,
        "state": state,
        "stages": stages,
        "usd_spent": _dollars(ctx.facts.spent(ctx.run)),
        "usd_reserved": _dollars(ctx.facts.reserved(ctx.run)),
        "usd_suspected": _dollars(ctx.facts.suspected(ctx.run)),
        "budget": _dollars(ctx.budget_usd) if ctx.budget_usd is not None else None,
        "usd_today": _dollars(ctx.facts.committed(ctx.run, day=day_of(ctx.clock()))),
        "budget_day": _dollars(ctx.budget_day_usd) if ctx.budget_day_usd is not None else None,
        "halted": ctx.run in ctx.facts.halted,
        "over_budget": None,
        "needs": [f"{shard.id}: {attempt.reason}" for shard, attempt in blocked] + list(_unnamed(ctx)),
        "choices": choices(ctx, *blocked[0]) if blocked else [],
        "notes": list(_notes(ctx, state)),
    }
    if ctx.run in ctx.facts.out_of_money and document["state"] != "done":  # others may have bought what it lacked
        from chimera_batch.verbs import budgeting  # noqa: PLC0415 - it takes the engine with it

        document |= budgeting.told(ctx)
    return document


def choices(ctx: Context, shard: Shard, attempt: Attempt) -> list[str]:
    """The two lines that a person can choose from for an attempt that is stuck."""
    which, other = "the batch at the provider is that one", "the provider made none"
    if attempt.batch is not None:
        which, other = "look at it again", "its answers are lost: pay for them again"
    return [
        ctx.command("adopt", "--shard", shard.id, "--batch", attempt.batch or "ID", why=which),
        ctx.command("resend", "--shard", shard.id, why=other),
    ]


def _notes(ctx: Context, state: str) -> Iterator[str]:
    """What else there is to tell: waves that are over, and where the rehearsal is that somebody may look for."""
    for stage in ctx.project.stages:
        if said := _missed(ctx, stage):
            yield said
    if state == "new" and not ctx.rehearse and any(ctx.store.list(f"{REHEARSAL}/runs/{ctx.run}/")):
        yield f"what was rehearsed here: {replace(ctx, rehearse=True).command('status')}"


def _missed(ctx: Context, stage: Stage) -> str | None:
    """What there is to tell of a stage whose waves are over."""
    if (ctx.run, stage.name) not in ctx.facts.ended:
        return None
    from chimera_batch.steps import waves  # noqa: PLC0415 - it takes the engine with it

    return waves.missed(ctx, stage)


def _state(ctx: Context, stages: list[dict[str, Any]]) -> str:
    """One word: new, waiting, done or unfinished."""
    if any(stage["in_flight"] for stage in stages):
        return "waiting"
    if all((ctx.run, stage.name) in ctx.facts.tables for stage in ctx.project.stages):
        return "done"
    return "unfinished" if any(stage["wanted"] for stage in stages) else "new"


def _unnamed(ctx: Context) -> Iterator[str]:
    """What is under way where nobody looks any more."""
    realms = ctx.realms()
    for shard, attempt in ctx.facts.attempts(ctx.run):
        if attempt.is_open and attempt.stand != "stuck" and shard.realm not in realms:
            what = attempt.batch or f"attempt {attempt.number}"
            yield f"{shard.id}: {unnamed(what, shard.realm)}"


def _stage(ctx: Context, stage: Stage) -> dict[str, Any]:
    table = ctx.facts.tables.get((ctx.run, stage.name))
    forecasts = pacing.Forecasts(ctx.facts, ctx.clock())
    mine = [(shard, attempt) for shard, attempt in ctx.facts.attempts(ctx.run) if attempt.stage == stage.name]
    found = recalling.counted(ctx, stage) if stage.kind == "ask" else recalling.NOTHING
    counts = found.standing
    return {
        "stage": stage.name,
        "kind": stage.kind,
        "model": _model(stage.calls[0]) if stage.calls else None,
        "switches": [_switch(switch) for switch in ctx.facts.switches.get((ctx.run, stage.name), ())],
        "rows": table.rows if table else None,
        "wanted": counts.wanted,
        **counts.states,
        "orphaned": found.orphaned,
        "outcomes": counts.outcomes,
        "reasons": list(counts.reasons),
        "usd_spent": _dollars(ctx.facts.spent(ctx.run, stage.name)),
        "usd_reserved": _dollars(ctx.facts.reserved(ctx.run, stage.name)),
        "usd_suspected": _dollars(ctx.facts.suspected(ctx.run, stage.name)),
        "batches": [_batch(shard, attempt, forecasts.of(shard, attempt)) for shard, attempt in mine],
    }


def _model(call: Call) -> dict[str, str]:
    return {"provider": call.provider, "model": call.model}


def _switch(switch: Switched) -> dict[str, Any]:
    """A stage fell back; ``at``: seconds since the epoch."""
    return {"from": "/".join(switch.left), "to": "/".join(switch.to), "reason": switch.reason, "at": switch.at}


def _money(ctx: Context, stage: Stage, wasted: Wasted, kept: Kept) -> dict[str, Any]:
    """What a stage was said to cost, what a kept row of it cost, and what was paid for nothing."""
    each = kept.usd_per_row
    return {
        "quoted": _quoted(ctx.facts.quoted(ctx.run, stage.name)),
        "rows_kept": kept.rows,
        "usd_per_kept_row": None if each is None else float(round(each, 9)),
        "usd_wasted": _dollars(sum((one.usd for one in wasted.values()), Decimal(0))),
        "tokens_wasted": sum(one.tokens for one in wasted.values()),
        "wasted": {
            outcome: {"requests": one.requests, "tokens": one.tokens, "usd": _dollars(one.usd)}
            for outcome, one in wasted.items()
        },
    }


def _quoted(quote: Quoted | None) -> dict[str, Any] | None:
    """The quote of the whole stage: what had been spent by then, and the rest."""
    if quote is None:
        return None
    usd = dict(zip(("low", "likely", "high", "ceiling"), map(_dollars, quote.total()), strict=True))
    return {**usd, "basis": quote.basis, "requests": quote.requests}


def _batch(shard: Shard, attempt: Attempt, expected: pacing.Expected | None) -> dict[str, Any]:
    return {
        "shard": shard.id,
        "attempt": attempt.number,
        "provider": shard.provider,
        "model": shard.model,
        "id": attempt.batch,
        "state": attempt.status,
        "requests": attempt.requests,
        "done": attempt.done,
        "usd": _dollars(attempt.usd if attempt.is_open else attempt.billed),  # an upper bound while it is open
        "usd_suspected": _dollars(attempt.suspected),  # may have been charged for what never came
        "outcomes": attempt.outcomes,
        "quarantined": attempt.quarantined,
        "reason": attempt.reason,
        "submitted_at": attempt.submitted_at,  # seconds since 1970, as is when it is expected back
        "expected_at": expected.at if expected else None,
        "expected_basis": expected.basis if expected else None,
    }


def _dollars(amount: Decimal) -> float:
    return float(round(amount, 6))


def balances(document: Mapping[str, Any]) -> bool:
    """Whether every stage's states add up to what it wants."""
    return all(stage["wanted"] == sum(stage[state] for state in STATES) for stage in document["stages"])
