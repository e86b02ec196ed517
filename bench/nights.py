"""Bad nights by the thousand: ``python -m bench.nights --seed N [--weeks K] [--minutes M] [--shrink]``.

Each seed is a week of one small pipeline: seven nights of runs, races, cancels and edits in one process, on a virtual
clock, while its own schedule of faults strikes hosts, store and processes. After every command the hosts' own account
is held against the ledger. Prints what was injected and what came of it; exits 1 if anything that must hold does not,
with the seed, its schedule and the line to type. No network, no keys; from the root of a checkout.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.sim import week
from tests.faults.sim.schedule import Fault, draw, shrink
from tests.faults.sim.week import Report


@dataclass
class Count:
    """What all weeks add up to."""

    weeks: int = 0
    commands: int = 0
    executed: int = 0
    seconds: float = 0.0  # of processor time
    ends: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.weeks += 1
        self.commands += report.commands
        self.executed += report.executed
        self.ends += report.ends
        self.struck += Counter(named(fault) for fault in report.struck)
        self.allowed += report.allowed
        if report.flaws:
            self.failed.append(report.seed)

    def lines(self) -> list[str]:
        each = self.seconds / max(1, self.commands)
        said = [
            f"{self.weeks:,} weeks, {self.commands:,} commands, {self.executed:,} requests executed,"
            f" {sum(self.struck.values()):,} faults; {each:.2f} s of processor time a command",
            "how commands ended: " + _counted(self.ends),
            "faults: " + _counted(self.struck),
        ]
        said += [f"possible, and seen {times:,} times: {why}" for why, times in sorted(self.allowed.items())]
        said.append(f"failed: {len(self.failed)} {self.failed or ''}")
        return said


def named(fault: Fault) -> str:
    """The kind of a fault with the side that it strikes, whichever host it is."""
    side, _, verb = fault.spot.partition(".")
    return fault.kind if verb == "batch" else f"{'store' if side == 'store' else 'host'}.{verb} {fault.kind}"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {times:,}" for name, times in sorted(counter.items()))


def fails(seed: int, faults: Sequence[Fault]) -> bool:
    return bool(week.play(seed, faults).flaws)


def tell(report: Report, *, shorter: bool) -> None:
    """A week that failed: its seed, its schedule, what was said, the line to type."""
    print(f"\nWRONG in week {report.seed}:")
    for flaw in report.flaws:
        print(f"  {flaw}")
    faults = shrink(report.struck, lambda some: fails(report.seed, some)) if shorter else report.struck
    print("  the faults that it takes:" if shorter else "  the faults that struck:")
    for fault in faults:
        print(f"    {fault!r}")
    log = week.play(report.seed, faults).log if shorter else report.log
    print("\n".join(f"  | {line}" for line in log[-60:]))
    print(f"  again: python -m bench.nights --seed {report.seed} --shrink", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.nights", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first week")
    parser.add_argument("--weeks", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further week after so long")
    parser.add_argument("--shrink", action="store_true", help="find the few faults that a failure takes")
    parser.add_argument("--show", action="store_true", help="print schedules without playing them")
    said = parser.parse_args(arguments)
    count, end = Count(), time.monotonic() + said.minutes * 60
    for seed in range(said.seed, said.seed + said.weeks):
        if said.show:
            print(f"week {seed}:", *draw(seed), sep="\n  ")
            continue
        if time.monotonic() > end:
            break
        begun = time.process_time()
        report = week.play(seed)
        count.seconds += time.process_time() - begun
        count.add(report)
        print(f"week {seed}: {report.commands} commands, {len(report.struck)} faults", file=sys.stderr, flush=True)
        if report.flaws:
            tell(report, shorter=said.shrink)
    if not said.show:
        print("\n".join(count.lines()))
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
