"""What the engine's tests share: stores in memory and failing ones, a host in memory, a project of one stage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from chimera_batch import runner, settings
from chimera_batch.context import Context, Timing
from chimera_batch.cost import prices
from chimera_batch.errors import MissingObject, ProviderRefused
from chimera_batch.history.counts import Standing
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline import project
from chimera_batch.pipeline.project import Project
from chimera_batch.pipeline.stage import Source, Stage
from chimera_batch.providers import anthropic_shapes, openai_shapes
from chimera_batch.providers.base import Profile
from chimera_batch.records import BatchState, Intent, Problem, Reply, Usage
from chimera_batch.runner import Progress
from chimera_batch.steps import drawing, planning
from chimera_batch.steps.stepping import Step
from chimera_batch.stores import open_store
from chimera_batch.stores.base import Store

NOW = 1_790_000_000.0
PRICE = "2,8,1,4"  # USD per million: input, output, batch input, batch output


# -- stores


class MemoryStore:
    """Objects in a dict, create-if-absent as promised; counts what is read."""

    def __init__(self) -> None:
        self.url = "memory"
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self._lock = threading.Lock()

    def create(self, key: str, data: bytes) -> bool:
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = bytes(data)
            return True

    def read(self, key: str) -> bytes:
        self.reads += 1
        try:
            return self.objects[key]
        except KeyError:
            raise MissingObject(key) from None

    def exists(self, key: str) -> bool:
        return key in self.objects

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix) and key > after))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)


class Lagging:
    """A store whose listings still name what was deleted."""

    def __init__(self, store: Any) -> None:
        self._store, self._deleted = store, set[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        late = {key for key in self._deleted if key.startswith(prefix) and key > after}
        return iter(sorted(late.union(self._store.list(prefix, after))))

    def delete(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        self._deleted |= {key for key in gone if self._store.exists(key)}
        self._store.delete(gone)


class Flaky:
    """A store whose ``create`` fails once, at its ``at``-th call; ``after``: once the object is there already."""

    def __init__(self, store: Any, error: Exception, *, at: int, after: bool) -> None:
        self._store, self._error, self._at, self._after = store, error, at, after
        self.creates = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> bool:
        self.creates += 1
        if self.creates != self._at:
            return bool(self._store.create(key, data))
        if self._after:
            self._store.create(key, data)
        raise self._error


# -- time


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def dead_owner() -> str:
    """A process of this machine that has ended."""
    return settings.owner().rpartition(":")[0] + ":1"


FAR_OWNER = "elsewhere:boot:17:1"
"""A process of another machine: whether it lives, nobody here can know."""


# -- journal payloads

REALM = "openai@api.openai.com"


def packed(shard: str = "s", **changes: Any) -> dict[str, Any]:
    """The facts of a shard, as ``Ledger.pack`` takes them."""
    return {
        "realm": REALM,
        "shard": shard,
        "stage": "one",
        "key": f"requests/{REALM}/{shard}.jsonl.zst",
        "members": f"requests/{REALM}/{shard}.ids.parquet",
        "requests": 10,
        "bytes": 1000,
        "provider": "openai",
        "model": "tiny-1",
        "endpoint": "/v1/chat/completions",
        "window": "24h",
        "ceiling": 100,
        "schema": None,
        "cache": False,
        "canary": False,
        **changes,
    }


def claimed(shard: str = "s", attempt: int = 1, usd: str = "1.5", **changes: Any) -> dict[str, Any]:
    """The payload of a claim."""
    return {
        "type": "claimed",
        "realm": REALM,
        "shard": shard,
        "attempt": attempt,
        "run": "tiny",
        "stage": "one",
        "nonce": f"{attempt:08x}",
        "sha256": "0" * 64,
        "requests": 10,
        "bytes": 1090,
        "ids": None,
        "input_tokens": 500,
        "usd": usd,
        "price": None,
        "cache": False,
        "lease_until": NOW + 900,
        **changes,
    }


def landing(usd: str = "0.25", key: str = "answers/a", **changes: Any) -> dict[str, Any]:
    """What ``Ledger.landed`` takes."""
    fact = {"key": key, "raw": [], "outcomes": {"ok": 10}, "usd": usd, "quarantined": 0, "status": "completed"}
    return {**fact, "final": True, **changes}


# -- result lines of an OpenAI-style host


def answered(
    custom_id: str, text: str = "four", *, finish: str = "stop", tokens: tuple[int, int] = (10, 3), **usage: Any
) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    counts = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], **usage}
    body = {"object": "chat.completion", "model": "tiny-1-2026", "choices": [choice], "usage": counts}
    return orjson.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None})


def failed(custom_id: str, status: int = 400, code: str = "bad_request", message: str = "no") -> bytes:
    body = {"error": {"code": code, "message": message}}
    return orjson.dumps({"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None})


def succeeded(custom_id: str, text: str = "four") -> bytes:
    """A result line of an Anthropic-style host."""
    message = {
        "type": "message",
        "model": "tiny-1-2026",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 3},
    }
    return orjson.dumps({"custom_id": custom_id, "result": {"type": "succeeded", "message": message}})


Answer = Callable[[dict[str, Any]], bytes | None]
"""A wire line to its result line; None: no result for it."""


# -- a host


@dataclass
class Batch:
    """A batch at the fake host."""

    id: str
    file: str | None
    sent: bytes
    nonce: str
    name: str
    created_at: float
    status: str = "in_progress"
    results: tuple[bytes, ...] = ()
    problems: tuple[Problem, ...] = ()
    usage: Usage | None = None  # what the host says that all of it came to

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.sent.splitlines()]


class FakeHost:
    """A provider in memory. ``log`` holds the calls; ``trouble[verb]`` the errors to raise, one a call, None for none.

    Trouble of ``create`` is raised before anything is created, that of ``created`` afterwards (a lost reply).
    """

    def __init__(self, profile: Profile, clock: Clock) -> None:
        self.profile = profile
        self.clock = clock
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, Batch] = {}
        self.log: list[tuple[str, str]] = []
        self.trouble: dict[str, list[Exception | None]] = {}

    def called(self, verb: str) -> list[str]:
        return [what for said, what in self.log if said == verb]

    def _strike(self, verb: str) -> None:
        planned = self.trouble.get(verb)
        error = planned.pop(0) if planned else None
        if error is not None:
            raise error

    def _hear(self, verb: str, what: str) -> None:
        self.log.append((verb, what))
        self._strike(verb)

    def upload(self, intent: Intent, path: Path) -> str | None:
        if not self.profile.deletes_files:
            return None
        self._hear("upload", intent.file_name)
        return self.put(intent.file_name, path.read_bytes())

    def put(self, name: str, data: bytes) -> str:
        file = f"file-{len(self.log)}"
        self.files[file] = (name, data)
        return file

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        self._hear("create", intent.file_name)
        if file_id is not None and file_id not in self.files:
            raise ProviderRefused("no such file", status=400)
        batch = self.begin(intent, path.read_bytes(), file_id)
        self._strike("created")
        return batch.id

    def begin(self, intent: Intent, sent: bytes = b"", file: str | None = None) -> Batch:
        """A batch comes to be, whoever hears of it."""
        number = f"batch-{len(self.batches) + 1}"
        batch = Batch(number, file, sent, intent.nonce, intent.file_name, self.clock())
        self.batches[number] = batch
        return batch

    def answer(self, batch_id: str, make: Answer, status: str = "completed") -> None:
        """End a batch, with a result for every line that ``make`` answers."""
        batch = self.batches[batch_id]
        results = (make(line) for line in batch.lines)
        batch.results, batch.status = tuple(line for line in results if line is not None), status

    def find(self, intent: Intent) -> list[BatchState]:
        self._hear("find", intent.file_name)
        return [self._state(batch) for batch in self.batches.values() if self._may_be(batch, intent)]

    def _may_be(self, batch: Batch, intent: Intent) -> bool:
        if self.profile.keeps_metadata:
            return batch.nonce == intent.nonce
        if self.profile.deletes_files:
            return batch.name == intent.file_name
        return len(batch.lines) == intent.requests and batch.created_at >= intent.at - 60

    def state(self, batch_id: str) -> BatchState:
        self._hear("state", batch_id)
        if batch_id not in self.batches:
            raise ProviderRefused(f"there is no batch {batch_id}", status=404)
        return self._state(self.batches[batch_id])

    def _state(self, batch: Batch) -> BatchState:
        ended = batch.status in {"completed", "expired", "cancelled", "ended"}
        phase = "ended" if ended else "rejected" if batch.status == "failed" else "working"
        return BatchState(
            id=batch.id,
            status=batch.status,
            phase=phase,
            done=len(batch.results),
            total=len(batch.lines),
            files=(f"{batch.id}-out",) if ended and self.profile.deletes_files else (),
            problems=batch.problems,
            usage=batch.usage,
            created_at=batch.created_at,
            nonce=batch.nonce if self.profile.keeps_metadata else None,
        )

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        self._hear("fetch", batch.id)
        path = folder / f"{batch.id}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in self.batches[batch.id].results))
        yield path

    def decode(self, line: bytes) -> Reply:
        shapes = anthropic_shapes if self.profile.dialect == "anthropic" else openai_shapes
        return shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        self._hear("cancel", batch_id)
        if batch_id in self.batches:
            self.batches[batch_id].status = "cancelled"

    def discard(self, file_ids: Iterable[str]) -> None:
        for file in file_ids:
            self._hear("discard", file)
            self.files.pop(file, None)

    def find_uploads(self, intent: Intent) -> list[str]:
        self._hear("find_uploads", intent.file_name)
        return [file for file, (name, _) in self.files.items() if name == intent.file_name]

    def close(self) -> None:
        self.log.append(("close", self.profile.name))

    def ask(self, line: bytes) -> bytes:
        asked = orjson.loads(line)
        self._hear("ask", asked["custom_id"])
        return answered(asked["custom_id"])


# -- a project

ROWS = """\
-- The rows.
SELECT 'k' || lpad(i::VARCHAR, 3, '0') AS row_key, 'question ' || i AS q FROM range(3) AS t(i)
"""
PROMPT = "Answer: {{ q }}\n"
SCHEMA = (
    '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'  # strict
)

Files = Mapping[str, str]


def write_project(
    folder: Path, files: Files | None = None, *, stage: str = "", head: str = "", **model: Any
) -> Project:
    """A project of one ask stage ``one`` over three rows. ``stage`` and ``head``: further YAML; ``files`` replace."""
    said = {"provider": "openai", "model": "tiny-1", "max_output_tokens": 100, **model}
    choice = ", ".join(f"{name}: {value}" for name, value in said.items())
    manifest = f"run: tiny\nstore: {folder / 'store'}\n{head}\nmodels:\n  m: {{{choice}}}\nstages:\n"
    manifest += "  - {name: one, ask: m, prompt: tiny/one.md, rows: tiny/one_rows.sql" + stage + "}\n"
    everything = {"sql/tiny/one_rows.sql": ROWS, "prompts/tiny/one.md": PROMPT, "tiny.yaml": manifest, **(files or {})}
    for name, text in everything.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return project.load(folder / "tiny.yaml")


@dataclass
class Bench:
    """A context with a fake host under every profile of its project."""

    ctx: Context
    clock: Clock
    host: FakeHost
    said: list[str] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return self.ctx.project.stages[0]

    @property
    def pairs(self) -> list[tuple[Shard, Attempt]]:
        return list(self.ctx.facts.attempts())

    @contextmanager
    def step(self, name: str | None = None) -> Iterator[Step]:
        """A stage without inputs, ready to be drawn, packed, counted or joined."""
        stage = self.ctx.project.stage(name) if name else self.stage
        with self.ctx.warehouse() as (warehouse, folder):
            yield Step(self.ctx, stage, {}, warehouse, folder)

    def draw(self) -> list[Path]:
        """Ask the first round of the first stage and make it a fact; its files."""
        with self.step() as step:
            drawn = drawing.draw(self.ctx, step.stage, 1, step.warehouse, step.folder)
            asked, _ = drawing.keep_asked(self.ctx, step.stage, 1, step.fingerprint, drawn)
        return [self.ctx.store.fetch(key) for key in asked.keys]

    def pack(self, paths: list[Path]) -> bool:
        with self.step() as step:
            seen = self.ctx.facts.packs.get(self.ctx.realm(step.stage), 0)
            step.stand([tuple(paths)])
            return planning.pack(self.ctx, step.stage, step.warehouse, step.folder, planning.Extent(seen))

    def stand(self, paths: list[Path] | None = None) -> Standing:
        """How the first stage stands, from the store alone."""
        if paths is None:
            rounds = self.ctx.facts.asked[self.ctx.run, self.stage.name]
            paths = [self.ctx.store.fetch(key) for number in sorted(rounds) for key in rounds[number].keys]
        with self.step() as step:
            return step.stand([tuple(paths)])

    def states(self, paths: list[Path] | None = None) -> dict[str, int]:
        """The states that are not empty."""
        return {name: count for name, count in self.stand(paths).states.items() if count}

    def go(self) -> Progress:
        """One pass of the runner."""
        return runner.advance(self.ctx)

    def parquet(self, path: Path, sql: str = "SELECT * FROM t") -> list[dict[str, Any]]:
        """The rows of a Parquet file, named ``t``."""
        with self.ctx.warehouse() as (warehouse, _):
            warehouse.view("t", [path])
            rows = warehouse.rows(Source("t.sql", Path("t.sql"), sql), {})
            return [dict(zip(rows.columns, values, strict=True)) for values in rows]

    def table(self, name: str = "one", sql: str = "SELECT * FROM t") -> list[dict[str, Any]]:
        """The rows of a stage's table."""
        return self.parquet(self.ctx.store.fetch(self.ctx.facts.tables[self.ctx.run, name].key), sql)


