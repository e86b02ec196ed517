"""``parquet`` and ``duckdb``: every table of the run, for people with questions of their own."""

from __future__ import annotations

import shutil

from chimera_batch.exporting.desk import Desk
from chimera_batch.verbs import shelves
from chimera_batch.warehouse import write_database

DATABASE = "tables.duckdb"


def parquet(desk: Desk) -> None:
    """A file for each table of a stage, as it lies in the store. What the engine knows is in ``duckdb``."""
    for name, table in sorted(desk.tables.items()):
        shutil.copyfile(table.path, desk.folder / f"{name}.parquet")
        desk.wrote(f"{name}.parquet", table.rows)


def database(desk: Desk) -> None:
    """One file: the tables of the stages and of the engine, and the named queries as views."""
    paths = {name: table.path for name, table in sorted(desk.tables.items())}
    for name in shelves.ENGINE_TABLES:
        path = desk.scratch / f"{name}.parquet"
        shelves.make(desk.ctx, name, path)
        paths.setdefault(name, path)
    rows, left = write_database(desk.folder / DATABASE, paths, shelves.named_queries(desk.ctx))
    desk.wrote(DATABASE, sum(rows[name] for name in desk.tables))
    desk.left_out.update({f"@{name}": reason for name, reason in left.items()})
