"""The fenced blocks of README.md and docs/, and one way to run each kind of them.

A block is run unless a comment in front of its fence says otherwise (invisible where the page is read):

* ``<!-- not run: REASON -->``: it cannot be run here; its lines are parsed all the same;
* ``<!-- run by tests/test_x.py -->``: another test types it, one that knows the page by name;
* none is needed for benchmarks (``python -m bench.…``): they are parsed and never run;
* ``<!-- rehearsed -->``: it is run with ``--rehearse`` behind each command that takes it, so without keys and money.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from chimera_batch.cli import cli
from chimera_batch.cli.said import Said
from chimera_batch.pipeline import manifest as manifests
from chimera_batch.pipeline.yamldoc import parse
from chimera_batch.providers import profiles
from tests.cli_kit import call
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^(?P<in>[ ]*)```(?P<kind>[\w-]*)\n(?P<text>.*?)^[ ]*```$", re.S | re.M
)
_MARKS = re.compile(r"not run: (?P<reason>\S.{9,})|run by (?P<test>tests/test_\w+\.py)|(?P<rehearsed>rehearsed)")
SHELL = ("sh", "console", "cron", "ini")
HARMLESS = {"ls", "cat", "head", "mkdir", "rm", "sed", "wc", "grep", "diff", "cp", "printf"}
"""Programs of every machine that a page may have run here, in its folder."""

OURS = {"chimera-batch", "duckdb", "cd", "export"}
"""What the desk does itself."""

TEXTS = {"python", "sql", "yaml", "json", "jsonl", "toml", "markdown", ""}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    kind: str
    text: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run, if so."""
        found = _MARKS.fullmatch(self.mark)
        return found["reason"] if found else None

    @property
    def benchmark(self) -> bool:
        """Nothing but ``python -m bench.…`` (and what that needs installed): minutes to hours, whatever it is."""
        if self.kind not in {"sh", "console"} or self.elsewhere:
            return False
        typed = [words for line in lines(self) for words in commands(line.typed)]
        bench = [words for words in typed if words[1:2] == ["-m"] and words[2].startswith("bench.")]
        return bool(bench) and all(words in bench or program(words) == "pip" for words in typed)

    @property
    def elsewhere(self) -> str | None:
        """The test that runs it instead of ours."""
        found = _MARKS.fullmatch(self.mark)
        return found["test"] if found else None

    @property
    def rehearsed(self) -> bool:
        return self.mark == "rehearsed"


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page. AssertionError for a comment that begins like a mark and is none."""
    text, found = path.read_text(encoding="utf-8"), []
    name = path.relative_to(ROOT).as_posix()
    for match in _FENCE.finditer(text):
        mark = match["mark"] or ""
        line = text.count("\n", 0, match.start("in")) + 1
        assert not mark or _MARKS.fullmatch(mark), f"{name}:{line}: no such mark: {mark}"
        found.append(Block(name, line, match["kind"], re.sub(rf"^{match['in']}", "", match["text"], flags=re.M), mark))
    return found


@dataclass(frozen=True)
class Line:
    """One line that is typed, and what the page shows below it (console blocks)."""

    typed: str
    shown: str = ""


def lines(block: Block) -> list[Line]:
    """The lines of a shell block. Those of a console block begin with ``$ ``, and the others are their output."""
    if block.kind == "cron":
        return [Line(" ".join(line.split(None, 5)[5:])) for line in block.text.splitlines()]
    if block.kind == "ini":  # units of systemd
        return [Line(line) for line in re.findall(r"^Exec\w+=(.*)$", block.text, re.M)]
    if block.kind == "sh":
        joined = block.text.replace("\\\n", " ")
        return [Line(line) for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    assert block.text.startswith("$ "), f"{block}: a console block begins with a line to type"
    parts = re.split(r"^\$ ", block.text, flags=re.M)[1:]
    return [Line(first, rest) for first, _, rest in (part.partition("\n") for part in parts)]


def commands(line: str) -> list[list[str]]:
    """The simple commands of a line, in words; ``;`` and ``&&`` part them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[list[str]] = [[]]
    for word in lexer:
        assert word not in {"|", "<", ">", ">>", "||"}, f"{line}: {word} is not understood here"
        if word in {";", "&&"}:
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def split_environment(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """``NAME=value`` words in front of a command, and the command."""
    named = list(itertools.takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))
    return dict(word.split("=", 1) for word in named), list(words[len(named) :])


