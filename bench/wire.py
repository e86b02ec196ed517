"""Every damage to every exchange: ``python -m bench.wire [KIND …] [--at ENDPOINT]`` from the root of a checkout.

One run calls every endpoint of both protocols, four requests a stage, through a proxy that does that damage to the
first exchange of each of them (or of one). Prints a row for each kind; exits 1 if any run ends otherwise than it must.
No network, no keys; about 3 s of processor time a kind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults import damages
from tests.faults.everywhere import Played, road, sweep
from tests.faults.wire import ENDPOINTS

Row = tuple[str, int, int, int, list[str], list[str]]
"""(kind, exchanges struck, requests executed, executed again, lines that a person was told, flaws)."""


def rows(kinds: Sequence[str], at: str | None, root: Path) -> Iterator[Row]:
    with road(root) as (way, reference):
        for kind in kinds:
            orders = [order for order in sweep(kind) if at in {None, order[1]}]

            def judge(played: Played, kind: str = kind) -> Row:
                told = [line for line in played.told if "HTTP" in line or "lost" in line or "exit" in line]
                flaws = list(played.flaws(reference))
                return kind, played.struck.total(), played.executed, played.twice, told, flaws

            yield way.play(orders, judge)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.wire", description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", choices=[*damages.ALL, []], metavar="KIND", help="default: all")
    parser.add_argument("--at", choices=sorted(ENDPOINTS), help="only at this endpoint")
    said = parser.parse_args(arguments)
    root, bad = Path(tempfile.mkdtemp(prefix="wire-")), 0
    os.environ |= {"CHIMERA_CACHE": str(root / "cache"), "CHIMERA_STATE": str(root / "state")}
    print("| damage | exchanges | executed | again | paid twice, lost or wrong |")
    print("|---|---|---|---|---|")
    try:
        for kind, struck, executed, again, told, flaws in rows(said.kinds or [*damages.ALL], said.at, root):
            bad += bool(flaws)
            print(f"| {kind} | {struck} | {executed} | {again} | {len(flaws)} |", flush=True)
            for line in [*flaws, *told] if flaws else []:
                print(f"  WRONG with {kind}: {line}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
