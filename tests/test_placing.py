"""Which shard holds each request is worked out once, and gone on with: always as if it were worked out anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.context import engine_sql
from chimera_batch.errors import ChimeraError
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.drawn import Drawings
from chimera_batch.steps import placing
from chimera_batch.warehouse import Warehouse
from tests.support import REALM, Bench, packed
from tests.test_planning import made, many, with_rows
from tests.test_recalling import finish


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    """Five rows in shards of two, in a command that may ask."""
    found = made(tmp_path, many(5), max_requests=2)
    drawings = Drawings(tmp_path / "drawn")
    yield replace(found, ctx=replace(found.ctx, drawings=drawings))
    drawings.close()


class Noted:
    """Which of the engine's files were written, and what the view said each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[str] = []
        write, place = Warehouse.write, placing.place

        def writing(house: Warehouse, source: Any, *rest: Any, **more: Any) -> int:
            if "placed" in getattr(source, "name", ""):
                self.written.append(source.name.removeprefix("engine/").removesuffix(".sql"))
            return write(house, source, *rest, **more)

        def checking(ctx: Any, stage: Any, asked: Any, members: Any, house: Warehouse, folder: Path) -> int:
            wanted = place(ctx, stage, asked, members, house, folder)
            told = sorted(house.rows(Source("t", Path("t"), "SELECT request_id, shard, ceiling FROM placed_ids"), {}))
            anew = sorted(house.rows(engine_sql("placed_ids"), {}))
            assert told == anew
            assert wanted == len({identity for identity, *_ in anew})
            return wanted

        monkeypatch.setattr(Warehouse, "write", writing)
        monkeypatch.setattr("chimera_batch.steps.standing.place", checking)


def test_shards_that_are_added_are_added(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    finish(one)
    assert noted.written == ["placed_ids", "placed_first"], "once, and once more for the shards of this stage"
    more = with_rows(one, many(8))
    finish(more)
    assert noted.written[2:] == ["placed_ids", "placed_further"]
    assert len(more.table()) == 8
    assert len(list((one.ctx.drawings._folder).glob("*placed*"))) == 1  # type: ignore[union-attr]  # it has drawings


def test_rows_that_are_gone_and_come_back(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    for sql in (many(5), f"SELECT * FROM ({many(5)}) LIMIT 2", many(5), f"{many(3)} UNION ALL SELECT 'x', 'q1'"):
        finish(with_rows(one, sql))
    assert noted.written.count("placed_ids") == 4


def test_a_command_that_asks_nothing_works_it_out_in_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = made(tmp_path, many(5), max_requests=2)
    noted = Noted(monkeypatch)
    with two.step() as step:
        step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True)
        rounds = [tuple(two.ctx.store.fetch(key) for key in two.ctx.facts.asked["tiny", "one"][1].keys)]
        step.stand(rounds)
    assert noted.written == ["placed_ids", "placed_ids"]


def test_a_request_that_two_shards_hold_still_shows(one: Bench) -> None:
    with one.step() as step:
        step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True)
    shard = next(iter(one.ctx.facts.shards.values()))
    copy = f"requests/{REALM}/copy.ids.parquet"
    with one.step() as step:
        step.warehouse.view("t", [one.ctx.store.fetch(shard.members)])
        step.warehouse.write("SELECT * REPLACE ('copy' AS shard) FROM t", {}, step.folder / "copy.parquet")
        one.ctx.store.create_file(copy, step.folder / "copy.parquet")
    one.ctx.ledger.pack(packed("copy", members=copy), seen_packs=3)
    with pytest.raises(ChimeraError, match="5 requests are wanted, but 7 are accounted for"):
        one.stand()


def test_what_a_quote_worked_out_serves_the_run(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    with one.step() as step:
        step.walk(step.stand, keep=False)
    with one.step() as step:
        counts = step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True).standing
    assert noted.written == ["placed_ids", "placed_first"]
    assert counts.states["packed"] == 5
    finish(one)
    assert len(one.table()) == 5
    assert noted.written == ["placed_ids", "placed_first"]


def test_what_a_quote_worked_out_of_other_rows_does_not(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    with one.step() as step:
        step.walk(step.stand, keep=False)
    other = with_rows(one, many(7))
    with other.step() as step:
        counts = step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True).standing
    assert noted.written == ["placed_ids", "placed_ids", "placed_first"]
    assert counts.states["packed"] == 7


def test_a_later_quote_of_other_rows_works_it_out_anew(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its drawing has the name of the earlier one."""
    noted = Noted(monkeypatch)
    for count in (5, 6):
        with with_rows(one, many(count)).step() as step:
            assert step.walk(step.stand, keep=False).standing.wanted == count
    assert noted.written == ["placed_ids", "placed_ids"]
