"""The tables that ``query`` offers: every stage's result by name, and what the engine knows beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import InputError
from chimera_batch.history.counts import STATES
from chimera_batch.pipeline.project import Source, shipped_root
from chimera_batch.steps import recalling
from chimera_batch.steps.standing import view_or_empty
from chimera_batch.verbs import spending
from chimera_batch.warehouse import Later, Query, Warehouse, open_query

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
    "realm": "VARCHAR",
    "within": "VARCHAR",  # the window
    "usd_suspected": "DECIMAL(24,12)",
}
_USD = "DECIMAL(24,12)"
_STAGE_COLUMNS = {
    "stage": "VARCHAR",
    "wanted": "BIGINT",
    **dict.fromkeys(STATES, "BIGINT"),
    "rows": "BIGINT",
    "place": "INTEGER",  # in the manifest's order, from 1
    **dict.fromkeys(("usd_spent", "usd_suspected", "quoted_low", "quoted_likely", "quoted_high"), _USD),
    "rows_kept": "BIGINT",
    "usd_per_kept_row": "DOUBLE",
}
_QUOTE_COLUMNS = {
    "place": "INTEGER",
    "stage": "VARCHAR",
    "quoted_at": "TIMESTAMP",
    "basis": "VARCHAR",
    "requests": "BIGINT",
    **dict.fromkeys(("low", "likely", "high", "ceiling", "spent_before"), _USD),
}
_KEY_COLUMNS = {
    "stage": "VARCHAR",
    "place": "INTEGER",
    "row_key": "VARCHAR",
    "sample": "INTEGER",
    "request_id": "VARCHAR",
}
_MADE_COLUMNS = {"stage": "VARCHAR", "place": "INTEGER", "asks": "BOOLEAN", "row_key": "VARCHAR"}


_NEEDS = {
    "outcomes": ("attempts", "charged", "keys", "fates"),
    "costs": ("attempts", "charged"),
    "batches": ("attempts",),
    "stages": ("standings",),
    "quotes": ("offers",),
}
"""The views behind each of the engine's tables, in the order in which they are made."""
ENGINE_TABLES = tuple(_NEEDS)


@contextmanager
def shelves(ctx: Context, *, unsafe: bool = False) -> Iterator[Query]:
    """Read-only tables of the run as it is now; a run in progress is neither seen half nor held up.

    The engine's own tables are made when a query first names one: some of them take a reading of every answer.
    """
    with ctx.scratch() as folder:
        tables: dict[str, list[Path]] = {stage.name: [] for stage in ctx.project.stages}
        tables |= {name: [made.path] for name, made in spending.tables(ctx).items()}
        later = {name: Later(folder / f"{name}.parquet", partial(make, ctx, name)) for name in ENGINE_TABLES}
        with open_query(tables, folder / "query", later=later, unsafe=unsafe) as query:
            try:
                yield query
            except InputError as error:
                error.hint = error.hint or _columns(ctx)
                raise


def _columns(ctx: Context) -> str:
    """The line that shows what a typed query could have asked for."""
    made = [stage.name for stage in ctx.project.stages if (ctx.run, stage.name) in ctx.facts.tables]
    return ctx.command("query", f"DESCRIBE {made[-1]}") if made else ctx.command("status")


def make(ctx: Context, name: str, path: Path) -> None:
    """Write one of the engine's tables into a Parquet file."""
    with ctx.warehouse() as (warehouse, folder):
        for view in _NEEDS[name]:
            if view in _LOADED:
                columns, rows = _LOADED[view]
                warehouse.load(view, columns, rows(ctx))
            else:
                _VIEWED[view](ctx, warehouse, folder)
        warehouse.write(engine_sql(f"table_{name}"), {}, path)


def _batches(ctx: Context) -> Iterator[tuple[Any, ...]]:
    for shard, attempt in ctx.facts.attempts(ctx.run):
        usd = attempt.billed if attempt.stand == "landed" else None
        times = _moment(attempt.submitted_at), _moment(attempt.landed_at)
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
            shard.realm,
            shard.window,
            attempt.suspected,
        )


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) if seconds else None


