"""What a shell completes, and that real shells take the script."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from chimera_batch.cli import cli
from chimera_batch.cli.editors import SHELLS, VARIABLE
from chimera_batch.cli.said import Said
from chimera_batch.pipeline.manifest import load
from tests.cli_kit import call, project
from tests.conftest import ROOT


def offered(*words: str) -> list[str]:
    """What is offered for the last of the words."""
    *before, typed = words
    made = ShellComplete(cli, {"obj": Said()}, "chimera-batch", VARIABLE)
    return [item.value for item in made.get_completions(list(before), typed) if item.type == "plain"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "big.yaml").write_bytes((ROOT / "manifests" / "chimera.yaml").read_bytes())
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "sql" / "queries").mkdir()
    (tmp_path / "sql" / "queries" / "costly.sql").write_text("-- What was dear.\nSELECT 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_options() -> None:
    assert offered("e") == ["estimate", "export"]
    assert "--rehearse" in offered("run", "m.yaml", "--re")
    assert offered("export", "m.yaml", "d", "--format", "p") == ["parquet"]
    assert offered("completion", "") == list(SHELLS)


@pytest.mark.usefixtures("here")
def test_manifests_of_this_folder_and_of_manifests() -> None:
    assert offered("run", "") == ["manifests/big.yaml", "tiny.yaml"]  # compose.yaml is no run
    assert offered("run", "man") == ["manifests/big.yaml"]
    assert offered("status", "manifests/b") == ["manifests/big.yaml"]
    assert offered("query", "-m", "t") == ["tiny.yaml"]
    assert offered("run", "elsewhere/") == [], "the shell's own files"


def test_stages_of_the_manifest_that_stands_before(here: Path) -> None:
    every = [stage.name for stage in load(here / "manifests" / "big.yaml")[0].stages]
    assert offered("run", "manifests/big.yaml", "--until", "") == every
    assert offered("retry", "manifests/big.yaml", "--stage", "verd") == ["verdict_a", "verdict_b"]
    assert offered("pilot", "tiny.yaml", "--stage", "") == ["answers_of"]
    assert offered("run", "none.yaml", "--until", "") == []


@pytest.mark.usefixtures("here")
def test_named_queries() -> None:
    assert {"@costs", "@costly", "@funnel"} <= set(offered("query", "@"))
    assert offered("query", "@cost") == ["@costly", "@costs"]
    assert offered("query", "") == ["@"]
    assert offered("query", "SELECT") == []
    made = ShellComplete(cli, {"obj": Said()}, "chimera-batch", VARIABLE)
    (one,) = made.get_completions(["query"], "@costly")
    assert one.help == "What was dear."


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script(shell: str) -> None:
    said = call("completion", shell, "--json").document
    assert said["shell"] == shell
    assert f"{VARIABLE}={shell}_complete" in said["script"]
    assert call("completion", shell).out.endswith(said["script"] + "\n")
    assert said["next"] in call("completion", shell).out


def in_shell(shell: str, folder: Path, script: str) -> str:
    """What a shell prints that has our command on its path."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = folder / "bin" / "chimera-batch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chimera_batch "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow  # a shell that starts us three times
def test_bash_completes(here: Path) -> None:
    script = """
    eval "$(chimera-batch completion bash)"
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _chimera_batch_completion chimera-batch
            printf '%s ' "${COMPREPLY[@]}"; echo; }
    ask chimera-batch run manifests/big.yaml --until verd
    ask chimera-batch query @costl
    case $COMP_WORDBREAKS in *@*) exit 3;; esac
    """
    assert in_shell("bash", here, script).split() == ["verdict_a", "verdict_b", "@costly"]


@pytest.mark.slow  # see above
def test_fish_completes(here: Path) -> None:
    script = "chimera-batch completion fish | source; complete -C 'chimera-batch query @costl'"
    assert in_shell("fish", here, script).split()[0] == "@costly"


@pytest.mark.slow  # see above
def test_zsh_takes_the_script(here: Path) -> None:
    in_shell("zsh", here, 'autoload -U compinit; compinit -D; eval "$(chimera-batch completion zsh)"')


LIGHT = """
import sys
sys.argv = ["chimera-batch"]
from chimera_batch.__main__ import main
try:
    main()
finally:
    heavy = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
    sys.stderr.write(" ".join(sorted(heavy)))
"""


@pytest.mark.slow  # a process of its own
def test_a_key_stroke_imports_click_alone(here: Path) -> None:
    words = {"COMP_WORDS": "chimera-batch query @fun", "COMP_CWORD": "2", VARIABLE: "bash_complete"}
    environment = {**os.environ, **words, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, cwd=here, env=environment, check=False
    )
    assert done.stdout.splitlines() == ["plain,@funnel"]
    assert {"pydantic", "duckdb", "yaml", "rich", "polars", "jinja2"}.isdisjoint(done.stderr.split())
    assert {"chimera_batch", "click"} <= set(done.stderr.split())
