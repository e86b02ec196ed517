"""Everything that can be known without spending: ``check``, and what ``run`` refuses to start with."""

from __future__ import annotations

from typing import Any

from chimera_batch.context import Context, engine_sql, prices_of
from chimera_batch.errors import InputError
from chimera_batch.opening import missing_keys
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps import joining
from chimera_batch.steps.drawing import renderer
from chimera_batch.steps.joining import Made
from chimera_batch.steps.stepping import OWN_VIEWS, Step, inputs_of, reads_of
from chimera_batch.warehouse import Warehouse


def check(ctx: Context) -> dict[str, Any]:
    """Prices, templates, SQL and the order of stages; then every stage whose rows can be had is rendered in full.

    Raises InputError at the first thing that a run would stumble over.
    """
    warnings = [f"{error.message}: {error.hint}" for error in missing_keys(ctx)]
    warnings += check_files(ctx)
    stages = _render(ctx)
    warnings += [
        f"stage {s['stage']}: {s['requests']:,} requests are only {s['distinct']:,} different questions;"
        " equal questions are asked once: use samples: to ask again"
        for s in stages
        if s["distinct"] < s["requests"]
    ]
    return {"run": ctx.run, "ok": True, "stages": stages, "warnings": list(dict.fromkeys(warnings))}


def check_files(ctx: Context) -> list[str]:
    """What can be known of every stage without running anything: prices, SQL, templates, the order of stages.

    Returns warnings, also of what the SQL files say of themselves and is not so. Raises InputError, so that a mistake
    in the last stage does not show after the first was paid.
    """
    before: set[str] = set()
    warnings: list[str] = []
    with ctx.warehouse() as (warehouse, _):
        for stage in ctx.project.stages:
            prices_of(ctx.prices, stage, ctx.today)
            warnings += _check_sql(ctx, stage, before, warehouse)
            if stage.kind == "ask":
                _check_route(ctx, stage)
                renderer(ctx, stage)
                warnings += _price_warnings(ctx, stage)
            before.add(stage.name)
        for stage in ctx.project.stages:
            _check_waves(ctx, stage, warehouse)
    return warnings


def _check_waves(ctx: Context, stage: Stage, warehouse: Warehouse) -> None:
    """What the rounds of a stage wait for must be made from that stage, or they would wait for nothing."""
    after = stage.rounds.after if stage.rounds else None
    if after is None:
        return
    from_it = {stage.name}
    for later in ctx.project.stages:
        if reads_of(later, warehouse) & from_it:
            from_it.add(later.name)
    if after not in from_it:
        raise InputError(
            f"the rounds of {stage.name} wait for {after}, which is not made from it",
            where=stage.where,
            hint=f"rounds: {{after: …}} names a stage that reads {stage.name}, or reads one that does",
        )


def _check_route(ctx: Context, stage: Stage) -> None:
    """Of the models that a stage routes between, one must fit."""
    ranked = ctx.routes.get(stage.name, ())
    if ranked and not any(one.chosen for one in ranked):
        said = "; ".join(f"{one.call.provider}/{one.call.model}: {one.passed_over}" for one in ranked)
        raise InputError(f"none of the models of stage {stage.name} can be asked ({said})", where=stage.where)


def _price_warnings(ctx: Context, stage: Stage) -> list[str]:
    price = ctx.price_of(stage.calls[0].provider, stage.calls[0].model)
    return price.warnings(ctx.today, batch=stage.batch_priced)


def _check_sql(ctx: Context, stage: Stage, before: set[str], warehouse: Warehouse) -> list[str]:
    warnings: list[str] = []
    for source in (stage.rows, stage.table, stage.rounds.until if stage.rounds else None):
        if source is not None:
            flaws = warehouse.check(source, {**ctx.project.params, "round": 1})
            warnings += [f"{source.where(flaw.line)}: {flaw.message}: {flaw.hint}" for flaw in flaws]
    if stage.table is not None and "kept" in warehouse.inputs(stage.table):
        raise InputError(
            "a table query cannot read `kept`: what later stages keep is not known when the table is made",
            where=stage.table.where(),
            hint="only the rows query and `until` of a stage with rounds: {after: …} can",
        )
    unknown = reads_of(stage, warehouse) - before - OWN_VIEWS
    if unknown:
        known = ", ".join(sorted(before)) or "none"
        raise InputError(
            f"stage {stage.name} reads {', '.join(sorted(unknown))}, which no stage above it makes (made: {known})",
            where=stage.where,
            hint="put the stage that makes it above, or mend the name in the SQL",
        )
    return warnings


def _render(ctx: Context) -> list[dict[str, Any]]:
    """Draw every stage whose inputs can be had without asking anybody."""
    tables: dict[str, Made] = {}
    found: list[dict[str, Any]] = []
    with ctx.scratch() as folder:
        for stage in ctx.project.stages:
            with ctx.warehouse() as (warehouse, _):
                inputs = inputs_of(stage, tables, warehouse)
                if inputs is None:
                    continue
                joining.view_inputs(inputs, warehouse)
                step = Step(ctx, stage, inputs, warehouse, folder)
                table = step.current()
                if table is None and stage.kind == "sql":
                    table = joining.build(ctx, stage, warehouse, folder)
                if table is None:
                    walked = step.walk(step.stand, keep=False)
                    table = joining.build(ctx, stage, warehouse, folder) if walked.finished else None
                    found.append(_counted(stage, warehouse))
                if table is not None:
                    tables[stage.name] = table
    return found


def _counted(stage: Stage, warehouse: Warehouse) -> dict[str, Any]:
    ((requests, distinct),) = warehouse.few(engine_sql("asked_counts"), {})
    asked = {"provider": stage.calls[0].provider, "window": stage.window}
    return {"stage": stage.name, **asked, "requests": requests, "distinct": distinct}
