"""The warehouse: SQL files checked, run and written; Python rows loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.warehouse import Warehouse, ordering

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    text: str
    name: str = "x"
    path: Path = Path("sql/x.sql")


@pytest.fixture
def house(tmp_path: Path):
    with Warehouse(tmp_path / "temp") as opened:
        yield opened


def rows(house: Warehouse, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    return list(house.rows(Source(sql), params))


# -- views and loading


def test_a_view_reads_the_listed_files_by_column_name(house: Warehouse, tmp_path: Path) -> None:
    first, second = tmp_path / "k=1" / "a.parquet", tmp_path / "br[a]ck*t's.parquet"
    house.write("SELECT 1 AS x, 'a' AS y", {}, first)
    house.write("SELECT 'b' AS y, 2 AS x, true AS z", {}, second)
    house.view("t", [first, second])
    assert rows(house, "SELECT x, y, z FROM t ORDER BY x") == [(1, "a", None), (2, "b", True)]
    assert [name for name, _ in house.describe(Source("SELECT * FROM t"), {})] == ["x", "y", "z"]


def test_a_view_without_files_is_the_callers_mistake(house: Warehouse) -> None:
    with pytest.raises(ValueError, match="t has no files"):
        house.view("t", [])


def test_a_view_of_a_missing_or_broken_file_is_named(house: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        house.view("t", [tmp_path / "none.parquet"])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError) as caught:
        house.view("t", [broken])
    assert caught.value.where == str(broken)


def test_a_name_may_turn_from_table_to_view_and_back(house: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    house.write("SELECT 1 AS x", {}, file)
    for _ in range(2):
        house.load("t", {"x": "BIGINT"}, [(7,)])
        assert rows(house, "FROM t") == [(7,)]
        house.view("t", [file])
        assert rows(house, "FROM t") == [(1,)]


def test_a_file_is_defined_as_a_view_and_shows_what_its_tables_hold_now(house: Warehouse) -> None:
    house.load("t", {"x": "BIGINT"}, [(1,)])
    house.define("twice", Source("-- Twice.\n-- reads: t\nSELECT x * 2 AS y FROM t; -- end"))
    assert rows(house, "FROM twice") == [(2,)]
    house.load("t", {"x": "BIGINT"}, [(5,)])
    assert rows(house, "FROM twice") == [(10,)]
    with pytest.raises(InputError):
        house.define("broken", Source("SELECT nope FROM t"))


COLUMNS = {"i": "BIGINT", "text \"q\" 'a'": "VARCHAR", "d": "DOUBLE", "b": "BOOLEAN", "blob": "BLOB", "l": "VARCHAR[]"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | TEXT,
            st.none() | st.floats(),
            st.none() | st.booleans(),
            st.none() | st.binary(),
            st.none() | st.lists(st.none() | TEXT, max_size=3),
        ),
        max_size=20,
    )
)
def test_what_is_loaded_comes_back(house: Warehouse, given_rows: list[tuple[Any, ...]]) -> None:
    assert house.load("t", COLUMNS, iter(given_rows)) == len(given_rows)
    back = rows(house, "SELECT * FROM t")
    assert repr(back) == repr(given_rows)  # repr: NaN is NaN, -0.0 is not 0.0


def test_text_that_breaks_other_formats_is_kept(house: Warehouse) -> None:
    nasty = [
        "",
        "\x00",
        "a\x00b",
        "\n",
        "\r\n",
        "\\",
        '"',
        "'",
        "\u2028",
        "\ufeff",
        "null",
        '{"a": 1}',
        "[1]",
        "𝔸",
        " x ",
        None,
    ]
    house.load("t", {"x": "VARCHAR"}, ((value,) for value in nasty))
    assert [row[0] for row in rows(house, "FROM t")] == nasty


def test_other_types_are_loaded_exactly(house: Warehouse) -> None:
    types = {
        "m": "DECIMAL(38,10)",
        "h": "HUGEINT",
        "j": "JSON",
        "t": "TIMESTAMP",
        "d": "DATE",
        "f": "FLOAT[]",
        "s": "STRUCT(a INTEGER)",
    }
    row = (
        Decimal("0.1000000001"),
        2**100,
        '{"a": [1]}',
        datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - a naive column
        date(2026, 1, 2),
        [0.5],
        {"a": 1},
    )
    house.load("t", types, [row])
    assert rows(house, "FROM t") == [row]
    house.load("t", {"j": "JSON"}, [({"a": "x"},), (None,)])
    assert rows(house, "SELECT j->>'a' FROM t") == [("x",), (None,)]


def test_an_instant_comes_back_in_utc(house: Warehouse) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    house.load("t", {"x": "TIMESTAMPTZ"}, [(moment,)])
    assert rows(house, "FROM t") == [(moment,)]
    assert rows(house, "SELECT x::VARCHAR FROM t") == [("2026-01-02 03:04:05+00",)]


def test_a_line_beyond_the_json_readers_default_is_loaded(house: Warehouse) -> None:
    house.load("t", {"x": "VARCHAR"}, [("é" * 9_000_000,)])
    assert rows(house, "SELECT length(x) FROM t") == [(9_000_000,)]


@pytest.mark.parametrize(
    ("types", "row", "said"),
    [
        ({"x": "VARCHAR"}, ("\ud800",), "table t, row 2: a value cannot be stored"),
        ({"x": "BIGINT"}, (2**70,), "table t, row 2: a value cannot be stored"),
        ({"x": "BIGINT"}, (1, 2), "table t, row 2: 2 values for 1 columns"),
        ({"x": "BLOB"}, ("text",), "table t, row 2: a value cannot be stored"),
        ({"x": "DOUBLE"}, ("many",), "table t, row 2: a value cannot be stored"),
        ({"x": "BIGINT"}, ("many",), "table t: .*many"),
    ],
)
def test_a_row_that_does_not_fit_is_named_and_changes_nothing(
    house: Warehouse, tmp_path: Path, types, row, said
) -> None:
    house.load("t", {"old": "BIGINT"}, [(1,)])
    with pytest.raises(InputError, match=said):
        house.load("t", types, [(None,), row])
    assert rows(house, "FROM t") == [(1,)]
    assert not list((tmp_path / "temp").glob("load-*"))


def test_a_table_needs_columns(house: Warehouse) -> None:
    with pytest.raises(ValueError, match="needs columns"):
        house.load("t", {}, [])


def test_rows_are_read_while_a_table_is_loaded_from_them(house: Warehouse) -> None:
    house.load("t", {"x": "BIGINT"}, ((n,) for n in range(10_000)))
    doubled = ((row[0] * 2,) for row in house.rows(Source("FROM t"), {}))
    assert house.load("u", {"x": "BIGINT"}, doubled) == 10_000
    assert house.scalar(Source("SELECT sum(x) FROM u"), {}) == 9_999 * 10_000


# -- running


def test_rows_stream_with_columns_and_types(house: Warehouse) -> None:
    found = house.rows(Source("SELECT i, $word AS word FROM range(5000) t(i)"), {"word": "w", "unused": 1})
    assert found.columns == ("i", "word")
    assert found.types == ("BIGINT", "VARCHAR")
    assert next(iter(found)) == (0, "w")
    assert sum(1 for _ in found) == 4999


def test_parameters_of_every_shape_arrive(house: Warehouse) -> None:
    given = {"n": 1, "f": 0.5, "s": "a'b", "t": True, "none": None, "list": ["a", "b"], "structs": [{"k": 1}, {"k": 2}]}
    found = rows(house, "SELECT $n, $f, $s, $t, $none, $list, $structs", **given)
    assert found == [tuple(given.values())]
    assert rows(house, "SELECT unnest($list)", list=[]) == []


def test_all_statements_run_and_the_last_one_speaks(house: Warehouse) -> None:
    sql = "CREATE TEMP MACRO twice(x) AS x * 2;\n-- between; the two\nSELECT twice($n) AS y; -- done; really"
    assert rows(house, sql, n=4) == [(8,)]
    assert rows(house, sql, n=5) == [(10,)], "what a file makes is gone when it has run"
    with pytest.raises(InputError, match="twice"):
        rows(house, "SELECT twice(1)")


def test_a_pivot_whose_columns_come_from_the_data_runs(house: Warehouse, tmp_path: Path) -> None:
    sql = "PIVOT (SELECT i, i % 2 AS g FROM range(5) t(i)) ON g USING sum(i)"
    assert rows(house, sql) == [(6, 4)]


def test_scalar(house: Warehouse) -> None:
    assert house.scalar(Source("SELECT 7"), {}) == 7
    assert house.scalar(Source("SELECT 7 WHERE false"), {}) is None
    with pytest.raises(InputError, match="one column"):
        house.scalar(Source("SELECT 1 AS a, 2 AS b"), {})
    with pytest.raises(InputError, match="one row is wanted, not 3"):
        house.scalar(Source("FROM range(3)"), {})


def test_describe_makes_no_rows(house: Warehouse) -> None:
    sql = "SELECT $a AS a, error('made') AS b; -- end"
    assert house.describe(Source(sql), {"a": ["x"]}) == [("a", "VARCHAR[]"), ("b", '"NULL"')]


@pytest.mark.parametrize(
    ("sql", "line", "said"),
    [
        ("-- head\n\nSELECT 1 AS a,\n  nope\nFROM (SELECT 1 AS b)", 4, 'Referenced column "nope" not found'),
        ("SELECT 1;\n-- é ; '\nSELECT x\nFROM missing", 4, "missing"),
        ("SELECT 1;\n\nSELECT (FROM", 3, "syntax error"),
        ("SELECT 1,\n'open", 2, "unterminated"),
        ("-- head\nSELECT error('told')", 2, "told"),
        ("SELECT 1,\n  CAST(s AS INTEGER) FROM (VALUES ('x')) t(s)", 2, "Could not convert"),
        ("-- a\nCREATE TEMP TABLE t AS\nSELECT * FROM gone;\nSELECT 1", 3, "gone"),
    ],
)
def test_an_error_names_file_line_and_cause(house: Warehouse, tmp_path: Path, sql: str, line: int, said: str) -> None:
    for run in (lambda: rows(house, sql), lambda: house.write(Source(sql), {}, tmp_path / "t", order_by="ALL")):
        with pytest.raises(InputError) as caught:
            run()
        assert caught.value.where == f"sql/x.sql:{line}"
        assert said in caught.value.message
        assert "LINE" not in caught.value.message


def test_an_error_in_the_middle_of_the_stream_is_told_the_same_way(house: Warehouse) -> None:
    sql = "\nSELECT CASE WHEN i = 9000 THEN error('late') ELSE i::VARCHAR END FROM range(10000) t(i)"
    with pytest.raises(InputError, match="late") as caught:
        rows(house, sql)
    assert caught.value.where == "sql/x.sql:2"


@pytest.mark.parametrize(
    ("sql", "params", "where", "said"),
    [
        ("-- x\nSELECT 1,\n  $count", {"n": 1}, "sql/x.sql:3", r"\$count has no value"),
        ("SELECT ?", {}, "sql/x.sql:1", "by name"),
        ("SELECT $1", {}, "sql/x.sql:1", "by name"),
        ("CREATE TEMP TABLE t AS\nSELECT $a AS a;\nSELECT 1", {"a": 1}, "sql/x.sql:2", "before the last"),
        ("SELECT '$n', $s", {"s": "\ud800"}, "sql/x.sql:1", "surrogate|encode"),
        ("SELECT '$n', $s", {"s": {"\ud800": None}}, "sql/x.sql:1", "bad_cast|surrogate|encode"),
        ("SET VARIABLE v = 1;\nSELECT $v", {}, "sql/x.sql:2", r"\$v has no value"),
        ("-- only words", {}, "sql/x.sql:1", "no SQL statement"),
        ("SELECT 1;\n\nCREATE TABLE t (i INTEGER)", {}, "sql/x.sql:3", "not a SELECT"),
    ],
)
def test_parameters_are_compared_before_anything_runs(
    house: Warehouse, sql: str, params, where: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        house.rows(Source(sql), params)
    assert caught.value.where == where


def test_nothing_is_fetched_and_no_python_variable_is_read(house: Warehouse) -> None:
    frame = {"a": [1]}
    with pytest.raises(InputError, match="frame"):
        rows(house, "FROM frame")
    with pytest.raises(InputError):
        rows(house, "FROM 's3://bucket/x.parquet'")
    assert frame


def test_it_can_be_closed_twice_and_while_rows_are_read(tmp_path: Path) -> None:
    house = Warehouse(tmp_path)
    house.rows(Source("FROM range(100000)"), {})
    house.close()
    house.close()


def test_a_wrong_memory_limit_is_the_persons_error(tmp_path: Path) -> None:
    with Warehouse(tmp_path, memory_limit="plenty") as house, pytest.raises(InputError, match="does not open"):
        rows(house, "SELECT 1")


def test_no_database_is_opened_to_read_a_file_that_does_not_run(tmp_path: Path) -> None:
    """Which tables a stage reads is asked on every pass, for every stage: it must cost next to nothing."""
    with Warehouse(tmp_path, memory_limit="plenty") as house:
        assert house.check(Source("-- x\n-- reads: a\nFROM a"), {}) == []
        assert house.inputs(Source("FROM a JOIN b USING (x)")) == {"a", "b"}
        with pytest.raises(InputError, match="syntax error"):
            house.inputs(Source("SELEC 1"))


def test_a_text_that_stands_in_two_files_is_told_apart_in_errors(house: Warehouse) -> None:
    for path in (Path("sql/one.sql"), Path("sql/two.sql")):
        for text in ("SELECT\n 1 +", "SELECT 1;\nSELECT $1", "CREATE TABLE t AS SELECT $x; SELECT 1"):
            with pytest.raises(InputError) as caught:
                house.inputs(Source(text, path=path))
            assert str(caught.value.where).startswith(f"{path}:")


def test_functions_are_there_and_pass_null_through(house: Warehouse) -> None:
    sql = """SELECT topic_key('B and A'), topic_key(NULL), final_answer('none here'), answers_match('1', NULL),
        ngram_jaccard('a b', 'a b', 2)"""
    assert rows(house, sql) == [("a b", None, None, None, 1.0)]


# -- writing


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    sql = "SELECT i AS n, repeat(md5(i::VARCHAR), 5) AS t FROM range(60000) t(i)"
    digests = set()
    for number in range(2):
        to = tmp_path / str(number) / "t.parquet"
        with Warehouse(tmp_path / f"temp{number}") as house:
            assert house.write(sql, {}, to, order_by="t", metadata={"a'b": "it's {x}", "run": "r"}) == 60_000
            house.view("t", [to])
            marks = rows(house, f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{to}') ORDER BY 1")
            assert marks == [("a'b", "it's {x}"), ("run", "r")]
            assert house.scalar(
                Source("SELECT bool_and(t >= before) FROM (SELECT t, lag(t) OVER () AS before FROM t)"), {}
            )
            groups = f"SELECT max(row_group_num_rows), any_value(compression) FROM parquet_metadata('{to}')"
            assert rows(house, groups) == [(20480, "ZSTD")]
        digests.add(hashlib.sha256(to.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_wide_rows_make_small_row_groups(house: Warehouse, tmp_path: Path) -> None:
    to = tmp_path / "t.parquet"
    house.write("SELECT i, repeat(md5(i::VARCHAR), 4000) AS t FROM range(1500) t(i)", {}, to)
    assert house.scalar(Source(f"SELECT max(row_group_num_rows) FROM parquet_metadata('{to}')"), {}) < 1500


def test_a_file_with_statements_comments_and_parameters_is_written(house: Warehouse, tmp_path: Path) -> None:
    to = tmp_path / "new" / "it's {0}.parquet"
    sql = "-- head\nCREATE TEMP MACRO f(x) AS x || ';';\nSELECT f($word) AS w, {'a': 1} AS s; -- tail"
    assert house.write(Source(sql), {"word": "é", "more": 1}, to) == 1
    house.view("t", [to])
    assert rows(house, "FROM t") == [("é;", {"a": 1})]


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(house: Warehouse, tmp_path: Path) -> None:
    to = tmp_path / "out" / "t.parquet"
    house.write("SELECT 1 AS x", {}, to)
    before = to.read_bytes()
    with pytest.raises(InputError, match="late"):
        house.write("SELECT CASE WHEN i = 90000 THEN error('late') END AS x FROM range(100000) t(i)", {}, to)
    assert to.read_bytes() == before
    assert [path.name for path in to.parent.iterdir()] == ["t.parquet"]


@pytest.mark.slow
def test_a_table_larger_than_memory_spills_and_is_written_in_order(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "temp", memory_limit="150MB") as house:
        text = "x" * 1000
        house.load("t", {"i": "BIGINT", "t": "VARCHAR"}, ((n * 7919 % 200_000, f"{n} {text}") for n in range(200_000)))
        to = tmp_path / "t.parquet"
        assert house.write("FROM t", {}, to, order_by="i DESC") == 200_000
        house.view("sorted", [to])
        ordered = "SELECT bool_and(i = 199999 - n) FROM (SELECT i, row_number() OVER () - 1 AS n FROM sorted)"
        assert house.scalar(Source(ordered), {})
        assert list(house.rows(Source("SELECT count(DISTINCT t), sum(length(t)) FROM sorted"), {})) == [
            (200_000, sum(len(str(n)) + 1001 for n in range(200_000)))
        ]
        assert not list((tmp_path / "temp").glob("unordered*"))


def test_slices_and_one_sort_give_the_same_rows_and_slices_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "CASE WHEN i % 4 THEN repeat('é', i % 90) END"
    sql = f"SELECT i * 7919 % 5000 AS n, i % 3 AS tie, {text} AS t FROM range(5000) u(i)"
    found = []
    for number, size in enumerate([ordering.SLICE, 9_000, 9_000]):
        monkeypatch.setattr(ordering, "SLICE", size)
        with Warehouse(tmp_path / f"temp{number}") as house:
            to = tmp_path / f"{number}.parquet"
            house.write(sql, {}, to, order_by="tie DESC, t NULLS LAST")
            house.view("t", [to])
            found.append((rows(house, "FROM t"), to.read_bytes()))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[1][1] == found[2][1]
    assert [row[1] for row in found[0][0]] == sorted((row[1] for row in found[0][0]), reverse=True)


def test_rows_give_the_same_bytes_in_whatever_order_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are in order already are not sorted, but they are cut as sorted ones are."""
    monkeypatch.setattr(ordering, "SLICE", 20_000)
    made = []
    for number, order in enumerate(["i", "i DESC", "i % 7, i"]):
        sql = f"SELECT i AS n, repeat('é', i % 90) AS t FROM range(3000) u(i) ORDER BY {order}"
        with Warehouse(tmp_path / f"temp{number}") as house:
            to = tmp_path / f"{number}.parquet"
            assert house.write(sql, {}, to, order_by="n") == 3000
            made.append(to.read_bytes())
    assert made[0] == made[1] == made[2]


def test_ordering_nothing_and_ordering_by_nonsense(house: Warehouse, tmp_path: Path) -> None:
    to = tmp_path / "t.parquet"
    assert house.write("SELECT 1 AS x, 'a' AS y WHERE false", {}, to, order_by="x") == 0
    with pytest.raises(InputError, match="nope"):
        house.write("SELECT 1 AS x", {}, to, order_by="nope")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["t.parquet"]
