"""What README.md promises on a fresh machine: its first block, typed verbatim into a clean clone, and the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import release_check

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = {
    "Mathematics", "Computer Science", "Chemistry", "Physics", "Literature", "History", "Biology", "Linguistics",
}  # fmt: skip
QUERY = "SELECT subject, count(*) AS rows FROM dataset GROUP BY 1"
MINUTES = 20  # a machine that does other things too


def blocks() -> list[str]:
    """The fenced ``sh`` blocks of README.md, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def type_in(line: str, folder: Path) -> str:
    """What a shell prints for it, with a plain user's environment: no keys, no settings of ours, this Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHIMERA_", "PYTHON", "VIRTUAL"))}
    path = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**kept, "PATH": path, "COLUMNS": "200"}
    environment |= {f"CHIMERA_{what}": str(folder.parent / what.lower()) for what in ("CACHE", "STATE")}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MINUTES * 60,
        check=False,
    )
    assert ended.returncode == 0, (
        f"{line}\nended with {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    )
    return ended.stdout


def answered(program: Path, folder: Path) -> dict[str, int]:
    rows = json.loads(type_in(f'"{program}" query --format json "{QUERY}"', folder))
    return {row["subject"]: row["rows"] for row in rows}


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second, *_ = blocks()
    assert "run manifests/quickstart.yaml --rehearse" in first
    assert "pytest" in second
    for block in (first, second):
        assert block.count("\n") == 1  # one line to type
        assert block.startswith("python3 -m venv .venv && ")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, and nothing else that lies here."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is not a git checkout")
    folder = tmp_path_factory.mktemp("fresh") / "chimera-batch"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def said(clone: Path) -> str:
    """What the first block prints; it leaves an environment that has what the project asks for, and nothing else."""
    return type_in(blocks()[0], clone)


@pytest.mark.slow
def test_the_first_block_in_a_clean_clone(clone: Path, said: str) -> None:
    assert all(subject in said for subject in SUBJECTS)
    counts = answered(clone / ".venv" / "bin" / "chimera-batch", clone)
    assert counts.keys() == SUBJECTS
    assert min(counts.values()) >= 3
    left = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert left.stdout == ""  # what it makes is ignored


@pytest.mark.slow
def test_the_wheel_in_an_empty_folder(clone: Path, said: str, tmp_path: Path) -> None:
    """Built by way of the sdist and installed over the clone, whose environment has what it needs and nothing else.

    The two-stage pipeline is run from it, with files that came inside; ``make release-check`` runs the quickstart.
    """
    home, work = clone / ".venv" / "bin", tmp_path / "work"
    work.mkdir()
    type_in(
        f'"{home}/pip" install --quiet "build>=1.2,<2" && "{home}/python" -m build --outdir ../dist "{clone}"', work
    )
    (wheel,), (sdist,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    release_check.check_archives(clone, wheel, sdist)

    type_in(f'"{home}/pip" install --quiet --force-reinstall --no-deps {wheel} && "{home}/pip" check', work)
    program = home / "chimera-batch"
    type_in(f'"{program}" init .', work)
    assert (work / "manifests" / "quickstart.yaml").read_bytes() == (clone / "manifests/quickstart.yaml").read_bytes()
    type_in(f'"{program}" check manifests/quickstart.yaml --rehearse', work)
    type_in(f'"{program}" run manifests/reviews.yaml --rehearse', work)
    (found,) = json.loads(type_in(f'"{program}" query --format json "SELECT count(*) AS rows FROM classified"', work))
    assert found["rows"] > 0
