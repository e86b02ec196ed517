"""``trace``: a row, by its key or its index, and what it cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from chimera_batch.errors import InputError
from chimera_batch.verbs import tracing
from tests.support import Bench, answered, bench, write_project

ROWS = """\
-- Two rows that ask the same, and one that does not.
-- reads: nothing
SELECT * FROM (VALUES ('x', 'alike'), ('y', 'alike'), ('7', 'other')) t(row_key, q)
"""
PAIRS = """\
-- A row about two others, and rows whose keys and indexes are numbers.
-- reads: one
SELECT 'pair' AS row_key, 5 AS index, 'x' AS first, 'y' AS second
UNION ALL SELECT row_key, CASE row_key WHEN 'x' THEN 7 ELSE 6 END, row_key, NULL FROM one WHERE row_key IN ('x', '7')
"""


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """A run with a stage that asks and a table of pairs below it, done."""
    files = {"sql/tiny/one_rows.sql": ROWS, "sql/tiny/pairs.sql": PAIRS}
    files["prompts/tiny/one.md"] = "<!-- user -->\nSay {{ q }}.\n"
    found = bench(write_project(tmp_path, files, stage="}\n  - {name: pairs, sql: tiny/pairs.sql"))
    found.go()
    found.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    assert found.go().done
    return found


def test_an_answer_that_two_rows_share_is_paid_once(one: Bench) -> None:
    found = tracing.trace(one.ctx, "pair")
    assert [step["row_key"] for step in found["steps"]] == ["y", "x"]
    (each,) = {result["usd"] for step in found["steps"] for result in step["results"]}
    assert found["usd"] == each > 0


def test_a_row_key_that_is_a_number_is_a_row_key(one: Bench) -> None:
    found = tracing.trace(one.ctx, "7")
    assert [step["row_key"] for step in found["steps"]] == ["7"]
    assert found["row"]["row_key"] == "7" and found["row"]["index"] == 6
    assert tracing.trace(one.ctx, "5")["row"]["row_key"] == "pair"  # no key: an index


def test_what_is_neither_key_nor_index(one: Bench) -> None:
    for key in ("\u00b2", "\u2461", "9" * 30, "9" * 60, "9" * 5000, "-1", ""):
        with pytest.raises(InputError, match="no row"):
            tracing.trace(one.ctx, key)
