"""What a stage's entry of the manifest says, as the engine keeps it. Floor 1."""

from __future__ import annotations

from chimera_batch.pipeline.shape_stage import AskStage
from chimera_batch.pipeline.stage import Assume, Fallback, Rule
from chimera_batch.records import hours_of


def rules_of(entry: AskStage) -> dict[str, Rule]:
    """How often a request is asked again, by outcome."""
    said = {name: getattr(entry.retry, name) for name in type(entry.retry).model_fields}
    return {name: Rule(rule.times, getattr(rule, "ceiling", 1.0)) for name, rule in said.items()}


def assume_of(entry: AskStage) -> Assume:
    said = entry.assume
    return Assume(
        rows=said.rows,
        rows_per=next(iter(said.rows_per.items()), None),
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        kept=said.kept,
    )


def fallback_of(entry: AskStage, models: int) -> Fallback | None:
    """When the stage goes on with another of its ``models``; None where it has one, or routes by price."""
    if models < 2 or entry.route == "cheapest":
        return None
    said = entry.fallback
    if said is None:
        return Fallback()
    within = hours_of(said.within) if said.within else None
    return Fallback(said.on, within, said.usd_per_request)


def fallback_problem(entry: AskStage, models: int) -> str | None:
    """Why the rule under ``fallback`` can never move the stage anywhere, if it cannot."""
    if entry.fallback is None:
        return None
    if entry.route == "cheapest":
        return "a list in your order and `route: cheapest` are two things: drop one of `fallback` and `route`"
    if models < 2:
        return f"models.{entry.ask} names one model: write a list, the one to fall back to after the first"
    return None
