"""``run`` and ``advance``: what moves a run on."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import asked, showing
from chimera_batch.cli.completing import stages
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.pilot import DEFAULT
from chimera_batch.cli.said import Said, manifest_argument, rehearsable, spending
from chimera_batch.cli.summary import summary, what_next


@click.command()
@manifest_argument
@rehearsable
@click.option("--yes", is_flag=True, help="Send without asking; the budget still holds.")
@spending
@click.option("--until", shell_complete=stages, metavar="STAGE", help="Stop when this stage's table is made.")
@click.option("--pilot", is_flag=True, help="Send a random sample of each stage first; ask before the rest.")
@click.option("-n", "requests", type=int, help=f"Requests in a sample of --pilot.  [default: {DEFAULT}]")
@click.option("--detach", is_flag=True, help="Send what can be sent, do not wait for it, exit 5.")
@click.pass_obj
def run(said: Said, /, *, manifest: Path, yes: bool, pilot: bool, requests: int | None, **how: Any) -> None:
    """Ask what is missing, wait, make the tables.

    Resumes by itself: stop it at any moment and type the same again.

    Without --yes the estimate is shown and asked about first; where nobody can be asked nothing is sent (exit 4).
    """
    from chimera_batch import api

    confirm = None if yes or said.rehearse else asked.confirm(said)
    if requests is not None and not pilot:
        raise click.UsageError("-n goes with --pilot")
    sample = DEFAULT if pilot and requests is None else requests
    options = replace(said.options(), sample=sample)
    _finish(said, manifest, api.run(manifest, options, confirm=confirm, **how))


@click.command()
@manifest_argument
@rehearsable
@spending
@click.pass_obj
def advance(said: Said, manifest: Path) -> None:
    """One step without waiting, for cron.

    Asks no question; the budget holds. Exit 5 while a provider works.
    """
    from chimera_batch import api

    _finish(said, manifest, api.advance(manifest, said.options()))


def _finish(said: Said, manifest: Path, status: Mapping[str, Any]) -> None:
    if said.as_json:
        showing.document(status)
        return
    summary(status)
    what_next(next_lines(status, manifest, said))
