"""Why a run stopped before its end, in the words of what a person does next. Floor 4."""

from __future__ import annotations

from typing import Any

from chimera_batch.context import Context
from chimera_batch.errors import ChimeraError, NeedsDecision, NotFinished
from chimera_batch.runner import Progress
from chimera_batch.verbs import budgeting


def short(ctx: Context, progress: Progress, document: dict[str, Any]) -> ChimeraError:
    """Why a run stopped before its end, as the error of its exit code."""
    again = ctx.again()
    error: ChimeraError
    if progress.stuck:
        error = NeedsDecision("; ".join(progress.stuck), hint=_choices(ctx))
    elif progress.halted:
        error = NeedsDecision("the run was cancelled; what was finished is kept", hint=again)
    elif progress.out_of_money:
        error = budgeting.over(ctx, progress, document)
    else:
        waits = "; ".join(dict.fromkeys(progress.waits)) or f"{progress.in_flight:,} requests are with a provider"
        error = NotFinished(f"unfinished: {', '.join(progress.unfinished)} ({waits})", hint=again)
    error.document = document
    return error


def _choices(ctx: Context) -> str:
    """The two lines that a person can choose from for the first attempt that is stuck."""
    shard, attempt = ctx.stuck()[0]
    which, other = "it is that one", "none was made"
    if attempt.batch is not None:
        which, other = "look at it again", "its answers are lost: pay for them again"
    adopt = ctx.command("adopt", "--shard", shard.id, "--batch", attempt.batch or "ID", why=which)
    return f"{adopt}\n{ctx.command('resend', '--shard', shard.id, why=other)}"
