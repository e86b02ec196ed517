"""``prune``: what of a store may go, and gone it is where a person says so."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.summary import what_next

KINDS = ("requests", "raw", "quarantine")


@click.command()
@manifest_argument
@click.option("--also", type=click.Choice(KINDS), multiple=True, help="Of what is kept for looking back, this too.")
@click.option("--yes", is_flag=True, help="Delete it. Only while nothing runs.")
@rehearsable
@click.pass_obj
def prune(said: Said, manifest: Path, also: tuple[str, ...], yes: bool) -> None:
    """Say what of the store may go.

    Without --yes nothing is deleted. No answer that was paid for is ever among it.
    """
    from chimera_batch import api

    document = api.prune(manifest, frozenset(also), said.options(), delete=yes)
    if said.as_json:
        showing.document(document)
        return
    kinds = document["kinds"]
    rows = [[one["kind"], f"{one['objects']:,}", _size(one["bytes"]), one["what"]] for one in kinds]
    showing.table([["kind", "objects", "size", "what"], *rows])
    total = sum(one["objects"] for one in kinds)
    if yes or not total:
        showing.line(f"{total:,} objects deleted" if total else "nothing to delete")
        return
    showing.line("nothing was deleted yet")
    words = [word for kind in also for word in ("--also", kind)]
    what_next([said.command("prune", manifest, *words, "--yes")])


def _size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
