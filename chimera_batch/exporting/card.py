"""The dataset card: what a stranger has to know before they train on it. Every text from outside is made ``safe``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from chimera_batch.errors import InputError
from chimera_batch.exporting.desk import TABLE, Desk
from chimera_batch.exporting.markdown import safe, table
from chimera_batch.exporting.provenance import provenance
from chimera_batch.pipeline.project import Source
from chimera_batch.verbs.shelves import named_queries

_SECTIONS = Path(__file__).with_name("card.toml")
_MOST_ROWS = 100  # of a table; a card is for reading
_REHEARSAL = (
    "> **REHEARSAL. Nothing here was written or checked by a model.** Loopback servers invented every problem, trace",
    "> and verdict, with planted faults. Do not train on it, do not publish it as data.",
    "",
)


def front_matter(desk: Desk, splits: Mapping[str, object]) -> str:
    """The card's head: what the hub and ``load_dataset`` read. Only our own words and checked ones stand in it.

    The configuration is named after what the files hold, because ``datasets`` keeps what it has read under the names of
    folder and configuration alone: a second export into a folder of the same name would be read as the first one.
    """
    files = [
        {"split": split, "path": f"data/{split}-*" if desk.wish.form == "hf" else f"{split}.parquet"}
        for split in splits
    ]
    rehearsed = ["rehearsal", "not-real-data"] if desk.ctx.rehearse else []
    head = {
        "license": desk.wish.licence,
        "pretty_name": f"REHEARSAL of {desk.ctx.run}" if rehearsed else desk.ctx.run,
        "tags": ["synthetic", "reasoning", "chimera-batch", *rehearsed],
        "configs": [{"config_name": f"data-{desk.version}", "default": True, "data_files": files}],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def banner(desk: Desk) -> list[str]:
    """What stands above everything else where the data are not real."""
    return list(_REHEARSAL) if desk.ctx.rehearse else []


def card(desk: Desk, splits: Mapping[str, int]) -> str:
    """The whole card. ``splits``: their rows."""
    lines = [*banner(desk), f"# {safe(desk.ctx.run)}", ""]
    lines += [*table(("split", "rows"), splits.items()), ""]
    lines += ["```python", "from datasets import load_dataset", 'data = load_dataset("PATH OF THIS FOLDER")', "```", ""]
    lines += [*_sections(desk), *_provenance(desk)]
    return front_matter(desk, splits) + "\n".join(lines) + "\n"


def training_card(desk: Desk, splits: Mapping[str, int], usage: str) -> str:
    """The card of an export for trainers: what is real, how many rows there are, and the lines to type."""
    lines = [*banner(desk), f"# {safe(desk.ctx.run)}", "", *table(("split", "rows"), splits.items()), "", usage]
    return front_matter(desk, splits) + "\n".join(lines)


def _sections(desk: Desk) -> Iterator[str]:
    known = named_queries(desk.ctx)
    for section in tomllib.loads(_SECTIONS.read_text("utf-8"))["section"]:
        name = section["query"]
        source = known.get(name[1:]) if name.startswith("@") else desk.sql(name)
        try:
            rows = list(_section(desk, source)) if source else []
        except InputError as error:
            desk.left_out[section["title"]] = error.message
            continue
        if rows:
            yield from (
                f"## {section['title']}",
                "",
                *([section["words"], ""] if "words" in section else []),
                *rows,
                "",
            )


def _section(desk: Desk, source: Source) -> Iterator[str]:
    """A query as a table, cut where it is too long to read; nothing where it has no rows."""
    lacks = desk.warehouse.inputs(source) - desk.tables.keys() - {TABLE}
    if lacks:
        raise InputError(f"needs {', '.join(sorted(lacks))}")
    found = desk.warehouse.rows(source, {})
    rows = list(islice(found, _MOST_ROWS + 1))
    if rows:
        yield from table(found.columns, rows[:_MOST_ROWS])
        if len(rows) > _MOST_ROWS:
            yield from ("", f"The first {_MOST_ROWS} rows.")


def _provenance(desk: Desk) -> Iterator[str]:
    told = provenance(desk.ctx)
    asked = [stage for stage in told["stages"] if stage["models"]]
    yield from ("## Provenance", "")
    yield f"Made with {safe(told['tool'])} from the manifest {safe(told['manifest']['name'])}"
    yield f"(SHA-256 `{told['manifest']['sha256']}`), run {safe(told['run'])}, table {safe(desk.wish.table)}."
    if asked:
        yield from ("Who was asked, and with which prompt:", "")
        yield from table(("stage", "models", "prompt", "SHA-256 of the prompt", "rows"), map(_asked, asked))
    yield from ("", "Prompts, SQL and schemas are files of the project; `export.json` has every digest in full.")
    yield "What models wrote may be used as their providers' terms allow; the licence above says what we add to that."


def _asked(stage: Mapping[str, Any]) -> tuple[Any, ...]:
    return stage["stage"], ", ".join(stage["models"]), stage["prompt"], stage["prompt_sha256"][:16], stage["rows"]
