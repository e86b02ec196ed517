"""What it takes to find out where the requests of a stage stand: the engine's own SQL on ids that are made up.

``python -m bench.standing [--most N] [--folder DIR]`` makes, for every power of ten from a million on, the Parquet
files that the ledger would name (a round with so many requests, shards of 50,000), and runs what a first pass runs on
them: keys looked through, requests counted, placed, put in order for packing, placed again once they are packed, and
counted while all of them are under way. Nothing is rendered, sent or answered. Prints CPU seconds and the process's
peak memory for each step. Exits 1 where the peak of ten times the requests is more than a tenth higher. Ten million
take 2 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

from chimera_batch.context import engine_sql
from chimera_batch.pipeline.stage import Source
from chimera_batch.steps.placing import going_on
from chimera_batch.warehouse import NARROW, QUICK, Warehouse

LEAST, MOST, SHARD = 1_000_000, 10_000_000, 50_000
MORE_MEMORY = 1.10
_ASKED = """
SELECT n AS position, 1::INTEGER AS round, 'p' || lpad(n::VARCHAR, 9, '0') AS row_key, 1::INTEGER AS sample,
    md5(n::VARCHAR) AS request_id, 1000::INTEGER AS ceiling, (300 + n % 50)::INTEGER AS input_tokens,
    (500 + n % 90)::INTEGER AS input_bound, hash(n) AS content
FROM range($requests) AS t(n)
"""
_MEMBERS = "SELECT $shard AS shard, request_id FROM asked WHERE position >= $first AND position < $end"
_EMPTY = {
    "members": {"shard": "VARCHAR", "request_id": "VARCHAR"},
    "whole_shards": {"shard": "VARCHAR"},
    "closed_ids": {"request_id": "VARCHAR"},
    "history": {"request_id": "VARCHAR", "ok": "BOOLEAN", "last": "VARCHAR"},
    "choices": {"request_id": "VARCHAR", "state": "VARCHAR", "ceiling": "INTEGER"},
    "flying": {"request_id": "VARCHAR"},
}


def made(folder: Path, requests: int) -> list[Path]:
    """The files: the round, then its shards."""
    paths = [folder / "asked.parquet"]
    with Warehouse(folder / "spill") as house:
        house.write(Source("asked", Path("asked"), _ASKED), {"requests": requests}, paths[0], form=QUICK)
        house.view("asked", paths)
        for first in range(0, requests, SHARD):
            paths.append(folder / f"s{first // SHARD:05}.parquet")
            told = {"shard": paths[-1].stem, "first": first, "end": first + SHARD}
            house.write(Source("members", Path("members"), _MEMBERS), told, paths[-1], form=QUICK)
    return paths


Step = tuple[str, Callable[[], object]]


def steps(house: Warehouse, folder: Path, asked: Path, shards: list[Path]) -> Iterator[Step]:
    """What a first pass does, in its order."""

    def into(file: str, name: str) -> object:
        told = {"sample": "", "upto": "~"}
        return house.write(engine_sql(name), told, folder / f"{file}.parquet", form=NARROW)

    house.view("asked", [asked])
    house.view("fresh_rows", [asked])
    for name, columns in _EMPTY.items():
        house.load(name, columns, ())
    yield "keys", lambda: house.few(engine_sql("row_keys"), {})
    yield "wanted", lambda: house.scalar(engine_sql("wanted"), {})
    yield "placed", lambda: into("before", "placed_ids")
    house.view("placed_ids", [folder / "before.parquet"])
    if not house.scalar(engine_sql("nothing_packed"), {}):
        raise SystemExit("ids that are made up stand twice")
    yield "to pack", lambda: into("todo", "todo_whole")
    house.view("placed_before", [folder / "before.parquet"])
    house.view("fresh_members", shards)
    yield "placed, packed", lambda: into("placed", going_on(house))
    house.view("placed_ids", [folder / "placed.parquet"])
    house.load("flying_shards", {"shard": "VARCHAR"}, ((shard.stem,) for shard in shards))
    yield "standing", lambda: into("standing", "standing")
    house.view("standing", [folder / "standing.parquet"])
    yield "counted", lambda: house.few(engine_sql("standing_counts"), {})


def measure(folder: Path, requests: int) -> float:
    """One size in this process; prints a line for each step and returns the peak in MB."""
    asked, *shards = made(folder, requests)
    _forget_peak()
    with Warehouse(folder / "spill") as house:
        for name, step in steps(house, folder, asked, shards):
            began = time.process_time()
            step()
            print(f"{requests:>12,}  {name:<16}{time.process_time() - began:>7.1f} s{_peak():>7.0f} MB", flush=True)
    return _peak()


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.standing", description=__doc__)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--folder", type=Path, help="where the files lie while they are measured")
    given = parser.parse_args()
    peaks = []
    requests = LEAST
    while requests <= given.most:
        folder = tempfile.TemporaryDirectory(prefix="standing-", dir=given.folder)
        with folder as name, get_context("spawn").Pool(1) as alone:
            peaks.append(alone.apply(measure, (Path(name), requests)))
        requests *= 10
    grown = [after / before for before, after in itertools.pairwise(peaks)]
    print(f"the peak of ten times the requests: {', '.join(f'{one:.2f} times' for one in grown)}")
    return int(any(one > MORE_MEMORY for one in grown))


if __name__ == "__main__":
    sys.exit(main())
