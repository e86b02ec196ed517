"""``export``: the run's tables for a trainer, the hub, or somebody with questions of their own."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable

FORMATS = ("sft", "rl", "hf", "parquet", "duckdb")
SHAPES = ("messages", "prompt-completion")
THINKING = ("inline", "field")


@click.command()
@manifest_argument
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="For whom it is.")
@click.option("--table", default="dataset", metavar="NAME", show_default=True, help="The table, for sft, rl and hf.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR, and nothing else.")
@click.option("--shape", type=click.Choice(SHAPES), default=SHAPES[0], show_default=True, help="sft: the columns.")
@click.option("--thinking", type=click.Choice(THINKING), default=THINKING[0], show_default=True, help="sft: its place.")
@click.option("--with-sft", is_flag=True, help="rl: problems with a correct trace too.")
@click.option("--instruction", metavar="TEXT", help="sft, rl: stands behind each question; an empty one for none.")
@click.option("--license", "licence", default="other", metavar="ID", show_default=True, help="In the card's head.")
@click.option("--shard-mb", type=click.IntRange(1), default=256, show_default=True, help="hf: text of one file, in MB.")
@rehearsable
@click.pass_obj
def export(said: Said, /, *, manifest: Path, directory: Path, form: str, shard_mb: int, **how: Any) -> None:
    """Write the data set for its next user into DIR.

    sft and rl: what TRL and verl train on, with configurations and the reward function beside it. hf: sharded Parquet
    with a dataset card. parquet: every table. duckdb: one file with every table, and named queries as views.

    DIR appears whole or not at all, and must be empty or not there yet.
    """
    from chimera_batch import api
    from chimera_batch.exporting.wish import Wish

    wish = Wish(form, directory, shard_bytes=shard_mb << 20, **how)  # type: ignore[arg-type]  # click checked it
    found = api.export(manifest, wish, said.options())
    if said.as_json:
        showing.document(found | {"directory": str(directory)})
        return
    showing.table([("file", "rows"), *((name, f"{rows:,}") for name, rows in found["files"].items())])
    for name, reason in found["left_out"].items():
        showing.line(f"left out: {name} ({reason})")
    end = f"  ({showing.REHEARSAL})" if said.rehearse else ""
    showing.line(f"{found['rows']:,} rows in {directory}{end}")
