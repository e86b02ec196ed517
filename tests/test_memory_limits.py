"""How much memory DuckDB is given: little first, then what is usual, then half of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import duckdb
import pytest

from chimera_batch.errors import InputError
from chimera_batch.warehouse.memory import half_of_the_machine, least


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(config={"memory_limit": "512MB"})) as one:
        yield one


def limit_of(connection: duckdb.DuckDBPyConnection) -> str:
    (found,) = connection.execute("SELECT current_setting('memory_limit')").fetchone() or ("",)
    return str(found)


def failing(connection: duckdb.DuckDBPyConnection, seen: list[str], times: int) -> Callable[[], str]:
    """Work that needs more memory than it has, so many times; each time the limit is noted."""

    def work() -> str:
        seen.append(limit_of(connection))
        if len(seen) <= times:
            raise InputError("it does not fit") from duckdb.OutOfMemoryException("it does not fit")
        return "done"

    return work


def test_little_is_tried_first_and_more_only_if_need_be(connection: duckdb.DuckDBPyConnection) -> None:
    usual = limit_of(connection)
    assert half_of_the_machine(), "this machine tells its memory"
    for times, tried in ((0, 1), (1, 2), (2, 3), (3, 4)):
        seen: list[str] = []
        assert least(connection, failing(connection, seen, times), "512MB", little=("64MB", "96MB")) == "done"
        assert len(seen) == tried
        assert seen[0] not in {usual, ""}
        assert seen[2:3] in ([], [usual])
        assert limit_of(connection) == usual
    seen = []
    with pytest.raises(InputError):
        least(connection, failing(connection, seen, 9), "512MB", little=("64MB", "96MB"))
    assert len(seen) == 4
    assert limit_of(connection) == usual


def test_what_is_wrong_with_the_sql_is_not_tried_twice(connection: duckdb.DuckDBPyConnection) -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(limit_of(connection))
        raise InputError("no such column")

    with pytest.raises(InputError, match="no such column"):
        least(connection, work, "512MB", little=())
    assert seen == [limit_of(connection)]


def test_what_is_held_already_may_be_more_than_little(connection: duckdb.DuckDBPyConnection) -> None:
    """A table in memory that nothing can spill: the statement runs within the usual limit."""
    connection.execute("SET temp_directory = ''")
    connection.execute("CREATE TABLE held AS SELECT n, hash(n) AS h FROM range(5_000_000) AS t(n)")
    usual = limit_of(connection)

    def work() -> object:
        assert limit_of(connection) == usual
        return connection.execute("SELECT count(*) FROM held").fetchone()

    assert least(connection, work, "512MB", little=("64MB", "96MB")) == (5_000_000,)
    assert limit_of(connection) == usual
