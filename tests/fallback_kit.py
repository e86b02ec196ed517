"""Two fake hosts and a stage that may fall back from the one to the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chimera_batch.history.facts import Attempt, Shard, Switched
from chimera_batch.pipeline.project import Project
from chimera_batch.providers.profiles import builtin
from chimera_batch.stores import open_store
from tests.support import Answer, Bench, FakeHost, answered, bench, write_project

HERE, THERE = (
    "{provider: openai, model: tiny-1, max_output_tokens: 100}",
    "{provider: deepinfra, model: tiny-2, max_output_tokens: 100}",
)
KNOWN = ("openai", "deepinfra", "vllm", "ollama")
SAME = "{provider: deepinfra, model: tiny-1, max_output_tokens: 100}"
"""The model of the first host, at the second one."""

MANIFEST = """\
run: tiny
store: {store}
models:
  m: [{models}]
stages:
  - {{name: one, ask: m, prompt: tiny/one.md, rows: tiny/one_rows.sql{stage}}}
"""


def project(folder: Path, stage: str = "", *, models: tuple[str, ...] = (HERE, THERE), rows: int = 6) -> Project:
    """One stage of so many questions."""
    text = MANIFEST.format(store=folder / "store", models=", ".join(models), stage=stage)
    return write_project(folder, {"tiny.yaml": text, "sql/tiny/one_rows.sql": rows_sql(rows)})


def rows_sql(count: int) -> str:
    return (
        "-- The rows.\n-- reads: nothing\nSELECT 'k' || lpad(i::VARCHAR, 3, '0') AS row_key, 'question ' || i AS q"
        f" FROM range({count}) AS t(i)\n"
    )


@dataclass
class Two:
    """A run with a fake host under each profile."""

    one: Bench
    hosts: dict[str, FakeHost]

    def host(self, provider: str) -> FakeHost:
        return self.hosts[provider]

    @property
    def here(self) -> FakeHost:
        return self.hosts["openai"]

    @property
    def there(self) -> FakeHost:
        return self.hosts["deepinfra"]

    def at(self, provider: str) -> list[tuple[Shard, Attempt]]:
        return [pair for pair in self.one.pairs if pair[0].provider == provider]

    @property
    def switches(self) -> list[Switched]:
        return self.one.ctx.facts.switches.get(("tiny", "one"), [])

    def end(self, make: Answer, status: str = "completed", *, host: str = "openai") -> None:
        """End every batch that a host works on."""
        at = self.hosts[host]
        for batch in list(at.batches.values()):
            if batch.status == "in_progress":
                at.answer(batch.id, make, status)

    def asked_at(self, provider: str) -> list[str]:
        """The questions that a host was sent in batches, in order of sending."""
        batches = self.hosts[provider].batches.values()
        return [line["body"]["messages"][-1]["content"] for batch in batches for line in batch.lines]


def two(made: Project, before: Two | None = None, *, first: str = "openai", **more: Any) -> Two:
    """``before``: the same hosts and store, another process. ``first``: the host that fields in ``more`` are of."""
    store = before.one.ctx.store if before else open_store(made.store_url, cache=made.root / "cache")
    one = bench(made, host=before.host(first) if before else None, store=store, **more)
    known = {**builtin(), **one.ctx.told.profiles}
    hosts = before.hosts if before else {name: FakeHost(known[name], one.clock) for name in KNOWN}
    one.ctx = replace(one.ctx, hosts=lambda name: hosts[name])
    return Two(one, hosts)


def some(*numbers: int) -> Answer:
    """Answers to the questions with these numbers; to the others none."""

    def make(line: dict[str, Any]) -> bytes | None:
        asked = int(line["body"]["messages"][-1]["content"].split()[-1])
        return answered(line["custom_id"], f"answer {asked}") if asked in numbers else None

    return make


ALL = some(*range(1000))
