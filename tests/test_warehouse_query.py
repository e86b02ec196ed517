"""What people may ask: reading statements, locked in, in forms that other programs take."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.warehouse import Later, Query, Warehouse, open_query
from chimera_batch.warehouse.result import csv_cell, json_value, text_cell


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("store")
    found = {"dataset": folder / "data's [1].parquet", "secret": folder / "secret.parquet"}
    with Warehouse(tmp_path_factory.mktemp("temp")) as house:
        for number, path in enumerate(found.values()):
            house.write(f"SELECT i, 'Physics' AS subject, {number} AS n FROM range(3000) t(i)", {}, path)
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    return found


@pytest.fixture
def query(files: dict[str, Path], tmp_path: Path) -> Iterator[Query]:
    with open_query({"dataset": [files["dataset"]], "later": []}, tmp_path / "temp") as opened:
        yield opened


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT subject, count(*) FROM dataset GROUP BY 1", ("Physics", 3000)),
        ("-- said\n SELECT max(i) FROM dataset; -- end", (2999,)),
        ("FROM dataset LIMIT 1", (0, "Physics", 0)),
        ("VALUES (1)", (1,)),
        ("WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 3) SELECT max(x) FROM t", (3,)),
        ("SELECT topic_key('Proteins and RNA')", ("proteins rna",)),
        ("PIVOT (SELECT i % 2 AS g, 1 AS x FROM dataset) ON g USING sum(x)", (1500, 1500)),
        ("PIVOT dataset ON n IN (0) USING count(*) GROUP BY subject", ("Physics", 3000)),
        ("DESCRIBE dataset", ("i", "BIGINT", "YES", None, None, None)),
        ("SHOW TABLES", ("dataset",)),
        ("SELECT column_name FROM (SUMMARIZE dataset)", ("i",)),
        ("SELECT count(*) FROM pragma_table_info('dataset')", (3,)),
        ("SELECT unnest([1, 2])", (1,)),
        ("SELECT 'COPY x TO y; DROP' AS \"update\"", ("COPY x TO y; DROP",)),
    ],
)
def test_reading_is_allowed(query: Query, sql: str, first: tuple[Any, ...]) -> None:
    assert next(iter(query.query(sql))) == first


@pytest.mark.parametrize(
    "sql", ["EXPLAIN SELECT * FROM dataset", "EXPLAIN ANALYZE FROM dataset", "explain (format json) select 1"]
)
def test_a_plan_can_be_seen(query: Query, sql: str) -> None:
    assert "".join(str(cell) for row in query.query(sql) for cell in row)


WRITES = [
    "COPY (SELECT 1) TO '{target}'",
    "COPY dataset TO '{target}' (FORMAT parquet, USE_TMP_FILE false)",
    "WITH c AS (COPY (SELECT 1 AS x) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)) SELECT * FROM c",
    "SELECT * FROM (WITH c AS (COPY (SELECT 1 AS x) TO '{target}') SELECT * FROM c)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS x) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE WITH c AS (COPY (SELECT 1 AS x) TO '{target}' (USE_TMP_FILE false)) SELECT * FROM c",
    "/* SELECT */ EXPLAIN /* x */ ANALYZE COPY (SELECT 1 AS x) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)",
    "SELECT * FROM query('SELECT 1')",
    "FROM json_execute_serialized_sql('{{}}')",
    'FROM "pandas_scan"(0)',
    "FROM arrow_scan(0, 0, 0)",
    "PIVOT (SELECT write_log('x') AS g) ON g USING count(*)",
    "SELECT write_log('x')",
    "ATTACH '{target}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 4",
    "RESET threads",
    "SET VARIABLE a = 1",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP MACRO f() AS 1",
    "CREATE OR REPLACE VIEW dataset AS SELECT 1",
    "DROP VIEW dataset",
    "INSERT INTO dataset VALUES (1)",
    "DELETE FROM dataset",
    "WITH x AS (INSERT INTO dataset VALUES (1) RETURNING *) SELECT * FROM x",
    "EXPORT DATABASE '{target}'",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "USE memory",
]


@pytest.mark.parametrize("sql", WRITES)
def test_anything_else_is_refused_and_touches_nothing(
    query: Query, files: dict[str, Path], tmp_path: Path, sql: str
) -> None:
    for target in (files["dataset"], tmp_path / "temp" / "export.parquet.part"):
        before = target.read_bytes() if target.exists() else None
        with pytest.raises(InputError) as caught:
            list(query.query(sql.format(target=str(target).replace("'", "''"))))
        assert caught.value.exit_code == 2
        assert (target.read_bytes() if target.exists() else None) == before
    assert next(iter(query.query("SELECT count(*) FROM dataset"))) == (3000,)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM '{other}'",
        "FROM read_parquet('{other}')",
        "FROM read_csv('{folder}/notes.csv')",
        "FROM read_text('/etc/hostname')",
        "FROM glob('{folder}/*')",
        "FROM 'https://127.0.0.1:9/x.parquet'",
        "FROM parquet_metadata('{other}')",
        "FROM sniff_csv('/etc/hostname')",
        "FROM read_blob('/proc/self/environ')",
        "SELECT getenv('HOME')",
        "SELECT (SELECT content FROM read_text('/etc/hostname'))",
        "FROM query_table('{other}')",
    ],
)
def test_no_other_file_can_be_read(query: Query, files: dict[str, Path], sql: str) -> None:
    folder = str(files["secret"].parent).replace("'", "''")
    with pytest.raises(InputError):
        list(query.query(sql.format(other=files["secret"], folder=folder)))


@pytest.mark.parametrize(
    ("sql", "where", "said", "hint"),
    [
        ("", "query:1", "no SQL statement", None),
        ("SELECT 1;\nSELECT 2", "query:2", "one statement at a time, not 2", "--unsafe"),
        ("SELECT\n nope FROM dataset", "query:2", "nope", None),
        ("SELECT *\nFROM datasets", "query:2", "datasets", "tables: dataset; no rows yet: later"),
        ("SELECT * FROM later", "query:1", "later", "no rows yet: later"),
        ("SELECT\n$x", "query:2", "takes no parameters", None),
        ("SELEC 1", "query:1", "syntax error", None),
        ("SET threads = 1", "query:1", "SET is refused", "--unsafe"),
    ],
)
def test_a_mistake_is_told_with_its_line(query: Query, sql: str, where: str, said: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        query.query(sql)
    assert caught.value.where == where
    assert said in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_an_error_late_in_the_stream(query: Query) -> None:
    with pytest.raises(InputError, match="late"):
        list(query.query("SELECT CASE WHEN i = 2900 THEN error('late') END FROM dataset"))


def test_unsafe_lifts_it_all(files: dict[str, Path], tmp_path: Path) -> None:
    with open_query({"dataset": [files["dataset"]]}, tmp_path / "temp", unsafe=True) as query:
        found = query.query(f"CREATE TABLE t AS FROM '{files['secret']}'; SELECT count(*) FROM t")
        assert list(found) == [(3000,)]
        list(query.query(f"COPY t TO '{tmp_path / 'out.csv'}'"))
        assert (tmp_path / "out.csv").exists()
        with pytest.raises(InputError, match="no SQL statement"):
            query.query("--")


def test_equal_column_names_are_told_apart(query: Query) -> None:
    assert query.query("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a").columns == ("a", "a_1", "a_1_1", "a_2")


# -- taking it away


def test_to_parquet_moves_the_whole_result(query: Query, tmp_path: Path) -> None:
    to = tmp_path / "it's out.parquet"
    to.write_text("old")
    assert query.query("SELECT i, [subject] AS s FROM dataset; -- all").to_parquet(to) == 3000
    with open_query({"t": [to]}, tmp_path / "temp2") as again:
        assert list(again.query("SELECT count(*), any_value(s) FROM t")) == [(3000, ["Physics"])]
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == []


def test_a_plan_has_no_parquet_form(query: Query, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        query.query("EXPLAIN SELECT 1").to_parquet(tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_to_json_is_a_list_of_objects(query: Query) -> None:
    sql = """SELECT i, 1.5::DECIMAL(4,2) AS d, 2::DECIMAL(4,2) AS whole, 'NaN'::DOUBLE AS nan, DATE '2026-01-02' AS day,
        TIMESTAMPTZ '2026-01-02 03:04:05+00' AS moment,
        {'a': [1.5::DECIMAL(3,1)], 'b': NULL} AS nested, MAP {1: 'x'} AS map,
        'ab'::BLOB AS blob, sum(i) OVER () AS total, INTERVAL '1 day' AS span,
        'é\u2028"' AS text FROM dataset LIMIT 2"""
    out = io.StringIO()
    assert query.query(sql).to_json(out) == 2
    assert json.loads(out.getvalue())[0] == {
        "i": 0,
        "d": 1.5,
        "whole": 2,
        "nan": None,
        "day": "2026-01-02",
        "moment": "2026-01-02T03:04:05+00:00",
        "nested": {"a": [1.5], "b": None},
        "map": {"1": "x"},
        "blob": "6162",
        "total": 4498500,
        "span": "1 day, 0:00:00",
        "text": 'é\u2028"',
    }
    empty = io.StringIO()
    assert query.query("FROM dataset WHERE false").to_json(empty) == 0
    assert json.loads(empty.getvalue()) == []


def test_to_csv_comes_back_through_any_reader(query: Query) -> None:
    out = io.StringIO()
    sql = """SELECT i AS "=i", 'a,"b"\n' AS t, NULL AS n, true AS b, [1, NULL] AS l, '=1+1' AS f, -5 AS m
        FROM dataset LIMIT 1"""
    assert query.query(sql).to_csv(out) == 1
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [
        ["'=i", "t", "n", "b", "l", "f", "m"],
        ["0", 'a,"b"\n', "", "true", "[1,null]", "'=1+1", "-5"],
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-5", "-5"),
        ("+5.5e-3", "+5.5e-3"),
        ("-.5", "-.5"),
        ("-5+cmd|' /C calc'!A0", "'-5+cmd|' /C calc'!A0"),
        ("--5", "'--5"),
        (-5, "-5"),
        (-0.5, "-0.5"),
        (Decimal("-1.10"), "-1.10"),
        (Decimal("0E-12"), "0.000000000000"),
        (-math.inf, "-inf"),
        ("", ""),
        (None, ""),
        ("a=b", "a=b"),
        (["=1"], '["=1"]'),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (False, "false"),
    ],
)
def test_no_cell_is_a_formula(value: Any, cell: str) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize("start", ["", " ", "\t", "\n", "\r\n", "\u00a0", "\ufeff", "\u200b", " \n "])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_nothing_that_stands_before_a_formula_makes_it_one(start: str, sign: str) -> None:
    """Spreadsheets pass over blanks in front; the full-width signs are those of East Asian keyboards."""
    formula = f"{start}{sign}cmd|' /C calc'!A0"
    assert csv_cell(formula) == f"'{formula}"


@given(st.text())
def test_no_text_becomes_a_formula(text: str) -> None:
    cell = csv_cell(text)
    assert cell.removeprefix("'") == text or cell == text
    assert cell[:1] not in {"=", "@", "\t", "\r", "\n"}
    if cell[:1] in {"+", "-"}:
        float(cell)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (True, True),
        (math.inf, None),
        (Decimal("NaN"), None),
        (Decimal("1E+3"), 1000),
        (Decimal(10) ** 25, str(10**25)),
        (dt.time(1, 2), "01:02:00"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (memoryview(b"\x00\xff"), "00ff"),
        ((1, [math.nan]), [1, [None]]),
        ({b"k": {1: None}}, {"6b": {"1": None}}),
    ],
)
def test_json_values(value: Any, plain: Any) -> None:
    found = json_value(value)
    assert found == plain
    assert type(found) is type(plain)
    assert isinstance(text_cell(value), str)
    json.dumps(found, allow_nan=False)


# -- tables that are made when they are needed


class Maker:
    """Writes a table of one row, and remembers how often it had to."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.made: list[str] = []
        self.later = {name: Later(folder / f"{name}.later.parquet", self.write) for name in names}

    def write(self, path: Path) -> None:
        self.made.append(path.name.partition(".")[0])
        with Warehouse(path.parent / "making") as warehouse:
            warehouse.write(f"SELECT '{self.made[-1]}' AS name", {}, path)


