"""``query``: read-only SQL over a run's tables, as a table, JSON, CSV or Parquet."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from chimera_batch.cli import showing
from chimera_batch.cli.completing import MANIFEST, queries
from chimera_batch.cli.said import Said, rehearsable
from chimera_batch.cli.target import target
from chimera_batch.cli.texts import harmless_json, one_line
from chimera_batch.errors import InputError

if TYPE_CHECKING:
    from chimera_batch.warehouse.result import Result

FORMATS = ("table", "json", "csv", "parquet")
MOST_ROWS = 1000  # a table is for reading; --format csv has them all
CELL = 100  # characters; a solution of 20,000 would push everything else off the screen


@click.command()
@click.argument("sql", metavar='"SQL"|@NAME', shell_complete=queries)
@click.option("-m", "--manifest", type=MANIFEST, help="The run; without it, the last of this folder.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: the end of FILE's name, else table.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, not to stdout.")
@click.option("--unsafe", is_flag=True, help="Let the SQL read and write any file and change settings.")
@rehearsable
@click.pass_obj
def query(said: Said, *, sql: str, manifest: Path | None, form: str | None, output: Path | None, unsafe: bool) -> None:
    """Read-only SQL over the tables of a run.

    DuckDB's SQL, also while the run works. Without -m: the last run of this folder.
    @NAME runs a named query: sql/queries/NAME.sql of the project, or one that comes with chimera-batch.
    """
    from chimera_batch import api

    form = _format(form, output, as_json=said.as_json)
    path = target(manifest, said)
    options = said.options()
    asked = api.named_query(path, sql[1:], options) if sql.startswith("@") else sql
    with api.query(path, options, unsafe=unsafe) as tables:
        result = tables.query(asked)
        if output is None:
            _to_stdout(result, form, said, path)
            return
        rows = _to_file(result, form, output)
    if said.as_json:
        showing.document({"file": str(output), "format": form, "rows": rows, "rehearsal": said.rehearse})
        return
    showing.line(f"{rows:,} rows in {output}" + (f"  ({showing.REHEARSAL})" if said.rehearse else ""))


def _format(form: str | None, output: Path | None, *, as_json: bool) -> str:
    """Which format is meant. Raises UsageError where it cannot be had."""
    if form is None and output is not None and output.suffix[1:] in FORMATS[1:]:
        form = output.suffix[1:]
    form = form or ("json" if as_json else "table")
    if output is None and form == "parquet":
        raise click.UsageError("a Parquet file needs a name: -o FILE", click.get_current_context())
    if output is None and as_json and form != "json":
        raise click.UsageError(f"--json prints JSON, not {form}; or name a file: -o FILE", click.get_current_context())
    return form


def _to_stdout(result: Result, form: str, said: Said, path: Path) -> None:
    if form == "table":
        _table(result, said, path)
    elif form == "json":
        with _whole() as spool:
            result.to_json(cast(TextIO, _HarmlessJson(spool)))
    else:
        out = sys.stdout
        result.to_csv(cast(TextIO, showing.PlainStream(out)) if showing.to_terminal() else out)
    if said.rehearse and form != "table":
        said.note(showing.REHEARSAL)


def _table(result: Result, said: Said, path: Path) -> None:
    found = list(islice(result, MOST_ROWS + 1))
    rows = [[one_line(_shown(value), CELL) for value in row] for row in found[:MOST_ROWS]]
    showing.table([list(result.columns), *rows])
    count = f"the first {MOST_ROWS:,} rows; --format csv has all" if len(found) > MOST_ROWS else f"{len(rows):,} rows"
    showing.line(f"{count} · {path}" + (f" · {showing.REHEARSAL}" if said.rehearse else ""))


@contextmanager
def _whole() -> Iterator[TextIO]:
    """A place for output that reaches stdout only if it was written to the end: half a JSON list is none."""
    with TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="") as spool:
        yield cast(TextIO, spool)
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)


class _HarmlessJson:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(harmless_json(text))


def _to_file(result: Result, form: str, output: Path) -> int:
    """Write the whole file or none; returns the rows."""
    if not output.name:  # of ``/``, and of an empty word
        raise InputError("names no file", where=str(output), hint="-o FILE")
    if form == "parquet":
        with _explained(output):
            return result.to_parquet(output)
    part = output.with_name(output.name + ".part")
    with _explained(output):
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                rows = _write(result, form, file)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    return rows


def _write(result: Result, form: str, file: Any) -> int:
    if form == "json":
        return result.to_json(file)
    if form == "csv":
        return result.to_csv(file)
    rows = [[one_line(_shown(value)) for value in row] for row in result]
    file.writelines(f"{text}\n" for text in showing.aligned([list(result.columns), *rows]))
    return len(rows)


def _shown(value: Any) -> str:
    """A cell of a table for reading: a sum of dollars without the zeros at its end."""
    from chimera_batch.warehouse.result import text_cell

    text = text_cell(value)
    return text.rstrip("0").rstrip(".") if isinstance(value, Decimal) and "." in text else text


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be written: {reason}", where=str(output), hint="-o FILE") from error
