"""What the command line's tests share: one call in this process, and a manifest of one stage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from chimera_batch.cli import cli

MANIFEST = """\
run: tiny
store: {store}
budget: {{usd: 1}}
models:
  m: {{provider: openai, model: gpt-6-luna, effort: none, max_output_tokens: 4000}}
stages:
  - name: answers_of
    ask: m
    prompt: tiny/ask.md
    rows: tiny/rows.sql
    table: tiny/table.sql
    assume: {{output_tokens: 10}}
"""


def project(folder: Path) -> Path:
    """A project of three questions, complete; returns its manifest."""
    (folder / "prompts" / "tiny").mkdir(parents=True)
    (folder / "sql" / "tiny").mkdir(parents=True)
    (folder / "prompts" / "tiny" / "ask.md").write_text("<!-- user -->\nSay {{ word }}.\n", encoding="utf-8")
    rows = (
        "-- Three words.\n-- reads: nothing\nSELECT word AS row_key, word FROM (VALUES ('a'), ('b'), ('c')) t(word)\n"
    )
    (folder / "sql" / "tiny" / "rows.sql").write_text(rows, encoding="utf-8")
    table = "-- What was said.\n-- reads: answers\nSELECT row_key, text FROM answers ORDER BY row_key\n"
    (folder / "sql" / "tiny" / "table.sql").write_text(table, encoding="utf-8")
    path = folder / "tiny.yaml"
    path.write_text(MANIFEST.format(store=folder / "runs"), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.document["error"])


def call(*words: object, typed: str | None = None) -> Called:
    """One command line, as if typed; nothing but SystemExit may leave it."""
    done = CliRunner().invoke(cli, [str(word) for word in words], input=typed, prog_name="chimera-batch")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Called(done.exit_code, done.stdout, done.stderr)


def status_document(**changes: Any) -> dict[str, Any]:
    """A status as ``statusing`` writes it: one stage that asks and one that does not."""
    asking = {
        "stage": "drafts",
        "kind": "ask",
        "model": {"provider": "openai", "model": "gpt"},
        "switches": [],
        "rows": None,
        "wanted": 10,
        "answered": 4,
        "in_flight": 3,
        "packed": 1,
        "retryable": 1,
        "given_up": 1,
        "not_asked": 0,
        "orphaned": 2,
        "outcomes": {"ok": 4, "refused": 1},
        "reasons": ["given up: cut at 100 output tokens"],
        "usd_spent": 1.25,
        "usd_reserved": 0.5,
        "usd_suspected": 0.0,
        "quoted": {"low": 2.0, "likely": 2.5, "high": 3.0, "ceiling": 9.0, "basis": "pilot of 200", "requests": 10},
        "rows_kept": None,
        "usd_per_kept_row": None,
        "usd_wasted": 0.01,
        "tokens_wasted": 700,
        "wasted": {"refused": {"requests": 1, "tokens": 700, "usd": 0.01}},
        "batches": [
            batch("drafts-1", 1, "completed", done=5, outcomes={"ok": 4, "refused": 1}),
            batch("drafts-2", 1, "in_progress", done=1),
        ],
    }
    counts = ("wanted", "answered", "in_flight", "packed", "retryable", "given_up", "not_asked", "orphaned")
    joining = {"stage": "dataset", "kind": "sql", "rows": 4, **dict.fromkeys(counts, 0), "outcomes": {}, "reasons": []}
    joining |= {"model": None, "switches": []}
    joining |= {"usd_spent": 0.0, "usd_reserved": 0.0, "usd_suspected": 0.0, "batches": []}
    joining |= {"quoted": None, "rows_kept": None, "usd_per_kept_row": None}
    joining |= {"usd_wasted": 0.0, "tokens_wasted": 0, "wasted": {}}
    return {
        "run": "tiny",
        "rehearsal": False,
        "store": "./runs",
        "state": "waiting",
        "stages": [asking, joining],
        "usd_spent": 1.25,
        "usd_reserved": 0.5,
        "usd_suspected": 0.0,
        "budget": 5.0,
        "usd_today": 0.0,
        "budget_day": None,
        "halted": False,
        "over_budget": None,
        "needs": [],
        "choices": [],
        "notes": [],
        **changes,
    }


def batch(shard: str, attempt: int, state: str, **changes: Any) -> dict[str, Any]:
    return {
        "shard": shard,
        "attempt": attempt,
        "provider": "openai",
        "model": "gpt",
        "id": f"batch_{shard}",
        "state": state,
        "requests": 5,
        "done": 0,
        "usd": 0.1,
        "usd_suspected": 0.0,
        "outcomes": {},
        "quarantined": 0,
        "reason": None,
        "submitted_at": 1_800_000_000.0,
        "expected_at": None,
        "expected_basis": "no history",
        **changes,
    }


def estimate_document(**changes: Any) -> dict[str, Any]:
    """An estimate as ``estimate.document`` writes it."""

    def stage(name: str, likely: float, sync: float, basis: str) -> dict[str, Any]:
        usd = {"low": likely / 2, "likely": likely, "high": likely * 2, "ceiling": likely * 4}
        where = {"stage": name, "provider": "openai", "model": "gpt", "basis": basis}
        tokens = {"input_tokens": 1000, "output_tokens": 2000}
        return {**where, "requests": 10, **tokens, "usd": usd, "sync_usd": sync, "machine_hours": None}

    return {
        "run": "tiny",
        "currency": "USD",
        "stages": [stage("drafts", 2.0, 4.0, "assumed"), stage("verdicts", 0.0, 0.0, "answered")],
        "total": {"low": 1.0, "likely": 2.0, "high": 4.0, "ceiling": 8.0},
        "sync_total": 4.0,
        "turnarounds": {"likely": 2, "max": 3},
        "hours": {"likely": None, "max": 72.0},
        "now": [],
        "savings": [{"stage": "drafts", "saving": "batch price", "usd": 2.0, "switch": "window: now"}],
        "budget": 5.0,
        "budget_left": 4.5,
        "budget_day": None,
        "prices_as_of": "2026-11-09",
        "warnings": ["a model will be shut down"],
        **changes,
    }
