"""What each way of spending less saves: ``python -m bench.savings [--only NAME …]`` from the root of a checkout.

Rehearses CHIMERA at paper scale with every saving on (``all``), as a naive batch run (``naive``), and once without each
saving, all of them up to the same number of kept problems in each subject. Exits 1 if ``all`` is not 35 % cheaper than
``naive``, or 65 % cheaper than ``naive`` at synchronous prices; if a subject misses its target, a bill differs from the
ledger, or more kept problems are faulty than in ``naive``. What is compared, and the lengths of answers, are data:
``bench/savings/``. No network, no keys; three minutes a run, or a quarter of that with ``--scale 0.25``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench import _figures, _pipelines
from bench._figures import Figures
from bench._pipelines import ALL, NAIVE

LEAST = Decimal("0.35")  # what all savings together save, against the naive batch run
LEAST_SYNCHRONOUS = Decimal("0.65")  # … and against the naive run one call at a time

Found = Mapping[str, Figures]


def measure(wanted: list[str], *, scale: float, seed: int) -> dict[str, Figures]:
    found = {}
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="savings-") as folder:
            print(f"== {name}", file=sys.stderr, flush=True)
            found[name] = _figures.run(name, _pipelines.write(name, Path(folder) / name, scale=scale, seed=seed))
    return found


# -- judging


def flaws(found: Found, targets: Mapping[str, int]) -> list[str]:
    """What falls short; [] is what we want."""
    said = [flaw for figures in found.values() for flaw in _flaws_of(figures, targets)]
    every, naive = found.get(ALL), found.get(NAIVE)
    if every:
        same = [found[name] for name in _pipelines.bench()["same_rows"] if name in found]
        said += [f"{one.name} keeps other rows than {ALL}" for one in same if one.rows != every.rows]
    if every and naive:
        if saved(every.usd, naive.usd) < LEAST:
            said.append(f"saves {saved(every.usd, naive.usd):.1%} of the naive run, not {LEAST:.0%}")
        if saved(every.usd, naive.standard) < LEAST_SYNCHRONOUS:
            said.append(f"saves {saved(every.usd, naive.standard):.1%} at once, not {LEAST_SYNCHRONOUS:.0%}")
        if every.rate > naive.rate + 2 * error(every, naive):
            said.append(f"{every.rate:.2%} of what {ALL} keeps is faulty, of {NAIVE} {naive.rate:.2%}")
    return said


def _flaws_of(one: Figures, targets: Mapping[str, int]) -> Iterator[str]:
    if round(one.usd, 2) != round(one.ledger, 2):
        yield f"{one.name}: the bill says {one.usd:.2f}, the ledger {one.ledger:.2f}"
    for subject, target in targets.items():
        if one.kept.get(subject, 0) < target:
            yield f"{one.name}: {one.kept.get(subject, 0)} of {target} problems in {subject}"


def saved(less: Decimal, more: Decimal) -> Decimal:
    """The part of ``more`` that need not be spent."""
    return 1 - less / more


def error(one: Figures, other: Figures) -> float:
    """Standard error of the difference of two rates of faults."""
    return math.sqrt(sum(each.rate * (1 - each.rate) / max(1, each.all_kept) for each in (one, other)))


# -- showing


def show(found: Found, targets: Mapping[str, int]) -> Iterator[str]:
    yield "| run | dollars | per 1,000 kept | kept | drafts | correct traces | faulty | requests | nights |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, one in found.items():
        title = f"`{ALL}` without {name}" if name in _pipelines.bench()["techniques"] else f"`{name}`"
        each = one.usd * 1000 / max(1, one.all_kept)
        yield (
            f"| {title} | {one.usd:,.2f} | {each:.2f} | {one.all_kept:,} | {one.drafts:,} | {one.correct:,} "
            f"| {one.faulty:,} ({one.rate:.2%}) | {one.requests:,} | {one.nights} |"
        )
    if ALL in found:
        yield from ["", *_savings(found)]
    if NAIVE in found and ALL in found:
        yield from ["", *_together(found, targets)]


def _savings(found: Found) -> Iterator[str]:
    """What each technique saves: what a run costs without it, less what it costs with it."""
    every = found[ALL]
    yield "| saving | does | dollars | of the run without it |"
    yield "|---|---|---|---|"
    for name, said in _pipelines.bench()["techniques"].items():
        if name in found:
            usd = found[name].usd
            yield f"| {name} | {said['does']} | {_cents(usd - every.usd):,} | {saved(every.usd, usd) * 100:z.1f}% |"
    more = every.standard - every.usd
    yield f"| batch | half price, and an answer by tomorrow | {more:,.2f} | {saved(every.usd, every.standard):.1%} |"


def _together(found: Found, targets: Mapping[str, int]) -> Iterator[str]:
    every, naive = found[ALL], found[NAIVE]
    wanted = sum(targets.values())
    lines = {
        "the naive batch run": (every.usd, naive.usd),
        "the naive run at synchronous prices": (every.usd, naive.standard),
        "the naive batch run, for each kept problem": (every.usd / every.all_kept, naive.usd / naive.all_kept),
        "the naive batch run, for each sound one": (every.usd / every.sound, naive.usd / naive.sound),
        "the naive batch run, no traces above the target": (every.on_target(wanted), naive.on_target(wanted)),
    }
    if "routing" in found:  # the largest of them, and the only one that depends on what a host happens to charge
        lines["the naive batch run, with everything but routing"] = found["routing"].usd, naive.usd
    for said, (less, more) in lines.items():
        yield f"{saved(less, more):6.1%} cheaper than {said}: {_usd(less)} and {_usd(more)} dollars"
    yield f"kept, at least: {', '.join(f'{subject} {least}' for subject, least in targets.items())}"


def _cents(amount: Decimal) -> Decimal:
    return round(amount, 2) + 0  # no minus before a zero


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def document(found: Found, targets: Mapping[str, int], short: list[str]) -> dict[str, Any]:
    together = dict(enumerate(_together(found, targets))) if ALL in found and NAIVE in found else {}
    return {"runs": [asdict(one) for one in found.values()], "said": list(together.values()), "flaws": short}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.savings", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help=f"of {', '.join(_pipelines.names())}")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the paper's topics and problems")
    parser.add_argument("--seed", type=int, default=1, help="of everything that the rehearsal draws")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _figures.child(given.child)
        return 0
    if strange := sorted(set(given.only) - set(_pipelines.names())):
        parser.error(f"there is no run {', '.join(strange)}")
    wanted = [name for name in _pipelines.names() if not given.only or name in given.only]
    targets = _pipelines.targets(given.scale)
    found = measure(wanted, scale=given.scale, seed=given.seed)
    short = flaws(found, targets)
    told = json.dumps(document(found, targets, short), default=str) if given.json else None
    print(told or "\n".join([*show(found, targets), *short]))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
