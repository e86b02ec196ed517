"""Every command block of README.md and docs/ works: typed in a rehearsal, or parsed where that cannot be.

The pages share one project, which the tutorial makes; what it rehearsed the others find. Which blocks are not run, and
why, is said in the pages themselves (``docs_kit``); how many they are is said here, so that none slips away.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from chimera_batch import api
from tests import docs_kit
from tests.conftest import ROOT
from tests.docs_kit import PAGES, SHELL, Block, Desk, alike, blocks

EVERY = [block for path in PAGES for block in blocks(path)]
NOT_RUN = {
    "README.md": 2,
    "docs/cli.md": 3,
    "docs/export.md": 3,
    "docs/how-to-cron.md": 2,
    "docs/how-to-s3.md": 2,
    "docs/laptop.md": 1,
    "docs/local-models.md": 1,
    "docs/money.md": 1,
    "docs/prices.md": 1,
    "docs/python.md": 3,
    "docs/ray.md": 1,
    "docs/releasing.md": 1,
    "docs/report.md": 1,
    "docs/taxonomy.md": 1,
    "docs/your-own-pipeline.md": 1,
}
"""Blocks that nothing runs, by page: real bills, GPUs, browsers, installers. Benchmarks are not counted."""

TUTORIAL = "docs/tutorial.md"
OTHERS = {"docs/better-data.md", "docs/how-to-hosts.md", "docs/your-own-pipeline.md"}
"""They run other manifests, of which the last is the last run of the folder from then on."""
IN_TURN = [TUTORIAL, *sorted({block.page for block in EVERY} - {TUTORIAL, *OTHERS}), *sorted(OTHERS)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An empty folder, with caches of its own."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        yield Desk(folder, patch)


def test_the_page_about_python_names_every_function() -> None:
    functions = {name for name, one in inspect.getmembers(api, inspect.isfunction) if one.__module__ == api.__name__}
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").partition("## All functions")[2]
    assert {name for name in functions if not name.startswith("_")} <= set(re.findall(r"`(\w+)`", page))


@pytest.mark.slow
@pytest.mark.parametrize("page", IN_TURN)
def test_a_page_can_be_typed_from_the_top(page: str, desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    for what in ("CACHE", "STATE"):  # after the fixture that gives every test its own
        desk.patch.setenv(f"CHIMERA_{what}", str(base / f"docs-{what.lower()}"))
    if page == TUTORIAL:
        desk.page(desk.home)
    else:
        assert (desk.project / "runs").is_dir(), "the tutorial comes first and makes the project"
        desk.page(desk.project)
    for block in EVERY:
        if block.page == page and not (block.reason or block.elsewhere or block.benchmark):
            desk.run(block)


def test_what_has_no_mark_can_be_run() -> None:
    for block in EVERY:
        if not (block.reason or block.elsewhere or block.benchmark):
            docs_kit.runnable(block)


def test_what_is_not_run_is_counted() -> None:
    assert Counter(block.page for block in EVERY if block.reason and not block.benchmark) == NOT_RUN


def test_benchmarks_are_known_by_what_they_are() -> None:
    def benchmark(text: str) -> bool:
        return Block("page.md", 1, "sh", text).benchmark

    assert benchmark("python -m bench.nights --seed 1   # hours\npip install -e '.[bench]' && python -m bench.growth\n")
    assert not benchmark("python -m bench.nights\nchimera-batch status\n")
    assert not benchmark("pip install -e '.[bench]'\n")


@pytest.mark.parametrize("page", sorted({block.page for block in EVERY if block.kind in SHELL}))
def test_every_line_is_one_that_exists(page: str) -> None:
    for block in EVERY:
        if block.page == page and block.kind in SHELL:
            for line in docs_kit.lines(block):
                for words in docs_kit.commands(line.typed):
                    docs_kit.understood(words)


def test_what_another_test_runs_is_known_to_it() -> None:
    for page, test in {(block.page, block.elsewhere) for block in EVERY if block.elsewhere}:
        source = (ROOT / test).read_text(encoding="utf-8")
        assert Path(page).name in source, (page, test)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_in_sentences_exist(path: Path) -> None:
    """`chimera-batch …` between single backquotes, unless something is left out of it."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    for line in re.findall(r"(?<!`)`(chimera-batch [^`\n]+)`(?!`)", re.sub(r"^#.*$", "", text, flags=re.M)):
        if not re.search(r"[…\[|]|COMMAND", line):
            for words in docs_kit.commands(line):
                with contextlib.suppress(click.MissingParameter, click.exceptions.Exit):  # a command's name; --version
                    docs_kit.understood(words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert "://" in target or (path.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PAGES[2:]:
        assert path.relative_to(ROOT).as_posix() in readme, path


# -- the runner itself


def page_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    monkeypatch.setattr(docs_kit, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return blocks(path)


def test_marks_are_read_and_false_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "<!-- not run: needs a GPU or two -->\n```sh\nls\n```\n\n<!-- rehearsed -->\n```sh\nls\n```\n\n```sql\nS\n```\n"
    )
    first, second, third = page_of(tmp_path, text, monkeypatch)
    assert (first.reason, second.rehearsed, third.reason, third.line) == ("needs a GPU or two", True, None, 11)
    for mark in ("not run", "not run: no", "runs", "run by test_x.py"):
        with pytest.raises(AssertionError, match="no such mark"):
            page_of(tmp_path, f"<!-- {mark} -->\n```sh\nls\n```\n", monkeypatch)


@pytest.mark.parametrize(
    "line",
    ["chimera-batch runn x.yaml", "chimera-batch run x.yaml --rehearsed", "chimera-batch run", "make everything",
     "pip install 'chimera-batch[gpu]'", "python -m bench.package --fast"],
)  # fmt: skip
def test_a_line_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        docs_kit.understood(docs_kit.commands(line)[0])


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("$ ls\nsomething else\n", "console", "the page shows"),
        ("$ curl http://example.org\n", "console", "curl is not run here"),
        ("ls no-such-file\n", "sh", "no-such-file"),
        ("print(1)\n# > 2\n", "python", "it printed\n1"),
        ("whatever\n", "text", "is never run: mark it"),
        ("chimera-batch status\n", "", "say sh or console"),
        ("models:\n  m: {provider: nobody, model: x}\n", "yaml", "nobody"),
    ],
)
def test_a_block_that_does_not_work_is_found(tmp_path: Path, text: str, kind: str, match: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        one = Desk(tmp_path, patch)
        one.page(tmp_path)
        with pytest.raises(AssertionError, match=match):
            one.run(Block("page.md", 1, kind, text))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("", "anything\n", True),
        ("a  \nb\n", "a\nb  \n", True),
        ("a\n", "a\nb\n", False),
        ("…\nb\n", "a\nb\n", True),
        ("…\nb\n", "b\n", True),
        ("b\n…\n", "b\n", True),
        ("b\n…\nd\n", "b\nc\nc\nd\n", True),
        ("b\n…\nd\n", "b\nc\n", False),
        ("a … c\n", "a 12.5 c\n", True),
        ("a … c\n", "a\nc\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_is_left_out_of_an_output(shown: str, printed: str, same: bool) -> None:
    assert alike(shown, printed) is same
