"""The benchmark of the S3 store judges what it measures, and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import s3 as bench
from bench._s3_ways import BUCKET, Bench
from tests.servers import moto_server

PLAIN = {"upload_file": [2.0, 2.2, 9.0], "put_object": [1.0, 1.2, 4.0]}


def row(name: str, ours: list[float]) -> bench.Row:
    return bench.Row(name, 100_000_000, {**PLAIN, "ours: create_file": ours}, {way: [0.1] for way in (*PLAIN, OURS)})


OURS = "ours: create_file"


def test_the_baseline_is_the_best_plain_way_round_by_round() -> None:
    """The third round was slow for everybody, which is not held against ours."""
    found = row("x", [1.25, 1.5, 5.0])
    assert found.baseline == "put_object"
    assert found.ours == pytest.approx(0.8)
    faster = row("x", [0.5, 0.6, 2.0])
    assert faster.baseline == "put_object", "ours is no baseline for itself"
    assert faster.ours == pytest.approx(2.0)
    assert list(found.lines())[1:] == [
        "| x | put_object | 83.3 | 1.00 | baseline |",
        "| x | ours: create_file | 66.7 | 1.00 | 0.80 |",
    ]


def beside(both: float) -> bench.Row:
    return bench.Row("packing", 1_000_000, {bench.AFTER: [1.0, 2.0], bench.BESIDE: [both, 2 * both]}, {})


@pytest.mark.parametrize(
    ("ours", "both", "code"), [(1.2, 0.8, 0), (1.3, 0.8, 1), (1.2, 0.9, 1)], ids=["fine", "slow", "not beside"]
)
def test_a_missed_bar_is_an_exit_code(ours: float, both: float, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("good", [1.0, 1.2, 4.0]), row("worst", [ours, ours * 1.2, ours * 4])]
    assert bench.report(rows, beside(both), "seaweedfs") == code
    printed = capsys.readouterr().out
    assert f"worst: {1 / ours:.2f} of put_object (worst); must be at least 0.8" in printed
    assert f"side by side takes {both:.2f}" in printed


def test_every_second_round_is_turned_round() -> None:
    ways = {"a": 1, "b": 2, "c": 3}
    assert [list(bench.turn(ways, number)) for number in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


def test_a_small_round_moves_everything(tmp_path: Path) -> None:
    rows: dict[str, bench.Row] = {}
    packing = bench.Row("packing", 0)
    sets = bench.make_files(tmp_path, 0.004)
    with moto_server() as server:
        place = tmp_path / "place"
        place.mkdir()
        desk = Bench(server, place)
        bench.measure(desk, sets, 0, rows)
        bench.overlap(desk, 2, 20_000, 0, packing)
        stored = desk.client.list_objects_v2(Bucket=BUCKET)["KeyCount"]
    assert len(rows) == 10, "three kinds up and down; two of them also several at once"
    assert all(len(seconds) == 1 and seconds[0] > 0 for found in rows.values() for seconds in found.seconds.values())
    assert all(sum(way.startswith("ours") for way in found.seconds) == 1 for found in rows.values())
    assert {found.size for found in rows.values()} == {8 * 240_000, 1_600_000, 2 * 20_000}
    assert stored == 6 * 8 + 3 * 1 + 6 * 2 + 2 * 2, "each way wrote its own objects"
    assert packing.size > 30_000
    assert list(packing.seconds) == ["packing alone", bench.AFTER, bench.BESIDE]


def test_a_download_that_is_not_what_went_up_ends_the_bench(tmp_path: Path) -> None:
    with moto_server() as server:
        place = tmp_path / "place"
        place.mkdir()
        desk = Bench(server, place)
        path = tmp_path / "a.bin"
        path.write_bytes(b"sent")
        desk.client.put_object(Bucket=BUCKET, Key="p/a.bin", Body=b"else")
        with pytest.raises(SystemExit, match="what came is not what went up"):
            bench.measure_downloads(desk, bench.Row("x", 4), desk.downloads([path], "p", 1), [path])
