"""Write docs/reference/ from the code: commands, keys of the manifest, tables and columns, prices.

    python -m scripts.build_docs            # or: make docs
    python -m scripts.build_docs --check    # writes nothing; exit 1 and the names of pages that are stale

For developers, not installed with the package. What the pages say stands where the code is: help texts in ``cli/``,
descriptions in ``shape.py``, the heads of SQL files, rows of prices.toml. Only the meaning of single columns has a
place of its own, docs/reference/columns.toml, and every column must have one there.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from chimera_batch import api
from chimera_batch.cli import cli
from chimera_batch.cli.said import global_options
from chimera_batch.cost import prices as books
from chimera_batch.pipeline.project import load
from chimera_batch.steps import columns, joining
from chimera_batch.verbs import shelves
from chimera_batch.warehouse import header
from scripts.manifest_page import manifest
from scripts.markdown import COMMAND, code, page, table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
_SHOWN = "manifests/quickstart.yaml"


# -- commands


def commands() -> str:
    """Every command with its usage, its help and its options; the global options once."""
    common = {option.name for option in global_options()}
    parts = ["What `--help` says, in one place. What commands print, and what it means: [cli.md](../cli.md)."]
    parts += [part for name, command in walk(cli) for part in _command(name, command, common)]
    shared = [option for option in global_options() if isinstance(option, click.Option) and not option.hidden]
    return page("Commands", *parts, "## On every command", _options(shared))


def walk(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands in their order, those of a group in its place."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}", command


def _command(name: str, command: click.Command, common: set[str | None]) -> Iterator[str]:
    context = click.Context(command, info_name=f"chimera-batch {name}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## `{name}`"
    yield code(usage)
    yield inspect.cleandoc(command.help or "")
    own = [option for option in command.params if isinstance(option, click.Option) and option.name not in common]
    if shown := [option for option in own if not option.hidden]:
        yield _options(shown)


def _options(options: Iterable[click.Option]) -> str:
    return table(("option", "does"), ((_spelt(option), option.help or "") for option in options))


def _spelt(option: click.Option) -> str:
    flags = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return code(flags)
    kind = option.metavar or option.type.get_metavar(option, click.Context(click.Command("x"))) or option.type.name
    return code(f"{flags} {kind.upper() if kind.islower() else kind}")


# -- tables

_ANSWERS = {
    "round": "INTEGER", "sample": "INTEGER", "request_id": "VARCHAR", "outcome": "VARCHAR", "text": "VARCHAR",
    "reasoning": "VARCHAR", "answer": "JSON", "embedding": "FLOAT[]", "model": "VARCHAR",
}  # fmt: skip
"""What the view ``answers`` adds to the columns of the rows query, in its order (sql/engine/answers.sql)."""


def tables() -> str:
    """The engine's tables and views with their columns, the named queries, and the tables of the quickstart."""
    told = tomllib.loads((FOLDER / "columns.toml").read_text("utf-8"))
    found = ["What `query` finds, and what SQL files of a pipeline can read."]
    for name, found_columns in _described().items():
        words = told[name]
        missing = {column for column, _ in found_columns} ^ (words.keys() - {"is"})
        if missing:
            raise ValueError(f"docs/reference/columns.toml: {name} and its columns do not agree on {sorted(missing)}")
        found += [f"## `{name}`", words["is"]]
        cells = ((code(column), kind.lower(), words[column]) for column, kind in found_columns)
        found.append(table(("column", "type", "means"), cells))
    found += ["## Named queries", "`chimera-batch query @NAME`; the files lie in `sql/queries/`.", _named()]
    found += [f"## Tables of `{_SHOWN}`", "One for each stage, by its name.", _made()]
    return page("Tables", *found)


def _described() -> dict[str, list[tuple[str, str]]]:
    """Columns with their DuckDB types, of a run that has not begun: names and types do not hang on the rows."""
    with tempfile.TemporaryDirectory() as folder:
        options = api.Options(store=folder)
        with api.query(ROOT / _SHOWN, options) as asked:
            found = {
                name: [(str(row[0]), str(row[1])) for row in asked.query(f"DESCRIBE {name}")]
                for name in sorted(shelves.ENGINE_TABLES)
            }
    if _ANSWERS.keys() != columns.ANSWERS_OWN:
        raise ValueError("the view `answers` has other columns than scripts/build_docs.py says")
    found["answers"] = list(_ANSWERS.items())
    found["previous"] = list(joining._PREVIOUS_COLUMNS.items())
    found["kept"] = list(joining._KEPT_COLUMNS.items())
    return found


def _named() -> str:
    files = sorted((ROOT / "sql" / "queries").glob("*.sql"))
    heads = {path.stem: header.parse(path.read_text("utf-8")) for path in files}
    rows = ((code(f"@{name}"), head.makes, ", ".join(map(code, head.reads))) for name, head in heads.items())
    return table(("query", "shows", "reads"), rows)


def _made() -> str:
    rows = []
    for stage in load(ROOT / _SHOWN).stages:
        source = stage.table or stage.rows
        makes = header.parse(source.text).makes if source else ""
        rows.append((code(stage.name), "asks" if stage.kind == "ask" else stage.kind, makes))
    return table(("table", "stage", "a row"), rows)


# -- prices


def prices() -> str:
    """The shipped table, a part for each provider."""
    rows: dict[str, list[Any]] = {}
    for row in books.load().rows:
        rows.setdefault(row.provider, []).append(row)
    found = [
        "USD per million tokens, as of the date in the last column; `chimera-batch prices` shows the same, and "
        "[prices.md](../prices.md) how a row is read, written and refreshed. A dash: no batch price is known, so the "
        "standard one is used."
    ]
    heading = ("model", "input", "cached", "output", "batch input", "batch output", "above", "retires", "as of")
    for provider, models in rows.items():
        found += [f"## `{provider}`", table(heading, map(_price, models))]
    return page("Prices", *found)


def _price(row: Any) -> tuple[str, ...]:
    batch = (_usd(row.batch.input), _usd(row.batch.output)) if row.batch_known else ("-", "-")
    tiers = "; ".join(
        f"{tier.above_input_tokens:,}: {_usd(tier.standard.input)} in, {_usd(tier.standard.output)} out"
        for tier in row.tiers
    )
    standard = (_usd(row.standard.input), _usd(row.standard.cached_input), _usd(row.standard.output))
    dates = (str(row.retire_on or ""), str(row.as_of or ""))
    names = ", ".join([code(row.model), *(code(name) for name in sorted(row.names - {row.model}))])
    return (names, *standard, *batch, tiers, *dates)


def _usd(rate: Any) -> str:
    return f"{rate.normalize():f}"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands,
    "manifest.md": manifest,
    "tables.md": tables,
    "prices.md": prices,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or with ``--check`` only say which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(argv).check
    stale = 0
    for name, build in PAGES.items():
        path, text = FOLDER / name, build()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale += 1
        sys.stdout.write(f"{'stale' if check else 'wrote'}: docs/reference/{name}\n")
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale and check:
        sys.stdout.write(f"type: {COMMAND}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
