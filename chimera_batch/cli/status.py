"""``status``: where every request stands and what it cost."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing, watching
from chimera_batch.cli.completing import MANIFEST
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.said import Said, rehearsable
from chimera_batch.cli.summary import batches, over_budget, summary, what_next
from chimera_batch.cli.target import target


@click.command()
@click.argument("manifest", type=MANIFEST, required=False)
@click.option("--watch", is_flag=True, help="Look again until the run is at its end, and exit as `run` does there.")
@rehearsable
@click.pass_context
def status(ctx: click.Context, manifest: Path | None, watch: bool) -> None:
    """Where every request stands and what it cost.

    From the store alone, also while a run works. Without MANIFEST: the last run of this folder.
    """
    from chimera_batch import api

    said: Said = ctx.obj
    path = target(manifest, said)

    def show(found: Mapping[str, Any]) -> None:
        summary(found)
        batches(found)
        over_budget(found)
        what_next(next_lines(found, path, said))

    if watch:
        ctx.exit(watching.watch(path, said, show))
    found = api.status(path, said.options())
    if said.as_json:
        showing.document(found)
    else:
        show(found)
