"""The facts behind an estimate: every stage as far as it can be counted without spending or writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chimera_batch import estimate, joining
from chimera_batch.context import Context, engine_sql
from chimera_batch.estimate import StageFacts, Tally, Terms
from chimera_batch.joining import Made
from chimera_batch.planning import limits
from chimera_batch.project import Stage
from chimera_batch.stepping import Step, Walked, inputs_of, reads_of
from chimera_batch.warehouse import Warehouse

_EMBEDDINGS = "/v1/embeddings"


def quote(ctx: Context) -> dict[str, Any]:
    """The document of ``estimate --json``: what the run would still cost."""
    tables: dict[str, Made] = {}
    facts: list[StageFacts] = []
    with ctx.scratch() as folder:
        for stage in ctx.project.stages:
            with ctx.warehouse() as (warehouse, _):
                facts.append(_facts(ctx, stage, tables, warehouse, folder))
    return estimate.document(ctx.run, facts, budget=ctx.budget_usd, today=ctx.today)


def _facts(ctx: Context, stage: Stage, tables: dict[str, Made], warehouse: Warehouse, folder: Path) -> StageFacts:
    """Facts about one stage; adds its table to ``tables`` if that can be had without asking anybody."""
    reads = tuple(sorted(reads_of(stage, warehouse)))
    inputs = inputs_of(stage, tables, warehouse)
    if inputs is None:
        return _known_nothing(ctx, stage, reads)
    step = Step(ctx, stage, inputs, warehouse, folder)
    joining.view_inputs(inputs, warehouse)
    table = step.current()
    walked = None
    if table is None and stage.kind == "ask":
        walked = step.walk(step.stand, keep=False)
    if table is None and (walked is None or walked.finished):
        table = joining.build(ctx, stage, warehouse, folder)
    if table is not None:
        tables[stage.name] = table
    if stage.kind == "sql":
        return StageFacts(stage.name, "sql", reads, rows=table.rows if table else None)
    return _asked_facts(ctx, stage, reads, walked, warehouse)


def terms_of(ctx: Context, stage: Stage) -> Terms:
    call = stage.calls[0]
    price = ctx.price_of(call.provider, call.model)
    output = stage.assume.output_tokens
    return Terms(price, stage.batch_priced, output, cache=bool(call.cache), synchronous=stage.synchronous)


def _ask_facts(ctx: Context, stage: Stage, reads: tuple[str, ...]) -> dict[str, Any]:
    call = stage.calls[0]
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
    return StageFacts(**_ask_facts(ctx, stage, reads), rounds=rounds, answered=answered)


def _asked_facts(
    ctx: Context, stage: Stage, reads: tuple[str, ...], walked: Walked | None, warehouse: Warehouse
) -> StageFacts:
    """A stage whose requests are counted one by one."""
    common = _ask_facts(ctx, stage, reads)
    tally = Tally(common["terms"])
    if walked is None:
        known = ctx.facts.tables[(ctx.run, stage.name)]
        return StageFacts(**common, tally=tally, wanted=sum(known.standing.values()))
    for tokens, bound, ceiling in warehouse.rows(engine_sql("to_send"), {}):
        tally.add(tokens, bound, ceiling if common["ceiling"] is not None else None)
    rounds = 1 if walked.finished or not stage.rounds else stage.rounds.max - walked.number + 1
    waves = 2 if limits(ctx, stage, tally.requests).first is not None else 1
    states = walked.standing.states
    return StageFacts(
        **common,
        rounds=rounds,
        waves=waves,
        tally=tally,
        wanted=walked.standing.wanted,
        in_flight=states["in_flight"],
    )