def program(words: Sequence[str]) -> str:
    return Path(words[0]).name if words else ""


# -- without running anything


def parsed(words: Sequence[str]) -> click.Context:
    """What click makes of the words behind ``chimera-batch``; nothing is run. Raises UsageError for what it refuses."""
    context = cli.make_context("chimera-batch", list(words), obj=Said(list(words)))
    command: click.Command = cli
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(command.name, rest, parent=context)
    return context


def takes_rehearse(words: Sequence[str]) -> bool:
    return any("--rehearse" in param.opts for param in parsed(words).command.params)


def understood(words: Sequence[str]) -> None:
    """Assert that a command is one that exists, with options that exist, as far as can be known without running it."""
    _, words = split_environment(words)
    name = program(words)
    if name == "chimera-batch":
        parsed(words[1:])
    elif name == "pip":
        _understood_pip(words)
    elif name.startswith("python") and "-m" in words[:2] and words[2].startswith("bench."):
        _options_in(ROOT / f"{words[2].replace('.', '/')}.py", words[3:])
    elif name.startswith("python") and len(words) > 1 and words[1].startswith(("scripts/", "bench/")):
        _options_in(ROOT / words[1], words[2:])
    elif name == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        assert set(words[1:]) <= {*targets}, words
    elif name in {"bash", "sh"} and words[1].startswith("scripts/"):
        assert (ROOT / words[1]).is_file(), words


def _understood_pip(words: Sequence[str]) -> None:
    """An extra that is asked for is one of pyproject.toml's."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        if asked := re.fullmatch(r"(?:chimera-batch|\.)\[(.*)\]", word):
            assert set(asked[1].split(",")) <= extras.keys(), word


def _options_in(path: Path, words: Sequence[str]) -> None:
    """Every option is a text in the source of the script, or of what the benchmarks share: what argparse is told."""
    source = path.read_text("utf-8") + _shared()
    unknown = [word for word in words if word.startswith("-") and f'"{word}"' not in source]
    assert not unknown, (path, unknown)


@cache
def _shared() -> str:
    return "".join(path.read_text("utf-8") for path in sorted((ROOT / "bench").glob("_*.py")))


def runnable(block: Block) -> None:
    """Assert that a block without a mark is one that a desk can run, and says what it is."""
    assert block.kind in {*SHELL, *TEXTS}, f"{block}: a block of `{block.kind}` is never run: mark it"
    named = block.kind or "chimera-batch " not in block.text
    assert named, f"{block}: say sh or console, so that it is run"
    for line in lines(block) if block.kind in SHELL else ():
        for words in commands(line.typed):
            name = program(split_environment(words)[1])
            assert name in {"", *HARMLESS, *OURS}, f"{block}: {name} is not run here: mark the block"


# -- running


@dataclass
class Desk:
    """A person at a keyboard: a folder, an environment, and what was typed so far."""

    folder: Path
    patch: pytest.MonkeyPatch
    done: dict[tuple[str, ...], str] = field(default_factory=dict)  # (folder, words …) of a rehearsal -> stdout
    names: dict[str, Any] = field(default_factory=dict)  # of the page's Python

    def __post_init__(self) -> None:
        self.home = self.folder

    @property
    def project(self) -> Path:
        """What the tutorial makes."""
        return self.home / "my-pipeline"

    def page(self, folder: Path) -> None:
        """A new page is read: back to where pages begin."""
        self.folder, self.names = folder, {"__name__": "__main__"}
        self.patch.chdir(folder)

    def run(self, block: Block) -> None:
        """Run a block in its way; AssertionError names the line that failed or showed something else."""
        runnable(block)
        self.patch.chdir(self.folder)
        if block.kind in SHELL:
            for line in lines(block):
                out = "".join(self.type(words, block) for words in commands(line.typed))
                assert alike(line.shown, out), f"{block}: {line.typed}\nthe page shows\n{line.shown}\nit printed\n{out}"
        elif block.kind == "python":
            self._python(block)
        elif block.kind == "sql":
            self.type(["chimera-batch", "query", block.text], block)
        elif block.kind == "yaml":
            fits(block)
        elif block.kind in {"json", "jsonl"}:
            for text in block.text.splitlines() if block.kind == "jsonl" else [block.text]:
                json.loads(text)
        elif block.kind == "toml":
            tomllib.loads(block.text)

    def type(self, words: Sequence[str], block: Block) -> str:
        """One command; what it says on stdout."""
        environment, words = split_environment(words[1:] if words[0] == "export" else words)
        for name, value in environment.items():
            self.patch.setenv(name, value)
        if not words:
            return ""
        name = program(words)
        if name == "chimera-batch":
            return self._ours(list(words[1:]), block)
        if name == "duckdb":
            return _duckdb(self.folder / words[1], words[2])
        if name == "cd":
            self.folder = (self.folder / words[1]).resolve()
            self.patch.chdir(self.folder)
            return ""
        ended = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{block}: {shlex.join(words)}\n{ended.stderr}"
        return ended.stdout

    def _ours(self, words: list[str], block: Block) -> str:
        """A ``rehearsed`` block does not type again what was typed in that folder: it would find nothing to do."""
        if block.rehearsed and "--rehearse" not in words and takes_rehearse(words):
            words.append("--rehearse")
        key = (str(self.folder), *sorted(words))
        if not block.rehearsed or key not in self.done:
            done = call(*words)
            assert done.code == 0, f"{block}: chimera-batch {shlex.join(words)}\n{done.out}\n{done.err}"
            assert done.out.strip(), f"{block}: chimera-batch {shlex.join(words)} says nothing"
            self.done[key] = done.out
        return self.done[key]

    def _python(self, block: Block) -> None:
        """Lines behind ``# > `` at a block's end are what it prints."""
        shown = re.search(r"((?:^# > .*\n)+)\Z", block.text, re.M)
        out = self._said(block.text)
        wanted = re.sub(r"^# > ", "", shown[1], flags=re.M) if shown else ""
        assert alike(wanted, out), f"{block} shows\n{wanted}\nit printed\n{out}"

    def _said(self, code: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, "<docs>", "exec"), self.names)
        return out.getvalue()


