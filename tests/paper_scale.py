"""One run of ``bench/paper_scale.py`` for all slow tests that look at it, as a fixture: write
``pytest_plugins = ["tests.paper_scale"]`` in a test module. It takes a minute and a half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paper:
    """A finished run: its store, and what the benchmark said of it."""

    store: Path
    document: dict[str, Any]
    code: int

    @property
    def packed(self) -> list[Path]:
        """The objects that hold the requests."""
        return sorted((self.store / "rehearsal" / "requests").glob("*/*.jsonl.zst"))


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    store = tmp_path_factory.mktemp("paper") / "store"
    line = [sys.executable, "-m", "bench.paper_scale", "--json", "--store", str(store)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHIMERA_")}
    ended = subprocess.run(line, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=900)
    assert ended.stdout, ended.stderr[-3000:]
    return Paper(store, json.loads(ended.stdout.splitlines()[-1]), ended.returncode)
