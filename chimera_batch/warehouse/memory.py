"""How much memory DuckDB may take for one statement, and whether one thread does it: as little as will do.

COPY fills whatever it is given with rows that wait to be written, so what only streams gets little. A hash join or a
window over whole answers may not fit the usual limit whatever is spilled; a run that was paid for must not end on that,
so such a statement is run once more with up to half of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import duckdb

from chimera_batch.errors import InputError
from chimera_batch.warehouse.connection import Connection

_T = TypeVar("_T")

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def limits(usual: str, little: Sequence[str]) -> list[str]:
    """The limits to try, one after the other, in DuckDB's words. ``little``: what will often do."""
    return list(dict.fromkeys([*little, usual, *([f"{half}B"] if (half := half_of_the_machine()) else [])]))


@cache
def half_of_the_machine() -> int | None:
    """Bytes: half of the memory that this process could have; None where that is not told."""
    told: list[int] = []
    with suppress(ValueError, OSError, AttributeError):
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):
        told.append(int(_CONTAINER.read_text()))
    return min(told) // 2 if told else None


def least(connection: Connection, work: Callable[[], _T], usual: str, *, little: Sequence[str] = ()) -> _T:
    """Do what runs one statement within one limit after the other, until one suffices; ``usual`` holds afterwards."""
    *some, most = limits(usual, little)
    for limit in some:
        try:
            return within(connection, limit, work, usual)
        except InputError as error:
            if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
                raise
    return within(connection, most, work, usual)


def within(connection: Connection, limit: str, work: Callable[[], _T], usual: str) -> _T:
    """Do it within this limit; ``usual`` holds afterwards."""
    with suppress(duckdb.OutOfMemoryException):  # more is held already: then within the limit that holds
        connection.execute("SET memory_limit = $limit", {"limit": limit})
    try:
        return work()
    finally:
        connection.execute("SET memory_limit = $limit", {"limit": usual})


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """One thread does all of it; afterwards there are as many as before."""
    (threads,) = connection.execute("SELECT current_setting('threads')").fetchone() or (1,)
    if threads == 1:
        yield
        return
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute("SET threads = $threads", {"threads": threads})
