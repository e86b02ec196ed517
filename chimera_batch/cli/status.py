"""``status``: where every request stands and what it cost."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.said import Said, rehearsable
from chimera_batch.cli.summary import batches, summary, what_next
from chimera_batch.cli.target import target

WATCH_SECONDS = 3.0


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), required=False)
@click.option("--watch", is_flag=True, help="Look again every few seconds until nothing is in flight.")
@rehearsable
@click.pass_obj
def status(said: Said, manifest: Path | None, watch: bool) -> None:
    """Where every request stands and what it cost.

    From the store alone, also while a run works. Without MANIFEST: the last run of this folder.
    """
    path = target(manifest, said)
    shown: dict[str, Any] | None = None
    for found in _looks(path, said, watch=watch):
        if not said.as_json and found != shown:
            if watch and showing.to_terminal():
                click.clear()
            summary(found)
            batches(found)
            what_next(next_lines(found, path, said))
            sys.stdout.flush()
        shown = found
    if said.as_json:
        showing.document(shown)


def _looks(path: Path, said: Said, *, watch: bool) -> Iterator[dict[str, Any]]:
    """The status now, and while watched again and again until nothing is in flight."""
    from chimera_batch import api

    while True:
        found = api.status(path, said.options())
        yield found
        if not watch or not any(stage["in_flight"] for stage in found["stages"]):
            return
        time.sleep(WATCH_SECONDS)
