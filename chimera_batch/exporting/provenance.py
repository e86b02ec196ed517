"""Where an export comes from: the run, its manifest, what was asked with which prompts, and by which version."""

from __future__ import annotations

import hashlib
from typing import Any

from chimera_batch import __version__, digests
from chimera_batch.context import REHEARSAL, Context
from chimera_batch.pipeline.project import Stage
from chimera_batch.records import Call


def provenance(ctx: Context) -> dict[str, Any]:
    """Plain and without a clock: the same run gives the same document. Digests are SHA-256, in hex."""
    tables = {name: table for (run, name), table in ctx.facts.tables.items() if run == ctx.run}
    return {
        "tool": f"chimera-batch {__version__}",
        "run": ctx.run,
        "rehearsal": ctx.rehearse,
        "manifest": {"name": ctx.project.path.name, "sha256": digests.of_file(ctx.project.path)},
        "stages": [
            {
                "stage": stage.name,
                "models": [_model(ctx, call) for call in _asked(ctx, stage)],
                "prompt": stage.prompt.name if stage.prompt else None,
                "prompt_sha256": hashlib.sha256(stage.prompt.text.encode()).hexdigest() if stage.prompt else None,
                "table_sha256": tables[stage.name].sha256 if stage.name in tables else None,
                "rows": tables[stage.name].rows if stage.name in tables else None,
            }
            for stage in ctx.project.stages
        ],
    }


def _asked(ctx: Context, stage: Stage) -> list[Call]:
    """Whom a stage asks now, and which others of its list it has answers of: the rest of it was only possible.

    What was there of a model that it left, it has as well, whichever run bought it.
    """
    left = {switch.left for switch in ctx.facts.switches.get((ctx.run, stage.name), [])}
    heard = {
        (shard.provider, shard.model)
        for shard, attempt in ctx.facts.attempts()
        if attempt.answers and attempt.stage == stage.name
        if attempt.run == ctx.run or (shard.provider, shard.model) in left
    }
    return [*stage.calls[:1], *(call for call in stage.calls[1:] if (call.provider, call.model) in heard)]


def _model(ctx: Context, call: Call) -> str:
    return f"{call.provider}/{call.model}" + (f" ({REHEARSAL})" if ctx.rehearse else "")
