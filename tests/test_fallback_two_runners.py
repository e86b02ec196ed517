"""Falling back in processes of their own: two at once, and one that is killed right at the switch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.end_to_end import Rehearsed, provider, stage_of, write_pipeline
from tests.test_fallback_end_to_end import FILES, HOSTED, LUNA, QWEN, manifest

LINE = "import sys; from chimera_batch.cli import cli; cli(prog_name='chimera-batch')"


@contextmanager
def scene(folder: Path) -> Iterator[Rehearsed]:
    """Five files at a host that lets each expire after one row."""
    expires = {"kind": "expire", "finished": 1, "times": 100, "match": {"profile": "openai"}}
    told = manifest([LUNA, HOSTED], fallback={"on": ["expired"]})
    told["providers"] = {"openai": {"max_requests": 4}}
    with provider(folder / "server", faults=[expires]) as served:
        yield Rehearsed(write_pipeline(folder, told, FILES), str(folder / "store"), served, folder / "cache")


@contextmanager
def started(one: Rehearsed, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own, ended with the test."""
    places = {"CHIMERA_CACHE": str(one.cache / name), "CHIMERA_STATE": str(one.cache / f"{name}-state")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHIMERA_REHEARSAL_URL": one.served.url, **places}
    words = ["run", str(one.manifest), "--rehearse", "--store", one.store]
    process = subprocess.Popen([sys.executable, "-c", LINE, *words], env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def switched(one: Rehearsed) -> bool:
    events = [path for path in one.objects(".json") if path.parent.name == "journal"]
    return any(b'"type":"switched"' in path.read_bytes() for path in events)


def check(one: Rehearsed) -> None:
    """Everything is answered once, at the host that the rule says, and nothing was executed twice."""
    stage = stage_of(one.status(), "twenty")
    assert (stage["answered"], stage["wanted"]) == (20, 20)
    assert len(stage["switches"]) == 1 and stage["model"]["model"] == QWEN
    by_host = Counter(line["profile"] for line in one.served.bill)
    assert by_host["openai"] + by_host["deepinfra"] == 20 and by_host["openai"] >= 1
    assert one.served.tell("double-payments") == []
    assert len(one.query("SELECT DISTINCT row_key FROM twenty")) == 20


def test_two_processes_move_once(tmp_path: Path) -> None:
    with scene(tmp_path) as one, started(one, "a") as a, started(one, "b") as b:
        for process in (a, b):
            _, said = process.communicate(timeout=120)
            assert process.returncode in {0, 5}, said.decode()
        check(one)


@pytest.mark.parametrize("moment", ["switch", "first batch"])
def test_a_process_that_is_killed_at_the_switch_is_gone_on_with(tmp_path: Path, moment: str) -> None:
    with scene(tmp_path) as one:
        with started(one, "a") as process:
            end = time.monotonic() + 60
            while not (switched(one) if moment == "switch" else one.served.bill):
                assert time.monotonic() < end and process.poll() is None, "it never came to that"
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
        one.run()
        check(one)
