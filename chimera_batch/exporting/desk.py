"""What every format works with: the run's tables as views, the export's SQL, and the folder that is filled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chimera_batch import digests
from chimera_batch.context import Context
from chimera_batch.errors import ChimeraError, InputError, NotFinished
from chimera_batch.exporting.wish import Wish
from chimera_batch.pipeline.project import Source, shipped_root
from chimera_batch.steps import joining

if TYPE_CHECKING:
    from chimera_batch.steps.joining import Made
    from chimera_batch.warehouse import Warehouse

TABLE = "dataset"
"""What the exported table is called in the export's SQL, whatever the stage is called."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One export under way. ``files``: what was written, and how many rows each holds."""

    ctx: Context
    wish: Wish
    warehouse: Warehouse
    scratch: Path
    folder: Path  # becomes the export
    tables: Mapping[str, Made]  # views that are there, by the names of their stages
    files: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)  # of each of the files, in hex
    left_out: dict[str, str] = field(default_factory=dict)  # what could not be made, and why

    def columns(self) -> list[str]:
        """Of the exported table."""
        return [name for name, _ in self.warehouse.describe(self.sql("whole"), {})]

    def need(self, name: str, columns: str) -> None:
        """Raises InputError naming what the exported table lacks of the columns that our own ``NAME.sql`` reads."""
        if self.sql(name).text != _shipped(name).read_text(encoding="utf-8"):
            return
        have = self.columns()
        lacks = [column for column in columns.split() if column not in have]
        if lacks:
            raise InputError(
                f"table {self.wish.table} has no column {', '.join(lacks)}, which --format {self.wish.form} needs",
                where=str(self.ctx.project.path),
                hint="--table NAME takes another table; --format parquet and duckdb take any",
            )

    def sql(self, name: str) -> Source:
        """``sql/exports/NAME.sql``, the project's own before the one that came with the package."""
        path = self.ctx.project.root / "sql" / "exports" / f"{name}.sql"
        if not path.is_file():
            path = _shipped(name)
        return Source(f"exports/{name}.sql", path, path.read_text(encoding="utf-8"))

    def write(self, name: str, source: Source, params: Mapping[str, Any], *, order_by: str | None = None) -> int:
        """A Parquet file of the export; one without rows is not kept. Returns the rows."""
        path = self.folder / name
        marks = self.ctx.marks | {"chimera_export": self.wish.form}
        rows = self.warehouse.write(source, params, path, order_by=order_by, metadata=marks)
        if rows:
            self.wrote(name, rows)
        else:
            path.unlink()
        return rows

    def wrote(self, name: str, rows: int) -> None:
        """Take a finished file into the export's account."""
        self.sha256[name] = digests.of_file(self.folder / name)
        self.files[name] = rows

    @property
    def version(self) -> str:
        """Names what all files hold: eight hex digits of a digest over theirs."""
        return hashlib.sha256(" ".join(self.sha256[name] for name in sorted(self.sha256)).encode()).hexdigest()[:8]


def _shipped(name: str) -> Path:
    return shipped_root() / "sql" / "exports" / f"{name}.sql"


@contextmanager
def desk(ctx: Context, wish: Wish, folder: Path) -> Iterator[Desk]:
    """The run's tables, opened. Raises InputError for a table that no stage makes or that is not made yet, NotFinished
    where providers are still at work for it.
    """
    known = ctx.project.by_name  # a stage that the manifest no longer has left its table behind
    facts = {name: table for (run, name), table in ctx.facts.tables.items() if run == ctx.run and name in known}
    if wish.form not in {"parquet", "duckdb"}:
        ctx.project.stage(wish.table)
        if wish.table not in facts:
            raise _not_made(ctx, f"table {wish.table} is not made yet")
    if not facts:
        raise _not_made(ctx, "no table of this run is made yet")
    wanted = [wish.table] if wish.form in {"sft", "rl"} else list(facts)
    with ctx.warehouse() as (warehouse, scratch):
        made = {name: joining.made(ctx, facts[name]) for name in wanted}
        joining.view_inputs(made, warehouse)
        if wish.table in made:
            warehouse.view(TABLE, [made[wish.table].path])
        yield Desk(ctx, wish, warehouse, scratch, folder, made)


def _not_made(ctx: Context, what: str) -> ChimeraError:
    again = ctx.command("run")
    if any(attempt.is_open for _, attempt in ctx.facts.attempts(ctx.run)):
        return NotFinished(f"{what}: a provider is still working", hint=again)
    return InputError(what, where=str(ctx.project.path), hint=again)
