"""``rehearsal serve``: the loopback providers alone."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TextIO, cast

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said
from chimera_batch.errors import InputError


@click.group()
def rehearsal() -> None:
    """The loopback providers that a rehearsal asks."""


def _as_settings(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        told = json.loads(value)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise click.BadParameter(f'{value!r} is not a JSON object, like {{"work_seconds": [60, 600]}}', ctx, param)
    return value


@rehearsal.command()
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR",
              help="Folder for everything the server keeps, billing.jsonl among it; made if absent.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, metavar="N",
              help="0 picks a free one.")  # fmt: skip
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1200.0, show_default=True,
              help="Virtual seconds per real second.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of durations and answers.")
@click.option("--settings", callback=_as_settings, default="{}", metavar="JSON",
              help="Rates of planted faults, limits, prices.")  # fmt: skip
@click.pass_obj
def serve(said: Said, *, state: Path, port: int, speed: float, seed: int, settings: str) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Prints the URL first. Export it as CHIMERA_REHEARSAL_URL, and --rehearse uses this server.
    """
    from chimera_batch.rehearsal.__main__ import TAKEN, main

    words = [f"--state={state}", f"--port={port}", f"--speed={speed}", f"--seed={seed}", f"--settings={settings}"]
    out = cast(TextIO, _UrlAsJson(sys.stdout)) if said.as_json else sys.stdout
    try:
        with redirect_stdout(out):
            code = main(words)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot serve: {reason}", where=f"{state}, port {port}", hint="--port 0") from error
    if code == TAKEN:
        raise InputError("another server has this folder", where=str(state), hint="--state ANOTHER_FOLDER")


class _UrlAsJson:
    """Turns the server's one line, its URL, into a document."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with redirect_stdout(self._stream):
            showing.document({"url": text.strip()})
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
