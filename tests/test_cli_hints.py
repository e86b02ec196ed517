"""Every hint that is a command works when it is pasted: our own parser takes it, a shell does, and nothing else does.

The lines are collected from the source, wherever one is written, so that a new one is held to it too.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from chimera_batch.cli import cli
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.said import Said
from chimera_batch.commands import command, said_again
from chimera_batch.rules.shortfall import Terms
from tests import source
from tests.cli_kit import call, status_document

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
    found: click.Command | None = cli
    ctx, rest = cli.make_context("chimera-batch", words[1:], obj=said), words[1:]
    while isinstance(found, click.Group):
        name, found, rest = found.resolve_command(ctx, rest)
        assert found is not None
        ctx = found.make_context(name, rest, parent=ctx, obj=said)
    return ctx


def text_of(node: ast.AST) -> str:
    """A text in the source; a value that is put into one, or stands for one, is ``7``."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "7"


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module but docstrings."""
    docs = {
        id(node.body[0].value)
        for node in source.nodes(path)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(part) for node in source.nodes(path) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in source.nodes(path):
        text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if text and id(node) not in docs | parts:
            yield node.lineno, text_of(node)


SIDE = said_again("s3://b/my run", ["a/b=1,2"])


def written() -> Iterator[tuple[str, str]]:
    """(file:line, line) of every line of our own that stands in the source."""
    for path in source.that_say("chimera-batch "):
        for number, text in texts(path):
            for line in text.splitlines():
                if _OURS.search(line) and line not in _SENTENCES:
                    yield f"{path.relative_to(source.PACKAGE)}:{number}", line


_BUILDERS = {"command", "go_on"}


def made() -> Iterator[tuple[str, str, Sequence[str]]]:
    """(file:line, verb, words) of every line about a run that the source has made; not where words are put together."""
    for path in source.that_say(*(f"{builder}(" for builder in _BUILDERS)):
        for node in source.nodes(path):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in _BUILDERS:
                continue
            verb, *words = node.args or [node]
            plain = isinstance(verb, ast.Constant) and not any(isinstance(word, ast.Starred) for word in words)
            if plain and text_of(verb) in cli.commands:
                words = words if ast.unparse(node.func).endswith(("ctx.command", "ctx.go_on")) else words[1:]
                place = f"{path.relative_to(source.PACKAGE)}:{node.lineno}"
                yield place, text_of(verb), [*map(text_of, words)]


def whys() -> Iterator[tuple[str, str]]:
    """(file:line, comment) of every comment that the source puts behind a line."""
    for path in source.that_say("why="):
        for node in source.nodes(path):
            if isinstance(node, ast.keyword) and node.arg == "why" and isinstance(node.value, ast.Constant):
                yield f"{path.relative_to(source.PACKAGE)}:{node.value.lineno}", text_of(node.value)


WRITTEN, MADE, WHYS = list(written()), list(made()), [(where, why) for where, why in whys() if " " in why]
ABOUT_A_RUN = [name for name, one in cli.commands.items() if any("--rehearse" in param.opts for param in one.params)]


def test_the_lines_are_found() -> None:
    assert {"chimera-batch init my-pipeline", "chimera-batch prices"} <= {line for _, line in WRITTEN}
    assert {"status", "advance", "cancel", "adopt", "resend", "retry", "query", "run"} <= {verb for _, verb, _ in MADE}
    assert {"run", "status", "trace", "report"} <= set(ABOUT_A_RUN)


@pytest.mark.parametrize(("where", "line"), WRITTEN, ids=[where for where, _ in WRITTEN])
def test_a_line_in_the_source_can_be_pasted_and_is_about_no_run(where: str, line: str) -> None:
    """What is about one has a side, which ``commands.command`` puts into it."""
    assert line.startswith("chimera-batch "), f"{where}: a line to type stands alone: {line}"
    assert takes(line).info_name not in ABOUT_A_RUN, where


@pytest.mark.parametrize(("where", "verb", "words"), MADE, ids=[where for where, _, _ in MADE])
def test_a_line_that_is_made_can_be_pasted_and_stays_on_its_side(where: str, verb: str, words: Sequence[str]) -> None:
    for rehearse in (False, True):
        ctx = takes(command(verb, AWKWARD, *words, rehearse=rehearse, also=SIDE, why="it's (so)"))
        said = ctx.find_object(Said)
        assert said is not None and AWKWARD in ctx.params.values(), where
        assert (ctx.info_name, said.rehearse, said.store, said.price) == (verb, rehearse, SIDE[1], (SIDE[3],))


@pytest.mark.parametrize("line", [
    "chimera-batch runn m.yaml", "chimera-batch run m.yaml --yess", "chimera-batch adopt m.yaml --shard s",
    "chimera-batch retry m.yaml   (asks again)", "chimera-batch run … --rehearse", "chimera-batch run a b.yaml",
])  # fmt: skip
def test_what_cannot_be_pasted_is_noticed(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        takes(line)


AWKWARD = Path("my data/it's (1).yaml")


def test_a_comment_that_a_shell_hands_on_is_none_of_the_words() -> None:
    """zsh, the shell of macOS, knows comments in scripts only unless it is told to."""
    line = command("status", "no/such.yaml", why="look at it again")
    done = call("--json", *shlex.split(line, comments=False)[1:])
    assert done.error["message"] == "there is no such manifest"
    assert call("--json", "trace", "no/such.yaml", "#").error["message"] == "there is no such manifest", "a row's key"


@pytest.mark.parametrize(("where", "why"), WHYS, ids=[where for where, _ in WHYS])
def test_a_comment_is_plain_words(where: str, why: str) -> None:
    """Such a shell would take quotes, stars and brackets in it for its own."""
    assert re.fullmatch(r"[\w :,.]+", why), where


@pytest.mark.parametrize("changes", [{}, {"state": "done"}, {"needs": ["drafts-1: batch_1 is at a host"]}])
@pytest.mark.parametrize("side", [{}, {"rehearse": True, "store": "s3://b/my run", "price": ("a/b=1,2",)}])
def test_what_comes_next_can_be_pasted(changes: dict[str, Any], side: dict[str, Any]) -> None:
    for line in next_lines(status_document(**changes), AWKWARD, Said(**side)):
        ctx = takes(line)
        assert AWKWARD in {ctx.params.get("manifest"), ctx.params.get("path")}, line


def test_what_goes_on_keeps_the_caps_that_were_typed() -> None:
    (line,) = next_lines(status_document(), AWKWARD, Said(max_usd=Decimal("0.50"), max_usd_per_day=Decimal(2)))
    said = takes(line).find_object(Said)
    assert said is not None and (said.max_usd, said.max_usd_per_day) == (Decimal("0.50"), Decimal(2))


@pytest.mark.parametrize("again", ["chimera-batch run m.yaml", "chimera-batch pilot m.yaml --stage s -n 30"])
def test_the_line_that_raises_a_budget_can_be_pasted(again: str) -> None:
    caps = {"run": Decimal(5), "day": Decimal("0.5")}
    terms = Terms("m.yaml", again, {"run": None, "day": None}, caps)
    ctx = takes(terms.command({"run": Decimal("12.5")}))
    assert ctx.find_object(Said).max_usd == Decimal("12.5")  # type: ignore[union-attr]
