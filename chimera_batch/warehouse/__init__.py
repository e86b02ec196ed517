"""The one way a SQL file is run, and the only package that imports duckdb.

DuckDB is a scratch view: in memory, rebuilt from the Parquet files that the ledger names, closed after use. Importing
this package loads duckdb, so import it where it is used.
"""

from chimera_batch.warehouse.arenas import give_back
from chimera_batch.warehouse.connection import SqlText
from chimera_batch.warehouse.core import Rows, Warehouse
from chimera_batch.warehouse.database import write_database
from chimera_batch.warehouse.instep import in_step
from chimera_batch.warehouse.ordering import KEPT, NARROW, QUICK, ROWS, SCRATCH, STEADY, Form
from chimera_batch.warehouse.query import Later, Query, open_query
from chimera_batch.warehouse.result import Result
from chimera_batch.warehouse.statements import over
from chimera_batch.warehouse.streaming import Lines

__all__ = [
    "KEPT",
    "NARROW",
    "QUICK",
    "ROWS",
    "SCRATCH",
    "STEADY",
    "Form",
    "Later",
    "Lines",
    "Query",
    "Result",
    "Rows",
    "SqlText",
    "Warehouse",
    "give_back",
    "in_step",
    "open_query",
    "over",
    "write_database",
]
