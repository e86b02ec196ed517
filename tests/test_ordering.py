"""A steady query's rows that come in order are written once; all others are put in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

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


@pytest.mark.parametrize("size", [100, 2_000_000], ids=["large", "small"])
@pytest.mark.parametrize("sql", CASES.values(), ids=CASES)
def test_either_way_the_rows_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, size: int) -> None:
    monkeypatch.setattr(ordering, "SLICE", size)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    steady, kept = write(tmp_path / "a", sql, STEADY), write(tmp_path / "b", sql, KEPT)
    assert keys(steady) == keys(kept)
    if size > 100:
        assert steady.read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(("name", "sorts"), [("in order", 0), ("backwards", 1), ("without a key", 1)])
def test_only_large_rows_in_order_are_left_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sorts: int
) -> None:
    sorted_: list[str] = []

    def noting(*args: object) -> int:
        sorted_.append(str(args[2]))
        return ordering.write_in_order(*args)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(ordering, "SLICE", 100)
    monkeypatch.setattr(core, "write_in_order", noting)
    write(tmp_path, CASES[name], STEADY)
    assert len(sorted_) == sorts


@pytest.mark.parametrize("sorting", ["1MB", "256MB"])
def test_slices_are_sorted_in_little_memory_and_in_all_of_it_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sorting: str
) -> None:
    given: list[str] = []

    def noting(connection: duckdb.DuckDBPyConnection, limit: str, work: Callable[[], None], usual: str) -> None:
        given.append(limit)
        memory.within(connection, limit, work, usual)

    monkeypatch.setattr(ordering, "SLICE", 20_000_000)
    monkeypatch.setattr(ordering, "_SORTING", sorting)
    monkeypatch.setattr(ordering, "within", noting)
    key = "lpad((40_000 - n)::VARCHAR, 8, '0') AS row_key"
    found = keys(write(tmp_path, f"SELECT {key}, repeat(md5(n::VARCHAR), 40) AS t FROM range(40_000) u(n)", KEPT))
    assert found == [f"{n:08}" for n in range(1, 40_001)]
    assert given == [sorting] * 3, "51 MB of text in slices of 20 MB"


def test_slices_are_cut_by_one_thread_and_joined_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cutting: list[int] = []
    joining: list[int] = []
    first = ordering._first

    def within(connection: duckdb.DuckDBPyConnection, limit: str, work: Callable[[], None], usual: str) -> None:
        cutting.append(threads_of(connection))
        memory.within(connection, limit, work, usual)

    def joined(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
        if sql.startswith("COPY"):
            joining.append(threads_of(connection))
        return first(connection, sql)

    monkeypatch.setattr(ordering, "SLICE", 10_000)
    monkeypatch.setattr(ordering, "within", within)
    monkeypatch.setattr(ordering, "_first", joined)
    write(tmp_path, CASES["backwards"], KEPT)
    assert len(cutting) > 2
    assert set(cutting) == {1}
    assert joining == [2]
