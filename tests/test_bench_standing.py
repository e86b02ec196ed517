"""The benchmark of counting runs the engine's own steps, and they end where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import standing as bench
from chimera_batch.context import engine_sql
from chimera_batch.warehouse import Warehouse


def test_the_steps_of_a_first_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SHARD", 40)
    asked, *shards = bench.made(tmp_path, 100)
    assert [shard.stem for shard in shards] == ["s00000", "s00001", "s00002"]
    with Warehouse(tmp_path / "spill") as house:
        found = {name: step() for name, step in bench.steps(house, tmp_path, asked, shards)}
        counted = sorted(house.rows(engine_sql("standing_counts"), {}))
    assert found["keys"] == []
    assert {found[name] for name in ("wanted", "placed", "to pack", "placed, packed", "standing")} == {100}
    assert counted == [
        ("in_flight", "", "s00000", 40),
        ("in_flight", "", "s00001", 40),
        ("in_flight", "", "s00002", 20),
    ]
