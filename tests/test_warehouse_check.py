"""What can be said of a SQL file before it runs: its head, its parameters, the tables it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.pipeline.manifest import RESERVED
from chimera_batch.pipeline.shipped import shipped_root
from chimera_batch.steps.stepping import OWN_VIEWS
from chimera_batch.verbs.shelves import ENGINE_TABLES
from chimera_batch.warehouse import Warehouse, header, scan, tables

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    text: str
    name: str = "x"
    path: Path = Path("sql/x.sql")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with Warehouse(tmp_path_factory.mktemp("temp")) as opened:
        yield opened


GOOD = """-- One row per topic,
-- as the model gave it.
-- reads: Topics, kept
-- $count: how many
-- $subjects: which subjects, a list
CREATE TEMP MACRO half(x) AS x / 2;
WITH t AS (SELECT * FROM topics WHERE subject IN (SELECT unnest($subjects)))
SELECT *, '$not a parameter' FROM t JOIN kept USING (id) LIMIT half($COUNT)
"""


def test_a_true_head_passes(house: Warehouse) -> None:
    assert house.check(Source(GOOD), {"count": 2, "subjects": ["a"], "more": 1}) == []


@pytest.mark.parametrize(
    ("change", "line", "said", "hint"),
    [
        (("$subjects: ", "$subject: "), 5, "$subject is declared but not used", "delete"),
        (("-- $count: how many\n", ""), 7, "$COUNT is used but not declared", "-- $COUNT: "),
        (("Topics, kept", "topics"), 8, "table kept is read but not declared", "-- reads: kept, topics"),
        (("Topics, kept", "topics, kept, old"), 3, "table old is declared but not read", "-- reads: kept, topics"),
        (("-- reads: Topics, kept\n", ""), 6, "table topics is read but not declared", "-- reads: kept, topics"),
        (("-- One row per topic,\n-- as the model gave it.\n", ""), 1, "does not say what it makes", "-- One row"),
    ],
)
def test_a_false_head_is_found_on_its_line(
    house: Warehouse, change: tuple[str, str], line: int, said: str, hint: str
) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    flaw, *_ = house.check(Source(text), {"count": 2, "subjects": ["a"], "subject": "a"})
    assert flaw.line == line and said in flaw.message and hint in flaw.hint


@pytest.mark.parametrize(
    ("change", "params", "line", "said", "hint"),
    [
        (("", ""), {"count": 1}, 7, "$subjects has no value", "params: {subjects: …} (given: count)"),
        (("LIMIT half", "LIMITS half"), {}, 8, "syntax error", None),
        (("x / 2", "x / $count"), {}, 6, "$count is used before the last statement", "last statement"),
    ],
)
def test_what_cannot_run_is_found_on_its_line(
    house: Warehouse, change, params, line: int, said: str, hint: str | None
) -> None:
    text = GOOD.replace(*change) if change[0] else GOOD
    assert text != GOOD or not change[0]
    with pytest.raises(InputError) as caught:
        house.check(Source(text), params or {"count": 2, "subjects": ["a"]})
    assert caught.value.where == f"sql/x.sql:{line}"
    assert said in caught.value.message
    assert (caught.value.hint is None) if hint is None else hint in (caught.value.hint or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("reads", ["nothing", "", None])
def test_a_file_that_reads_no_table(house: Warehouse, reads: str | None) -> None:
    line = "" if reads is None else f"-- reads: {reads}\n"
    assert house.check(Source(f"-- Numbers.\n{line}SELECT 1"), {}) == []


@pytest.mark.parametrize("text", ["", "-- head only\n", ";;", "CREATE TABLE t (i INTEGER)", "SELECT 1; DROP TABLE t"])
def test_a_file_must_end_with_a_query(house: Warehouse, text: str) -> None:
    with pytest.raises(InputError):
        house.check(Source(text), {})


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM a, b JOIN c USING (x) LEFT JOIN d ON true", {"a", "b", "c", "d"}),
        ("FROM a", {"a"}),
        ("SELECT (SELECT max(x) FROM a), EXISTS (FROM b) FROM range(3) WHERE y IN (SELECT z FROM c)", {"a", "b", "c"}),
        ("WITH t AS (SELECT * FROM a), u AS (SELECT * FROM t) SELECT * FROM u JOIN T USING (x)", {"a"}),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", {"a"}),
        ("WITH t AS (SELECT * FROM u), u AS (SELECT 1 AS x) SELECT * FROM t, u", {"u"}),
        ("SELECT * FROM (WITH t AS (FROM a) FROM t), t", {"a", "t"}),
        ("WITH RECURSIVE t AS (SELECT x FROM a UNION ALL SELECT x + 1 FROM t WHERE x < 3) FROM t", {"a"}),
        ("FROM a UNION ALL FROM b EXCEPT FROM main.c", {"a", "b", "c"}),
        ("SELECT * FROM information_schema.tables, duckdb_settings(), other.t", {"other.t"}),
        ('SELECT * FROM "my ""table" AS a', {'my "table'}),
        ("CREATE TEMP MACRO f(x) AS x + (SELECT count(*) FROM a); SELECT f(1)", {"a"}),
        ("CREATE MACRO f(x) AS TABLE SELECT * FROM a WHERE i = x; FROM f(1)", {"a"}),
        ("CREATE TEMP TABLE t AS WITH w AS (FROM a) FROM w; FROM t JOIN b USING (x)", {"a", "b"}),
        ('CREATE OR REPLACE TEMPORARY VIEW "V" AS FROM a; FROM v', {"a"}),
        ("CREATE TYPE mood AS ENUM ('x'); FROM a", {"a"}),
        ("PIVOT a ON x USING sum(y)", {"a"}),
        ("WITH t AS (FROM b) SELECT * FROM (PIVOT a ON x USING sum(y)) JOIN t USING (i)", {"a", "b"}),
        ("PIVOT a ON x IN ('p', 'q') USING sum(y)", {"a"}),
        ("SUMMARIZE a", {"a"}),
        ("SELECT 'FROM x' AS s -- FROM y\n/* FROM z */ FROM a", {"a"}),
        ("SET VARIABLE n = 1; FROM a", {"a"}),
        ("SELECT $p FROM a WHERE x = $q", {"a"}),
        ("SELECT " + "(" * 150 + "1" + ")" * 150 + " FROM a", {"a"}),
        ("SELECT " + " + ".join(["x"] * 900) + " FROM a", {"a"}),
    ],
)
def test_inputs_are_the_tables_that_are_read(house: Warehouse, sql: str, read: set[str]) -> None:
    assert house.inputs(Source(sql)) == read


def test_inputs_of_a_broken_file_is_an_error(house: Warehouse) -> None:
    with pytest.raises(InputError, match="syntax error") as caught:
        house.inputs(Source("\nSELECT FROM FROM"))
    assert caught.value.where == "sql/x.sql:2"


@pytest.mark.parametrize("path", sorted((ROOT / "sql").rglob("*.sql")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_project_has_a_true_head(house: Warehouse, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    declared = dict.fromkeys(header.parse(text).parameters, 1)
    assert house.check(Source(text, path.stem, path.relative_to(ROOT)), declared) == []


# -- the pure parts


def test_a_head_is_read_line_by_line() -> None:
    head = header.parse(
        "\ufeff-- Makes\r\n--   this.\r\n--reads: a ,b,\n-- READS: c\n-- $p: x: y\n-- $q:\n\n-- $r: below\n"
    )
    assert head == header.Header("Makes this.", {"a": 3, "b": 3, "c": 4}, {"p": 5, "q": 6}, 6)
    assert header.parse("SELECT 1") == header.Header("", {}, {}, 0)


def test_flaws_come_in_the_order_of_the_lines() -> None:
    found = header.flaws(header.parse("-- reads: a\n-- $p: x"), reads={"b": 9}, parameters={"q": 8})
    assert [flaw.line for flaw in found] == [1, 1, 2, 8, 9]
    assert header.flaws(header.parse("-- Makes.\n-- reads: a"), reads=None, parameters={}) == []


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("a 'b;' -- c\n;", "word string mark"),
        ("E'it\\'s;' $$ ; $$ $t$ ; $t$ $p", "string string string parameter"),
        ('"a ""b;" /* ; */ x', "name word"),
        ("'open ;", "string"),
        ("$1 + ?", "parameter mark mark"),
    ],
)
def test_tokens(sql: str, kinds: str) -> None:
    assert " ".join(token.kind for token in scan.tokens(sql)) == kinds


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1; -- done", "SELECT 1"),
        ("SELECT ';' -- a;\n", "SELECT ';' -- a;\n"),
        ("SELECT $$;$$ ;", "SELECT $$;$$ "),
    ],
)
def test_bare(sql: str, kept: str) -> None:
    assert scan.bare(sql) == kept


@given(st.text())
def test_tokens_never_fail_and_lie_in_order(sql: str) -> None:
    end = 0
    for token in scan.tokens(sql):
        assert end <= token.start < token.end
        assert sql[token.start : token.end] == token.text
        end = token.end
    assert isinstance(tables.words_after_from(sql), set)
    assert header.parse(sql).lines >= 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoting_holds_for_any_text(house: Warehouse, text: str) -> None:
    kept = text.replace("\x00", "")  # DuckDB takes no NUL in SQL text
    assert next(iter(house.rows(Source(f"SELECT {scan.literal(kept)}"), {}))) == (kept,)
    if kept:
        assert house.rows(Source(f"SELECT 1 AS {scan.quote(kept)}"), {}).columns == (kept,)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("SELECT FROM;'\"$a()-\n1*,é")))
def test_any_text_gives_rows_or_an_input_error(house: Warehouse, text: str) -> None:
    for act in (
        lambda: house.check(Source(text), {}),
        lambda: house.inputs(Source(text)),
        lambda: list(house.rows(Source(text), {})),
    ):
        try:
            act()
        except InputError as error:
            assert (error.where or "").startswith("sql/x.sql:")


def test_no_stage_may_have_the_name_of_an_engine_view() -> None:
    """It would be read in its place, or the other way round."""
    heads = [path.read_text("utf-8") for path in (shipped_root() / "sql" / "engine").glob("*.sql")]
    lists = [
        line.removeprefix("-- reads:") for text in heads for line in text.splitlines() if line.startswith("-- reads:")
    ]
    names = {name.strip() for line in lists for name in line.split(",")} - {"nothing"}
    assert {"asked", "best", "members"} < names
    assert names | OWN_VIEWS | set(ENGINE_TABLES) <= RESERVED
