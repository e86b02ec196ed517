"""What our verification is worth, on planted faults: ``python -m bench.trust`` from the root of a checkout.

Rehearses the whole pipeline over all eight subjects with every kind of fault planted at least 200 times, and the
paper's own steps over the same drafts (nothing screened, two verifiers, one judge; common questions are asked once).
What was planted is read off the texts by the rehearsal's scorers, laid beside the tables, and two named queries say the
rest: ``@confusion``, kind by kind, and ``@trust``, the bars. Exits 1 if a bar is missed or a kind is too rare. No
network, no keys, some minutes. What is measured, and what it rests on, is in docs/trust.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import _trust

LEAST = 200  # of each kind of fault, at full size
TRACES = 2_000
_KINDS = ("ours", "ours_passed", "ours_part", "paper", "paper_passed", "paper_part")


def flaws(found: Mapping[str, Any], least: int = LEAST, traces: int = TRACES) -> Iterator[str]:
    """What falls short; nothing is what we want."""
    for bar in found["bars"]:
        if not bar["holds"]:
            yield f"{bar['measure']}: {bar['ours']} of {bar['cases']} cases, at most {bar['at_most']} allowed"
    for kind in found["confusion"]:
        planted = kind["paper"] if kind["ours"] is None else kind["ours"]
        if planted < least and not kind["fault"].startswith(("converted", "of a faulty")):
            yield f"{kind['what']} {kind['fault']}: only {planted} planted"
    pairs = sum(kind["ours"] or 0 for kind in found["confusion"] if kind["what"] == "trace")
    if pairs < traces:
        yield f"only {pairs} problem/trace pairs"
    if found["subjects"] != 8:
        yield f"only {found['subjects']} subjects"


def show(found: Mapping[str, Any]) -> Iterator[str]:
    """Two tables in Markdown."""
    yield from _table(
        ("measure", "at most", "cases", "ours", "the paper's steps"),
        [[b["measure"], _part(b["at_most"]), b["cases"], _part(b["ours"]), _part(b["paper"])] for b in found["bars"]],
    )
    yield ""
    yield from _table(
        ("what", "kind", "ours: cases", "passed", "part", "the paper's: cases", "passed", "part"),
        [
            [
                k["what"],
                k["fault"],
                *(k[name] if isinstance(k[name], int | None) else _part(k[name]) for name in _KINDS),
            ]
            for k in found["confusion"]
        ],
    )


def _table(heads: tuple[str, ...], rows: list[list[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join('' if one is None else f'{one:,}' if isinstance(one, int) else one for one in row)} |"


def _part(value: Any) -> str | None:
    return None if value is None else f"{100 * float(value):.2f} %"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the runs stay; default: a folder that goes afterwards")
    parser.add_argument("--topics", type=int, default=_trust.TOPICS, help="of each subject (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        found = _trust.measure(given.folder or Path(folder), topics=given.topics, seed=given.seed)
    share = min(1.0, given.topics / _trust.TOPICS)
    short = list(flaws(found, int(LEAST * share), int(TRACES * share)))
    print(json.dumps({**found, "flaws": short}) if given.json else "\n".join([*show(found), "", *short]))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
