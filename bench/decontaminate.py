"""100,000 problems against 10,000 benchmark questions: ``python -m bench.decontaminate`` from the root of a checkout.

Draws texts of the CHIMERA paper's length (211 words) with Zipf's frequencies, plants copies, passages and a stock
phrase that a thirtieth of both sides share, and runs ``manifests/contamination.yaml`` over them in another process.
Beside it a plain inverted index of n-grams in Python answers the same; the two must agree on every problem, and both
with comparing all pairs on a sample. Exits 1 unless they do, in under 120 s by the clock and 2 GiB of memory, which
wants two cores with nothing else to do. Seeded, no network, about three minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from chimera_batch.functions.ngram_jaccard import ngrams

ROOT = Path(__file__).resolve().parent.parent
SECONDS, GIB = 120.0, 2.0
SIZES = (8, 13)
STOCK = "Give the answer as a single integer between 0 and 999, both included."

Measures = tuple[float, float, float]
"""Highest Jaccard index of 8-grams, of 13-grams, highest containment of 8-grams."""


# -- the texts


def texts(rng: np.random.Generator, count: int, mean: int, vocabulary: Sequence[str]) -> list[str]:
    """Lognormal lengths; words by Zipf's law."""
    lengths = np.maximum(rng.lognormal(np.log(mean) - 0.18, 0.6, count).astype(int), 5)
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    drawn = rng.choice(len(vocabulary), int(lengths.sum()), p=weights / weights.sum())
    words, ends = np.array(vocabulary, dtype=object)[drawn], np.cumsum(lengths)
    return [" ".join(words[end - length : end]) + "." for length, end in zip(lengths, ends, strict=True)]


def words_of(rng: random.Random, count: int) -> list[str]:
    """Made-up words, one in twenty with letters that are not ASCII, as formulas and names have them."""
    plain, other = "abcdefghijklmnopqrstuvwxyz", "äéßøčλπθ∑≤−"
    made = ("".join(rng.choices(plain, k=rng.randint(2, 10))) for _ in range(count))
    return [word + rng.choice(other) if rng.random() < 0.05 else word for word in made]


