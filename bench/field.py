"""Against the field: ``python -m bench.field`` from the root of a checkout (Linux; at first with a package index).

Installs the best-known other batch tools (``bench/field/tools.toml``, exact versions in ``bench/field/pins/``), each
in an environment of its own, and has each do the job that ``chimera-batch run`` and ``advance`` do: 100,000 rows of a
JSONL file into chat requests of 1.5 KB, packaged and submitted to a host on 127.0.0.1 that speaks OpenAI's files and
batches; then 100,000 results of 2 KB collected, parsed and joined with the rows. Every process is measured whole,
imports and children included; the host is another process and not counted. It checks that each row was asked once,
with the right text, and that each has its answer. A plain loop with a fast encoder is the floor: it sends and checks
nothing.

Exits 1 where ours needs more than a quarter of the CPU time of the best tool to package and submit, more than a third
to collect, parse and join, or half of the smallest peak memory or more. The best is taken among tools that do the
whole job; what the others do of it, and why not the rest, stands below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench._field import SCRIPTS, Cost, Failed
from bench._field_turns import OURS, PLAIN, Field, Row
from chimera_batch import settings

MOST_PACKAGE, MOST_COLLECT, MOST_PEAK = 1 / 4, 1 / 3, 1 / 2  # of the best of the others


def whole(rows: list[Row], requests: int) -> list[Row]:
    """The others that did all of the job."""
    others = (row for row in rows if row.name not in {OURS, PLAIN})
    return [row for row in others if row.package and row.collect and row.requests == requests]


def flaws(rows: list[Row], requests: int) -> list[str]:
    """The bars that are missed; [] is what we want."""
    ours, others = next(row for row in rows if row.name == OURS), whole(rows, requests)
    if len(others) < 4:
        return [f"only {len(others)} other tools did the job: too few to compare with"]
    assert ours.package and ours.collect
    best = [
        min(row.package.cpu for row in others if row.package),
        min(row.collect.cpu for row in others if row.collect),
    ]
    checks = [
        (
            "CPU to package and submit",
            ours.package.cpu / best[0],
            MOST_PACKAGE,
            ours.package.cpu <= MOST_PACKAGE * best[0],
        ),
        (
            "CPU to collect, parse and join",
            ours.collect.cpu / best[1],
            MOST_COLLECT,
            ours.collect.cpu <= MOST_COLLECT * best[1],
        ),
    ]
    least = min(row.peak for row in others)
    checks.append(("peak memory", ours.peak / least, MOST_PEAK, ours.peak < MOST_PEAK * least))
    return [f"{what}: {ratio:.2f} of the best, wanted {most:.2f}" for what, ratio, most, good in checks if not good]


def show(rows: list[Row], requests: int) -> Iterator[str]:
    yield f"{requests:,} requests; seconds of CPU, by the clock, MB at the peak; × of ours"
    yield f"{'':34} {'package and submit':>32}   {'collect, parse and join':>32}"
    ours = next((row for row in rows if row.name == OURS), None)
    for row in rows:
        halves = [_half(row.package, ours and ours.package), _half(row.collect, ours and ours.collect)]
        size = "" if row.requests == requests else f"  ({row.requests:,} requests)"
        yield f"{row.name:34} {halves[0]}   {halves[1]}{size}"
    yield from (f"  {row.name}: {row.note}" for row in rows if row.note)


def _half(cost: Cost | None, ours: Cost | None) -> str:
    if cost is None:
        return f"{'–':>32}"
    ratio = f"×{cost.cpu / ours.cpu:.1f}" if ours and ours.cpu else ""
    return f"{cost.cpu:8.2f} {cost.wall:8.2f} {cost.peak / 1e6:7.0f} {ratio:>6}"


def everybody(field: Field, only: list[str] | None) -> Iterator[Row | str]:
    """The rows as they come, ours first; a line of text for a tool that did not do it."""
    tools = tomllib.loads((SCRIPTS / "tools.toml").read_text("utf-8"))
    left_out = tools.pop("left_out")
    yield field.ours()
    yield field.plain()
    for name, tool in tools.items():
        if only is not None and name not in only:
            continue
        try:
            yield field.other(name, tool)
        except (Failed, LookupError, subprocess.CalledProcessError) as error:
            yield f"{tool['title']}: not measured: {error}"
    yield from (f"{name}: left out: {why}" for name, why in left_out.items() if only is None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.field", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--work", type=Path, help="where environments and turns lie; default: beside our other caches")
    parser.add_argument("--keep", action="store_true", help="keep what the turns left")
    parser.add_argument("--only", nargs="*", metavar="TOOL", help="names of tools.toml; without a name: no other tool")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    work = (given.work or settings.cache_dir() / "bench-field").absolute()
    work.mkdir(parents=True, exist_ok=True)
    turns = Path(tempfile.mkdtemp(prefix="turns-", dir=work))
    rows, notes = [], []
    try:
        for found in everybody(Field(work, turns, given.requests), given.only):
            (notes if isinstance(found, str) else rows).append(found)
            print(found if isinstance(found, str) else f"{found.name}: done", file=sys.stderr, flush=True)
    finally:
        if not given.keep:
            shutil.rmtree(turns)
    short = flaws(rows, given.requests)
    if given.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "notes": notes, "flaws": short}))
    else:
        print("\n".join([*show(rows, given.requests), *notes, machine(), *short]))
    return 1 if short else 0


def machine() -> str:
    return f"{os.cpu_count()} CPU cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
