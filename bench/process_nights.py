"""Nights with real processes and sockets: ``python -m bench.process_nights --nights N --seed S [--lanes 2] [--show]``.

Each seed is one run of a small pipeline by command lines that are killed (SIGKILL) while a proxy spoils what they and
the rehearsal's server say to each other; then the faults stop, the run is finished, and the server's bill is held
against the ledger. Exits 1 with the seed if anything that must hold does not. No network, no keys; about 3 s of
processor time a night; from the root of a checkout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.faults import wild
from tests.faults.invariants import Reference
from tests.faults.wild import Night, Report


def nights(seeds: Sequence[int], lanes: int, end: float) -> Iterator[Report]:
    """Play them, as many at once as there are lanes; none begins after ``end`` (of the monotonic clock)."""
    root = Path(tempfile.mkdtemp(prefix="process-nights-"))
    os.environ |= {"CHIMERA_CACHE": str(root / "cache"), "CHIMERA_STATE": str(root / "state")}
    try:
        references = {name: wild.reference(name, root / name.replace(" ", "-")) for name in wild.PIPELINES}
        with ThreadPoolExecutor(lanes) as pool:
            for report in pool.map(partial(_one, root, references, end), seeds):
                if report is not None:
                    yield report
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _one(root: Path, references: Mapping[str, Reference], end: float, seed: int) -> Report | None:
    if time.monotonic() > end:
        return None
    folder = root / f"{seed}"
    report = wild.play(seed, folder, references)
    shutil.rmtree(folder, ignore_errors=True)
    return report


def lines(reports: Sequence[Report], seconds: float) -> Iterator[str]:
    """What all nights come to."""
    ends, struck = Counter[str](), Counter[str]()
    for report in reports:
        ends += report.ends
        for (kind, _), times in report.struck.items():
            struck[kind] += times
    commands = ends.total()
    executed, again = sum(r.executed for r in reports), sum(r.again for r in reports)
    yield (
        f"{len(reports):,} nights, {commands:,} commands under faults, {executed:,} requests executed,"
        f" {struck.total():,} damages of {len(struck)} kinds;"
        f" {seconds / max(1, len(reports)):.1f} s of processor time a night"
    )
    yield "how commands ended: " + ", ".join(f"{name} {times:,}" for name, times in sorted(ends.items()))
    yield "damages: " + ", ".join(f"{name} {times:,}" for name, times in sorted(struck.items()))
    yield f"synchronous calls whose reply was lost, executed again, and suspected: {again:,}"
    yield f"calls that were executed and answered with a host's 5xx all the same: {sum(r.hidden for r in reports):,}"
    yield f"claims that a person decided (adopt or resend): {sum(report.decided for report in reports):,}"
    failed = [report.night.seed for report in reports if report.flaws]
    yield f"failed: {len(failed)} {failed or ''}"


def tell(report: Report) -> None:
    print(f"\nWRONG in night {report.night.seed}: {report.night}", *report.flaws, *report.log, sep="\n  ")
    print(f"  again: python -m bench.process_nights --seed {report.night.seed}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.process_nights", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first night")
    parser.add_argument("--nights", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=1, help="nights at the same time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further night after so long")
    parser.add_argument("--show", action="store_true", help="print what was drawn without playing it")
    said = parser.parse_args(arguments)
    seeds = range(said.seed, said.seed + said.nights)
    if said.show:
        print(*map(Night.draw, seeds), sep="\n")
        return 0
    begun, reports = wild.processor(), list[Report]()
    for report in nights(seeds, said.lanes, time.monotonic() + said.minutes * 60):
        reports.append(report)
        print(f"night {report.night.seed}: {dict(report.ends)}", file=sys.stderr, flush=True)
        if report.flaws:
            tell(report)
    print(*lines(reports, wild.processor() - begun), sep="\n")
    return 1 if any(report.flaws for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