def plant(rng: random.Random, ours: list[str], theirs: list[str]) -> list[int]:
    """Copies, copies inside other text, passages of 7 to 40 words, a stock phrase; returns where the others are."""
    places = rng.sample(range(len(ours)), max(len(ours) // 100, 20))
    for number, place in enumerate(places):
        copied = rng.choice(theirs)
        words, length = copied.split(), rng.choice((7, 8, 9, 12, 13, 14, 25, 40))
        begin = rng.randrange(max(len(words) - length, 0) + 1)
        passage = " ".join(words[begin : begin + length])
        kinds = (copied, copied.upper(), f"{ours[place]} {copied}", f"{ours[place]} {passage} {passage}")
        ours[place] = kinds[number % 10] if number % 10 < 3 else kinds[3]
    for side in (ours, theirs):
        for place in rng.sample(range(len(side)), len(side) // 30):
            side[place] += f" {STOCK}"
    return places


def make(problems: int, questions: int, seed: int) -> tuple[list[str], list[str], list[int]]:
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    vocabulary = words_of(rng, 60_000)
    ours, theirs = texts(numbers, problems, 211, vocabulary), texts(numbers, questions, 80, vocabulary)
    return ours, theirs, plant(rng, ours, theirs)


# -- three ways to measure them


@dataclass(frozen=True, slots=True)
class Cost:
    wall: float
    cpu: float
    gib: float


def measured(line: Sequence[str], folder: Path) -> Cost:
    """What a process cost, with those that it waited for; its peak memory is that of the largest of them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHIMERA_")}
    kept |= {f"CHIMERA_{what}": str(folder / what.lower()) for what in ("CACHE", "STATE")}
    kept["PYTHONPATH"] = str(ROOT)
    began = time.monotonic()
    process = subprocess.Popen(line, cwd=folder, env=kept, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {process.returncode}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


def pipeline(folder: Path, ours: Sequence[str], theirs: Sequence[str]) -> Path:
    """The shipped manifest over these texts."""
    lines(
        folder / "ours.jsonl",
        ({"problem_key": f"p{n}", "subject": "-", "index": n, "question": text} for n, text in enumerate(ours)),
    )
    lines(folder / "made.jsonl", ({"question": text} for text in theirs))
    text = (ROOT / "manifests" / "contamination.yaml").read_text(encoding="utf-8")
    text = text.replace("from: quickstart/dataset", "file: ours.jsonl, key: problem_key")
    text = text.replace('"examples/benchmarks/*.jsonl"', "made.jsonl")
    path = folder / "contamination.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["question"] for line in file]


def told(folder: Path) -> dict[int, Measures]:
    """What the pipeline says of every problem that shares anything."""
    query = "SELECT problem_key, jaccard_8, jaccard_13, containment FROM contamination WHERE jaccard_8 > 0"
    line = [sys.executable, "-m", "chimera_batch", "query", "-m", "contamination.yaml", query, "--format", "json"]
    kept = {**os.environ, "PYTHONPATH": str(ROOT)}
    kept |= {f"CHIMERA_{what}": str(folder / what.lower()) for what in ("CACHE", "STATE")}
    said = json.loads(subprocess.run(line, cwd=folder, env=kept, stdout=subprocess.PIPE, check=True).stdout)
    return {int(row["problem_key"][1:]): (row["jaccard_8"], row["jaccard_13"], row["containment"]) for row in said}


def indexed(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, Measures]:
    """The same by a plain inverted index: n-gram -> the questions that have it."""
    index: dict[str, list[int]] = defaultdict(list)
    sizes = Counter[tuple[int, int]]()
    for number, text in enumerate(theirs):
        for n in SIZES:
            found = ngrams(text, n)
            sizes[n, number] = len(found)
            for gram in found:
                index[gram].append(number)
    made: dict[int, Measures] = {}
    for place, text in enumerate(ours):
        highest = [0.0, 0.0, 0.0]
        for which, n in enumerate(SIZES):
            mine = ngrams(text, n)
            shared = Counter(number for gram in mine for number in index.get(gram, ()))
            for number, count in shared.items():
                highest[which] = max(highest[which], count / (len(mine) + sizes[n, number] - count))
                highest[2] = max(highest[2], count / sizes[n, number]) if n == SIZES[0] else highest[2]
        if highest[0]:
            made[place] = (highest[0], highest[1], highest[2])
    return made


def brute(sample: Sequence[int], ours: Sequence[str], theirs: Sequence[str]) -> dict[int, Measures]:
    """The same by comparing all pairs."""
    sets = {n: [ngrams(text, n) for text in theirs] for n in SIZES}
    made: dict[int, Measures] = {}
    for place in sample:
        mine = {n: ngrams(ours[place], n) for n in SIZES}
        indices = (
            max((len(mine[n] & s) / len(mine[n] | s) for s in sets[n] if mine[n] and s), default=0.0) for n in SIZES
        )
        held = max((len(mine[8] & other) / len(other) for other in sets[8] if other), default=0.0)
        eights, thirteens = indices
        if eights:
            made[place] = (eights, thirteens, held)
    return made


# -- the run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.decontaminate", description=__doc__)
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=200, help="problems that are compared with all questions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)  # the baseline, in a process of its own
    given = parser.parse_args()
    if given.index:
        answer = indexed(*(read(given.index / f"{side}.jsonl") for side in ("ours", "made")))
        (given.index / "index.json").write_text(json.dumps(answer), encoding="utf-8")
        return 0
    ours, theirs, planted = make(given.problems, given.questions, given.seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        manifest = pipeline(folder, ours, theirs)
        ran = measured([sys.executable, "-m", "chimera_batch", "run", str(manifest), "--yes"], folder)
        plain = measured([sys.executable, "-m", "bench.decontaminate", f"--index={folder}"], folder)
        found = told(folder)
        same = {
            int(key): tuple(value) for key, value in json.loads((folder / "index.json").read_bytes()).items()
        } == found
    sample = [*planted[: given.sample // 2], *random.Random(given.seed).sample(range(len(ours)), given.sample // 2)]
    true = brute(sample, ours, theirs)
    exact = {place: found[place] for place in sample if place in found} == true
    return show(given, (ran, plain), found, (same, exact, len(true)))


def show(
    given: argparse.Namespace, costs: tuple[Cost, Cost], found: dict[int, Measures], checks: tuple[bool, bool, int]
) -> int:
    (ran, plain), (same, exact, hits) = costs, checks
    print(f"{given.problems:,} problems, {given.questions:,} questions: {len(found):,} problems share 8 words in a row")
    print(f"{'':34} {'CPU s':>8} {'wall s':>8} {'GiB':>6}")
    for name, cost in (("manifests/contamination.yaml", ran), ("inverted index in plain Python", plain)):
        print(f"{name:34} {cost.cpu:8.1f} {cost.wall:8.1f} {cost.gib:6.2f}")
    print(f"{'ratio':34} {ran.cpu / plain.cpu:8.2f} {ran.wall / plain.wall:8.2f} {ran.gib / plain.gib:6.2f}")
    print(
        f"equal to the index on every problem: {same}; to all pairs on {given.sample} problems ({hits} hits): {exact}"
    )
    good = same and exact and ran.wall < SECONDS and ran.gib < GIB
    print("the bar is met" if good else f"falls short: exact, under {SECONDS:.0f} s and {GIB:.0f} GiB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
