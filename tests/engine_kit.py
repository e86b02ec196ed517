"""Engines for tests: a fake vLLM in a package of its own, and the real one where it is installed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.engines import Server, kernel, serve, vllm
from chimera_batch.providers.base import Engine
from tests.conftest import ROOT

FORM = "entrypoints/launchers/api_server/entry.py"
OLDER_FORM = "entrypoints/openai/api_server.py"


class FakeVllm:
    """A folder on PYTHONPATH that holds the fake, and what it is told to do."""

    def __init__(self, folder: Path, *, form: str = FORM, distribution: str = "vllm") -> None:
        self.folder, self.told = folder, folder / "told.json"
        module = folder / "vllm" / form
        for package in (module.parent, *module.parent.relative_to(folder).parents):
            (folder / package).mkdir(parents=True, exist_ok=True)
        for package in [module.parent, *module.parent.parents]:
            if package.is_relative_to(folder / "vllm"):
                (package / "__init__.py").touch()
        shutil.copy(ROOT / "tests" / "fake_vllm.py", module)
        metadata = folder / f"{distribution.replace('-', '_')}-9.9.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 9.9\n")
        self.tell()

    def tell(self, **what: Any) -> None:
        """Change what it does, now and at the next start."""
        new = self.told.with_suffix(".new")
        new.write_text(json.dumps(what))
        new.replace(self.told)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let interpreters that are started from now on find it."""
        monkeypatch.setenv("PYTHONPATH", str(self.folder))
        monkeypatch.setenv("FAKE_VLLM", str(self.told))

    @property
    def starts(self) -> list[dict[str, Any]]:
        """One object for each start: pid, worker, argv, secrets, port."""
        return self._lines("starts.jsonl")

    @property
    def answered(self) -> list[dict[str, Any]]:
        """One object for each answer: prompt, pid."""
        return self._lines("answered.jsonl")

    @property
    def asked(self) -> list[dict[str, Any]]:
        """One object for each question: prompt, pid."""
        return self._lines("asked.jsonl")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def end(self) -> None:
        """Whatever a failed test left."""
        for start in self.starts:
            for pid in (start["pid"], start["worker"]):
                if kernel.mark_of(pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)


def make_fake(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[FakeVllm]:
    """The body of a fixture."""
    fake = FakeVllm(folder, **options)
    fake.use(monkeypatch)
    vllm.installed.cache_clear()
    yield fake
    vllm.installed.cache_clear()
    fake.end()


class Room:
    """Servers in one state folder, closed at the end of the test; ``said`` is what they told the person."""

    def __init__(self, state: Path) -> None:
        self.state, self.said = state, list[str]()
        self._open: list[Server] = []

    def serve(self, name: str = "vllm", **fields: Any) -> Server:
        chosen = {"python": sys.executable, "start_s": 20, **fields}
        server = serve(Engine("vllm", **chosen), name, self.state, self.said.append)
        self._open.append(server)
        return server

    def log(self, name: str = "vllm") -> Path:
        return self.state / "engines" / name / "server.log"

    def close(self) -> None:
        for server in self._open:
            server.close()


def runs(pid: int) -> bool:
    return kernel.look(pid) is not None


def eventually(check: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it holds; a failed assertion shows what did not."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One real engine at a time on this machine, whichever worker has its tests: each takes its gigabytes."""
    with (tmp_path_factory.getbasetemp().parent / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def vllm_python() -> str:
    """The interpreter that has a real vLLM; skips the test loudly where there is none."""
    named = _REAL or str(ROOT / ".venv-vllm" / "bin" / "python")
    if not Path(named).exists():
        pytest.skip(
            "vLLM is not installed: CHIMERA_VLLM_PYTHON=…/bin/python, or .venv-vllm beside the sources (.ci/run)"
        )
    return named


_REAL = os.environ.get("CHIMERA_VLLM_PYTHON", "")  # read before conftest takes it away


def tiny_model(folder: Path, *size: int) -> Path:
    """A model of random weights, made by the engine's interpreter; see tests/tiny_model.py."""
    command = [vllm_python(), str(ROOT / "tests" / "tiny_model.py"), str(folder), *map(str, size)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder
