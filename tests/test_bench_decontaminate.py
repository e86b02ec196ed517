"""The benchmark of contamination: its three ways agree, and can be told from one that is wrong."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import decontaminate as bench
from tests.conftest import ROOT

SIZE = argparse.Namespace(problems=300, questions=80, sample=40, seed=5)


def test_the_index_measures_what_all_pairs_do() -> None:
    ours, theirs, planted = bench.make(300, 80, 5)
    assert len(planted) == 20
    found = bench.indexed(ours, theirs)
    assert found == bench.brute(range(len(ours)), ours, theirs)
    assert len(found.keys() & set(planted)) >= len(planted) // 2  # a passage of seven words is none
    assert max(measures[2] for measures in found.values()) == 1.0


def test_texts_have_the_length_that_is_asked_for_and_repeat_themselves() -> None:
    ours, theirs, planted = bench.make(400, 40, 1)
    assert (ours, theirs, planted) == bench.make(400, 40, 1)
    assert 170 < sum(len(text.split()) for text in ours) / 400 < 260
    assert not "".join(ours).isascii()
    assert sum(bench.STOCK in text for text in ours) >= 400 // 30


def test_the_pipeline_says_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--problems=300", "--questions=80", "--sample=40", "--seed=5"])
    assert bench.main() == 0
    said = capsys.readouterr().out
    assert "equal to the index on every problem: True" in said and "the bar is met" in said


@pytest.mark.parametrize(
    ("cost", "same", "exact", "code"),
    [
        (bench.Cost(119.0, 230.0, 0.5), True, True, 0),
        (bench.Cost(130.0, 70.0, 0.5), True, True, 1),
        (bench.Cost(121.0, 121.0, 0.5), True, True, 1),
        (bench.Cost(10.0, 10.0, 2.1), True, True, 1),
        (bench.Cost(10.0, 10.0, 0.5), False, True, 1),
        (bench.Cost(10.0, 10.0, 0.5), True, False, 1),
    ],
)
def test_it_fails_where_a_bar_is_missed(cost: bench.Cost, same: bool, exact: bool, code: int) -> None:
    costs = cost, bench.Cost(30.0, 30.0, 1.0)
    assert bench.show(SIZE, costs, {}, (same, exact, 3)) == code


def test_a_process_is_measured(tmp_path: Path) -> None:
    """By a small process: what a fork begins with is the memory of whoever forks, and this one may be large."""
    line = [sys.executable, "-c", "x = bytearray(80 << 20); sum(range(3_000_000))"]
    code = f"from pathlib import Path; from bench import decontaminate as b; c = b.measured({line!r}, Path('.'))"
    small = [sys.executable, "-c", f"{code}; print(c.cpu, c.gib)"]
    done = subprocess.run(
        small, cwd=tmp_path, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True
    )
    cpu, gib = map(float, done.stdout.split())
    assert cpu > 0.02 and 0.07 < gib < 0.5
    with pytest.raises(SystemExit, match="ended with 3"):
        bench.measured(["python3", "-c", "raise SystemExit(3)"], tmp_path)
