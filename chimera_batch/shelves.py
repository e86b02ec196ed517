"""The tables that ``query`` offers: every stage's result by name, and what the engine knows beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import InputError
from chimera_batch.project import Source, shipped_root
from chimera_batch.standing import LANDED_COLUMNS, STATES, view_or_empty
from chimera_batch.statusing import stand
from chimera_batch.warehouse import Query, Warehouse, open_query

ENGINE_TABLES = ("outcomes", "costs", "batches", "stages")
_BATCH_COLUMNS = {
    "stage": "VARCHAR",
    "shard": "VARCHAR",
    "attempt": "INTEGER",
    "provider": "VARCHAR",
    "model": "VARCHAR",
    "id": "VARCHAR",
    "status": "VARCHAR",
    "requests": "BIGINT",
    "done": "BIGINT",
    "usd": "DECIMAL(24,12)",
    "sent_at": "TIMESTAMP",
    "landed_at": "TIMESTAMP",
}
_STAGE_COLUMNS = {"stage": "VARCHAR", "wanted": "BIGINT", **dict.fromkeys(STATES, "BIGINT"), "rows": "BIGINT"}
_KEY_COLUMNS = {"stage": "VARCHAR", "row_key": "VARCHAR", "sample": "INTEGER", "request_id": "VARCHAR"}


@contextmanager
def shelves(ctx: Context, *, unsafe: bool = False) -> Iterator[Query]:
    """Read-only tables of the run as it is now; a run in progress is neither seen half nor held up."""
    with ctx.scratch() as folder:
        tables = {
            name: [ctx.store.fetch(table.key)] for (run, name), table in ctx.facts.tables.items() if run == ctx.run
        }
        made = _engine_tables(ctx, folder)
        for stage in ctx.project.stages:
            tables.setdefault(stage.name, [])
        with open_query({**made, **tables}, folder / "query", unsafe=unsafe) as query:
            yield query


def _engine_tables(ctx: Context, folder: Path) -> Mapping[str, list[Path]]:
    with ctx.warehouse() as (warehouse, _):
        attempts = list(ctx.facts.attempts(ctx.run))
        answers = [ctx.store.fetch(key) for _, attempt in attempts for key in attempt.answers]
        view_or_empty(warehouse, "landed", answers, LANDED_COLUMNS)
        warehouse.load("attempts", _BATCH_COLUMNS, _batches(ctx))
        warehouse.load("standings", _STAGE_COLUMNS, _stages(ctx))
        _view_asked(ctx, warehouse, folder)
        made = {}
        for name in ENGINE_TABLES:
            path = folder / f"{name}.parquet"
            warehouse.write(engine_sql(f"table_{name}"), {}, path)
            made[name] = [path]
        return made


def _batches(ctx: Context) -> Iterator[tuple[Any, ...]]:
    from datetime import UTC, datetime  # noqa: PLC0415 - only here

    def moment(seconds: float | None) -> datetime | None:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) if seconds else None

    for shard, attempt in ctx.facts.attempts(ctx.run):
        usd = attempt.billed if attempt.stand == "landed" else None
        times = moment(attempt.submitted_at), moment(attempt.landed_at)
        yield (
            attempt.stage,
            shard.id,
            attempt.number,
            shard.provider,
            shard.model,
            attempt.batch,
            attempt.status,
            attempt.requests,
            attempt.done,
            usd,
            *times,
        )


def _stages(ctx: Context) -> Iterator[tuple[Any, ...]]:
    for stage in ctx.project.stages:
        table = ctx.facts.tables.get((ctx.run, stage.name))
        counts = stand(ctx, stage)[0].states if stage.kind == "ask" else dict.fromkeys(STATES, 0)
        states = [counts[state] for state in STATES]
        yield stage.name, sum(states), *states, table.rows if table else None


def _view_asked(ctx: Context, warehouse: Warehouse, folder: Path) -> None:
    """``keys``: which rows of which stage asked which request."""
    paths = []
    for (run, stage), rounds in ctx.facts.asked.items():
        if run == ctx.run:
            warehouse.view("asked", [ctx.store.fetch(rounds[number].key) for number in sorted(rounds)])
            paths.append(folder / f"{stage}.keys.parquet")
            warehouse.write(engine_sql("asked_keys"), {"stage": stage}, paths[-1])
    view_or_empty(warehouse, "keys", paths, _KEY_COLUMNS)


def named_query(ctx: Context, name: str) -> Source:
    """``@name``: a file of ``sql/queries``, the project's own first. Raises InputError with the list."""
    folders = [ctx.project.root / "sql" / "queries", shipped_root() / "sql" / "queries"]
    known = {
        path.stem: path for folder in reversed(folders) if folder.is_dir() for path in sorted(folder.glob("*.sql"))
    }
    if name not in known:
        raise InputError(
            f"there is no named query @{name}", hint=f"one of: {', '.join('@' + n for n in sorted(known))}"
        )
    return Source(f"queries/{name}.sql", known[name], known[name].read_text(encoding="utf-8"))
