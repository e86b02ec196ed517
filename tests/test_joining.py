"""Joining: answers into tables, closed rounds into ``previous``, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import InputError
from chimera_batch.steps import joining
from chimera_batch.steps.stepping import Step
from tests.support import SCHEMA, Bench, FakeHost, answered, bench, failed, write_project

Line = dict[str, Any]
HEAD = "-- A query of the tests.\n"
TABLE = ", table: tiny/one.sql"


def made(
    folder: Path, *, table: str = "", rows: str = "", until: str = "", host: FakeHost | None = None, **said: Any
) -> Bench:
    files = {"prompts/tiny/n.json": SCHEMA}
    for name, sql in (("one", table), ("one_rows", rows), ("until", until)):
        if sql:
            files[f"sql/tiny/{name}.sql"] = HEAD + sql
    return bench(write_project(folder, files, **said), host=host)


def reply(line: Line) -> bytes:
    return answered(line["custom_id"], f"re: {line['body']['messages'][0]['content']}")


def run(one: Bench, make: Any = reply) -> Bench:
    """Until nothing is left to do; every batch is answered as soon as it is there."""
    for _ in range(9):
        if one.go().done:
            return one
        for batch in one.host.batches.values():
            if batch.status == "in_progress":
                one.host.answer(batch.id, make)
    raise AssertionError("it does not end")


# -- tables


def test_without_a_table_query_every_answer_is_a_row(tmp_path: Path) -> None:
    one = run(made(tmp_path, stage=", samples: 2"))
    rows = one.table()
    assert [row["row_key"] for row in rows] == ["k000", "k000-2", "k001", "k001-2", "k002", "k002-2"]
    assert list(rows[0]) == [
        "row_key",
        "q",
        "round",
        "sample",
        "request_id",
        "outcome",
        "text",
        "reasoning",
        "answer",
        "embedding",
        "model",
    ]
    assert rows[3]["text"] == "re: Answer: question 1"
    assert (rows[3]["q"], rows[3]["sample"], rows[3]["round"], rows[3]["model"]) == ("question 1", 2, 1, "tiny-1-2026")


def test_only_ok_answers_are_rows_but_a_table_query_sees_all(tmp_path: Path) -> None:
    def some(line: Line) -> bytes | None:
        return failed(line["custom_id"]) if "question 1" in line["body"]["messages"][0]["content"] else reply(line)

    one = run(made(tmp_path, stage=", breaker: 0"), some)
    assert [row["row_key"] for row in one.table()] == ["k000", "k002"]
    sql = "-- reads: answers\nSELECT row_key, outcome, text FROM answers"
    two = run(made(tmp_path, table=sql, stage=TABLE + ", breaker: 0"))
    assert [(row["row_key"], row["outcome"]) for row in two.table()] == [
        ("k000", "ok"),
        ("k001", "error"),
        ("k002", "ok"),
    ]
    assert two.host.batches == {}  # another table of the same answers costs nothing


def test_equal_questions_share_an_answer(tmp_path: Path) -> None:
    rows = "SELECT 'k' || i AS row_key, 'same' AS q FROM range(3) AS t(i)"
    one = run(made(tmp_path, rows=rows))
    assert [(row["row_key"], row["text"]) for row in one.table()] == [(f"k{n}", "re: Answer: same") for n in range(3)]
    assert len(one.host.batches["batch-1"].lines) == 1


def test_an_answer_with_a_schema_is_json(tmp_path: Path) -> None:
    sql = "-- reads: answers\nSELECT row_key, (answer ->> 'n')::INTEGER * 2 AS twice FROM answers"
    one = made(tmp_path, table=sql, stage=TABLE + ", schema: tiny/n.json")
    run(one, lambda line: answered(line["custom_id"], '```json\n{"n": 21}\n```'))
    assert [row["twice"] for row in one.table()] == [42, 42, 42]


def test_an_answer_that_is_its_text_is_kept_once_and_shown_twice(tmp_path: Path) -> None:
    said = {"0": '{"n":21}', "1": '{"n": 21}', "2": '{"n":-300}'}
    one = made(tmp_path, stage=", schema: tiny/n.json")
    run(one, lambda line: answered(line["custom_id"], said[line["body"]["messages"][0]["content"][-1]]))
    assert [row["text"] for row in one.table()] == [*said.values()]
    assert [row["answer"] for row in one.table()] == ['{"n":21}', '{"n":21}', said["2"]]
    (key,) = one.pairs[0][1].answers
    kept = one.parquet(one.ctx.store.fetch(key), "SELECT text, answer FROM t ORDER BY length(answer), text")
    assert kept == [
        {"text": '{"n": 21}', "answer": '{"n":21}'},
        {"text": None, "answer": '{"n":21}'},
        {"text": None, "answer": said["2"]},
    ]


def test_a_table_is_ordered_by_its_key_and_marked(tmp_path: Path) -> None:
    sql = "-- reads: answers\nSELECT md5(row_key) AS row_key, q FROM answers ORDER BY q DESC"
    one = run(made(tmp_path, table=sql, stage=TABLE))
    keys = [row["row_key"] for row in one.table()]
    assert keys == sorted(keys)
    table = one.ctx.facts.tables["tiny", "one"]
    assert (table.rows, table.standing["answered"], table.outcomes) == (3, 3, {"ok": 3})
    marks = one.parquet(one.ctx.store.fetch(table.key), "SELECT 1 AS x FROM t LIMIT 1")
    assert marks == [{"x": 1}]
    assert b"chimera_run" in one.ctx.store.read(table.key)
    assert table.key == f"runs/tiny/one/table-{table.sha256[:16]}.parquet"


def test_two_machines_make_the_same_bytes(tmp_path: Path) -> None:
    tables = [run(made(tmp_path / name, stage=", samples: 2")).ctx.facts.tables["tiny", "one"] for name in ("a", "b")]
    assert tables[0].sha256 == tables[1].sha256


BAD_TABLES = [
    ("twice", "-- reads: answers\nSELECT 'same' AS row_key FROM answers", "row_key 'same' stands on 3 rows"),
    ("missing", "-- reads: answers\nSELECT q FROM answers", "the table query yields no column row_key"),
    ("number", "-- reads: answers\nSELECT sample AS row_key FROM answers", "row_key is of type INTEGER"),
    ("empty", "-- reads: answers\nSELECT '' AS row_key FROM answers LIMIT 1", "1 rows have an empty row_key"),
]


@contextmanager
def answers(one: Bench) -> Iterator[Step]:
    """The stage with its answers' views, nothing sent."""
    paths = one.draw()
    with one.step() as step:
        step.stand([tuple(paths)])
        yield step


