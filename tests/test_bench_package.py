"""The benchmark of packaging: the same lines as the bare loop, and figures that are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench import package
from chimera_batch.pipeline.project import load
from chimera_batch.requests.render import Renderer
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_the_bare_loop_writes_the_lines_that_the_engine_writes(tmp_path: Path) -> None:
    """But for their ids: otherwise it would be a baseline of something else."""
    manifest = package.project(tmp_path, 20, package.USER)
    assert package.bare(manifest) == 20
    (stage,) = load(manifest).stages
    assert stage.prompt is not None
    make = Renderer(stage.calls[0], stage.prompt, {})
    lines = (manifest.parent / "bare-0.jsonl").read_bytes().splitlines()
    for line in map(orjson.loads, lines):
        told = line["body"]["messages"][1]["content"]
        subject, topic = (told.partition(f"<{name}>")[2].partition(f"</{name}>")[0] for name in ("subject", "topic"))
        passage = told.partition("<passage>\n")[2].removesuffix("\n</passage>")
        row = {"row_key": "k", "subject": subject, "topic": topic, "passage": passage}
        assert orjson.loads(make.render(row).line)["body"] == line["body"]
    assert 1_300 < sum(map(len, lines)) / len(lines) < 1_700


@pytest.mark.parametrize("what", ["ours", "bare"])
def test_a_measurement_in_a_process_of_its_own(tmp_path: Path, what: str) -> None:
    manifest = package.project(tmp_path, 600, package.USER)
    command = [sys.executable, "-m", "bench.package", "--child", what, str(manifest)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert found["requests"] == 600
    assert found["peak"] > 50
    assert found["wall"] >= found["inside_wall"] >= 0
    assert (found["inside_wall"] > 0) == (what == "ours")
