"""``report``: one HTML page that tells everything about a run."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable

ROWS = 500
_EACH = 3  # sections without tables that are told one by one


@click.command()
@manifest_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("report.html"), metavar="FILE",
              show_default=True, help="The page.")  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(0), default=ROWS, show_default=True, metavar="N", help="Rows of the sample."
)
@click.option("--table", metavar="NAME", help="The table that is sampled; the last one that is made unless said.")
@click.option("--with", "beside", type=click.Path(path_type=Path), multiple=True, metavar="MANIFEST",
              help="A run that analyses this one: its sections too. Repeatable.")  # fmt: skip
@rehearsable
@click.pass_obj
def report(said: Said, /, manifest: Path, output: Path, rows: int, table: str | None, beside: tuple[Path, ...]) -> None:
    """Write one self-contained HTML page about a run.

    What survived each stage, cost against estimate, outcomes and batches, and a browser of sample rows with their
    prompts, answers and evidence; for CHIMERA coverage, lengths, agreement, difficulty and contamination as well.
    Works at any moment of a run, and reads the store alone.
    """
    from chimera_batch import api
    from chimera_batch.report.wish import Wish

    found = api.report(manifest, Wish(output, rows, table, beside), said.options())
    if said.as_json:
        showing.document(found)
        return
    _note_left_out(said, found["left_out"])
    end = f"  ({showing.REHEARSAL})" if said.rehearse else ""
    showing.line(f"{found['path']}: {len(found['sections'])} sections, {found['rows']:,} rows{end}")


def _note_left_out(said: Said, left: Mapping[str, str]) -> None:
    """What the page has not, with the reason; of a pipeline that is not CHIMERA's nearly all sections lack tables."""
    from chimera_batch.report.sections import LACKS

    lacking = [title for title, reason in left.items() if reason.startswith(LACKS)]
    together = lacking if len(lacking) > _EACH else []
    for title, reason in left.items():
        if title not in together:
            said.note(f"left out: {title} ({reason})")
    if together:
        said.note(f"left out, as no run here has their tables (--json names those): {', '.join(together)}")
