"""What the tests of the report share: a page as a person's browser and a machine would read it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests import export_kit
from tests.cli_kit import Called, call

VOID = {"meta", "input", "br", "hr", "img", "link"}
DATASET = "-- The data set.\n-- reads: given\nSELECT * FROM given ORDER BY row_key\n"
MANIFEST = """\
run: {run}
store: {folder}/runs
params: {{}}
stages:
  - {{name: given, file: data/given.parquet, key: row_key}}
  - {{name: dataset, sql: made/dataset.sql}}
"""


@dataclass
class Page(HTMLParser):
    """Elements, tables and texts of a page. Raises AssertionError for a tag that is closed where it was not opened."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)  # by id; a number is its exact value
    text: str = ""  # all that is shown

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self._table: list[list[str]] | None = None
        self._exact: str | None = None
        self.feed(self.source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables[str(found["id"])] = []
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in {"td", "th"} and self._table is not None:
            self._table[-1].append("")
        elif tag == "data" and "td" in self._open:
            self._exact = found["value"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))  # an element of a drawing

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data
        if {"td", "th"} & set(self._open) and self._table is not None:
            self._table[-1][-1] += data if self._exact is None else self._exact
            self._exact = None

    def rows(self, name: str) -> list[dict[str, str]]:
        """A table's rows under the names of its columns."""
        head, *rows = self.tables[f"table-{name}"]
        return [dict(zip((n.replace(" ", "_") for n in head), row, strict=True)) for row in rows]

    def block(self, name: str) -> Any:
        """The JSON of one of the page's blocks of data."""
        found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', self.source, re.DOTALL)
        assert found
        return json.loads(found[1])

    def has(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The attributes of the elements that are so."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


def project(folder: Path, rows: Sequence[dict[str, Any]], *, name: str = "made-by-hand", columns: Any = None) -> Path:
    """A project whose data set has these rows, run to its end; returns the manifest."""
    export_kit.write_table(folder / "data" / "given.parquet", rows, columns or export_kit.COLUMNS)
    return finish(folder, name)


def finish(folder: Path, name: str = "made-by-hand") -> Path:
    """Run a project whose ``data/given.parquet`` is there."""
    (folder / "sql" / "made").mkdir(parents=True)
    (folder / "sql" / "made" / "dataset.sql").write_text(DATASET, encoding="utf-8")
    manifest = folder / "m.yaml"
    manifest.write_text(MANIFEST.format(folder=folder, run=name), encoding="utf-8")
    done = call("run", manifest, "--yes")
    assert done.code == 0, done.err
    return manifest


def report(manifest: Path, path: Path, *words: object) -> tuple[Page, dict[str, Any]]:
    """The page and what the command printed."""
    done = asked(manifest, path, *words, "--json")
    assert done.code == 0, done.out + done.err
    return Page(path.read_text(encoding="utf-8")), done.document


def asked(manifest: Path, path: Path, *words: object) -> Called:
    return call("report", manifest, "-o", path, *words)
