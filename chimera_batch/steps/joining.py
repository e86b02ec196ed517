"""Answers → the stage's table: the one way in which a stage's result comes to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chimera_batch import digests
from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import InputError
from chimera_batch.history.counts import Standing
from chimera_batch.history.facts import Table
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps.columns import check_keys, check_table
from chimera_batch.steps.standing import prepare
from chimera_batch.warehouse import KEPT, STEADY, Warehouse

_PREVIOUS_COLUMNS = {
    "round": "INTEGER",
    "row_key": "VARCHAR",
    "sample": "INTEGER",
    "outcome": "VARCHAR",
    "row": "JSON",
    "answer": "JSON",
    "text": "VARCHAR",
}
_KEPT_COLUMNS = {"row_key": "VARCHAR", "row": "JSON"}


@dataclass(frozen=True, slots=True)
class Made:
    """A stage's table as a local file."""

    path: Path
    sha256: str
    rows: int


def made(ctx: Context, table: Table) -> Made:
    return Made(ctx.store.fetch(table.key), table.sha256, table.rows)


def view_inputs(tables: Mapping[str, Made], warehouse: Warehouse) -> None:
    """The tables of earlier stages, by name."""
    for name, table in tables.items():
        warehouse.view(name, [table.path])


def view_previous(ctx: Context, stage: Stage, closed: Sequence[Path], warehouse: Warehouse, folder: Path) -> str:
    """Make ``previous`` from the closed rounds' files; returns a digest of what it holds."""
    if not closed:
        warehouse.load("previous", _PREVIOUS_COLUMNS, ())
        return ""
    prepare(ctx, stage, closed, warehouse, folder)
    warehouse.define("best", engine_sql("best"))
    path = folder / f"{stage.name}.previous.parquet"
    warehouse.write(engine_sql("previous"), {}, path)
    warehouse.view("previous", [path])
    return digests.of_file(path)


def view_kept(table: Made | None, warehouse: Warehouse, folder: Path) -> None:
    """Make ``kept`` from the table that a stage's waves wait for; empty before there is one."""
    if table is None:
        warehouse.load("kept", _KEPT_COLUMNS, ())
        return
    warehouse.view("fresh_rows", [table.path])
    path = folder / "kept.parquet"
    warehouse.write(engine_sql("kept"), {}, path)
    warehouse.view("kept", [path])


def enough(ctx: Context, stage: Stage, number: int, warehouse: Warehouse) -> bool:
    """What the stage's ``until`` query says of the closed rounds. ``previous`` and ``kept`` must be current."""
    until = stage.rounds.until if stage.rounds else None
    if until is None:
        return False
    answer = warehouse.scalar(until, {**ctx.project.params, "round": number})
    if not isinstance(answer, bool):
        raise InputError(f"the until query says {answer!r}, not true or false", where=str(until.path))
    return answer


def check(ctx: Context, stage: Stage, warehouse: Warehouse) -> None:
    """Refuse a table query that cannot be made from the answers to come: before they are paid. Raises InputError."""
    if stage.table is not None:
        _view_answers(warehouse)
        check_table(stage.table, ctx.project.params, warehouse)


def _view_answers(warehouse: Warehouse) -> None:
    warehouse.define("best", engine_sql("best"))
    warehouse.define("answers", engine_sql("answers"))


def build(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> Made:
    """Run the stage's table query into a local file. The views it reads must be current.

    Raises InputError when the result lacks a unique row_key.
    """
    if stage.kind == "ask":
        _view_answers(warehouse)
    query = stage.table or engine_sql("every_answer")
    path = folder / f"{stage.name}.table.parquet"
    try:
        check_table(query, ctx.project.params, warehouse)
        form = KEPT if stage.kind == "ask" else STEADY  # answers may lie in other files after a crash
        rows = warehouse.write(query, ctx.project.params, path, order_by="row_key", metadata=ctx.marks, form=form)
        warehouse.view("fresh_rows", [path])
        check_keys(query, warehouse, ordered=True)
    except InputError as error:
        if not stage.files:
            raise
        raise InputError(error.message, where=str(stage.files[0]), hint=f"mend it, or {stage.where}") from error
    return Made(path, digests.of_file(path), rows)


def keep(ctx: Context, stage: Stage, marks: tuple[str, str], table: Made, standing: Standing | None) -> Made:
    """Make a built table a fact. ``marks``: its fingerprint, and the digest of how it was made."""
    key = f"runs/{ctx.run}/{stage.name}/table-{table.sha256[:16]}.parquet"
    ctx.store.create_file(key, table.path, drop=True)
    states, outcomes = (standing.states, standing.outcomes) if standing else ({}, {})
    fact = Table(marks[0], key, table.sha256, table.rows, states, outcomes, marks[1])
    ctx.ledger.table(ctx.run, stage.name, fact)
    ctx.say(f"{stage.name}: {table.rows:,} rows")
    return made(ctx, fact)
