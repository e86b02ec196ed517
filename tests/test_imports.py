"""What a command may load: the budget of its start, by module and not by the clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support import bench, write_project

ASIDE = """
import sys
from chimera_batch.cli import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print(" ".join(sys.modules), file=sys.stderr)
"""
PARSING = {"click"}
READING = PARSING | {"yaml", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
DATABASE = {"duckdb", "numpy", "pytz"}
SITE = {"sitecustomize", "usercustomize"}
"""What a machine loads into every Python."""
STANDARD = sys.stdlib_module_names | {"__main__", "cython_runtime"}
ENGINE = {"render", "template", "drawing", "planning", "standing", "joining", "submitting", "collecting", "runner"}
HOSTS = {"openai", "anthropic", "httpx", "httpx2", "boto3", "botocore", "jinja2", "toktok", "quicktok", "rich"} | (
    {"fastjsonschema", "msgspec"}
)


def loaded(*words: str) -> set[str]:
    """The modules of a process that ran one command line: our own in full, of others the package."""
    line = [sys.executable, "-c", ASIDE, *words]
    done = subprocess.run(
        line, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    names = done.stderr.splitlines()[-1].split()
    return {name if name.startswith("chimera_batch") else name.partition(".")[0] for name in names}


def foreign(names: set[str]) -> set[str]:
    """Packages that are neither ours nor Python's."""
    return {name for name in names if not name.startswith(("chimera_batch", "_"))} - STANDARD - SITE


def ours(names: set[str]) -> set[str]:
    return {name.removeprefix("chimera_batch.") for name in names if name.startswith("chimera_batch.")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small run that is done."""
    folder = tmp_path_factory.mktemp("finished")
    one = bench(write_project(folder))
    one.go()
    one.host.answer("batch-1", lambda line: _answer(line["custom_id"]))
    assert one.go().done
    return folder / "tiny.yaml"


def _answer(identity: str) -> bytes:
    from tests.support import answered

    return answered(identity)


def test_help_parses_words_and_nothing_else() -> None:
    names = loaded("--help")
    assert foreign(names) == PARSING
    assert {name for name in ours(names) if not name.startswith("cli")} == {"errors"}


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--version"], ["run", "--help"], ["query", "--help"], ["prices", "--help"]])
def test_so_does_the_help_of_a_command(words: list[str]) -> None:
    assert foreign(loaded(*words)) == PARSING


def test_status_reads_facts_and_needs_no_database(finished: Path) -> None:
    words = ["status", str(finished), "--price", "openai/tiny-1=1,1"]
    first = loaded(*words)
    assert foreign(first) & DATABASE, "it counts once"
    again = loaded(*words)
    assert foreign(again) <= READING, "and remembers: whatever else is loaded here costs every status"
    assert not ours(again) & (ENGINE | {"warehouse", "endpoints", "rehearsal"})


def test_a_query_takes_the_database_and_no_host(finished: Path) -> None:
    names = loaded("query", "-m", str(finished), "SELECT count(*) FROM one", "--price", "openai/tiny-1=1,1")
    assert "duckdb" in foreign(names)
    assert not foreign(names) & HOSTS


@pytest.mark.parametrize(
    ("code", "often"),
    [("from chimera_batch.__main__ import main; main()", False), ("import chimera_batch.api", True)],
    ids=["command line", "library"],
)
def test_only_the_command_line_sets_how_often_garbage_is_looked_for(code: str, often: bool) -> None:
    told = (
        "import atexit, gc; usual = gc.get_threshold();"
        f" atexit.register(lambda: print(gc.get_threshold() == usual)); {code}"
    )
    line = [sys.executable, "-c", told, "--version"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == str(often)
