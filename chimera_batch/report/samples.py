"""A sample of rows, each with what is behind it: prompts, answers, attempts, cost. One line of JSON a row.

The way back from a row is that of ``trace``: its short texts that are row keys of stages are followed, stage by stage.
Only the sample is read into this process, some rows at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import Stage
from chimera_batch.report.embedded import embedded
from chimera_batch.report.prompts import Prompts
from chimera_batch.report.sections import report_sql
from chimera_batch.report.visible import plain, visible
from chimera_batch.report.wish import Wish
from chimera_batch.steps.joining import Made
from chimera_batch.steps.standing import LANDED_COLUMNS, view_or_empty
from chimera_batch.stores.overlap import prefetch
from chimera_batch.verbs import spending

if TYPE_CHECKING:
    from chimera_batch.warehouse import Warehouse

LONGEST = 8_000
"""Characters of a text in the page; of a longer one the beginning and the end are shown."""
PROMPTED = 1_000
"""Rows of the sample that show their prompts: the others' would make the page too large to open."""
_KEY = 200  # characters; a longer text is content and no key
_REQUESTS = 12  # of one stage behind one row
_CHUNK = 200  # rows in memory at once


@dataclass(frozen=True, slots=True)
class Samples:
    """``rows`` of the ``of`` that the table has. ``head``: what the rows have in common."""

    table: str
    of: int
    rows: int
    head: Mapping[str, Any]
    lines: Iterator[str]  # JSON that is safe inside a script element


@dataclass(frozen=True, slots=True)
class _Step:
    """What is behind the sample of one stage, in a file of its own: the types of its rows differ."""

    stage: Stage
    path: Path
    prompts: Prompts


@contextmanager
def drawn(ctx: Context, wish: Wish) -> Iterator[Samples | None]:
    """The sample of the table that was wished for; None where no table is made yet.

    Raises InputError for a table that no stage makes or that is not made.
    """
    made = spending.tables(ctx)
    name = _table(ctx, wish, made)
    if name is None:
        yield None
        return
    with ctx.warehouse() as (warehouse, folder):
        warehouse.view("shown", [made[name].path])
        picked = folder / "picked.parquet"
        rows = warehouse.write(report_sql("picked"), {"rows": wish.rows}, picked)
        warehouse.view("picked", [picked])
        warehouse.write(report_sql("shown"), {}, folder / "sampled.parquet", order_by="place")
        warehouse.view("sampled", [folder / "sampled.parquet"])
        steps = _steps(ctx, made, warehouse, folder)
        columns = [n for n, _ in warehouse.describe(report_sql("some_shown"), {"first": 0, "last": 0})][1:]
        head = {
            "columns": [visible(column) for column in columns],
            "steps": [{"stage": step.stage.name, "shared": step.prompts.shared} for step in steps],
        }
        yield Samples(name, made[name].rows, rows, head, _lines(warehouse, steps, rows))


def _table(ctx: Context, wish: Wish, made: Mapping[str, Made]) -> str | None:
    if wish.table is not None:
        ctx.project.stage(wish.table)
        if wish.table not in made:
            where, again = str(ctx.project.path), ctx.command("run")
            raise InputError(f"table {wish.table} is not made yet", where=where, hint=again)
        return wish.table
    return next((stage.name for stage in reversed(ctx.project.stages) if stage.name in made), None)


def _steps(ctx: Context, made: Mapping[str, Made], warehouse: Warehouse, folder: Path) -> list[_Step]:
    """Follow the sample back from the last stage to the first; returns the stages that asked something about it."""
    links = _Links(warehouse, folder)
    links.move("first_links", {})
    found = []
    for place, stage in reversed(list(enumerate(ctx.project.stages))):
        if stage.name in made:
            warehouse.view("followed", [made[stage.name].path])
            links.move("table_links", {"longest": _KEY})
        rounds = ctx.facts.asked.get((ctx.run, stage.name), {})
        if rounds:
            warehouse.view("asked", [ctx.store.fetch(key) for n in sorted(rounds) for key in rounds[n].keys])
            step = _step(ctx, stage, warehouse, folder / f"{place}")
            links.move("asked_links", {"longest": _KEY})
            found += [step] if step else []
    return found[::-1]


class _Links:
    """The view ``links``: which keys each row of the sample leads to, so far."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self._warehouse, self._folder, self._moves = warehouse, folder, 0

    def move(self, sql: str, params: Mapping[str, Any]) -> None:
        self._moves += 1
        path = self._folder / f"links-{self._moves}.parquet"
        self._warehouse.write(report_sql(sql), params, path)
        self._warehouse.view("links", [path])


def _step(ctx: Context, stage: Stage, warehouse: Warehouse, stem: Path) -> _Step | None:
    asked, landed, whole = (stem.with_name(f"{stem.name}-{what}.parquet") for what in ("asked", "landed", "whole"))
    rows = warehouse.write(report_sql("sampled_asked"), {"most": _REQUESTS}, asked)
    warehouse.view("evidence", [asked])
    if not rows:
        return None
    realms = dict.fromkeys((ctx.realm(stage), *ctx.left_realms(stage)))
    keys = (key for realm in realms for s in ctx.facts.in_realm(realm) for a in s.attempts for key in a.answers)
    view_or_empty(warehouse, "landed_all", list(prefetch(ctx.store, keys)), LANDED_COLUMNS)
    warehouse.write(report_sql("sampled_landed"), {}, landed)
    warehouse.view("landed", [landed])
    warehouse.load("whole_shards", {"shard": "VARCHAR"}, ())  # few answers: none is left out of the comparison
    warehouse.define("best", engine_sql("best"))
    warehouse.write(report_sql("evidence"), {}, whole)
    return _Step(stage, whole, Prompts(ctx, stage))


def _lines(warehouse: Warehouse, steps: list[_Step], rows: int) -> Iterator[str]:
    for first in range(1, rows + 1, _CHUNK):
        span = {"first": first, "last": first + _CHUNK - 1}
        behind: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for number, step in enumerate(steps):
            warehouse.view("evidence", [step.path])
            for place, one in _evidence(warehouse, step, span):
                behind[place].append({"step": number, **one})
        for place, *values in warehouse.rows(report_sql("some_shown"), span):
            yield embedded({"v": [_value(value) for value in values], "e": behind.get(place, [])})


def _evidence(warehouse: Warehouse, step: _Step, span: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    found = warehouse.rows(report_sql("some_evidence"), span)
    for values in found:
        one = dict(zip(found.columns, values, strict=True))
        place, row = one.pop("place"), one.pop("row")
        if one["answer"] is not None:
            one["answer"] = orjson.loads(one["answer"])
        shown = {name: _value(value) for name, value in one.items() if value is not None}
        if place <= PROMPTED:
            shown["prompt"] = step.prompts.of(row, one["sample"], one["request_id"])
        yield place, shown


def _value(value: Any) -> Any:
    """A value of any DuckDB type as JSON that a browser reads exactly."""
    from chimera_batch.warehouse.result import json_value  # noqa: PLC0415 - it takes duckdb with it

    found = json_value(value)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) > 2**53:
        return str(found)
    return plain(found, LONGEST)
