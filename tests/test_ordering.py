"""A steady query's rows that come in order are written once; all others are put in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import digests
from chimera_batch.warehouse import KEPT, STEADY, Form, Warehouse, core, memory, ordering
from tests.test_memory_limits import threads_of

IN_ORDER = "SELECT lpad(i::VARCHAR, 5, '0') AS row_key, repeat('é', i % 90) AS t FROM range(3000) u(i) ORDER BY i"
CASES = {
    "in order": IN_ORDER,
    "backwards": IN_ORDER.replace("ORDER BY i", "ORDER BY i DESC"),
    "last one first": IN_ORDER.replace("ORDER BY i", "ORDER BY (i + 1) % 3000"),
    "without a key": IN_ORDER.replace("lpad(", "if(i = 1500, NULL, 'a') || lpad("),
    "none": IN_ORDER.replace("range(3000)", "range(0)"),
}


def write(folder: Path, sql: str, form: Form) -> Path:
    with Warehouse(folder / "temp") as house:
        house.write(sql, {}, folder / "t.parquet", order_by="row_key", form=form)
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["t.parquet"]
    assert not list((folder / "temp").glob("unordered*"))
    return folder / "t.parquet"


def keys(path: Path) -> list[str | None]:
    with duckdb.connect() as db:
        return [key for (key,) in db.execute(f"SELECT row_key FROM '{path}'").fetchall()]


@pytest.mark.parametrize("size", [10_000, 2_000_000], ids=["large", "small"])
@pytest.mark.parametrize("sql", CASES.values(), ids=CASES)
def test_either_way_the_rows_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, size: int) -> None:
    monkeypatch.setattr(ordering, "SLICE", size)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    steady, kept = write(tmp_path / "a", sql, STEADY), write(tmp_path / "b", sql, KEPT)
    assert keys(steady) == keys(kept)
    if size > 10_000:
        assert steady.read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(("name", "sorts"), [("in order", 0), ("backwards", 1), ("without a key", 1)])
def test_only_large_rows_in_order_are_left_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sorts: int
) -> None:
    sorted_: list[str] = []

    def noting(*args: object) -> int:
        sorted_.append(str(args[2]))
        return ordering.write_in_order(*args)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(ordering, "SLICE", 10_000)
    monkeypatch.setattr(core, "write_in_order", noting)
    write(tmp_path, CASES[name], STEADY)
    assert len(sorted_) == sorts


@pytest.mark.parametrize("sorting", ["1MB", "256MB"])
def test_slices_are_sorted_in_little_memory_and_in_all_of_it_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sorting: str
) -> None:
    given: list[str] = []

    def noting(connection: duckdb.DuckDBPyConnection, limit: str, work: Callable[[], Any], usual: str) -> Any:
        given.append(limit)
        return memory.within(connection, limit, work, usual)

    monkeypatch.setattr(ordering, "SLICE", 20_000_000)
    monkeypatch.setattr(ordering, "_SORTING", sorting)
    monkeypatch.setattr(ordering, "within", noting)
    key = "lpad((40_000 - n)::VARCHAR, 8, '0') AS row_key"
    found = keys(write(tmp_path, f"SELECT {key}, repeat(md5(n::VARCHAR), 40) AS t FROM range(40_000) u(n)", KEPT))
    assert found == [f"{n:08}" for n in range(1, 40_001)]
    if sorting == "1MB":  # 52 MB of text in slices of 10 MB at most, whole row groups of 2,048 rows each
        assert given == [sorting] + ["512MB"] * 7
    else:
        assert given == [sorting]


@pytest.mark.parametrize(("size", "threads"), [(500_000, 2), (10_000, 1)], ids=["whole row groups", "pieces"])
def test_slices_are_cut_by_one_thread_and_joined_by_all_where_that_is_steady(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, threads: int
) -> None:
    """Two would cut anew what is no whole row group, now here and now there."""
    cutting: list[int] = []
    joining: list[int] = []
    first, cut_as_ever = ordering._first, ordering._cut

    def cut(connection: duckdb.DuckDBPyConnection, *how: Any) -> None:
        cutting.append(threads_of(connection))
        cut_as_ever(connection, *how)

    def joined(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
        if sql.startswith("COPY"):
            joining.append(threads_of(connection))
        return first(connection, sql)

    monkeypatch.setattr(ordering, "SLICE", size)
    monkeypatch.setattr(ordering, "_cut", cut)
    monkeypatch.setattr(ordering, "_first", joined)
    write(tmp_path, CASES["backwards"].replace("3000", "10_000"), KEPT)
    assert len(cutting) > 2
    assert set(cutting) == {1}
    assert joining == [threads]


@given(st.integers(1, 10**11), st.integers(2, 10**8))
def test_a_slice_is_whole_row_groups(size: int, rows: int) -> None:
    step, group = ordering.steps(size, rows)
    each = size / rows  # bytes of a row
    assert step >= 1
    assert group % 2048 == 0
    assert 2048 <= group <= 20_480
    assert step % group == 0 or step < group
    assert step * each <= max(ordering.SLICE, each), "as much as is sorted at once, or a single row"
    assert group * each <= max(4_000_000, 2048 * each)
    assert rows / step <= max(12 * 2, 4 * size / ordering.SLICE, 1 + rows / 2048), "few readings of a small file"


SHAPES = {
    "narrow": (100_000, "repeat(md5((n + 1)::VARCHAR), 1 + n % 40)"),
    "wide": (4_000, "repeat(md5((n + 1)::VARCHAR), 300 + n % 600)"),
    "in heaps": (9_000, "repeat(md5((n + 1)::VARCHAR), CASE WHEN (n // 1000) % 2 = 0 THEN 1200 ELSE 100 END)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """Row groups of several sizes, read by two threads, are cut anew by whichever comes first."""
    monkeypatch.setattr(ordering, "SLICE", 16_000_000)
    count, text = SHAPES[shape]
    rows = f"SELECT md5(n::VARCHAR) AS row_key, n, {text} AS t FROM range({count}) u(n)"
    orders = ["", " ORDER BY row_key", " ORDER BY n % 20, row_key", ""]
    made: set[tuple[bool, str]] = set()
    for number, order in enumerate(orders):
        for some in (False, True):  # what a filter lets through comes in pieces of any size
            (folder := tmp_path / f"{number}-{some}").mkdir()
            source = f"SELECT * FROM ({rows}{order} LIMIT {count}) WHERE n % 3 <> 0" if some else rows + order
            path = write(folder, source, KEPT)
            alike, largest = row_groups(path)
            assert alike or shape != "narrow", "all of one size, and what is left at the end"
            assert largest <= 20_000_000, "bytes"
            made.add((some, digests.of_file(path)))
    assert len(made) == 2


def row_groups(path: Path) -> tuple[bool, int]:
    """Whether they are all alike, but for the last, and the bytes of the largest."""
    told = "SELECT DISTINCT row_group_id, row_group_num_rows, row_group_bytes FROM parquet_metadata(?) ORDER BY 1"
    found = duckdb.execute(told, [str(path)]).fetchall()
    return len({rows for _, rows, _ in found[:-1]}) == 1, max(size for _, _, size in found)
