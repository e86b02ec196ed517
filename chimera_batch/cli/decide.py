"""What only a person decides: ``cancel``, ``retry``, ``adopt``, ``resend``."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.completing import stages
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.summary import what_next

_shard = click.option("--shard", required=True, metavar="S", help="The shard, as status names it.")


@click.command()
@manifest_argument
@click.option("--shard", metavar="S", help="Only this shard, as status names it.")
@rehearsable
@click.pass_obj
def cancel(said: Said, manifest: Path, shard: str | None) -> None:
    """Ask the providers to stop.

    What they have finished is still collected, billed and kept by the next run.
    """
    from chimera_batch import api

    stopped = api.cancel(manifest, shard, said.options())
    text = [f"asked to stop: {line}" for line in stopped] or ["nothing was with a provider"]
    _done(said, {"cancelled": stopped}, text, manifest)


@click.command()
@manifest_argument
@click.option("--stage", shell_complete=stages, metavar="STAGE", help="Only this stage.")
@rehearsable
@click.pass_obj
def retry(said: Said, manifest: Path, stage: str | None) -> None:
    """Let the next run ask again what was given up."""
    from chimera_batch import api

    stages = api.retry(manifest, stage, said.options())
    text = [f"the next run asks again whatever was given up in: {', '.join(stages)}"]
    _done(said, {"retried": stages}, text, manifest)


@click.command()
@manifest_argument
@_shard
@click.option("--batch", required=True, metavar="B", help="The provider's id of the batch.")
@rehearsable
@click.pass_obj
def adopt(said: Said, manifest: Path, shard: str, batch: str) -> None:
    """Say that batch B at the provider is the shard's.

    The next run collects its answers. They are checked to be the shard's when they come.
    """
    from chimera_batch import api

    api.adopt(manifest, shard, batch, said.options())
    text = [f"{batch} is shard {shard}"]
    _done(said, {"adopted": {"shard": shard, "batch": batch}}, text, manifest)


@click.command()
@manifest_argument
@_shard
@rehearsable
@click.pass_obj
def resend(said: Said, manifest: Path, shard: str) -> None:
    """Say that the provider made no batch for the shard.

    The next run sends it again. If there is a batch after all, it is paid twice.
    """
    from chimera_batch import api

    api.resend(manifest, shard, said.options())
    text = [f"the next run sends shard {shard} again"]
    _done(said, {"resent": {"shard": shard}}, text, manifest)


def _done(said: Said, document: dict[str, Any], text: list[str], manifest: Path) -> None:
    """Tell what was decided, and the command that acts on it."""
    again = said.command("run", manifest)
    if said.as_json:
        showing.document({**document, "next": again})
        return
    for line in text:
        showing.line(line)
    what_next([again])
