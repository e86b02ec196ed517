"""The benchmark of a run that goes on: what it judges, and one small store from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import converge
from bench._million import Made
from bench.converge import BARS, Took, best, missed, process, show

GOOD = {name: Took(bar / 2, bar, 100 << 10) for name, bar in BARS.items()}


def test_a_bar_is_missed_by_reaching_it() -> None:
    assert missed(GOOD) == []
    slow = {**GOOD, "status": Took(BARS["status"], 0.1, 1)}
    assert missed(slow) == ["status: 1.0 s, must be under 1 s"]


def test_the_best_of_several_is_by_the_clock() -> None:
    assert best([Took(2, 1, 5), Took(1, 3, 9)]) == Took(1, 3, 9)


def test_the_table_has_the_ratio_to_duckdb_alone() -> None:
    beside = {name: Took(took.wall / 4, 1, 1) for name, took in GOOD.items()}
    head, *lines = show(GOOD, beside)
    assert len(lines) == len(BARS)
    assert "DuckDB alone" in head
    assert all(line.endswith(" 4.0") for line in lines)
    assert "100 MB" in lines[0]


def test_a_process_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        process("import sys; sys.exit(3)", ["word"], {})
    took = process(converge._PRELUDE + "hold = b'x' * 60_000_000", [], {})
    assert took.wall > 0
    assert took.peak > 60_000 or sys.platform != "linux"


def test_more_rows_are_asked_about(tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    manifest.write_text("run: million\nparams: {rows: 10, passages: p}\nstages: []\n")
    assert [Made(manifest, 0.0).more(5) for _ in range(2)] == [15, 20]
    assert "passages: p" in manifest.read_text()


@pytest.mark.slow
def test_a_small_store_is_measured_and_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--requests", "300", "--passage-bytes", "80", "--answer-bytes", "40", "--times", "1", "--json"]
    monkeypatch.setattr(sys, "argv", ["converge", *words, "--keep", str(tmp_path / "kept")])
    assert converge.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == BARS.keys()
    assert all(wall > 0 and alone > 0 for wall, _, _, alone in found.values())
