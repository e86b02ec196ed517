"""Why a run stopped before its end, in the words of what a person does next. Floor 4."""

from __future__ import annotations

from typing import Any

from chimera_batch.context import Context
from chimera_batch.errors import ChimeraError, NeedsDecision, NotFinished
from chimera_batch.runner import Progress
from chimera_batch.verbs import budgeting, statusing


def short(ctx: Context, progress: Progress, document: dict[str, Any]) -> ChimeraError:
    """Why a run stopped before its end, as the error of its exit code."""
    again = ctx.again()
    error: ChimeraError
    if progress.stuck:
        error = NeedsDecision("; ".join(progress.stuck), hint="\n".join(statusing.choices(ctx, *ctx.stuck()[0])))
    elif progress.halted:
        error = NeedsDecision("the run was cancelled; what was finished is kept", hint=again)
    elif progress.out_of_money:
        error = budgeting.over(ctx, progress, document)
    else:
        waits = "; ".join(dict.fromkeys(progress.waits)) or f"{progress.in_flight:,} requests are with a provider"
        error = NotFinished(f"unfinished: {', '.join(progress.unfinished)} ({waits})", hint=again)
    error.document = document
    return error
