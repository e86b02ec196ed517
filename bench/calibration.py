"""Quote against bill, end to end: ``python -m bench.calibration`` from the root of a checkout.

For each of twenty published seeds, a stage of 9,225 requests is rehearsed through the loopback server and the real
SDK, with output lengths drawn from a heavy-tailed distribution (log-normal, coefficient of variation 1.25): a pilot
of 200 first, then the rest. The dollars that the server's own bill holds for the rest are compared with the 95 %
interval that was quoted after the pilot, and with its ceiling. Exits 1 if fewer than nine in ten bills lie inside, if
a ceiling was passed, or if a bill is not the ledger's to the last digit. No network, no keys, four minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from chimera_batch import api
from chimera_batch.opening import Options

SEEDS = tuple(range(1, 21))
LEAST_INSIDE = 0.9
PILOT = 200

MANIFEST = """\
run: calibration
store: {folder}/store
models:
  solver: {{provider: openai, model: gpt-6-luna, effort: medium, max_output_tokens: {ceiling}}}
rehearsal: {{seed: {seed}, lengths: {{default: {{mean: {mean}, cv: {cv}}}}}}}
stages:
  - {{name: solved, ask: solver, prompt: bench/solve.md, rows: bench/solved_rows.sql}}
"""
ROWS = """\
-- Questions without an end.
SELECT 'q' || i AS row_key, 'What is ' || i || ' + 1?' AS question FROM range({rows}) AS t(i)
"""
PROMPT = "Solve this, and end with the answer in a box.\n\n{{ question }}\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is rehearsed. ``ceiling``: output tokens; answers that would be longer are truncated and asked again."""

    rows: int = 9_225
    mean: int = 4_000
    cv: float = 1.25
    ceiling: int = 40_000


@dataclass(frozen=True, slots=True)
class Night:
    """One seed: what was quoted for the rest after the pilot, what the server billed for it, what the ledger says."""

    seed: int
    low: float
    likely: float
    high: float
    ceiling: float
    billed: Decimal
    ledger: Decimal
    truncated: int

    @property
    def inside(self) -> bool:
        return self.low <= self.billed <= self.high

    @property
    def error(self) -> float:
        return self.likely / float(self.billed) - 1


def rehearse(folder: Path, seed: int, shape: Shape) -> Night:
    """Pilot, then the rest, in a store of its own."""
    texts = {"sql/bench/solved_rows.sql": ROWS.format(rows=shape.rows), "prompts/bench/solve.md": PROMPT}
    said = {"folder": folder, "seed": seed, "mean": shape.mean, "cv": shape.cv, "ceiling": shape.ceiling}
    for name, text in {**texts, "m.yaml": MANIFEST.format(**said)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    manifest, options = folder / "m.yaml", Options(rehearse=True)
    found = api.pilot(manifest, "solved", PILOT, options)
    before = charged(folder)
    status = api.run(manifest, options)
    usd = found["rest"]["usd"]
    with api.query(manifest, options) as tables:
        ((ledger,),) = tables.query("SELECT sum(usd) FROM costs")
    outcomes = status["stages"][0]["outcomes"]
    billed = charged(folder)
    assert billed == ledger, f"seed {seed}: the server billed {billed}, the ledger says {ledger}"
    figures = (usd["low"], usd["likely"], usd["high"], usd["ceiling"])
    return Night(seed, *figures, billed - before, ledger - before, outcomes.get("truncated", 0))


def charged(folder: Path) -> Decimal:
    """Dollars on the server's own bill."""
    lines = (folder / "store" / "rehearsal-server" / "billing.jsonl").read_text(encoding="utf-8").splitlines()
    return sum((Decimal(json.loads(line)["usd"]) for line in lines), Decimal(0))


def show(nights: Sequence[Night]) -> Iterator[str]:
    yield f"{'seed':>4} {'low':>8} {'likely':>8} {'high':>8} {'billed':>9} {'error':>7}"
    for one in nights:
        figures = f"{one.low:8.2f} {one.likely:8.2f} {one.high:8.2f} {one.billed:9.4f} {one.error:+7.1%}"
        yield f"{one.seed:4} {figures}{'' if one.inside else '   outside'}"
    error = statistics.median(abs(one.error) for one in nights)
    yield f"{sum(one.inside for one in nights)} of {len(nights)} inside; median error of likely {error:.1%}; " + (
        f"the ceiling was {min(one.ceiling / float(one.billed) for one in nights):.0f} times the bill or more"
    )


def good(nights: Sequence[Night]) -> bool:
    covered = sum(one.inside for one in nights) / len(nights)
    return covered >= LEAST_INSIDE and all(one.billed <= one.ceiling for one in nights)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--rows", type=int, default=Shape().rows)
    given = parser.parse_args()
    nights = []
    for seed in given.seeds:
        with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
            nights.append(rehearse(Path(folder), seed, Shape(rows=given.rows)))
            print(f"seed {seed}: done", file=sys.stderr, flush=True)
    print("\n".join(show(nights)))
    return 0 if good(nights) else 1


if __name__ == "__main__":
    sys.exit(main())
