"""Would a test notice? ``python -m bench.mutants [--room R] [--module M] [--sample N] [--seed S] [--jobs J]``.

Changes the core modules (``core.toml``) in one place at a time: comparisons, arithmetic, boolean operators, constants,
returned values, statements left out, min and max, rounding (``_mutating.py``). For each change the tests that reach its
line run, quickest first, until one fails: the mutant is killed. A change that makes a test run for much longer counts
as killed too. ``--sample`` takes so many of each module (10), drawn by the seed, and tells the interval that
follows (Wilson, 95 %). Mutants that change nothing anybody could see are in ``equivalent.toml``, each with its reason,
and are not counted.

Prints each survivor, and the figures by module; exits 1 where fewer than 85 % of a room's mutants are killed.
"""

from __future__ import annotations

import argparse
import ast
import math
import random
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from bench import _core
from bench._mutating import Mutant, mutants
from bench.core_coverage import Traced, traced

LEAST = 0.85
_PATIENCE = 12.0  # seconds of tests, as they took unchanged, that a mutant is given
_Z = 1.96


@dataclass(frozen=True)
class Tests:
    """Which tests reach which lines of a module, quickest first."""

    by_line: Mapping[int, frozenset[str]]
    took: Mapping[str, float]

    def of(self, mutant: Mutant) -> list[str]:
        """Tests that reach the mutant; of a constant at the top of the module, all that reach the module."""
        lines = range(mutant.line, mutant.end + 1)
        found = {test for line in lines for test in self.by_line.get(line, ()) if test}
        if not mutant.where or not found:
            found = {test for tests in self.by_line.values() for test in tests if test}
        kept, total = [], 0.0
        for test in sorted(found, key=lambda name: (self.took.get(name, 0.0), name)):
            total += self.took.get(test, 0.0)
            if kept and total > _PATIENCE:
                break
            kept.append(test)
        return kept


@dataclass(frozen=True)
class Judged:
    module: str
    mutant: Mutant
    fate: str  # killed, hung, survived


def tests_of(module: str, ran: Traced) -> Tests:
    data = CoverageData(str(ran.data))
    data.read()
    by_line = data.contexts_by_lineno(str(_core.path_of(module)))
    return Tests({line: frozenset(names) for line, names in by_line.items()}, ran.took)


def work_of(module: str, tree: ast.Module, mutant: Mutant, tests: Tests, log: Path) -> _core.Work:
    """The tests on the changed module."""
    names = tests.of(mutant)
    cpu = 20 + 4 * sum(tests.took.get(name, 0.0) for name in names)

    def work() -> int:
        mutant.apply()  # in this child alone
        sys.meta_path.insert(0, _core.Changed(module, ast.fix_missing_locations(tree)))
        return _core.run_tests(names, first=True)

    return _core.Work(work, log, cpu, wall_s=20 * cpu)


def fate_of(ended: _core.Ended) -> str:
    return "survived" if ended.code == 0 else "hung" if ended.stopped else "killed"


def equivalent(module: str) -> set[tuple[str, str, int]]:
    """(function, change, which of those that read alike, from 1): what nobody could see."""
    path = _core.ROOT / "bench" / "equivalent.toml"
    found = tomllib.loads(path.read_text("utf-8")).get(module.replace(".", "/"), [])
    return {(entry["where"], entry["change"], number) for entry in found for number in entry.get("which", [1])}


def drawn(module: str, tree: ast.Module, sample: int, seed: int) -> tuple[list[Mutant], int, int]:
    """(the mutants to judge, how many there are, how many are left out as equivalent)."""
    known, alike = equivalent(module), Counter[tuple[str, str]]()
    found = list(mutants(tree))
    counted = []
    for mutant in found:
        alike[mutant.where, mutant.said] += 1
        if (mutant.where, mutant.said, alike[mutant.where, mutant.said]) not in known:
            counted.append(mutant)
    taken = random.Random(f"{seed}:{module}").sample(counted, sample) if 0 < sample < len(counted) else counted
    return sorted(taken, key=lambda mutant: mutant.line), len(found), len(found) - len(counted)


def interval(killed: int, of: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % for a share; of all there are it is the share itself."""
    if not of:
        return 0.0, 1.0
    share = killed / of
    if of >= total:
        return share, share
    middle = (share + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of)) / (1 + _Z * _Z / of)
    return middle - half, middle + half


def judged(room: _core.Room, options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Judged], int, int]]:
    """(module, verdicts, mutants there are, equivalent ones) of a room."""
    wanted = [module for module in room.modules if not options.module or module in options.module]
    ran = traced(room, folder) if wanted else None
    if ran is None:
        return
    if ran.failed:
        raise SystemExit(f"unchanged, these fail: {', '.join(ran.failed)}")
    for module in wanted:
        tree = ast.parse(_core.path_of(module).read_text("utf-8"))
        taken, total, left_out = drawn(module, tree, options.sample, options.seed)
        tests = tests_of(module, ran)
        works = (work_of(module, tree, mutant, tests, folder / f"{n}.log") for n, mutant in enumerate(taken))
        fates = map(fate_of, _core.run(works, options.jobs))
        yield module, [Judged(module, *one) for one in zip(taken, fates, strict=True)], total, left_out


def line_of(name: str, fates: Counter[str], total: int, left_out: int) -> str:
    of = sum(fates.values())
    killed = of - fates["survived"]
    low, high = interval(killed, of, total - left_out)
    share = f"{killed / of:7.1%}" if of else "      -"
    return f"{name:30}{total:6}{left_out:6}{of:6}{killed:8}{share}  {low:.1%} to {high:.1%}"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--room", action="append", default=[], help="ledger, packing, decoding, money; default: all")
    parser.add_argument("--module", action="append", default=[], help="only these, such as endpoints.chat")
    parser.add_argument("--sample", type=int, default=10, help="so many of each module; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(words)
    _core.warm()
    rows, bad = [], False
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for room in _core.chosen(options.room).values():
            sum_, totals = Counter[str](), [0, 0]
            for module, verdicts, total, left_out in judged(room, options, Path(folder)):
                for one in verdicts:
                    if one.fate == "survived":
                        print(f"survived  {module}:{one.mutant.line} {one.mutant.where}: {one.mutant.said}", flush=True)
                fates = Counter(one.fate for one in verdicts)
                rows.append(line_of(module, fates, total, left_out))
                print(rows[-1], flush=True)
                sum_, totals = sum_ + fates, [totals[0] + total, totals[1] + left_out]
            if of := sum(sum_.values()):
                rows.append(line_of(f"= {room.name}", sum_, *totals))
                bad |= (of - sum_["survived"]) / of < LEAST
    print(f"\n{'module':30}{'all':>6}{'equal':>6}{'tried':>6}{'killed':>8}{'share':>7}  95 %", *rows, sep="\n")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