def bench(
    project: Project,
    *,
    host: FakeHost | None = None,
    store: Store | None = None,
    owner: str | None = None,
    budget: str | None = None,
    **profile: Any,
) -> Bench:
    """A Context by hand. ``profile``: fields of the host that differ. Another ``owner`` on the same ``store`` races."""
    clock = host.clock if host else Clock()
    name = project.stages[0].calls[0].provider
    profiles = {**project.profiles, name: replace(project.profiles[name], **profile)}
    project = replace(project, profiles=profiles)
    host = host or FakeHost(profiles[name], clock)
    known = host
    store = store or open_store(project.store_url, cache=project.root / "cache")
    said: list[str] = []
    models = sorted({(call.provider, call.model) for stage in project.stages for call in stage.calls})
    ctx = Context(
        told=project,
        store=store,
        ledger=Ledger(store, owner=owner or settings.owner(), clock=clock).open(),
        prices=prices.load(None, [f"{provider}/{model}={PRICE}" for provider, model in models]),
        work=project.root / "work",
        state=project.root / "state",
        hosts=lambda _name: known,
        timing=Timing(poll=20, lease=900, settle=120),
        budget_usd=Decimal(budget) if budget is not None else None,
        clock=clock,
        sleep=clock.sleep,
        say=said.append,
    )
    return Bench(ctx, clock, host, said)
