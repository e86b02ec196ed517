"""A large round that gains rows keeps what it asked: only new rows are drawn, and all that reads it sees them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chimera_batch import runner
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Asked
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.drawn import Drawings
from chimera_batch.steps import adding, drawing
from chimera_batch.verbs import statusing, tracing
from chimera_batch.warehouse import Warehouse, over
from tests.support import Bench
from tests.test_planning import drawn_rows, made, many, with_rows
from tests.test_recalling import finish


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "FROM", 3)


def fact(one: Bench) -> Asked:
    return one.ctx.facts.asked["tiny", "one"][1]


def rows_of(one: Bench) -> list[dict[str, Any]]:
    """All that the first round asks, by position."""
    found = [row for key in fact(one).keys for row in one.parquet(one.ctx.store.fetch(key))]
    return sorted(found, key=lambda row: int(row["position"]))


def ids(rows: list[dict[str, Any]]) -> dict[tuple[str, int], str]:
    return {(row["row_key"], row["sample"]): row["request_id"] for row in rows}


# -- what is drawn


@pytest.mark.parametrize("order", ["", " ORDER BY row_key DESC"], ids=["behind", "before"])
@pytest.mark.parametrize("samples", [1, 2])
def test_rows_that_a_round_gains_are_an_object_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, samples: int
) -> None:
    said = f", samples: {samples}"
    one = made(tmp_path, many(4), stage=said)
    one.draw()
    before, known = fact(one), rows_of(one)
    sql = f"SELECT * FROM ({many(7)}){order}"
    more = with_rows(one, sql)
    assert sorted(drawn_rows(more, monkeypatch)) == ["k0004", "k0005", "k0006"]
    now = fact(one)
    assert (now.key, len(now.keys), now.rows, now.requests) == (before.key, 2, 7, 7 * samples)
    found = rows_of(one)
    assert found[: 4 * samples] == known
    assert [row["position"] for row in found] == list(range(7 * samples))
    fresh = made(tmp_path / "fresh", sql, stage=said)
    fresh.draw()
    assert ids(found) == ids(rows_of(fresh))
    facts = {(row["row_key"], row["sample"]): {**row, "position": 0} for row in rows_of(fresh)}
    assert {(row["row_key"], row["sample"]): {**row, "position": 0} for row in found} == facts


NOT_ADDED = [
    ("gone", f"SELECT * FROM ({many(6)}) WHERE row_key <> 'k0001'"),
    ("text", f"SELECT row_key, if(row_key = 'k0002', 'other', q) AS q FROM ({many(6)})"),
    ("blank", f"SELECT row_key, if(row_key = 'k0002', '', q) AS q FROM ({many(6)})"),
    ("swapped", f"SELECT row_key, if(row_key < 'k0002', 'q' || (1 - row_key[5:]::INTEGER), q) AS q FROM ({many(6)})"),
    ("column", f"SELECT row_key, q, 1 AS r FROM ({many(6)})"),
    ("type", f"SELECT row_key, row_key[4:]::INTEGER AS q FROM ({many(6)})"),
    ("key", f"SELECT 'x' || row_key AS row_key, q FROM ({many(6)})"),
    ("none", f"SELECT * FROM ({many(6)}) LIMIT 0"),
]


@pytest.mark.parametrize("sql", [row[1] for row in NOT_ADDED], ids=[row[0] for row in NOT_ADDED])
def test_a_round_that_lost_or_changed_a_row_is_drawn_whole(tmp_path: Path, sql: str) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    with_rows(one, sql).draw()
    assert len(fact(one).keys) == 1
    fresh = made(tmp_path / "fresh", sql)
    fresh.draw()
    assert ids(rows_of(one)) == ids(rows_of(fresh))


def test_another_prompt_draws_the_round_whole(tmp_path: Path) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    prompt = replace(one.stage.prompt, text="Say {{ q }}.")  # type: ignore[type-var]  # an ask stage has one
    with_rows(one, many(6), prompt=prompt).draw()
    assert len(fact(one).keys) == 1
    assert fact(one).rows == 6


def test_the_same_rows_in_another_order_add_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    known = rows_of(one)
    assert drawn_rows(with_rows(one, f"SELECT * FROM ({many(4)}) ORDER BY row_key DESC"), monkeypatch) == []
    assert fact(one).rows == 4
    assert rows_of(one) == known


def test_after_many_objects_the_round_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "MOST", 3)
    one = made(tmp_path, many(3))
    one.draw()
    numbers = []
    for count in range(4, 9):
        with_rows(one, many(count)).draw()
        numbers.append(len(fact(one).keys))
        assert [row["row_key"] for row in rows_of(one)] == [f"k{n:04}" for n in range(count)]
    assert numbers == [2, 3, 1, 2, 3]


def test_small_rounds_are_always_whole(tmp_path: Path) -> None:
    one = made(tmp_path, many(2))
    one.draw()
    with_rows(one, many(3)).draw()
    assert len(fact(one).keys) == 1


def test_what_an_older_version_asked_is_drawn_whole(tmp_path: Path) -> None:
    """It kept no digests of its rows."""
    one = made(tmp_path, many(4))
    one.draw()
    old = tmp_path / "old.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * EXCLUDE (content) FROM '{one.ctx.store.fetch(fact(one).key)}') TO '{old}'")
    one.ctx.store.create("runs/tiny/one/old.parquet", old.read_bytes())
    rounds = one.ctx.facts.asked["tiny", "one"]
    rounds[1] = replace(rounds[1], key="runs/tiny/one/old.parquet")
    with_rows(one, many(6)).draw()
    assert len(fact(one).keys) == 1
    with_rows(one, many(7)).draw()
    assert len(fact(one).keys) == 2


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (f"{many(6)} UNION ALL SELECT 'k0005', 'q'", "stands on 2 rows"),
        (f"{many(6)} UNION ALL SELECT 'k0001', 'q'", "stands on 2 rows"),
        (f"{many(6)} UNION ALL SELECT NULL, 'q'", "empty row_key"),
        (f"{many(6)} UNION ALL SELECT '', 'q'", "empty row_key"),
        (f"SELECT *, 1 AS outcome FROM ({many(6)})", "a name of the answers' own"),
        (f"SELECT row_key[5:]::INTEGER AS row_key, q FROM ({many(6)})", "must be text"),
    ],
)
def test_rows_that_may_not_be_are_refused(tmp_path: Path, sql: str, message: str) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    with pytest.raises(InputError, match=message):
        with_rows(one, sql).draw()


@pytest.mark.parametrize("kind", ["HUGEINT", "DECIMAL(20,3)", "ENUM ('1', '2', '3', '4', '5', '6', '0')", "FLOAT"])
def test_a_column_may_be_of_any_type(tmp_path: Path, kind: str) -> None:
    """Some change their type on their way through Parquet, and are then drawn whole."""
    one = made(tmp_path, f"SELECT row_key, row_key[5:]::{kind} AS q FROM ({many(4)})")
    one.draw()
    sql = f"SELECT row_key, row_key[5:]::{kind} AS q FROM ({many(7)})"
    with_rows(one, sql).draw()
    fresh = made(tmp_path / "fresh", sql)
    fresh.draw()
    assert ids(rows_of(one)) == ids(rows_of(fresh))
    assert fact(one).rows == 7


# -- what reads it


def test_a_run_that_gained_rows_asks_those_alone_and_joins_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, many(4))
    finish(one)
    assert len(one.table()) == 4
    monkeypatch.delattr(drawing, "render_again")  # the lines are those just rendered
    more = with_rows(one, f"SELECT * FROM ({many(7)}) ORDER BY row_key DESC")
    finish(more)
    sent = [line["custom_id"][-32:] for batch in list(one.host.batches.values())[1:] for line in batch.lines]
    assert sorted(sent) == sorted(row["request_id"] for row in rows_of(one)[4:])
    assert [row["row_key"] for row in more.table()] == [f"k{n:04}" for n in range(7)]
    (stage,) = statusing.status(more.ctx)["stages"]
    assert (stage["wanted"], stage["answered"], stage["orphaned"]) == (7, 7, 0)
    assert tracing.trace(more.ctx, "k0006")["steps"]
    assert tracing.trace(more.ctx, "k0000")["steps"]


def test_a_run_that_died_between_drawing_and_packing_goes_on(tmp_path: Path) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    more = with_rows(one, many(7))
    with more.step() as step:
        step.walk(step.stand, keep=True)
    with more.step() as step:
        walked = step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True)
    assert len(walked.paths) == 1
    assert len(walked.paths[0]) == 2
    assert walked.standing.states["packed"] == 7
    assert sum(shard.requests for shard in one.ctx.facts.shards.values()) == 7


@pytest.fixture
def quoted(tmp_path: Path) -> Iterator[Bench]:
    """A round of four rows that is asked, a quote of six."""
    one = made(tmp_path, many(4))
    one.draw()
    more = with_rows(replace(one, ctx=replace(one.ctx, drawings=Drawings(tmp_path / "drawn"))), many(6))
    walk(more, keep=False)
    yield more
    assert more.ctx.drawings is not None
    more.ctx.drawings.close()


def walk(one: Bench, *, keep: bool) -> None:
    with one.step() as step:
        settle = (lambda rounds: runner.packed(step, rounds)[0]) if keep else step.stand
        counts = step.walk(settle, keep=keep).standing
    assert counts.wanted == 6


def test_a_run_asks_what_its_quote_drew(quoted: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fact(quoted).rows == 4
    monkeypatch.delattr(drawing, "draw")
    walk(quoted, keep=True)
    assert (fact(quoted).rows, len(fact(quoted).keys)) == (6, 2)


def test_what_a_quote_drew_of_rows_that_another_runner_has_replaced_is_drawn_again(quoted: Bench) -> None:
    with_rows(quoted, f"SELECT * FROM ({many(5)}) WHERE row_key <> 'k0000'").draw()
    other = fact(quoted)
    assert len(other.keys) == 1
    walk(quoted, keep=True)
    assert {row["row_key"] for row in rows_of(quoted)} == {f"k{n:04}" for n in range(6)}
    assert fact(quoted).key == other.key, "what is added, is added to what the other one asked"


def test_two_machines_add_the_same_object(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, many(4)) for name in "ab")
    for each in (one, two):
        each.draw()
        with_rows(each, many(6)).draw()
    assert fact(one).keys == fact(two).keys


def test_the_event_names_all_objects(tmp_path: Path) -> None:
    one = made(tmp_path, many(4))
    one.draw()
    with_rows(one, many(6)).draw()
    store = one.ctx.store
    events = [json.loads(store.read(key)) for key in store.list("journal/")]
    asked = [event for event in events if event["type"] == "asked"]
    assert asked[0]["more"] == []
    assert (asked[1]["key"], *asked[1]["more"]) == fact(one).keys


# -- a file run over another


def source(text: str, name: str = "mine.sql") -> Source:
    return Source(name, Path(name), text)


def test_a_file_runs_over_what_another_makes(tmp_path: Path) -> None:
    rows = source(
        "-- Rows.\nCREATE TEMP MACRO twice(x) AS 2 * x;\nWITH n AS (SELECT $most AS m)\nSELECT twice(m) AS a FROM n"
    )
    with Warehouse(tmp_path / "spill") as warehouse:
        found = warehouse.rows(over(source("SELECT a + 1 AS b FROM fresh_rows -- last"), rows), {"most": 4})
        assert (found.columns, list(found)) == (("b",), [(9,)])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("-- Rows.\n\nSELECT 1 AS a,\n  nowhere AS b", 4),
        ("-- Rows.\nCREATE TEMP TABLE t AS\nSELECT nowhere;\nFROM t", 3),
    ],
)
def test_an_error_names_the_line_of_the_file_that_makes_the_rows(tmp_path: Path, text: str, line: int) -> None:
    with Warehouse(tmp_path / "spill") as warehouse, pytest.raises(InputError) as caught:
        warehouse.rows(over(source("SELECT a FROM fresh_rows", "engine.sql"), source(text)), {})
    assert caught.value.where == f"mine.sql:{line}"


def test_rows_must_come_from_a_select() -> None:
    with pytest.raises(InputError, match="not a SELECT"):
        over(source("FROM fresh_rows"), source("-- Rows.\nCREATE TABLE t (a INTEGER)"))
