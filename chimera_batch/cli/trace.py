"""``trace``: a row back to every request, batch, raw line and cent behind it."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.showing import dollars
from chimera_batch.cli.texts import one_line, plain

_TEXT = 300  # characters of a raw line or a column; --raw and --json have all of it


@click.command()
@manifest_argument
@click.argument("row")
@click.option("--raw", is_flag=True, help="Print every raw line of the providers' files in full.")
@rehearsable
@click.pass_obj
def trace(said: Said, manifest: Path, row: str, raw: bool) -> None:
    """A row back to every request and cent.

    ROW is a row key, or the index of a row of the last table.
    """
    from chimera_batch import api

    found = api.trace(manifest, row, said.options())
    if said.as_json:
        from chimera_batch.warehouse.result import json_value

        showing.document(json_value(found))
        return
    for text in _lines(found, raw=raw):
        showing.line(text)
    if said.rehearse:
        showing.line(showing.REHEARSAL)


def _lines(found: Mapping[str, Any], *, raw: bool) -> Iterator[str]:
    """The document as text."""
    yield f"run {found['run']} · {dollars(found['usd'])}"
    if found["row"]:
        row = dict(found["row"])
        yield f"row of {row.pop('stage')}"
        yield from (f"  {one_line(name)}: {one_line(value, _TEXT)}" for name, value in row.items())
    for step in found["steps"]:
        sample = f" sample {step['sample']}" if step["sample"] else ""
        yield ""
        yield f"{step['stage']} {one_line(step['row_key'])}{sample} · request {step['request_id']}"
        if not step["results"]:
            yield "  not answered yet"
        for result in step["results"]:
            yield from _result(result, raw=raw)


def _result(result: Mapping[str, Any], *, raw: bool) -> Iterator[str]:
    tokens = f"{result['input_tokens'] or 0:,} in, {result['output_tokens'] or 0:,} out"
    yield (
        f"  {result['outcome']} · {one_line(result['provider'])}/{one_line(result['model'])} · {dollars(result['usd'])}"
        f" · {tokens} · batch {one_line(result['batch'])} attempt {result['attempt']}"
    )
    yield f"  raw: {result['raw']} line {result['line']}" if result["raw"] else "  no raw line"
    if result["message"]:
        yield f"  {one_line(result['code'] or '')} {one_line(result['message'], _TEXT)}"
    if result["raw_line"] is not None:
        yield f"  {plain(result['raw_line']) if raw else one_line(result['raw_line'], _TEXT)}"
