"""One run of ``bench.savings``: converge in a rehearsal, then read off what it kept and what it cost."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from chimera_batch import api
from chimera_batch.opening import Options
from chimera_batch.rehearsal.minds.problems import FAULTS

STANDARD = 2  # a batch costs half of the standard price, for every model of the bench
TRACES = (
    "solutions",
    "judgements",
    "arbitration",
    "arbitration_judgements",
)  # stages whose bill grows with every problem that is kept

Batch = tuple[str, str, int, datetime, datetime]
"""Stage, shard, attempt, sent, landed."""


@dataclass(frozen=True)
class Figures:
    """What one run came to. Dollars are exact; ``faulty`` counts kept problems that should not have been kept."""

    name: str
    usd: Decimal  # by the server's own bill
    ledger: Decimal
    standard: Decimal  # the same tokens at synchronous prices
    stages: dict[str, Decimal]
    kept: dict[str, int]  # problems by subject
    rows: str  # digest of the keys of the kept problems
    drafts: int
    correct: int  # kept problems with a trace that is labelled correct
    faulty: int
    faults: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    cached_tokens: int = 0
    nights: int = 0
    seconds: float = 0.0

    @property
    def all_kept(self) -> int:
        return sum(self.kept.values())

    @property
    def rate(self) -> float:
        """Share of the kept problems that should not have been kept."""
        return self.faulty / self.all_kept if self.all_kept else 0.0

    @property
    def sound(self) -> int:
        """Kept problems less those that should not have been kept."""
        return self.all_kept - self.faulty

    def on_target(self, target: int) -> Decimal:
        """Dollars less what the traces of problems above the target cost: as if the surplus had been thrown away in
        time. What the drafts and verdicts of the surplus cost stays in."""
        surplus = max(0, self.all_kept - target)
        traced = sum((self.stages.get(stage, Decimal(0)) for stage in TRACES), Decimal(0))
        return self.usd - traced * surplus / max(1, self.all_kept)


# -- in a process of its own


def child(manifest: Path) -> None:
    """Converge and print the figures as JSON."""
    began = time.monotonic()
    api.run(manifest, _options(manifest))
    found = read(manifest, seconds=round(time.monotonic() - began, 1))
    print(json.dumps(asdict(found), default=str))


def run(name: str, manifest: Path) -> Figures:
    """The figures of a run, made by a new process."""
    line = [sys.executable, "-m", "bench.savings", "--child", str(manifest)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHIMERA_")}
    for folder in ("CACHE", "STATE"):
        environment[f"CHIMERA_{folder}"] = str(manifest.parent / folder.lower())
    root = Path(__file__).resolve().parent.parent
    ended = subprocess.run(line, env=environment, cwd=root, stdout=subprocess.PIPE, check=False)
    if ended.returncode:
        raise SystemExit(f"the run {name} ended with {ended.returncode}")
    return figures({**json.loads(ended.stdout.splitlines()[-1]), "name": name})


def figures(told: Mapping[str, Any]) -> Figures:
    """From JSON, where dollars are text."""
    money = {name: Decimal(told[name]) for name in ("usd", "ledger", "standard")}
    return Figures(**{**told, **money, "stages": {stage: Decimal(usd) for stage, usd in told["stages"].items()}})


def _options(manifest: Path) -> Options:
    store = manifest.parent / "runs"
    return Options(store=str(store), rehearse=True, say=lambda line: print(line, file=sys.stderr, flush=True))


# -- what a finished run left


def read(manifest: Path, *, seconds: float = 0.0) -> Figures:
    """The figures of the finished run of a manifest, from its store and from the server's own bill."""
    bill = list(_lines(manifest, "billing"))
    planted = faults_of(_lines(manifest, "planted"))
    with api.query(manifest, _options(manifest)) as tables:
        stages: dict[str, Decimal] = dict(tables.query("SELECT stage, sum(usd) FROM costs GROUP BY 1"))
        kept: dict[str, int] = dict(tables.query("SELECT subject, count(*) FROM verified GROUP BY 1 ORDER BY 2 DESC"))
        ((drafts,),) = tables.query("SELECT count(*) FROM problems")
        ((correct,),) = tables.query("SELECT count(DISTINCT problem_key) FILTER (correctness) FROM dataset")
        rows = list(tables.query(_KEPT))
        batches = list(tables.query(_BATCHES))
    faulty = faults_among(rows, planted)
    return Figures(
        name=manifest.parent.name,
        usd=sum((Decimal(line["usd"]) for line in bill), Decimal(0)),
        ledger=sum(stages.values(), Decimal(0)),
        standard=standard(bill),
        stages=stages,
        kept=kept,
        rows=hashlib.sha256("\n".join(sorted(row[0] for row in rows)).encode()).hexdigest(),
        drafts=drafts,
        correct=correct,
        faulty=sum(faulty.values()),
        faults=faulty,
        requests=len(bill),
        cached_tokens=sum(line["cached_tokens"] for line in bill),
        nights=nights(batches),
        seconds=seconds,
    )


_KEPT = """
    SELECT DISTINCT v.row_key, v.subject, v.area, o.request_id
    FROM verified AS v JOIN outcomes AS o ON o.stage = 'problems' AND o.row_key = v.row_key AND o.outcome = 'ok'
    ORDER BY v.row_key
"""
_BATCHES = """
    SELECT stage, shard, attempt, sent_at, landed_at
    FROM batches WHERE id IS NOT NULL AND landed_at IS NOT NULL ORDER BY sent_at, shard, attempt
"""


def _lines(manifest: Path, name: str) -> Iterator[dict[str, Any]]:
    with (manifest.parent / "runs" / "rehearsal-server" / f"{name}.jsonl").open("rb") as lines:
        yield from map(json.loads, lines)


def standard(bill: Iterable[Mapping[str, Any]]) -> Decimal:
    """What the lines of a bill would have cost one by one, at once."""
    return sum((Decimal(line["usd"]) * (1 if line["sync"] or line["flex"] else STANDARD) for line in bill), Decimal(0))


def faults_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Request id -> the fault that was planted in the draft. Broken JSON is none: nothing of it can be kept."""
    return {line["request_id"]: line["planted"] for line in lines if line["planted"] in FAULTS}


def faults_among(rows: Iterable[Sequence[str]], planted: Mapping[str, str]) -> dict[str, int]:
    """Of kept rows (key, subject, area, request id): how many carry which fault.

    A well-worn problem is the same one throughout its area, and sound: the first one kept is no fault, another one is.
    """
    found: dict[str, int] = {}
    worn: set[tuple[str, str]] = set()
    for _, subject, area, request in rows:
        fault = planted.get(request)
        if fault == "duplicate_problem" and (subject, area) not in worn:
            worn.add((subject, area))
        elif fault is not None:
            found[fault] = found.get(fault, 0) + 1
    return dict(sorted(found.items()))


def nights(batches: Sequence[Batch]) -> int:
    """How many batches had to wait for one another, at most: turnarounds, of up to a night each.

    A shard that is asked again waits for its last attempt; a new one for all that had landed when it was sent: other
    stages, a canary, an earlier wave.
    """
    level: list[int] = []
    for place, (_, shard, attempt, sent, _) in enumerate(batches):
        before = zip(level, batches[:place], strict=True)
        waited = [its for its, one in before if one[4] <= sent and (attempt == 1 or one[1] == shard)]
        level.append(1 + max(waited, default=0))
    return max(level, default=0)