@pytest.mark.parametrize(("sql", "message"), [row[1:] for row in BAD_TABLES], ids=[row[0] for row in BAD_TABLES])
def test_a_table_has_a_key_of_its_own_for_every_row(tmp_path: Path, sql: str, message: str) -> None:
    one = made(tmp_path, table=sql, stage=TABLE)
    with answers(one) as step, pytest.raises(InputError, match=message) as caught:
        joining.build(one.ctx, step.stage, step.warehouse, step.folder)
    assert "one.sql" in str(caught.value.where)
    assert "row_key" in str(caught.value.hint)
    assert one.ctx.facts.tables == {}


def test_what_is_not_answered_yet_is_missing(tmp_path: Path) -> None:
    one = made(tmp_path, table="-- reads: answers\nSELECT row_key, outcome, text FROM answers", stage=TABLE)
    with answers(one) as step:
        table = joining.build(one.ctx, step.stage, step.warehouse, step.folder)
        rows = one.parquet(table.path)
    assert [(row["outcome"], row["text"]) for row in rows] == [("missing", None)] * 3


# -- rounds

ROUNDS = """\
-- reads: previous
-- $round: its number
SELECT 'r' || $round AS row_key, 'after ' || (SELECT count(*) FROM previous) AS q
"""


def test_the_next_round_reads_the_closed_ones(tmp_path: Path) -> None:
    until = "-- reads: previous\n-- $round: how many are closed\nSELECT count(*) >= 2 AND $round = 2 FROM previous"
    one = run(made(tmp_path, rows=ROUNDS, until=until, stage=", rounds: {max: 5, until: tiny/until.sql}"))
    assert [(row["row_key"], row["round"], row["text"]) for row in one.table()] == [
        ("r1", 1, "re: Answer: after 0"),
        ("r2", 2, "re: Answer: after 1"),
    ]
    assert sorted(one.ctx.facts.asked["tiny", "one"]) == [1, 2]


