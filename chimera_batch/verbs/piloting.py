"""A pilot: a random sample of one stage, sent first, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chimera_batch import runner
from chimera_batch.context import Context, Pilot
from chimera_batch.cost import sampling
from chimera_batch.cost.estimate import StageFacts
from chimera_batch.cost.measured import Measured
from chimera_batch.cost.tally import Work
from chimera_batch.errors import InputError, NeedsDecision
from chimera_batch.pipeline.project import Stage
from chimera_batch.runner import Progress
from chimera_batch.steps import joining, planning
from chimera_batch.steps.stepping import Step, inputs_of
from chimera_batch.verbs import keeping, measuring, quoted, quoting
from chimera_batch.verbs.quoting import Survey


def converge(ctx: Context, *, detach: bool, confirm: Callable[[dict[str, Any]], bool] | None) -> Progress:
    """Advance (``detach``) or converge; wherever a sample is in, ask with what it said whether the rest is sent.

    Raises NeedsDecision for a no: the sample's answers stay.
    """
    while True:
        progress = (runner.advance if detach else runner.converge)(ctx, until=ctx.until)
        if ctx.pilot is None or not progress.piloted:
            return progress
        if confirm is None or ctx.rehearse:
            quoted.after_samples(ctx, progress.piloted)
        else:
            documents = [document(ctx, ctx.project.stage(name)) for name in progress.piloted]
            quoted.after_sample(ctx, documents[-1]["estimate"])
            if not confirm({**documents[-1]["estimate"], "pilots": documents}):
                named = ", ".join(progress.piloted)
                again = f"{ctx.again()} --yes"
                raise NeedsDecision(f"the sample of {named} is in; the rest was not sent", hint=again)
        ctx.pilot.agreed.update(progress.piloted)


def first_offer(ctx: Context) -> dict[str, Any] | None:
    """What is asked about first: the sample of the stage that comes first, if the run begins with a sample."""
    if ctx.pilot is None:
        return None
    try:
        return prepare(ctx, None, ctx.pilot.requests)[1]
    except InputError:  # it begins with something that has no sample
        return None


def only(ctx: Context, stage: Stage, requests: int) -> Context:
    """The same run, of which only the sample of one stage may be sent."""
    return replace(ctx, pilot=Pilot(requests, stage.name))


def sample(ctx: Context, stage: Stage, requests: int) -> Progress:
    """Send the sample of one stage, and nothing else, and wait for it."""
    return runner.converge(only(ctx, stage, requests), until=stage.name)


def prepare(ctx: Context, name: str | None, requests: int) -> tuple[Stage, dict[str, Any]]:
    """The stage to sample (the one named, else the first with something to send in batches), and what the sample costs:
    the document that a person is asked about.

    Raises InputError where there is no such stage, or its rows wait for another one.
    """
    Pilot(requests)  # refuses a sample that is too small
    with ctx.scratch() as folder:
        seen = quoting.survey(ctx, folder)
        stage = _stage_of(ctx, name, {facts.stage: facts for facts in seen.facts})
        return stage, _offer(ctx, stage, requests, seen, folder)


def _stage_of(ctx: Context, name: str | None, facts: Mapping[str, StageFacts]) -> Stage:
    stages = [ctx.project.stage(name)] if name is not None else ctx.project.stages
    found = next((stage for stage in stages if name is not None or _to_send(stage, facts[stage.name])), None)
    if found is None:
        raise InputError(
            f"no stage has as many as {sampling.LEAST} requests to send in batches now: fewer give no estimate",
            where=str(ctx.project.path),
            hint=ctx.go_on("run", "--pilot"),  # as each stage's rows are known
        )
    if found.kind == "sql" or found.synchronous:
        why = "asks nobody" if found.kind == "sql" else "asks at once, so its price is known before long"
        raise InputError(f"{found.name} {why}: there is nothing to sample", where=found.where)
    if facts[found.name].tally is None or facts[found.name].drawn is not None:
        above = _unfinished_above(ctx, found, facts)
        raise InputError(
            f"the rows of {found.name} are not known yet: {above} is not finished",
            where=found.where,
            hint=ctx.go_on("run", "--until", above),
        )
    return found


def _offer(ctx: Context, stage: Stage, requests: int, seen: Survey, folder: Path) -> dict[str, Any]:
    known, work = seen.of(stage), Work()
    with ctx.warehouse() as (warehouse, _):
        inputs = inputs_of(stage, seen.tables, warehouse) or {}
        joining.view_inputs(inputs, warehouse)
        step = Step(ctx, stage, inputs, warehouse, folder)
        if step.current() is None:
            step.walk(step.stand, keep=False)
            upto = planning.sample_end(warehouse, requests)
            work = quoting.tally_of(warehouse, known.priced_at, known.ceiling, upto).work()
    usd = {"likely": float(round(work.usd.likely, 6)), "ceiling": float(round(work.usd.ceiling, 6))}
    said = {"run": ctx.run, "stage": stage.name, "model": known.model, "warnings": []}
    return {**said, "pilot": work.requests, "usd": usd}


def _to_send(stage: Stage, facts: StageFacts) -> bool:
    if stage.kind == "sql" or stage.synchronous or facts.tally is None or facts.drawn is not None:
        return False
    return facts.tally.requests > 0 and facts.wanted >= sampling.LEAST  # fewer give no estimate, whatever they cost


def _unfinished_above(ctx: Context, stage: Stage, facts: Mapping[str, StageFacts]) -> str:
    """The last ask stage above that still has something to send or to wait for."""
    names = [other.name for other in ctx.project.stages[: ctx.project.stages.index(stage)] if other.kind == "ask"]
    open_ones = [n for n in names if (f := facts[n]).tally is None or f.tally.requests or f.in_flight]
    return (open_ones or names or [stage.name])[-1]


def document(ctx: Context, stage: Stage) -> dict[str, Any]:
    """The document of ``pilot --json``: what the stage's answers took so far, and what the rest will.

    Tokens and dollars are those of one request with all its askings; intervals are 95 %.
    """
    stage = ctx.project.stage(stage.name)  # it may have fallen back since it was looked up
    with ctx.scratch() as folder:
        seen = quoting.survey(ctx, folder)
        facts = seen.of(stage)
        measured = facts.measured or measuring.of_stage(ctx, stage, facts.priced_at)
        whole = quoting.document(ctx, seen.facts)
        rest = next(entry for entry in whole["stages"] if entry["stage"] == stage.name)
        return {
            "run": ctx.run,
            "rehearsal": ctx.rehearse,
            "stage": stage.name,
            "provider": facts.provider,
            "model": facts.model,
            "wanted": facts.wanted,
            "left": facts.tally.requests if facts.tally else 0,
            **_measured(ctx, stage, measured, seen),
            "usd_spent": float(round(ctx.facts.spent(ctx.run, stage.name), 6)),
            "rest": rest,
            "estimate": whole,
        }


def _measured(ctx: Context, stage: Stage, measured: Measured | None, seen: Survey) -> dict[str, Any]:
    if measured is None:
        return {"n": 0, "basis": f"fewer than {sampling.LEAST} answers: no point estimate"}
    rows = keeping.kept(ctx, stage, seen.tables)
    usd, n = Interval.of(sampling.mean(measured.usd)), measured.n
    share = Interval.of(sampling.share(measured.truncated, n))
    found: dict[str, Any] = {
        "n": n,
        "basis": measured.basis,
        "ok": measured.ok,
        "input_tokens": {"mean": round(measured.input_tokens, 1), "counted": round(measured.counted, 1)},
        "output_tokens": asdict(Interval.of(sampling.mean(measured.output), 1)) | _lengths(measured.lengths),
        "truncated": {"requests": measured.truncated} | asdict(share),
        "usd_per_request": asdict(usd),
        "kept": None,
        "usd_per_kept_row": None,
    }
    if rows is not None and seen.tables[stage.name].rows:
        settled = seen.drawn[stage.name].answered if stage.name in seen.drawn else seen.of(stage).wanted
        found["kept"] = _kept(rows, settled)
        found["usd_per_kept_row"] = round(usd.mean / found["kept"]["mean"], 9) if rows else None
    return found


def _kept(rows: int, settled: int) -> dict[str, Any]:
    """Rows kept for each request: a share, or more than one where an answer holds several rows."""
    if rows <= settled:
        return {"rows": rows} | asdict(Interval.of(sampling.share(rows, settled)))
    return {"rows": rows, "low": None, "mean": round(rows / settled, 6), "high": None}


def _lengths(lengths: tuple[int, ...]) -> dict[str, int]:
    """The middle, the longest of nineteen in twenty, the longest."""
    last = len(lengths) - 1
    return {"p50": lengths[last // 2], "p95": lengths[round(last * 0.95)], "max": lengths[last]}


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval, rounded for a document."""

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, parts: tuple[float, float, float], digits: int = 9) -> Interval:
        low, mean, high = (round(max(0.0, part), digits) for part in parts)
        return cls(low, mean, high)