def _stages(ctx: Context) -> Iterator[tuple[Any, ...]]:
    worth = spending.kept(ctx)
    for place, stage in enumerate(ctx.project.stages, 1):
        table, kept = ctx.facts.tables.get((ctx.run, stage.name)), worth[stage.name]
        counts = recalling.counted(ctx, stage).standing.states if stage.kind == "ask" else dict.fromkeys(STATES, 0)
        states = [counts[state] for state in STATES]
        quote = ctx.facts.quoted(ctx.run, stage.name)
        usd = (kept.usd, ctx.facts.suspected(ctx.run, stage.name), *(quote.total()[:3] if quote else (None,) * 3))
        rows = table.rows if table else None
        yield stage.name, sum(states), *states, rows, place, *usd, kept.rows, kept.usd_per_row


def _quotes(ctx: Context) -> Iterator[tuple[Any, ...]]:
    for place, stage in enumerate(ctx.project.stages, 1):
        for quote in ctx.facts.quotes.get((ctx.run, stage.name), []):
            usd = (quote.low, quote.likely, quote.high, quote.ceiling, quote.spent)
            yield place, stage.name, _moment(quote.at), quote.basis, quote.requests, *usd


def _view_keys(ctx: Context, warehouse: Warehouse, folder: Path) -> None:
    """``keys``: which rows of which stage asked which request."""
    paths, places = [], {stage.name: place for place, stage in enumerate(ctx.project.stages, 1)}
    for (run, stage), rounds in ctx.facts.asked.items():
        if run == ctx.run:
            warehouse.view("asked", [ctx.store.fetch(key) for number in sorted(rounds) for key in rounds[number].keys])
            paths.append(folder / f"{stage}.keys.parquet")
            warehouse.write(engine_sql("asked_keys"), {"stage": stage, "place": places.get(stage, 0)}, paths[-1])
    view_or_empty(warehouse, "keys", paths, _KEY_COLUMNS)


def _view_fates(ctx: Context, warehouse: Warehouse, folder: Path) -> None:
    """``fates``: which rows that were asked about are still there at the end, as far as it goes now."""
    paths, tables = [], spending.tables(ctx)
    for place, stage in enumerate(ctx.project.stages, 1):
        if stage.name in tables:
            warehouse.view("stage_table", [tables[stage.name].path])
            paths.append(folder / f"{stage.name}.rows.parquet")
            table = {"stage": stage.name, "place": place, "asks": stage.kind == "ask"}
            warehouse.write(engine_sql("made_rows"), table, paths[-1])
    view_or_empty(warehouse, "made_rows", paths, _MADE_COLUMNS)
    warehouse.write(engine_sql("fates"), {}, folder / "fates.parquet")
    warehouse.view("fates", [folder / "fates.parquet"])


_LOADED = {
    "attempts": (_BATCH_COLUMNS, _batches),
    "standings": (_STAGE_COLUMNS, _stages),
    "offers": (_QUOTE_COLUMNS, _quotes),
}
_VIEWED = {"charged": spending.view_charged, "keys": _view_keys, "fates": _view_fates}


def named_query(ctx: Context, name: str) -> Source:
    """``@name``: a file of ``sql/queries``, the project's own first. Raises InputError with the list."""
    known = named_queries(ctx)
    if name not in known:
        raise InputError(
            f"there is no named query @{name}", hint=f"one of: {', '.join('@' + n for n in sorted(known))}"
        )
    return known[name]


def named_queries(ctx: Context) -> dict[str, Source]:
    """All of them by name, in the order of their names."""
    folders = [shipped_root() / "sql" / "queries", ctx.project.root / "sql" / "queries"]
    known = {path.stem: path for folder in folders if folder.is_dir() for path in folder.glob("*.sql")}
    return {
        name: Source(f"queries/{name}.sql", path, path.read_text(encoding="utf-8"))
        for name, path in sorted(known.items())
    }
