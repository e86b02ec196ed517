"""How time and memory grow with the number of requests: 10,000 to 10,000,000, packaged and collected on disk.

``python -m bench.growth [--most N]`` runs the engine once for every power of ten, each in a process and into a store of
its own: one stage of chat requests of 1.5 kB is drawn, packed, claimed and handed to a host in that process,
which keeps the files and answers each request with 300 bytes of its own; then all results are fetched, decoded and
landed. The host's work, copying and splicing files, is in the figures. Ten million requests take some 45 GB of disk for
a while (``--folder``: where).

Prints the table, and the slope of time over requests where both are logarithms, from 100,000 on (below that, starting
is most of it). Exits 1 where a slope is above 1.05, or where ten times the requests take a tenth more memory.
``--plot FILE`` draws both as SVG; that takes the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench._million import options
from bench._splicing import SpliceHost
from bench.package import USER, project
from chimera_batch import runner
from chimera_batch.opening import open_run
from chimera_batch.steps import polling

LEAST, SLOPE_FROM, MOST = 10_000, 100_000, 10_000_000
STEEPEST, MOST_MEMORY = 1.05, 1.10
ANSWER = 300  # bytes


@dataclass(frozen=True, slots=True)
class Point:
    """One size: seconds and CPU seconds of each half, and the process's peak memory after it in MB."""

    requests: int
    package: float
    package_cpu: float
    package_mb: float
    collect: float
    collect_cpu: float
    collect_mb: float


def child(folder: Path, requests: int) -> Point:
    """Everything for one size, in this process."""
    manifest = folder / "manifests" / "package.yaml"
    os.environ |= {name: str(folder / name.lower()) for name in ("CHIMERA_CACHE", "CHIMERA_STATE")}
    os.environ["CHIMERA_REHEARSAL_URL"] = "http://127.0.0.1:9"  # no server is started, since none is asked
    with open_run(manifest, options(), write=True) as opened:
        host = SpliceHost(opened.project.profiles["openai"], folder / "host", ANSWER)
        ctx = replace(opened, hosts=lambda _name: host)
        ctx.ledger.begin(ctx.run, str(manifest))
        marks = [_mark()]
        while any(attempt.stand != "landed" for _, attempt in ctx.facts.attempts()) or len(marks) == 1:
            if len(marks) == 1:
                runner.advance(ctx)
            else:
                polling.poll(ctx)
            marks.append(_mark())
        landed = sum(sum(attempt.outcomes.values()) for _, attempt in ctx.facts.attempts())
    if landed != requests:
        raise SystemExit(f"{requests} requests were made, {landed} are landed")
    (wall, cpu, _), (packed, packed_cpu, packed_mb), (done, done_cpu, done_mb) = marks[0], marks[1], marks[-1]
    return Point(requests, packed - wall, packed_cpu - cpu, packed_mb, done - packed, done_cpu - packed_cpu, done_mb)


def _mark() -> tuple[float, float, float]:
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(text.split()[1]) for text in status if text.startswith("VmHWM"))
    return time.perf_counter(), time.process_time(), peak * 1024 / 1e6


def measured(folder: Path, requests: int) -> Point:
    """One size in a process and a folder of its own."""
    here = folder / str(requests)
    project(here, requests, USER, canary=0)  # here, so that the memory it takes is not the engine's
    command = [sys.executable, "-m", "bench.growth", "--child", str(here), str(requests)]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    finally:
        shutil.rmtree(here, ignore_errors=True)
    return Point(**json.loads(done.stdout.splitlines()[-1]))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of log y over log x."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle = sum(x for x, _ in logs) / len(logs), sum(y for _, y in logs) / len(logs)
    over = sum((x - middle[0]) * (y - middle[1]) for x, y in logs)
    return over / sum((x - middle[0]) ** 2 for x, _ in logs)


def flaws(points: Sequence[Point]) -> list[str]:
    """The bars that are missed; [] is what we want."""
    large = [point for point in points if point.requests >= SLOPE_FROM]
    if len(large) < 2:
        return []
    found = []
    for what in ("package", "collect"):
        steep = slope([(point.requests, getattr(point, what)) for point in large])
        print(f"{what}: log-log slope of time {steep:.3f}")
        if steep > STEEPEST:
            found.append(f"{what}: slope {steep:.3f} is above {STEEPEST}")
        before, after = (getattr(point, f"{what}_mb") for point in large[-2:])
        if after > before * MOST_MEMORY:
            found.append(f"{what}: {after:.0f} MB after {before:.0f} MB for a tenth of the requests")
    return found


def plot(points: Sequence[Point], path: Path) -> None:
    """Seconds, and memory, over requests."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError:
        raise SystemExit("no plot without matplotlib: pip install -e '.[bench]'") from None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    requests = [point.requests for point in points]
    for what, mark in (("package", "o-"), ("collect", "s--")):
        seconds.loglog(requests, [getattr(point, what) for point in points], mark, label=what)
        memory.semilogx(requests, [getattr(point, f"{what}_mb") for point in points], mark, label=what)
    seconds.set(xlabel="requests", ylabel="seconds")
    memory.set(xlabel="requests", ylabel="peak memory, MB", ylim=(0, None))
    for axes in (seconds, memory):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--folder", type=Path, help="where the stores lie while they are measured")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(asdict(child(Path(given.child[0]), int(given.child[1])))))
        return 0
    points = []
    print(f"{'requests':>12}{'package s':>11}{'CPU s':>8}{'MB':>6}{'collect s':>11}{'CPU s':>8}{'MB':>6}", flush=True)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=given.folder) as name:
        requests = LEAST
        while requests <= given.most:
            one = measured(Path(name), requests)
            print(
                f"{one.requests:>12,}{one.package:>11.1f}{one.package_cpu:>8.1f}{one.package_mb:>6.0f}"
                f"{one.collect:>11.1f}{one.collect_cpu:>8.1f}{one.collect_mb:>6.0f}",
                flush=True,
            )
            points.append(one)
            requests *= 10
    missed = flaws(points)
    if given.plot:
        plot(points, given.plot)
    print("missed: " + "; ".join(missed) if missed else "every bar is met")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
