"""Every hint that is a command works when it is pasted: our own parser takes it, a shell does, and nothing else does.

The lines are collected from the source, wherever one is written, so that a new one is held to it too.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from chimera_batch.cli import cli
from chimera_batch.cli.hints import mended, next_lines
from chimera_batch.cli.said import Said
from chimera_batch.rules.shortfall import Terms
from tests.cli_kit import status_document
from tests.conftest import ROOT

_OURS = re.compile(
    rf"^chimera-batch [a-z@-]|chimera-batch (?:{'|'.join(cli.commands)})\\b"
)  # a word in a sentence is none
_SENTENCES = {"chimera-batch store", "chimera-batch needs Python 3.11 or newer"}


def takes(line: str) -> click.Context:
    """What our parser makes of a pasted line. Raises what it would tell the person."""
    line = re.sub(r" > \S+$", "", line)
    words = shlex.split(line, comments=True)
    assert words[0] == "chimera-batch", line
    assert not re.search(r"[()<>|;&`…]", re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", line)), f"a shell stumbles: {line}"
    said = Said()
    command: click.Command = cli
    ctx, rest = cli.make_context("chimera-batch", words[1:], obj=said), words[1:]
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(ctx, rest)
        assert found is not None
        command = found
        ctx = command.make_context(name, rest, parent=ctx, obj=said)
    return ctx


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a module but docstrings; a value that is put into one stands there as ``7``."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            said = [part.value if isinstance(part, ast.Constant) else "7" for part in node.values]
            yield node.lineno, "".join(map(str, said))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | parts:
            yield node.lineno, node.value


SOURCES = {
    path: ast.parse(text)
    for path in sorted((ROOT / "chimera_batch").rglob("*.py"))
    if "chimera-batch " in (text := path.read_text("utf-8"))
}


def commands() -> Iterator[tuple[str, str]]:
    """(file:line, line) of every line of our own that the source says, but those that are put together in code."""
    for path, tree in SOURCES.items():
        for number, text in texts(tree):
            for line in text.splitlines():
                if _OURS.search(line) and line not in _SENTENCES:
                    yield f"{path.relative_to(ROOT / 'chimera_batch')}:{number}", line


COMMANDS = list(commands())


def test_the_lines_are_found() -> None:
    assert len(COMMANDS) > 20
    assert any("adopt" in line for _, line in COMMANDS)


@pytest.mark.parametrize(("where", "line"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_a_line_in_the_source_can_be_pasted(where: str, line: str) -> None:
    assert line.startswith("chimera-batch "), f"{where}: a line to type stands alone: {line}"
    takes(line)


@pytest.mark.parametrize("line", [
    "chimera-batch runn m.yaml", "chimera-batch run m.yaml --yess", "chimera-batch adopt m.yaml --shard s",
    "chimera-batch retry m.yaml   (asks again)", "chimera-batch run … --rehearse", "chimera-batch run a b.yaml",
])  # fmt: skip
def test_what_cannot_be_pasted_is_noticed(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        takes(line)


AWKWARD = Path("my data/it's (1).yaml")


@pytest.mark.parametrize("changes", [{}, {"state": "done"}, {"state": "stuck", "needs": ["drafts-1: two could be it"]}])
@pytest.mark.parametrize("side", [{}, {"rehearse": True, "store": "s3://b/my run", "price": ("a/b=1,2",)}])
def test_what_comes_next_can_be_pasted(changes: dict[str, Any], side: dict[str, Any]) -> None:
    for line in next_lines(status_document(**changes), AWKWARD, Said(**side)):
        ctx = takes(line)
        assert AWKWARD in {ctx.params.get("manifest"), ctx.params.get("path")}, line


def test_a_hint_that_another_side_is_put_into_can_still_be_pasted() -> None:
    for where, line in COMMANDS:
        takes(mended(line, Said(rehearse=True, store="s3://b/my run", price=("a/b=1,2",)))), where


@pytest.mark.parametrize("again", ["chimera-batch run m.yaml", "chimera-batch pilot m.yaml --stage s -n 30"])
def test_the_line_that_raises_a_budget_can_be_pasted(again: str) -> None:
    caps = {"run": Decimal(5), "day": Decimal("0.5")}
    terms = Terms("m.yaml", again, {"run": None, "day": None}, caps)
    ctx = takes(terms.command({"run": Decimal("12.5")}))
    assert ctx.find_object(Said).max_usd == Decimal("12.5")  # type: ignore[union-attr]


def test_manifests_are_quoted_where_lines_are_written() -> None:
    """A path with a blank in it would be two words."""
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.JoinedStr) or not _OURS.match(str(getattr(node.values[0], "value", ""))):
                continue
            for part in node.values:
                raw = isinstance(part, ast.FormattedValue) and ast.unparse(part.value).endswith("project.path")
                assert not raw, f"{path}:{node.lineno}: project.typed is quoted"
