"""What stops a run for money: which caps are in force, what they left undone, and the words and lines that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from chimera_batch.context import Context
from chimera_batch.errors import ChimeraError, OverBudget
from chimera_batch.history.undone import OutOfMoney
from chimera_batch.rules import admission
from chimera_batch.rules.admission import Room
from chimera_batch.rules.shortfall import Shortfall, Terms, undone
from chimera_batch.steps.submitting import caps_of

if TYPE_CHECKING:
    from chimera_batch.runner import Progress


class Said(NamedTuple):
    """What a person reads of a run that no budget lets go on, and the lines to type."""

    message: str
    hint: str


def _terms(ctx: Context, typed: Sequence[str]) -> Terms:
    """What the person has said of money, for the lines that go on with what was ``typed``."""
    project = ctx.project
    verb, *words = typed
    return Terms(
        manifest=str(project.path),
        again=ctx.command(verb, *words),
        in_manifest={"run": project.budget_usd, "day": project.budget_day_usd},
        in_force={"run": ctx.budget_usd, "day": ctx.budget_day_usd},
    )


def over(ctx: Context, progress: Progress, document: dict[str, Any]) -> OverBudget:
    """The error of a run that no budget lets go on, a fact from now on. The status ``document`` says so too."""
    left = undone(progress.over)
    stopped = {part.stage for part in left}
    found = OutOfMoney(
        left=tuple(left),
        not_begun=tuple(name for name in progress.unfinished if name not in stopped),
        caps=dict[str, Decimal](ctx.caps_typed.items()),
        again=ctx.typed,
    )
    try:
        ctx.ledger.out_of_money(ctx.run, found)
    except ChimeraError as error:  # how the run ended is what counts
        ctx.say(f"that a budget stopped the run could not be written down: {error}")
    said = _said(ctx, found, _shortfall(ctx, found))
    document |= _fields(found, said)
    return OverBudget(said.message, hint=said.hint)


def told(ctx: Context) -> dict[str, Any]:
    """What a status document says of a run that a budget stopped; nothing once the caps leave room again.

    Those of the manifest are taken as they are now, and beside them the ones that were typed when it stopped.
    """
    found = ctx.facts.out_of_money[ctx.run]
    if {part.stage for part in found.left} - {stage.name for stage in ctx.project.stages if stage.kind == "ask"}:
        return {}  # the manifest was edited: the next run finds out
    run, day = found.caps.get("run"), found.caps.get("day")
    then = replace(ctx, budget_usd=_less(ctx.budget_usd, run), budget_day_usd=_less(ctx.budget_day_usd, day))
    short = _shortfall(then, found)
    return _fields(found, _said(then, found, short)) if short.binding else {}


def _fields(found: OutOfMoney, said: Said) -> dict[str, Any]:
    return {
        "undone": [part.row for part in found.left],
        "not_begun": list(found.not_begun),
        "over_budget": said._asdict(),
    }


def _shortfall(ctx: Context, found: OutOfMoney) -> Shortfall:
    def rooms(stage: str) -> list[Room]:
        caps = caps_of(ctx, ctx.project.stage(stage))
        return admission.rooms(ctx.facts, caps, ctx.run, stage, ctx.clock())

    return Shortfall(found.left, rooms, found.not_begun)


def _said(ctx: Context, found: OutOfMoney, short: Shortfall) -> Said:
    return Said(short.message(), short.hint(_terms(ctx, found.again), ctx.clock()))


def _less(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return min((cap for cap in (one, other) if cap is not None), default=None)
