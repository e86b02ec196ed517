"""Bytes that nobody meant: ``python -m bench.fuzz [--minutes M | --cases N] [--seed S] [--target T]``.

Changes honest inputs of everything that reads what others wrote (``_fuzz_targets.py`` says what, and what each
promises) and keeps those that end in a way not seen before. An input on which a promise is broken is made small,
printed, and kept below ``--keep``; ``--input FILE`` plays such a file again. The same seed takes the same course.
Exits 1 if any was found.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench._fuzz_targets import TARGETS
from bench._fuzzing import Found, bounded, fuzz, judged

_MEMORY = 6 << 30  # bytes of address space: DuckDB reserves two, an input may have the rest


def play(name: str, folder: Path, seed: int, *, minutes: float = 0, cases: int = 0) -> tuple[int, list[Found]]:
    """(inputs played, what was found) of one target."""
    until = time.monotonic() + 60 * minutes
    found: list[Found] = []
    number = 0
    with bounded(_MEMORY):
        for one in fuzz(TARGETS[name](folder), seed, lambda n: n < cases or time.monotonic() < until):
            if isinstance(one, Found):
                found.append(one)
                print(f"{name} {one.case}: {one.said}\n    {one.data[:200]!r}", flush=True)
            else:
                number = one
    return number, found


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=1, help="for each target")
    parser.add_argument("--cases", type=int, default=0, help="so many inputs for each target instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), default=[])
    parser.add_argument("--input", type=Path, help="play this file alone, at the target that is named")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that broke a promise")
    options = parser.parse_args(words)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.environ.update(CHIMERA_CACHE=f"{folder}/cache", CHIMERA_STATE=f"{folder}/state")
        for name in options.target or TARGETS:
            place, began = Path(folder) / name, time.process_time()
            place.mkdir()
            if options.input:
                with bounded(_MEMORY):
                    print(*judged(TARGETS[name](place), options.input.read_bytes(), ""))
                continue
            minutes = 0 if options.cases else options.minutes
            number, found = play(name, place, options.seed, minutes=minutes, cases=options.cases)
            took = time.process_time() - began
            print(f"{name:12}{number:9,} inputs {took:7.1f} s of processor time {len(found):4} found", flush=True)
            bad += len(found)
            for count, one in enumerate(found):
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{name}-{options.seed}-{count}").write_bytes(one.data)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
