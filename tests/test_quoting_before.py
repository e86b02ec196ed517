"""A quote of a stage that only gained rows takes the table as it was last made: it says the same, without making it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.pipeline.stage import Source
from chimera_batch.steps import adding, joining
from chimera_batch.verbs import quoting
from tests.support import Bench
from tests.test_planning import made, many, with_rows
from tests.test_recalling import finish


class Made(Exception):
    """A table was made."""


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Forty rows, all answered."""
    monkeypatch.setattr(adding, "FROM", 3)
    one = made(tmp_path, many(40))
    finish(one)
    assert one.ctx.facts.tables["tiny", "one"].rows == 40
    return one


def quote(one: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is quoted without making a table. Raises Made."""

    def build(*_: Any) -> None:
        raise Made

    with monkeypatch.context() as patched:
        patched.setattr(joining, "build", build)
        return quoting.quote(one.ctx)


def test_a_quote_of_further_rows_makes_no_table(settled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    more = with_rows(settled, many(47))
    said = quote(more, monkeypatch)
    assert said["stages"][0]["requests"] == 7
    tables = more.ctx.facts.tables
    tables["tiny", "one"] = replace(tables["tiny", "one"], making=None)  # as an older version kept it
    with pytest.raises(Made):
        quote(more, monkeypatch)
    assert quoting.quote(more.ctx) == said


def with_table(one: Bench) -> Bench:
    table = Source("t.sql", Path("t.sql"), "SELECT row_key FROM answers WHERE outcome = 'ok'")
    return with_rows(one, many(47), table=table)


CHANGED: dict[str, Callable[[Bench], Bench]] = {
    "the table query": with_table,
    "a row": lambda one: with_rows(one, f"SELECT row_key, if(row_key = 'k0001', 'x', q) AS q FROM ({many(47)})"),
    "a row less": lambda one: with_rows(one, f"SELECT * FROM ({many(47)}) WHERE row_key <> 'k0001'"),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_whatever_else_changed_makes_the_table(
    settled: Bench, monkeypatch: pytest.MonkeyPatch, change: Callable[[Bench], Bench]
) -> None:
    with pytest.raises(Made):
        quote(change(settled), monkeypatch)


@pytest.mark.parametrize("state", ["answered", "given_up"])
def test_other_answers_than_it_was_made_of_make_the_table(
    settled: Bench, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    tables = settled.ctx.facts.tables
    known = tables["tiny", "one"]
    tables["tiny", "one"] = replace(known, standing={**known.standing, state: known.standing[state] + 1})
    with pytest.raises(Made):
        quote(with_rows(settled, many(47)), monkeypatch)


def test_rows_under_way_make_the_table(settled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to what was asked, but not to what it was made of."""
    more = with_rows(settled, many(44))
    more.go()
    with pytest.raises(Made):
        quote(more, monkeypatch)
    assert quoting.quote(more.ctx)["stages"][0]["in_flight"] == 4
