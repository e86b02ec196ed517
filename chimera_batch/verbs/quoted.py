"""The record of quotes: what a run was said to cost, kept as facts, so that its bill can be held against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from chimera_batch.context import Context
from chimera_batch.cost.measured import BASES
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.history.facts import Quoted
from chimera_batch.history.ledger import money
from chimera_batch.pipeline.project import Source, Stage
from chimera_batch.steps.fingerprints import digest
from chimera_batch.verbs import quoting

Entries = Sequence[Mapping[str, Any]]
"""What a ``quoted`` event says of each stage."""


def fingerprint(ctx: Context) -> str:
    """Of all texts that a quote follows from: the same on every machine, whatever is answered so far."""
    return digest([[_texts(stage) for stage in ctx.project.stages], ctx.project.params])


def _texts(stage: Stage) -> list[Any]:
    sources = (stage.rows, stage.prompt, stage.table, stage.rounds.until if stage.rounds else None)
    rounds = (stage.rounds.max, stage.rounds.after) if stage.rounds else None
    calls = sorted((asdict(call) for call in stage.calls), key=str)  # which comes first is decided anew by each command
    asked = [stage.samples, rounds, stage.window, asdict(stage.assume), {n: asdict(r) for n, r in stage.retry.items()}]
    return [stage.name, [_text(source) for source in sources], calls, asked]


def _text(source: Source | None) -> str | None:
    return source.text if source else None


def is_due(ctx: Context) -> bool:
    """Whether the manifest, as it is now, was never quoted for this run."""
    known = {quote.fingerprint for (run, _), quotes in ctx.facts.quotes.items() if run == ctx.run for quote in quotes}
    return fingerprint(ctx) not in known


def entries(ctx: Context, document: Mapping[str, Any]) -> Entries:
    """An estimate's document as a ``quoted`` event has it. To be called with the facts that were quoted: what is spent
    by now belongs to it."""
    return [
        {
            "stage": stage["stage"],
            "requests": stage["requests"],
            "usd": {name: money(Decimal(str(usd))) for name, usd in stage["usd"].items()},
            "basis": stage["basis"],
            "spent": money(_spent(ctx, stage)),
        }
        for stage in document["stages"]
    ]


def _spent(ctx: Context, stage: Mapping[str, Any]) -> Decimal:
    """What a stage had cost when it was quoted; what is with a provider counts like what is still to be sent, since its
    reservation is far above what it will cost."""
    run, name, facts = ctx.run, stage["stage"], ctx.facts
    flying = facts.reserved(run, name)
    if stage["requests"] and stage["in_flight"]:
        each = Decimal(str(stage["usd"]["likely"])) / stage["requests"]
        flying = min(flying, each * stage["in_flight"])
    return facts.spent(run, name) + facts.suspected(run, name) + flying


def take(ctx: Context) -> Entries | None:
    """Quote the run now. None where that cannot be done: a run that can go on without a quote goes on, and says so."""
    try:
        return entries(ctx, quoting.quote(ctx))
    except InputError:  # if it is really in the way, the run itself ends with it
        return None
    except (ChimeraError, ArithmeticError) as error:  # a store that failed once, say: nobody else would tell
        ctx.say(f"no quote was kept, so the bill will stand alone: {error}")
        return None


def at_start(ctx: Context, found: Entries | None) -> None:
    """Keep what a run is said to cost, once for each version of its manifest. ``found``: if it was quoted already."""
    if is_due(ctx):
        _keep(ctx, found or take(ctx), anew=False)


def after_sample(ctx: Context, document: Mapping[str, Any]) -> None:
    """Keep what the rest is said to cost now that there is a sample. ``document``: the estimate that says so."""
    _keep(ctx, entries(ctx, document), anew=True)


def after_samples(ctx: Context, stages: Iterable[str]) -> None:
    """The same where nobody is asked and no estimate was made, unless what these stages cost was measured before."""
    mark = fingerprint(ctx)
    quotes = {stage: ctx.facts.quotes.get((ctx.run, stage), []) for stage in stages}
    if not all(any(q.fingerprint == mark and _measured(q) for q in found) for found in quotes.values()):
        _keep(ctx, take(ctx), anew=True)


def _measured(quote: Quoted) -> bool:
    return quote.basis.startswith(BASES)


def _keep(ctx: Context, found: Entries | None, *, anew: bool) -> None:
    if found and not _of_nothing(ctx, found) and not (anew and _said(ctx, found)):
        ctx.ledger.quoted(ctx.run, found, fingerprint(ctx), anew=anew)


def _of_nothing(ctx: Context, found: Entries) -> bool:
    """A run with nothing to send and nothing under way has no price."""
    under_way = any(attempt.is_open for _, attempt in ctx.facts.attempts(ctx.run))
    return not under_way and not any(Decimal(entry["usd"]["ceiling"]) for entry in found)


def _said(ctx: Context, found: Entries) -> bool:
    """Whether the last quote of every stage said just that."""
    quotes = ctx.facts.quotes
    return all(_says(quotes.get((ctx.run, entry["stage"]), [None])[-1], entry) for entry in found)


def _says(quote: Quoted | None, entry: Mapping[str, Any]) -> bool:
    if quote is None or (quote.requests, quote.basis) != (entry["requests"], entry["basis"]):
        return False
    amounts = {**entry["usd"], "spent": entry["spent"]}
    return all(getattr(quote, name) == Decimal(usd) for name, usd in amounts.items())
