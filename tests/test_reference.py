"""docs/reference/ is what the code says now, and the words for it are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import build_docs
from scripts.build_docs import FOLDER, PAGES
from scripts.manifest_page import kind_of, manifest
from scripts.markdown import COMMAND, table

QUICK = sorted(PAGES.keys() - {"tables.md"})


def fresh(name: str) -> None:
    path = FOLDER / name
    assert path.read_text(encoding="utf-8") == PAGES[name](), f"docs/reference/{name} is stale; type: {COMMAND}"


@pytest.mark.parametrize("name", QUICK)
def test_a_page_is_what_the_code_says(name: str) -> None:
    fresh(name)


@pytest.mark.slow  # asks DuckDB for every column
def test_tables_are_what_the_code_says() -> None:
    fresh("tables.md")


def test_both_pages_of_commands_name_the_same_options() -> None:
    """cli.md is written by hand and says more."""
    flags = {}
    for page in (FOLDER / "commands.md", FOLDER.parent / "cli.md"):
        sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)[1:]
        found = {}
        for section in sections:
            name = re.match(r"`(?:chimera-batch )?(rehearsal serve|\w+)", section)
            rows = re.findall(r"^\| (`-.*?) \|", section, re.M)
            if name:
                found[name[1]] = {flag for row in rows for flag in re.findall(r"--[a-z][a-z-]*", row)}
        flags[page.name] = found
    built, written = flags["commands.md"], flags["cli.md"]
    assert built.keys() == written.keys()
    for name, told in written.items():
        assert told <= built[name], name


def test_a_stale_page_is_named_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_docs, "FOLDER", tmp_path)
    monkeypatch.setattr(build_docs, "PAGES", {"x.md": lambda: "new\n"})
    (tmp_path / "x.md").write_text("old\n", encoding="utf-8")
    assert build_docs.main(["--check"]) == 1
    assert capsys.readouterr().out == f"stale: docs/reference/x.md\ntype: {COMMAND}\n"
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == "old\n"
    assert build_docs.main([]) == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == "new\n"
    assert build_docs.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "a whole number at least 1, at most 9"),
        ({"type": ["number", "null"], "exclusiveMinimum": 0}, "a number above 0"),
        ({"type": "string", "examples": ["24h"]}, "text like `24h`"),
        ({"enum": ["a", "b", None], "type": ["string", "null"]}, "`a` · `b`"),
        ({"anyOf": [{"$ref": "#/$defs/ModelChoice"}, {"type": "null"}]}, "a model"),
        ({"anyOf": [{"type": "boolean"}, {"const": "auto"}]}, "`true` · `false` or `auto`"),
        ({"type": "array", "items": {"type": "string"}}, "a list of text"),
        ({"type": "object", "patternProperties": {"^x$": {"$ref": "#/$defs/Provider"}}}, "names with a provider"),
        ({"type": "object"}, "a mapping"),
        ({}, "any value"),
    ],
)
def test_kinds_in_words(schema: dict[str, object], said: str) -> None:
    assert kind_of(schema) == said


def test_cells_break_no_table() -> None:
    assert table(("a",), [("x | y\nz",)]) == "| a |\n| --- |\n| x \\| y z |"


def test_every_key_has_a_meaning() -> None:
    """A key whose description is missing would be an empty cell."""
    for line in manifest().splitlines():
        assert not re.fullmatch(r"\| `.*\|  \|", line), line
