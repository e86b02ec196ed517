"""The bench of collecting, small: what it makes up is what lands, and it judges what it measures."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import _results, collect
from bench._results import Set
from tests.conftest import ROOT

SMALL = Set("small", 12_000, 1_000, 2, schema=True)


@pytest.mark.slow
def test_results_are_the_same_every_time(tmp_path: Path) -> None:
    one, other = (_results.make(replace(SMALL, requests=600), tmp_path / name) for name in "ab")
    assert [made.path.read_bytes() for made in one] == [made.path.read_bytes() for made in other]
    assert sum(made.requests for made in one) == 600
    sizes = [len(line) for made in one for line in made.path.read_bytes().splitlines()]
    assert 900 < sum(sizes) / len(sizes) < 1_100


@pytest.mark.slow
def test_what_lands_is_what_was_made_up(tmp_path: Path) -> None:
    made = _results.make(SMALL, tmp_path)
    found = collect.ours(SMALL, made, tmp_path / "ours")
    told = {"ok": sum(one.ok for one in made), "errors": sum(one.errors for one in made)}
    (tmp_path / "alone").mkdir()
    alone = collect.duckdb_alone(made, tmp_path / "alone")
    assert {name: alone[name] for name in told} == told
    base = {**alone, "wall": found["wall"]}
    assert collect.flaws(SMALL, made, base, {**found, "peak": 0}) == []
    assert found["malformed"] == 1 and found["outcomes"]["missing"] == 12


GOOD = {"wall": 1.0, "peak": 0, "joined": 3, "usd": "1", "billed": "1", "malformed": 0, "misplaced": 0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"wall": 2.1}, "of DuckDB's speed"),
        ({"peak": 700_000_001}, "needed 700 MB"),
        ({"outcomes": {"ok": 2, "missing": 1}}, "not {'ok': 3"),
        ({"joined": 2}, "join their answer"),
        ({"billed": "2"}, "the journal says 2"),
        ({"malformed": 1}, "malformed lines are kept"),
        ({"misplaced": 1}, "do not stand where"),
    ],
)
def test_what_falls_short_is_said(wrong: dict[str, object], said: str) -> None:
    what = Set("few", 3, 1_000, 1)
    made = [_results.Made(Path("x"), 0, 3, 3, 0, 0)]
    base = {"wall": 1.0, "ok": 3, "errors": 0}
    assert collect.flaws(what, made, base, {**GOOD, "outcomes": {"ok": 3}}) == []
    (flaw,) = collect.flaws(what, made, base, {**GOOD, "outcomes": {"ok": 3}, **wrong})
    assert said in flaw and flaw.startswith("few: ")


@pytest.mark.slow
def test_it_runs_as_one_command() -> None:
    """So small that the speed says nothing: only that it measures, and says what it found."""
    line = [sys.executable, "-m", "bench.collect", "--requests", "2000", "--rounds", "1", "--only", "plain"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode in {0, 1}, ended.stderr
    assert ended.stdout.count("| plain | 2,000 of 2.") == 2
    assert [said for said in ended.stdout.splitlines() if said.startswith("plain: ") and "speed" not in said] == []
