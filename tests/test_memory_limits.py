"""How much memory DuckDB is given: little first, then what is usual, then half of the machine. And how many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from chimera_batch.errors import InputError
from chimera_batch.warehouse import KEPT, NARROW, QUICK, ROWS, SCRATCH, STEADY, Warehouse
from chimera_batch.warehouse.connection import Inline
from chimera_batch.warehouse.memory import alone, half_of_the_machine, least
from chimera_batch.warehouse.ordering import Form


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


# -- threads


def threads_of(connection: duckdb.DuckDBPyConnection) -> int:
    (found,) = connection.execute("SELECT current_setting('threads')").fetchone() or (0,)
    return int(found)


def test_one_thread_does_it_and_then_there_are_as_many_as_before(connection: duckdb.DuckDBPyConnection) -> None:
    for threads in (1, 3):
        connection.execute(f"SET threads = {threads}")
        with alone(connection):
            assert threads_of(connection) == 1
        assert threads_of(connection) == threads
        with pytest.raises(ZeroDivisionError), alone(connection):
            raise ZeroDivisionError
        assert threads_of(connection) == threads


@pytest.mark.parametrize(
    ("form", "threads"),
    [(ROWS, 1), (SCRATCH, 1), (QUICK, 2), (NARROW, 2), (KEPT, 2)],
    ids=["rows", "scratch", "quick", "narrow", "kept"],
)
def test_texts_of_which_little_is_held_are_written_by_one_thread(tmp_path: Path, form: Form, threads: int) -> None:
    with Warehouse(tmp_path / "temp") as warehouse:
        asked = Inline("SELECT current_setting('threads')::BIGINT AS threads")
        warehouse.write(asked, {}, tmp_path / "told.parquet", form=form)
        warehouse.view("told", [tmp_path / "told.parquet"])
        assert warehouse.scalar(Inline("SELECT threads FROM told"), {}) == threads
        assert warehouse.scalar(asked, {}) == 2, "and what follows has two again"


@pytest.mark.parametrize(("form", "threads"), [(KEPT, 1), (STEADY, 2)], ids=["kept", "steady"])
def test_what_is_to_be_put_in_order_is_written_by_one_thread(tmp_path: Path, form: Form, threads: int) -> None:
    """A steady query's rows may come in order: then what was written is the table, compressed, by all threads."""
    with Warehouse(tmp_path / "temp") as warehouse:
        asked = Inline("SELECT current_setting('threads')::BIGINT AS threads, -range AS n FROM range(3)")
        assert warehouse.write(asked, {}, tmp_path / "told.parquet", order_by="n", form=form) == 3
        warehouse.view("told", [tmp_path / "told.parquet"])
        assert list(warehouse.rows(Inline("SELECT threads, n FROM told"), {})) == [(threads, n) for n in (-2, -1, 0)]
        assert warehouse.scalar(Inline("SELECT current_setting('threads')::BIGINT"), {}) == 2


def test_a_query_that_fails_leaves_two_threads(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "temp") as warehouse:
        with pytest.raises(InputError, match="no_such"):
            warehouse.write(Inline("SELECT no_such FROM range(3)"), {}, tmp_path / "none.parquet", form=ROWS)
        assert warehouse.scalar(Inline("SELECT current_setting('threads')::BIGINT"), {}) == 2


def test_rows_that_are_being_read_go_on_while_threads_come_and_go(tmp_path: Path) -> None:
    many = 60_000
    with Warehouse(tmp_path / "temp") as warehouse:
        numbers = Inline("SELECT range AS n, repeat('x', 100) AS text FROM range($many)")
        warehouse.write(numbers, {"many": many}, tmp_path / "numbers.parquet", form=ROWS)
        warehouse.view("numbers", [tmp_path / "numbers.parquet"])
        rows = iter(warehouse.rows(Inline("SELECT n, text FROM numbers"), {}))
        found = [next(rows)[0] for _ in range(10)]
        for some in range(3):
            copy = tmp_path / f"{some}.parquet"
            assert warehouse.write(Inline("SELECT * FROM numbers"), {}, copy, form=SCRATCH) == many
            found += [next(rows)[0] for _ in range(1_000)]
        assert found + [n for n, _ in rows] == list(range(many))
