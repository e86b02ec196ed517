"""What stops a run for money: which caps are in force, what they left undone, and the error that says so."""

from __future__ import annotations

import shlex
from typing import Any

from chimera_batch.context import Context
from chimera_batch.errors import OverBudget
from chimera_batch.rules import admission
from chimera_batch.rules.admission import Room
from chimera_batch.rules.shortfall import Shortfall, Terms, undone
from chimera_batch.runner import Progress
from chimera_batch.steps.submitting import caps_of


def terms(ctx: Context, until: str | None = None) -> Terms:
    """What the person has said of money, for the lines that go on. ``until``: the last stage that was asked for."""
    project = ctx.project
    return Terms(
        manifest=str(project.path),
        again=_command(ctx, until),
        in_manifest={"run": project.budget_usd, "day": project.budget_day_usd},
        in_force={"run": ctx.budget_usd, "day": ctx.budget_day_usd},
    )


def _command(ctx: Context, until: str | None) -> str:
    """What was typed, less what it said of money: a line that is pasted must not send more than was asked for."""
    verb, words = "run", [f"--until {shlex.quote(until)}"] if until else []
    if ctx.pilot is not None:
        only = ctx.pilot.stage
        verb, which = ("pilot", f"--stage {shlex.quote(only)}") if only else ("run", "--pilot")
        words += [which, f"-n {ctx.pilot.requests}"]
    side = ["--rehearse"] if ctx.rehearse else []
    return " ".join(["chimera-batch", verb, shlex.quote(str(ctx.project.path)), *side, *words])


def over(ctx: Context, progress: Progress, document: dict[str, Any], *, until: str | None = None) -> OverBudget:
    """The error of a run that no budget lets go on. The status ``document`` gets what is undone."""
    left = undone(progress.over)
    stopped = {part.stage for part in left}
    not_begun = [name for name in progress.unfinished if name not in stopped]
    document["undone"] = [part.row for part in left]
    document["not_begun"] = not_begun

    def rooms(stage: str) -> list[Room]:
        caps = caps_of(ctx, ctx.project.stage(stage))
        return admission.rooms(ctx.facts, caps, ctx.run, stage, ctx.clock())

    why, now = Shortfall(left, rooms, not_begun), ctx.clock()
    return OverBudget(why.message(now), hint=why.hint(terms(ctx, until), now))
