"""How quick is the report? ``python -m bench.report [--rows 10000] [--of N]``: made, opened, searched, in a browser.

A run of N rows in the shape of CHIMERA's data set (a question with formulas, a trace of 1,500 characters), without a
model: the seconds and the memory that its page takes, then in Chromium the milliseconds to the first row, to open one,
and of every key of a search until the page can draw again, and until the search is through. Needs the extras report and
slow. ``--of``: rows of the table, of which the page shows ``--rows``: its memory must not grow with the run.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chimera_batch import api

SUBJECTS = (
    "Mathematics",
    "Physics",
    "Chemistry",
    "Biology",
    "Computer Science",
    "Literature",
    "History",
    "Linguistics",
)
KEYS = "binomial 77 physics"
MANIFEST = "run: many\nstore: {folder}/runs\nstages:\n  - {{name: dataset, file: rows.jsonl, key: row_key}}\n"
OPENED = """() => new Promise((done) => {
  const from = performance.now(), row = document.querySelector("#rows details");
  row.addEventListener("toggle", () => setTimeout(() => done(performance.now() - from)));
  row.open = true;
})"""
TYPED = """(value) => new Promise((done) => {
  const box = document.querySelector("#search"), from = performance.now();
  box.value = value;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  const handled = performance.now() - from;
  requestAnimationFrame(() => setTimeout(() => {
    const drawn = performance.now() - from;
    const look = () => (document.querySelector("#count").textContent.includes("so far") ? setTimeout(look, 1)
      : done({ handled, drawn, through: performance.now() - from }));
    const last = document.documentElement.dataset;
    const wait = () => (last.filtered === last.wanted ? look() : setTimeout(wait, 1));
    last.wanted = String(Number(last.wanted || 0) + 1);
    wait();
  }));
})"""


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Made-up rows, all different."""
    return (
        {
            "row_key": f"topic-{n // 8}/{n}",
            "subject": SUBJECTS[n % 8],
            "topic": f"Topic {n // 8}",
            "question": f"Show that $\\sum_{{k=0}}^{{{n}}} \\binom{{{n}}}{{k}} = 2^{{{n}}}$ and give $2^{{{n % 50}}}$.",
            "answer": str(2 ** (n % 50)),
            "solution": f"<think>\nBinomial sum for $n = {n}$. "
            + "We expand $(1 + x)^n$ at $x = 1$. " * 45
            + "\n</think>",
            "correctness": n % 9 != 0,
            "split": "held_out" if n % 50 == 0 else "train",
        }
        for n in range(count)
    )


def made(folder: Path, count: int, of: int) -> Path:
    """The page of such a run; prints what it took."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in rows(of))
    manifest = folder / "m.yaml"
    manifest.write_text(MANIFEST.format(folder=folder), encoding="utf-8")
    api.run(manifest)
    page = folder / "report.html"
    words = [sys.executable, "-m", "chimera_batch", "report", manifest, "-o", page, "--rows", str(count), "--quiet"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of that one process, started for nothing else
    seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss >> 10
    print(f"{count:,} of {of:,} rows: {page.stat().st_size / 1e6:.1f} MB, {seconds:.1f} s CPU, {memory:,} MB peak")
    return page


def opened(path: Path) -> None:
    """Print what a person waits for."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an extra

    names = ("chromium-headless-shell", "chromium", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        sys.exit(f"no browser: none of {', '.join(names)} (scripts/install_chromium.sh)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("#rows li")
        first = page.evaluate("performance.getEntriesByName('first-row')[0].startTime")
        opens = page.evaluate(OPENED)
        took = [page.evaluate(TYPED, KEYS[:n]) for n in range(1, len(KEYS) + 1)]
        print(f"first row after {first:.0f} ms, a row opens in {opens:.0f} ms; found: {page.inner_text('#count')}")
        for what, told in (
            ("handled", "key handled"),
            ("drawn", "until the next picture"),
            ("through", "search through"),
        ):
            times = sorted(one[what] for one in took)
            print(f"{told}: median {times[len(times) // 2]:.0f} ms, longest {times[-1]:.0f} ms of {len(times)} keys")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--of", type=int, default=0)
    said = parser.parse_args()
    with TemporaryDirectory() as folder:
        opened(made(Path(folder), said.rows, max(said.of, said.rows)))


if __name__ == "__main__":
    main()
