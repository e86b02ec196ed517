"""``pilot``: a random sample first, and what it says of the rest."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path

import click

from chimera_batch.cli import asked, sample, showing
from chimera_batch.cli.completing import stages
from chimera_batch.cli.said import Said, manifest_argument, rehearsable, spending
from chimera_batch.cli.summary import what_next

DEFAULT = 100


@click.command()
@manifest_argument
@click.option(
    "--stage",
    shell_complete=stages,
    metavar="STAGE",
    help="Which stage; default: the first that has something to send.",
)
@click.option(
    "-n", "requests", type=int, default=DEFAULT, show_default=True, help="Requests in the sample, 30 or more."
)
@click.option("--yes", is_flag=True, help="Send the sample without asking; the budget still holds.")
@spending
@rehearsable
@click.pass_obj
def pilot(said: Said, *, manifest: Path, stage: str | None, requests: int, yes: bool) -> None:
    """Send a random sample of one stage and measure it.

    Its answers count: the run asks only the rest. Without --yes the price of the sample is shown and asked about first.
    """
    from chimera_batch import api

    confirm = None if yes or said.rehearse else asked.confirm(said)
    found = api.pilot(manifest, stage, requests, said.options(), confirm=confirm)
    if said.as_json:
        showing.document(found)
    else:
        sample.show(found)
        what_next([said.go_on("run", manifest)])