@pytest.fixture
def lazy(files: dict[str, Path], tmp_path: Path) -> Iterator[tuple[Query, Maker]]:
    maker = Maker(tmp_path, "outcomes", "stages")
    with open_query({"dataset": [files["dataset"]]}, tmp_path / "lazy", later=maker.later) as opened:
        yield opened, maker


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("SELECT count(*) FROM dataset", []),
        ("SELECT count(*) FROM dataset -- not outcomes, no query of stages", []),
        ("SELECT name FROM outcomes", ["outcomes"]),
        ('SELECT name FROM "Outcomes" AS o', ["outcomes"]),
        ("SELECT name FROM query_table('out' || 'comes')", ["outcomes", "stages"]),
        ("SELECT o.name FROM OUTCOMES AS o, Stages AS s", ["outcomes", "stages"]),
        ("WITH s AS (SELECT * FROM stages) SELECT (SELECT max(name) FROM s)", ["stages"]),
        ("SHOW TABLES", ["outcomes", "stages"]),
        ("DESC", ["outcomes", "stages"]),
        ("SELECT table_name FROM information_schema.tables", ["outcomes", "stages"]),
        ("SELECT view_name FROM duckdb_views() WHERE NOT internal", ["outcomes", "stages"]),
    ],
)
def test_a_table_is_made_when_it_is_named(sql: str, made: list[str], lazy: tuple[Query, Maker]) -> None:
    query, maker = lazy
    assert list(query.query(sql))
    assert maker.made == made
    assert list(query.query(sql))
    assert maker.made == made, "once is enough"


