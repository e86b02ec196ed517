"""The facts behind an estimate: every stage as far as it can be counted without spending or writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.cost import estimate, pacing
from chimera_batch.cost.estimate import StageFacts, Tally, Terms
from chimera_batch.cost.stagefacts import Drawn
from chimera_batch.cost.tally import NOTHING, Span
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps import joining, switching
from chimera_batch.steps.joining import Made
from chimera_batch.steps.planning import ALL, CANARY_FROM, limits
from chimera_batch.steps.stepping import Step, Walked, inputs_of, reads_of
from chimera_batch.steps.waves import left as waves_left
from chimera_batch.verbs import measuring
from chimera_batch.warehouse import Warehouse

_EMBEDDINGS = "/v1/embeddings"


@dataclass(slots=True)
class Survey:
    """What can be known of a run without asking anybody: facts for the estimate, and tables, some of them of a part of
    a stage's requests. Both lie in the folder that was given."""

    facts: list[StageFacts] = field(default_factory=list)
    tables: dict[str, Made] = field(default_factory=dict)
    drawn: dict[str, Drawn] = field(default_factory=dict)  # tables made of a part of a stage's requests

    def add(self, stage: Stage, table: Made, part: Drawn | None) -> Made:
        self.tables[stage.name] = table
        if part is not None:
            self.drawn[stage.name] = part
        return table

    def of(self, stage: Stage) -> StageFacts:
        return next(facts for facts in self.facts if facts.stage == stage.name)

    def above(self, reads: tuple[str, ...]) -> Drawn | None:
        """The smallest part of which anything that is read was made."""
        parts = [self.drawn[name] for name in reads if name in self.drawn]
        return min(parts, key=lambda part: part.answered / max(part.wanted.likely, Decimal(1)), default=None)


def quote(ctx: Context) -> dict[str, Any]:
    """The document of ``estimate --json``: what the run would still cost."""
    with ctx.scratch() as folder:
        facts = survey(ctx, folder).facts
    return document(ctx, facts)


def document(ctx: Context, facts: Sequence[StageFacts]) -> dict[str, Any]:
    known, run = ctx.facts, ctx.run
    caps = {stage.name: stage.budget_usd for stage in ctx.project.stages if stage.budget_usd is not None}
    left = {name: max(Decimal(0), cap - known.committed(run, name)) for name, cap in caps.items()}
    money = estimate.Money(ctx.budget_usd, known.committed(run), ctx.budget_day_usd, left)
    shown = estimate.document(run, facts, money, today=ctx.today)
    now = {stage.name for stage in ctx.project.stages if stage.kind == "ask" and ctx.profile(stage).asks}
    shown["now"] = [entry for entry in shown["now"] if entry["stage"] in now]  # not advice that a host cannot take
    requests = {stage["stage"]: stage["requests"] for stage in shown["stages"]}
    shown["warnings"] += _too_few(ctx, requests)
    open_ones = (stage for stage in ctx.project.stages if requests.get(stage.name))
    shown["warnings"] += [said for stage in open_ones if (said := switching.warning(ctx, stage))]
    return shown


def _too_few(ctx: Context, requests: Mapping[str, int]) -> list[str]:
    """Stages that their host would refuse, by the requests that each is likely to ask."""
    asked = [stage for stage in ctx.project.stages if stage.kind == "ask" and not stage.synchronous]
    leasts = {stage.name: ctx.profile(stage).min_requests for stage in asked}
    return [
        f"stage {name} is likely to ask {requests[name]:,} requests, and its provider takes no batch of fewer than"
        f" {least}: the run would stop there"
        for name, least in leasts.items()
        if 0 < requests.get(name, 0) < least
    ]


def survey(ctx: Context, folder: Path) -> Survey:
    """Go through all stages, in the manifest's order. ``folder`` takes the tables."""
    seen = Survey()
    for stage in ctx.project.stages:
        with ctx.warehouse() as (warehouse, _):
            seen.facts.append(_facts(ctx, stage, seen, warehouse, folder))
    return seen


def _facts(ctx: Context, stage: Stage, seen: Survey, warehouse: Warehouse, folder: Path) -> StageFacts:
    """Facts about one stage; adds its table to ``seen`` if that can be had without asking anybody."""
    reads = tuple(sorted(reads_of(stage, warehouse)))
    inputs = inputs_of(stage, seen.tables, warehouse)
    if inputs is None:
        return _known_nothing(ctx, stage, reads)
    step = Step(ctx, stage, inputs, warehouse, folder)
    joining.view_inputs(inputs, warehouse)
    above = seen.above(reads)
    if stage.kind == "sql":
        made = seen.add(stage, step.current() or joining.build(ctx, stage, warehouse, folder), above)
        return StageFacts(stage.name, "sql", reads, rows=made.rows, drawn=above)
    table, known = step.current(), _ask_facts(ctx, stage, reads)
    if table is None:
        walked = step.walk(step.stand, keep=False)
        facts = _counted(ctx, stage, {**known, "drawn": above}, walked, warehouse)
        if walked.finished or facts.measured is not None:
            table = step.before(walked) or joining.build(ctx, stage, warehouse, folder)
    else:
        facts = _answered(ctx, stage, {**known, "drawn": above})
    if table is not None:
        seen.add(stage, table, _part(facts, above))
    return facts


