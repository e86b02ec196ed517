"""Batches that have ended, ready to be landed by ``chimera_batch.steps.polling`` without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from bench import _results
from bench._results import Made
from chimera_batch.context import Context
from chimera_batch.cost import prices
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline import project
from chimera_batch.providers import openai_shapes
from chimera_batch.providers.base import Profile, Provider
from chimera_batch.records import BatchState, Reply
from chimera_batch.steps import polling
from chimera_batch.steps.leaving import MEMBER_COLUMNS
from chimera_batch.stores import open_store
from chimera_batch.warehouse.connection import Inline

CEILING, BOUND = 32_000, 500
MODEL = "gpt-6-luna"
_MANIFEST = f"""\
run: collect
models:
  m: {{provider: openai, model: {MODEL}, max_output_tokens: {CEILING}}}
stages:
  - {{name: one, ask: m, prompt: one.md, rows: one.sql}}
"""
_FOUND = """
    SELECT l.outcome, count(*) AS requests, sum(l.usd)
    FROM members AS m JOIN landed AS l ON l.request_id = m.request_id AND l.shard = m.shard
    GROUP BY 1
"""


class _Host:
    """A host whose results lie on this machine already: no download is timed."""

    plain = openai_shapes.PLAIN

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.files: dict[str, str] = {}

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        yield from map(Path, batch.files)

    def decode(self, line: bytes) -> Reply:
        return openai_shapes.decode(line)

    def state(self, batch_id: str) -> BatchState:
        return BatchState(batch_id, "completed", "ended", files=(self.files[batch_id],))

    def discard(self, file_ids: list[str]) -> None:
        """The files are the bench's own."""


class Landing:
    """A store with shards that were sent, and the results of each."""

    def __init__(self, folder: Path, *, schema: str | None) -> None:
        loaded = project.load(_written(folder))
        store = open_store(str(folder / "store"), cache=folder / "cache")
        self._host = _Host(loaded.profiles["openai"])
        host = cast("Provider", self._host)
        self.ctx = Context(
            told=loaded,
            store=store,
            ledger=Ledger(store, owner="bench:1:1:1").open(),
            prices=prices.load(),
            work=folder / "work",
            state=folder / "state",
            hosts=lambda _: host,
        )
        self._realm = self.ctx.realm(loaded.stages[0])
        self._schema = f"schemas/{'0' * 16}.json" if schema else None
        if schema and self._schema:
            store.create(self._schema, schema.encode())
        self._batches: list[tuple[Shard, Attempt, Made]] = []

    def sent(self, made: Made) -> None:
        """A shard with the requests of a file, packed and submitted."""
        name, number = f"one-{len(self._batches):012x}", len(self._batches)
        members = f"requests/{self._realm}/{name}.ids.parquet"
        with self.ctx.warehouse() as (warehouse, folder):
            ids = (_results.request_id(number) for number in range(made.first, made.first + made.requests))
            warehouse.load("ids", MEMBER_COLUMNS, ((name, identity, BOUND, BOUND) for identity in ids))
            warehouse.write("SELECT * FROM ids", {}, folder / "ids.parquet")
            self.ctx.store.create_file(members, folder / "ids.parquet")
        ledger = self.ctx.ledger
        assert ledger.pack(_shard(self._realm, name, members, made, self._schema), seen_packs=number)
        ledger.write(lambda _: _claim(self._realm, name, made))
        shard = ledger.shard(self._realm, name)
        ledger.submitted(shard, shard.attempts[0], f"batch-{number}")
        self._host.files[f"batch-{number}"] = str(made.path)
        self._batches.append((shard, shard.attempts[0], made))

    def land(self) -> Iterator[bool]:
        """Poll them all, as the runner does: they have ended."""
        yield polling.poll(self.ctx)

    def found(self) -> dict[str, Any]:
        """What the store holds now, by a join of the requests with their answers."""
        fetch = self.ctx.store.fetch
        with self.ctx.warehouse() as (warehouse, _):
            warehouse.view("members", [fetch(shard.members) for shard, _, _ in self._batches])
            warehouse.view("landed", [fetch(key) for _, attempt, _ in self._batches for key in attempt.answers])
            rows = list(warehouse.rows(Inline(_FOUND), {}))
        kept = [json.loads(line) for line in self._quarantined()]
        return {
            "outcomes": {outcome: requests for outcome, requests, _ in rows},
            "joined": sum(requests for _, requests, _ in rows),
            "usd": str(sum((usd for _, _, usd in rows), Decimal(0)).normalize()),
            "billed": str(sum((one.billed for _, one, _ in self._batches), Decimal(0)).normalize()),
            "malformed": len(kept),
            "misplaced": sum(not self._stands(record) for record in kept),
        }

    def _quarantined(self) -> Iterator[bytes]:
        for key in self.ctx.store.list("quarantine/"):
            yield from self.ctx.store.read(key).splitlines()

    def _stands(self, record: Mapping[str, Any]) -> bool:
        """Whether the bytes of a quarantined line are those of the file at its offset."""
        wanted = record["bytes"].encode("latin-1") + b"\n"
        paths = {shard.id: made.path for shard, _, made in self._batches}
        path = paths[record["file"].rpartition("/")[2].partition(".")[0]]
        with path.open("rb") as file:
            file.seek(record["offset"])
            return file.read(len(wanted)) == wanted


def _written(folder: Path) -> Path:
    files = {"collect.yaml": _MANIFEST, "sql/one.sql": "SELECT 'a' AS row_key", "prompts/one.md": "Say something.\n"}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "collect.yaml"


def _shard(realm: str, name: str, members: str, made: Made, schema: str | None) -> dict[str, Any]:
    return {
        "realm": realm,
        "shard": name,
        "stage": "one",
        "key": members.replace(".ids.parquet", ".jsonl.zst"),
        "members": members,
        "requests": made.requests,
        "bytes": made.requests,
        "provider": "openai",
        "model": MODEL,
        "endpoint": "/v1/chat/completions",
        "window": "24h",
        "ceiling": CEILING,
        "schema": schema,
        "cache": False,
        "canary": False,
    }


def _claim(realm: str, name: str, made: Made) -> dict[str, Any]:
    return {
        "type": "claimed",
        "realm": realm,
        "shard": name,
        "attempt": 1,
        "run": "collect",
        "stage": "one",
        "nonce": _results.NONCE,
        "sha256": "0" * 64,
        "requests": made.requests,
        "bytes": made.requests,
        "ids": None,
        "input_tokens": made.requests * BOUND,
        "usd": "1000",
        "price": None,
        "cache": False,
        "lease_until": 4e9,
    }
