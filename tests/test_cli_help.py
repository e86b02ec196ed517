"""Help is quick, complete, and the same as docs/cli.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from chimera_batch.cli import cli
from tests.cli_kit import call
from tests.conftest import ROOT

DOCS = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
GLOBAL = {"--store", "--price", "--json", "--quiet", "--plain", "--debug"}
HOUSE = {
    "init", "check", "estimate", "pilot", "run", "advance", "status", "cancel", "retry", "adopt", "resend", "query",
    "report", "export", "trace", "prune", "prices", "doctor", "schema", "completion", "rehearsal serve",
}  # fmt: skip
REHEARSABLE = HOUSE - {"init", "prices", "schema", "completion", "rehearsal serve"}

IMPORTS = """
import sys
before = set(sys.modules)
import chimera_batch.__main__
if {ask}:
    try:
        sys.argv = ["chimera-batch", *{ask!r}]
        chimera_batch.__main__.main()
    except SystemExit as end:
        assert end.code in (0, 2), end.code
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
sys.stderr.write(" ".join(sorted(new - sys.stdlib_module_names)) + "\\n")
sys.stderr.write(" ".join(sorted(n for n in sys.modules if n.startswith("chimera_batch"))) + "\\n")
"""


@pytest.mark.parametrize("ask", [[], ["--help"], ["run", "--help"], ["nonsense"], ["rehearsal", "serve", "--help"]])
def test_help_imports_click_alone(ask: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(ask=ask)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    foreign, ours = done.stderr.splitlines()[-2:]
    assert set(foreign.split()) == {"chimera_batch", "click"}
    low = {name for name in ours.split() if not name.startswith("chimera_batch.cli")}
    assert low == {"chimera_batch", "chimera_batch.__main__", "chimera_batch.errors"}


def test_help_is_quick() -> None:
    """In time of the processor, which does not hang on what else the machine does."""
    took = []
    for _ in range(3):
        start = os.times()
        subprocess.run([sys.executable, "-m", "chimera_batch", "--help"], capture_output=True, check=True, cwd=ROOT)
        end = os.times()
        took.append(sum(end[2:4]) - sum(start[2:4]))  # user and system time of children that have ended
    assert min(took) < 0.5


def commands(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands())


def test_the_commands_are_the_house_s() -> None:
    assert set(COMMANDS) == HOUSE


def options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    first = command.help.splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 65, "the list of commands shows the first line whole"
    for option in options(command):
        assert option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_global_options_stand_on_every_command(name: str) -> None:
    assert {flag for option in options(COMMANDS[name]) for flag in option.opts} >= GLOBAL


@pytest.mark.parametrize("name", COMMANDS)
def test_who_takes_rehearse(name: str) -> None:
    takes = any("--rehearse" in option.opts for option in options(COMMANDS[name]))
    assert takes == (name in REHEARSABLE)


def section(name: str) -> str:
    found = re.search(rf"^## `chimera-batch {re.escape(name)}\b.*?(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section about {name}"
    return found[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_docs(name: str) -> None:
    text = section(name)
    for option in options(COMMANDS[name]):
        for flag in set(option.opts) - GLOBAL - {"-q"}:
            assert f"`{flag}" in text, flag


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_know_no_other_option(name: str) -> None:
    told = set(re.findall(r"^\| (?:`-\w`, )?`(--[a-z-]+)", section(name), re.MULTILINE))
    assert told <= {flag for option in options(COMMANDS[name]) for flag in option.opts}


def test_the_docs_know_no_other_command() -> None:
    told = re.findall(r"^## `chimera-batch ([^`]*)`", DOCS, re.MULTILINE)
    assert {re.match(r"rehearsal serve|\w+", title)[0] for title in told} == HOUSE  # type: ignore[index]


def test_global_options_are_in_the_docs() -> None:
    for flag in GLOBAL:
        assert f"`{flag}" in DOCS


def test_without_a_command_there_is_help() -> None:
    done = call()
    assert done.code == 0
    listed = re.findall(r"^  (\w+) {2,}", done.out.partition("Commands:")[2], re.MULTILINE)
    assert listed[:5] == ["init", "check", "estimate", "pilot", "run"]  # in the order of the work


def test_version() -> None:
    from chimera_batch import __version__

    assert call("--version").out == f"chimera-batch, version {__version__}\n"


def test_help_of_a_command_shows_the_global_options() -> None:
    out = call("status", "--help").out
    for flag in GLOBAL - {"--debug"}:
        assert flag in out
    assert "--debug" not in out