def test_previous_holds_rows_answers_and_outcomes(tmp_path: Path) -> None:
    def some(line: Line) -> bytes:
        text = line["body"]["messages"][0]["content"]
        return failed(line["custom_id"]) if "1" in text else answered(line["custom_id"], '{"n":1}')

    one = run(made(tmp_path, stage=", breaker: 0, schema: tiny/n.json"), some)
    paths = [one.ctx.store.fetch(one.ctx.facts.asked["tiny", "one"][1].key)]
    with one.step() as step:
        content = joining.view_previous(one.ctx, step.stage, paths, step.warehouse, step.folder)
        again = joining.view_previous(one.ctx, step.stage, paths, step.warehouse, step.folder)
        rows = one.parquet(step.folder / "one.previous.parquet")
        assert joining.view_previous(one.ctx, step.stage, [], step.warehouse, step.folder) == ""
    assert content == again != ""
    assert [(row["round"], row["row_key"], row["sample"], row["outcome"], row["answer"]) for row in rows] == [
        (1, "k000", 1, "ok", '{"n":1}'),
        (1, "k001", 1, "error", None),
        (1, "k002", 1, "ok", '{"n":1}'),
    ]
    assert rows[0]["row"] == '{"row_key":"k000","q":"question 0"}'


@pytest.mark.parametrize(("sql", "answer"), [("SELECT true", True), ("SELECT 1 > 2", False)])
def test_until_says_enough(tmp_path: Path, sql: str, answer: bool) -> None:
    one = made(tmp_path, until=sql, stage=", rounds: {max: 5, until: tiny/until.sql}")
    with one.step() as step:
        assert joining.enough(one.ctx, step.stage, 1, step.warehouse) is answer


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT NULL", "SELECT 'true'", "SELECT true WHERE false"])
def test_until_says_true_or_false(tmp_path: Path, sql: str) -> None:
    one = made(tmp_path, until=sql, stage=", rounds: {max: 5, until: tiny/until.sql}")
    with one.step() as step, pytest.raises(InputError, match="not true or false") as caught:
        joining.enough(one.ctx, step.stage, 1, step.warehouse)
    assert "until.sql" in str(caught.value.where)


def test_without_until_it_is_never_enough(tmp_path: Path) -> None:
    one = made(tmp_path)
    with one.step() as step:
        assert joining.enough(one.ctx, step.stage, 1, step.warehouse) is False


def test_a_changed_first_round_is_asked_again_and_so_are_the_later_ones(tmp_path: Path) -> None:
    one = run(made(tmp_path, rows=ROUNDS, stage=", rounds: {max: 2}"))
    assert [row["row_key"] for row in one.table()] == ["r1", "r2"]  # no more than their number
    changed = ROUNDS.replace("after ", "behind ")
    two = run(made(tmp_path, rows=changed, stage=", rounds: {max: 2}", host=one.host))
    assert [row["text"] for row in two.table()] == ["re: Answer: behind 0", "re: Answer: behind 1"]
    assert len(two.host.batches) == 4
    assert one.ctx.facts.asked["tiny", "one"][2].key != two.ctx.facts.asked["tiny", "one"][2].key