def test_what_is_made_late_opens_no_door(lazy: tuple[Query, Maker], tmp_path: Path) -> None:
    query, _ = lazy
    assert list(query.query("SELECT * FROM stages")) == [("stages",)]
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(InputError):
        list(query.query(f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')"))


def test_what_is_not_made_yet_is_named_with_the_others(lazy: tuple[Query, Maker]) -> None:
    query, _ = lazy
    with pytest.raises(InputError) as caught:
        query.query("SELECT * FROM nowhere")
    assert caught.value.hint == "tables: dataset, outcomes, stages"


def test_unsafe_sql_of_several_statements_finds_them_too(files: dict[str, Path], tmp_path: Path) -> None:
    maker = Maker(tmp_path, "outcomes", "stages")
    with open_query({"dataset": [files["dataset"]]}, tmp_path / "open", later=maker.later, unsafe=True) as query:
        assert list(query.query("CREATE TABLE t AS FROM stages; SELECT * FROM t")) == [("stages",)]
    assert maker.made == ["stages"]


# -- frames of notebooks


@pytest.mark.slow  # three libraries to import
def test_rows_become_frames_that_stay(files: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="the extra notebook is not installed")
    pytest.importorskip("polars", reason="the extra notebook is not installed")
    with open_query({"dataset": [files["dataset"]]}, tmp_path / "temp") as tables:
        result = tables.query("SELECT i, subject, CASE WHEN i > 0 THEN 1.50::DECIMAL(6, 2) END AS usd FROM dataset")
        arrow, pandas, polars = result.arrow(), result.pandas(), result.polars()
        assert next(iter(result)) == (0, "Physics", None)  # frames take no rows away
    assert arrow.num_rows == len(pandas) == polars.height == 3000
    assert arrow.column("usd").to_pylist()[:2] == [None, Decimal("1.50")]
    assert list(pandas.columns) == polars.columns == ["i", "subject", "usd"]


def test_a_relation_is_built_upon_and_ends_with_the_tables(files: dict[str, Path], tmp_path: Path) -> None:
    with open_query({"dataset": [files["dataset"]]}, tmp_path / "temp") as tables:
        streaming = iter(tables.query("SELECT i FROM dataset"))
        next(streaming)
        few = tables.relation("SELECT i FROM dataset").filter("i < 10").order("i DESC")
        assert few.limit(2).fetchall() == [(9,), (8,)]
        assert len(list(streaming)) == 2999  # undisturbed
    with pytest.raises(Exception, match="closed"):
        few.fetchall()


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM '{secret}'", "COPY dataset TO '{secret}'", "SELECT 1; SELECT 2", "SELECT $x", "SET threads = 1"],
)
def test_a_relation_reads_no_more_than_a_query(query: Query, files: dict[str, Path], sql: str) -> None:
    with pytest.raises(InputError):
        query.relation(sql.format(secret=files["secret"])).fetchall()


def test_a_relation_cannot_open_the_door(query: Query, files: dict[str, Path]) -> None:
    with pytest.raises(Exception, match=r"read_parquet|disabled|[Pp]ermission"):
        query.relation("SELECT 1 AS x").query("t", f"SELECT * FROM read_parquet('{files['secret']}')").fetchall()
    frame = [1, 2]  # a variable of Python's is no table
    with pytest.raises(InputError, match="frame"):
        query.relation("SELECT * FROM frame")
    assert frame


def test_a_library_that_is_missing_is_named(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    from chimera_batch.warehouse import result

    monkeypatch.setattr(result, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed: polars, pyarrow") as caught:
        query.query("SELECT 1").polars()
    assert caught.value.hint == "pip install 'chimera-batch[notebook]'"
