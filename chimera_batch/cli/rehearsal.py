"""``rehearsal serve``: the loopback providers alone."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

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
@click.option("--upstream", default="", metavar="URL",
              help="An OpenAI-compatible server (http://127.0.0.1:8000/v1) that answers in place of made-up models: "
                   "its generations, usage and errors, behind the batch protocols.")  # fmt: skip
@click.option("--upstream-model", default="", metavar="NAME", help="Ask it for this model, whichever a request names.")
@click.option("--upstream-at-once", type=click.IntRange(1, 1024), default=8, show_default=True, metavar="N",
              help="Requests under way there.")  # fmt: skip
@click.option(
    "--upstream-key-env", default="", metavar="NAME", help="Variable that holds its API key, if it wants one."
)
@click.pass_obj
def serve(said: Said, /, *, upstream_key_env: str, **options: Any) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Prints the URL first. Export it as CHIMERA_REHEARSAL_URL, and --rehearse uses this server.
    """
    from chimera_batch import settings
    from chimera_batch.rehearsal.__main__ import TAKEN, main

    key = settings.named_key(upstream_key_env) if upstream_key_env else ""
    if not options["upstream"]:  # then nothing is said of one
        options = {name: value for name, value in options.items() if not name.startswith("upstream")}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    state, port = options["state"], options["port"]
    out = cast(TextIO, _UrlAsJson(sys.stdout)) if said.as_json else sys.stdout
    try:
        with redirect_stdout(out):
            code = main(words, key)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot serve: {reason}", where=f"{state}, port {port}", hint="--port 0") from error
    if code == TAKEN:
        raise InputError("another server has this folder", where=str(state), hint="--state ANOTHER_FOLDER")
    if code:
        raise click.exceptions.Exit(code)  # it has said why


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
