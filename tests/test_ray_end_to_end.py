"""Whole runs over Ray jobs, as typed: answers, the bill by the hour, a killed driver, a missing one, a rehearsal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimera_batch.engines import kernel, record
from chimera_batch.providers.ray import RayProvider
from tests import ray_kit
from tests.cli_kit import Called, call, project
from tests.conftest import ROOT
from tests.engine_kit import eventually
from tests.ray_kit import Jobs

HOURLY = 'usd_per_hour = "3.60"\ninput_tokens_per_second = "1000"\noutput_tokens_per_second = "100"\n'


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.05")
    yield from ray_kit.jobs(tmp_path)


def manifest(jobs: Jobs, folder: Path, *, words: int = 3, **engine: Any) -> Path:
    """A project of so many questions, asked of a Ray job, on a machine of a tenth of a cent a second."""
    path = project(folder)
    rows = f"-- Words.\n-- reads: nothing\nSELECT 'w' || n AS row_key, 'w' || n AS word FROM range({words}) t(n)\n"
    (folder / "sql" / "tiny" / "rows.sql").write_text(rows)
    (folder / "prices.toml").write_text(f'[[price]]\nprovider = "ray"\nmodel = "tiny"\n{HOURLY}')
    said = yaml.safe_load(path.read_text())
    made = {"kind": "ray", "python": jobs.python, "folder": str(jobs.folder), "block": 2, "restarts": 1, **engine}
    said |= {"providers": {"ray": {"engine": made}}, "prices": "prices.toml"}
    said["models"] = {"m": {"provider": "ray", "model": "tiny", "max_output_tokens": 40}}
    path.write_text(yaml.safe_dump(said))
    return path


def run(path: Path, *more: str) -> Called:
    return call("--json", "run", path, "--yes", *more)


def answers(path: Path) -> dict[str, str]:
    got = call("query", "-m", path, "SELECT row_key, text FROM answers_of", "--format", "json")
    return {row["row_key"]: row["text"] for row in json.loads(got.out)}


def expected(words: int) -> dict[str, str]:
    return {f"w{n}": f"Say w{n}."[::-1] for n in range(words)}


def test_a_run_is_answered_billed_by_the_hour_and_cleaned(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, flags={"pause": 0.2})
    done = run(path)
    assert done.code == 0, done.err
    assert answers(path) == expected(3)
    (stage,) = done.document["stages"]
    (job,) = jobs.folder.iterdir()
    assert stage["answered"] == 3
    spent = Decimal(str(stage["usd_spent"]))  # two pauses are 0.4 s at 0.1 cents each
    assert Decimal("0.0004") <= spent < Decimal("0.02")
    assert {left.name for left in job.iterdir()} == {"job.json", "end.json", "progress.json"}
    again = run(path)
    assert again.code == 0 and len(list(jobs.folder.iterdir())) == 1
    raw = call("--json", "trace", path, "w1")
    assert raw.code == 0 and "vllm on ray" in raw.out


def test_a_detached_run_is_collected_later(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, flags={"pause": 0.3})
    assert run(path, "--detach").code == 5
    (job,) = jobs.folder.iterdir()
    eventually((job / "end.json").exists)
    assert call("advance", path).code == 0
    assert answers(path) == expected(3)


def test_runner_and_driver_killed_in_mid_job(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered before is not asked again, and nothing that was under way is lost."""
    path = manifest(jobs, tmp_path, words=11, flags={"hang_after": 2})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "chimera_batch", "run", str(path), "--yes"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as runner:
        part = "*/part-1.jsonl"
        eventually(lambda: any(p.read_bytes().count(b"\n") == 3 for p in jobs.folder.glob(part)))
        os.kill(runner.pid, signal.SIGKILL)
    (job,) = jobs.folder.iterdir()
    found = record.load(job)
    assert found is not None and kernel.look(found.pid) is not None  # it outlived the runner
    os.kill(found.pid, signal.SIGKILL)
    asked = {json.loads(line)["custom_id"] for line in (job / "part-1.jsonl").read_bytes().splitlines()}
    monkeypatch.setattr(RayProvider, "discard", lambda _provider, _files: None)
    done = run(path)
    assert done.code == 0, done.err
    assert answers(path) == expected(11)
    second = {json.loads(line)["custom_id"] for line in (job / "part-2.jsonl").read_bytes().splitlines()}
    assert len(asked) == 3 and len(second) == 8 and not asked & second


def test_a_cancelled_run_keeps_what_its_job_had_answered(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, words=7, flags={"hang_after": 2})
    assert run(path, "--detach").code == 5
    (job,) = jobs.folder.iterdir()
    eventually(lambda: sum(part.read_bytes().count(b"\n") for part in job.glob("part-*.jsonl")) == 3)
    found = record.load(job)
    assert found is not None
    assert call("--json", "cancel", path).code == 0
    call("--json", "advance", path)
    assert kernel.look(found.pid) is None
    (stage,) = call("--json", "status", path).document["stages"]
    assert (stage["answered"], stage["in_flight"]) == (3, 0)
    assert run(path).code == 0  # two blocks are left: too few to hang after
    assert answers(path) == expected(7)


OOM = {"raise_after": 0, "bad_drivers": 9, "says": "CUDA out of memory. Tried"}


def test_a_job_that_is_given_up_is_said_with_the_engines_own_words(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, flags=OOM)
    done = run(path)
    assert done.code == 2 and len(list(jobs.folder.glob("*/job.json"))) <= 1
    assert "CUDA out of memory. Tried" in done.error["message"] and "driver-1.log" in done.error["message"]
    (stage,) = call("--json", "status", path).document["stages"]
    assert (stage["in_flight"], Decimal(str(stage["usd_reserved"]))) == (0, 0)


def test_a_job_that_is_given_up_falls_back(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, flags=OOM)
    said = yaml.safe_load(path.read_text())
    said["providers"]["spare"] = {"engine": {**said["providers"]["ray"]["engine"], "flags": {}}}
    said["models"] = {"m": [said["models"]["m"], {**said["models"]["m"], "provider": "spare"}]}
    path.write_text(yaml.safe_dump(said))
    (tmp_path / "prices.toml").write_text(
        "".join(f'[[price]]\nprovider = "{name}"\nmodel = "tiny"\n{HOURLY}' for name in ("ray", "spare"))
    )
    done = run(path)
    assert done.code == 0, done.err
    assert answers(path) == expected(3)
    assert "falls back from ray/tiny to spare/tiny" in done.err and "CUDA out of memory" in done.err


def test_what_lacks_ray_is_told_what_to_type(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path, python="/nowhere/bin/python")
    done = run(path)
    assert done.code == 2 and "/nowhere/bin/python cannot be asked for its Ray" in done.error["message"]
    assert 'pip install "ray[data]" vllm' in done.error["hint"]
    assert not list(jobs.folder.glob("*/job.json"))


def test_a_rehearsal_starts_no_job(jobs: Jobs, tmp_path: Path) -> None:
    path = manifest(jobs, tmp_path)
    done = run(path, "--rehearse")
    assert done.code == 0, done.err
    assert not jobs.folder.exists()
