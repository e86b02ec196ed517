"""A run under cron: no terminal, no HOME, a short PATH and the C locale; and steps that would overlap."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from chimera_batch import settings, turns
from tests.cli_kit import project
from tests.conftest import ROOT


def step(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """What cron does with ``cd FOLDER && python -m chimera_batch advance tiny.yaml --rehearse --quiet``."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C",
        "PYTHONPATH": str(ROOT),
        "CHIMERA_CACHE": str(folder / "cache"),
        "CHIMERA_STATE": str(folder / "state"),
    }
    words = [sys.executable, "-m", "chimera_batch", "advance", "tiny.yaml", "--rehearse", "--quiet"]
    return subprocess.run(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_a_run_comes_to_its_end_under_cron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = project(tmp_path)
    manifest.write_text(manifest.read_text("utf-8") + "rehearsal: {speed: 100000}\n", encoding="utf-8")
    (tmp_path / "prompts" / "tiny" / "ask.md").write_text("<!-- user -->\nSag „{{ word }}“, 数.\n", encoding="utf-8")
    monkeypatch.setenv("CHIMERA_STATE", str(tmp_path / "state"))
    with turns.at_work(manifest, None, rehearse=True, gives_way=True):  # the step before is still at work
        assert settings.state_dir() == tmp_path / "state"
        second = step(tmp_path)
    assert (second.returncode, second.stdout) == (5, b"")
    assert second.stderr.startswith(b"not finished yet: tiny.yaml: another command is at work on it")
    assert len(second.stderr.splitlines()) == 2
    assert not (tmp_path / "runs").exists()
    codes = []
    for _ in range(10):
        codes.append((done := step(tmp_path)).returncode)
        assert codes[-1] in {0, 5}, done.stderr
        if codes[-1] == 0:
            break
        time.sleep(1)
    assert codes[0] == 5 and codes[-1] == 0, "it was sent, then collected"