def alike(shown: str, printed: str) -> bool:
    """Whether a page shows what is printed: ``…`` is anything, alone on a line any lines; trailing blanks do not count.

    A page that shows nothing promises nothing.
    """
    if not shown.strip():
        return True
    pieces = re.split(r"(^…\n|…)", _trimmed(shown), flags=re.M)
    pattern = "".join("(?:.*\n)*" if piece == "…\n" else ".*" if piece == "…" else re.escape(piece) for piece in pieces)
    return re.fullmatch(pattern, _trimmed(printed)) is not None


def _trimmed(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def _duckdb(path: Path, sql: str) -> str:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        return str(connection.sql(sql))


# -- pieces of manifests


def fits(block: Block) -> None:
    """A piece of a manifest, laid into a whole one, is one that loads; its hosts are hosts."""
    said = parse(block.text, Path(block.page)).data or {}  # a comment is one too
    said = {"stages": said} if isinstance(said, list) else said
    assert isinstance(said, dict), block
    whole = {"run": "page", "stages": [{"name": "a_table", "sql": "a/b.sql"}], **said}
    whole["models"] = {**dict(_asked(whole["stages"])), **said.get("models", {})}
    sized = {name for stage in whole["stages"] for name in stage.get("rounds", {}).get("sized_by", [])}
    whole["params"] = {**dict.fromkeys(sized, 1), **said.get("params", {})}
    manifest, _ = manifests.check(parse(json.dumps(whole), Path("manifest.yaml")))
    known = profiles.builtin()
    made = {name: profiles.with_overrides(known.get(name), name, more) for name, more in manifest.providers.items()}
    asked = {choice.provider for choices in manifest.models.values() for choice in choices}
    assert asked <= {*known, *made}, f"{block}: {asked - {*known, *made}}"


def _asked(stages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for stage in stages:
        if "ask" in stage:
            stage.setdefault("prompt", "a/b.md")
            stage.setdefault("rows", "a/b.sql")
            yield stage["ask"], {"provider": "openai", "model": "gpt-6-luna"}
