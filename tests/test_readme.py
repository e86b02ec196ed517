"""What README.md promises on a fresh machine: its first block, typed verbatim into a clean clone, and the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = {
    "Mathematics", "Computer Science", "Chemistry", "Physics", "Literature", "History", "Biology", "Linguistics",
}  # fmt: skip
QUERY = "SELECT subject, count(*) AS rows FROM dataset GROUP BY 1"
MINUTES = 5


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


@pytest.mark.slow
def test_the_first_block_in_a_clean_clone(clone: Path) -> None:
    said = type_in(blocks()[0], clone)
    assert all(subject in said for subject in SUBJECTS)
    counts = answered(clone / ".venv" / "bin" / "chimera-batch", clone)
    assert counts.keys() == SUBJECTS
    assert min(counts.values()) >= 3
    left = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert left.stdout == ""  # what it makes is ignored


@pytest.mark.slow
def test_the_wheel_in_an_empty_folder(clone: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    type_in(f'python3 -m venv ../venv && ../venv/bin/pip wheel --quiet --no-deps -w ../dist "{clone}"', work)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("manifests", "prompts", "sql"):
        files = [path.relative_to(clone).as_posix() for path in (clone / folder).rglob("*") if path.is_file()]
        assert {f"chimera_batch/shipped/{name}" for name in files} <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or "__pycache__" in name]
    data = {path.relative_to(clone).as_posix() for path in (clone / "chimera_batch").rglob("*.toml")}
    assert data <= names

    type_in(f"../venv/bin/pip install --quiet {wheel}", work)
    program = tmp_path / "venv" / "bin" / "chimera-batch"
    type_in(f'"{program}" init .', work)
    assert (work / "manifests" / "quickstart.yaml").read_bytes() == (clone / "manifests/quickstart.yaml").read_bytes()
    type_in(f'"{program}" run manifests/quickstart.yaml --rehearse', work)
    assert answered(program, work).keys() == SUBJECTS