def _part(facts: StageFacts, above: Drawn | None) -> Drawn | None:
    """How much of a stage's requests its table is made of; None: of all that there will be."""
    settled = facts.wanted - facts.in_flight - (facts.tally.requests if facts.tally else 0)
    later = (facts.assume.rows or 0) * facts.samples if facts.rounds > 1 else 0
    whole = Span.exactly(max(facts.wanted, later)) + (above.more(facts.wanted) if above else NOTHING)
    return Drawn(settled, whole) if settled and whole.ceiling > settled else None


def terms_of(ctx: Context, stage: Stage) -> Terms:
    call = stage.calls[0]
    price = ctx.price_of(call.provider, call.model)
    truncated, invalid = stage.retry["truncated"], stage.retry["invalid"]
    longer = [truncated.factor ** (n + 1) for n in range(truncated.times)]
    again = [longer[-1] if longer else 1.0] * invalid.times  # in the worst case the invalid ones come last
    return Terms(
        price,
        stage.batch_priced,
        stage.assume.output_tokens,
        cache=bool(call.cache),
        reasks=(*longer, *again),
        synchronous=stage.synchronous,
    )


def _ask_facts(ctx: Context, stage: Stage, reads: tuple[str, ...]) -> dict[str, Any]:
    call = stage.calls[0]
    typical = pacing.typical_hours(ctx.facts, ctx.realm(stage), call.model, stage.window)
    return {
        "stage": stage.name,
        "kind": "ask",
        "reads": reads,
        "provider": call.provider,
        "model": call.model,
        "terms": terms_of(ctx, stage),
        "ceiling": None if call.endpoint == _EMBEDDINGS else call.max_output_tokens,
        "assume": stage.assume,
        "samples": stage.samples,
        "hours": (typical, pacing.promised_hours(stage.window)),
        "after": stage.rounds.after if stage.rounds else None,
        "routes": tuple((one.call.model, one.usd) for one in ctx.routes.get(stage.name, ()) if one.usd is not None),
    }


def _known_nothing(ctx: Context, stage: Stage, reads: tuple[str, ...]) -> StageFacts:
    """A stage whose rows wait for stages above it."""
    if stage.kind == "sql":
        return StageFacts(stage.name, "sql", reads)
    answered = 0
    known = ctx.facts.tables.get((ctx.run, stage.name))
    if known is not None:  # made from inputs that are changing: most of its answers will be found again
        answered = known.standing.get("answered", 0)
    rounds = stage.rounds.max if stage.rounds else 1
    canary = CANARY_FROM if stage.canary != 0 else None
    return StageFacts(**_ask_facts(ctx, stage, reads), rounds=rounds, answered=answered, canary_from=canary)


def _answered(ctx: Context, stage: Stage, known: Mapping[str, Any]) -> StageFacts:
    """A stage whose table is made of all that there is so far: only further waves of it may still be asked, and rows of
    a stage above that is growing."""
    wanted, left = sum(ctx.facts.tables[ctx.run, stage.name].standing.values()), waves_left(ctx, stage)
    measured = measuring.of_stage(ctx, stage, known["terms"]) if left or known["drawn"] else None
    return StageFacts(**known, tally=Tally(known["terms"]), wanted=wanted, rounds=1 + left, measured=measured)


def _counted(ctx: Context, stage: Stage, known: Mapping[str, Any], walked: Walked, warehouse: Warehouse) -> StageFacts:
    """A stage whose requests are counted one by one."""
    asked = int(warehouse.scalar(engine_sql("asked_number"), {}))
    tally = tally_of(warehouse, known["terms"], known["ceiling"])
    states = walked.standing.states
    return StageFacts(
        **known,
        rounds=_rounds_left(ctx, stage, walked),
        waves=_waves(ctx, stage, tally, states["answered"]),
        tally=tally,
        wanted=walked.standing.wanted,
        asked=asked,
        in_flight=states["in_flight"],
        measured=measuring.measure(warehouse, known["terms"]),
    )


def _rounds_left(ctx: Context, stage: Stage, walked: Walked) -> int:
    """The current round and those that may follow."""
    if stage.rounds and stage.rounds.after:
        return 1 + waves_left(ctx, stage, walked.number)
    return 1 if walked.finished or not stage.rounds else stage.rounds.max - walked.number + 1


def tally_of(warehouse: Warehouse, terms: Terms, ceiling: int | None, upto: str = ALL) -> Tally:
    """What would be sent now of the stage in the views, up to an id. ``ceiling`` None: answers have no length."""
    tally = Tally(terms)
    for tokens, bound, most, tried, requests in warehouse.rows(engine_sql("to_send"), {"upto": upto}):
        tally.add(tokens, bound, most if ceiling is not None else None, tried, requests)
    return tally


def _waves(ctx: Context, stage: Stage, tally: Tally, answered: int) -> int:
    """Batches of one round that wait for each other: a canary, and what the host's queue does not take at once."""
    canary = limits(ctx, stage, tally.requests, answered).first is not None
    most = ctx.profile(stage).enqueued_tokens
    queued = -(-tally.work().input_tokens // most) if most else 1
    return max(1, queued) + canary
