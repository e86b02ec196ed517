"""Whole runs on an engine that the run starts, through the command line. The engine is a fake process."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.engine_kit import FakeVllm, eventually, make_fake, runs
from tests.local_kit import LocalRun, local_run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVllm]:
    yield from make_fake(tmp_path / "fake", monkeypatch)


@dataclass(frozen=True)
class Managed(LocalRun):
    """A project whose engine is the fake."""

    fake: FakeVllm

    def environment(self, **more: str) -> dict[str, str]:
        paths = {"PYTHONPATH": f"{ROOT}:{self.fake.folder}", "FAKE_VLLM": str(self.fake.told)}
        return super().environment(**paths, **more)


def managed(folder: Path, fake: FakeVllm, rows: int, **engine: object) -> Managed:
    said = {"kind": "vllm", "python": sys.executable, "max_num_seqs": 2, "start_s": 30, **engine}
    provider = "{engine: {" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}}"
    return Managed(local_run(folder, provider, [f"q{n}" for n in range(rows)], model="org/m").folder, fake)


def texts(run: Managed) -> list[str]:
    return [row["text"] for row in run.query("SELECT text FROM one ORDER BY row_key")]


def wanted(rows: int) -> list[str]:
    return [f"q{n} is {sum(map(ord, f'q{n}'))}" for n in range(rows)]


def test_the_engine_lives_as_long_as_the_run(tmp_path: Path, fake: FakeVllm) -> None:
    fake.tell(start=0.3)
    run = managed(tmp_path, fake, 12)
    document = run.json("run", str(run.manifest), "--yes")
    assert document["stages"][0]["outcomes"] == {"ok": 12} and texts(run) == wanted(12)
    (start,) = fake.starts
    assert not runs(start["pid"]) and not runs(start["worker"])
    told = run.json("trace", str(run.manifest), "k000000")["steps"][-1]["results"][0]["raw_line"]
    assert '"engine":"vllm"' in told and '"version":"9.9"' in told and "--max-num-seqs 2" in told
    run.json("run", str(run.manifest), "--yes")  # nothing is missing: nothing is started
    assert len(fake.starts) == 1


def test_a_killed_run_finds_its_engine_again_and_asks_only_what_is_missing(tmp_path: Path, fake: FakeVllm) -> None:
    fake.tell(answer=0.15)
    run = managed(tmp_path, fake, 24)
    first = run.start("run", str(run.manifest), "--yes")
    try:
        eventually(lambda: len(fake.answered) >= 8, 60)
    finally:
        first.kill()
        first.communicate(timeout=60)
    assert runs(fake.starts[0]["pid"])
    done = run.cli("run", str(run.manifest), "--yes")
    assert "used again" in done.err and len(fake.starts) == 1
    assert texts(run) == wanted(24)
    assert not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])
    asked = Counter(one["prompt"] for one in fake.answered)
    assert len(asked) == 24 and sum(asked.values()) <= 24 + 4 + 4, (
        "what was under way, and the last group before its sync"
    )


def test_an_engine_that_dies_in_mid_shard_comes_back(tmp_path: Path, fake: FakeVllm) -> None:
    fake.tell(answer=0.1)
    run = managed(tmp_path, fake, 20)
    first = run.start("run", str(run.manifest), "--yes")
    try:
        eventually(lambda: len(fake.answered) >= 6, 60)
        os.kill(fake.starts[0]["pid"], signal.SIGKILL)
        said, _ = first.communicate(timeout=90)
    finally:
        first.kill()
    assert first.returncode == 0, said
    assert "started again" in said and len(fake.starts) == 2 and texts(run) == wanted(20)
    assert not any(runs(start["worker"]) for start in fake.starts)


def test_an_engine_that_cannot_start_stops_the_run_with_its_words(tmp_path: Path, fake: FakeVllm) -> None:
    fake.tell(dies={"words": "RuntimeError: No CUDA GPUs are available", "code": 1})
    run = managed(tmp_path, fake, 6)
    done = run.cli("run", str(run.manifest), "--yes", code=2)
    assert "No CUDA GPUs are available" in done.err and "server.log" in done.err and "nvidia-smi" in done.err
    assert len(fake.starts) == 1 and fake.answered == []
    fake.tell()  # the GPU is there now
    run.json("run", str(run.manifest), "--yes")
    assert texts(run) == wanted(6)


@pytest.mark.parametrize(
    ("told", "number"),
    [({"start": 600}, signal.SIGINT), ({"hang": True}, signal.SIGTERM)],
    ids=["while it starts", "while it answers"],
)
def test_a_run_that_is_interrupted_takes_its_engine_along(
    tmp_path: Path, fake: FakeVllm, told: dict[str, object], number: signal.Signals
) -> None:
    fake.tell(**told)
    run = managed(tmp_path, fake, 6, start_s=600)  # nothing but the signal ends it
    first = run.start("run", str(run.manifest), "--yes")
    try:
        eventually(lambda: fake.starts, 60)
        if "hang" in told:
            eventually(lambda: fake.asked, 60)
        first.send_signal(number)
        first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    assert not runs(fake.starts[0]["pid"]) and not runs(fake.starts[0]["worker"])
