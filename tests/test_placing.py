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
    assert noted.written == ["placed_ids", "placed_whole"], "once, and once more for the shards of this stage"
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
    assert noted.written == ["placed_ids", "placed_whole"]
    assert counts.states["packed"] == 5
    finish(one)
    assert len(one.table()) == 5
    assert noted.written == ["placed_ids", "placed_whole"]


def test_what_a_quote_worked_out_of_other_rows_does_not(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    with one.step() as step:
        step.walk(step.stand, keep=False)
    other = with_rows(one, many(7))
    with other.step() as step:
        counts = step.walk(lambda rounds: runner.packed(step, rounds)[0], keep=True).standing
    assert noted.written == ["placed_ids", "placed_ids", "placed_whole"]
    assert counts.states["packed"] == 7


def test_a_later_quote_of_other_rows_works_it_out_anew(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its drawing has the name of the earlier one."""
    noted = Noted(monkeypatch)
    for count in (5, 6):
        with with_rows(one, many(count)).step() as step:
            assert step.walk(step.stand, keep=False).standing.wanted == count
    assert noted.written == ["placed_ids", "placed_ids"]


def views(house: Warehouse, before: str, members: str) -> str:
    """Which query goes on from these rows of (id, shard, ceiling) with these of (id, shard)."""
    for name, columns, rows in (
        ("placed_before", "request_id, shard, ceiling", before),
        ("fresh_members", "request_id, shard", members),
    ):
        path = house._temp / f"{name}.parquet"
        house.write(f"SELECT * FROM (VALUES {rows}) AS t({columns})", {}, path)
        house.view(name, [path])
    return placing.going_on(house)


@pytest.mark.parametrize(
    ("before", "members", "name"),
    [
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 9)", "('b', 's'), ('a', 't')", "placed_whole"),
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 8)", "('b', 's'), ('a', 't')", "placed_first"),  # two ceilings
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 9)", "('b', 's'), ('c', 't')", "placed_first"),  # another's request
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 9)", "('b', 's'), ('b', 't')", "placed_first"),  # twice, and one missing
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 9)", "('b', 's'), ('a', 't'), ('c', 't')", "placed_first"),
        ("('a', NULL::VARCHAR, 9), ('b', NULL, 9)", "('b', 's')", "placed_first"),
        ("('a', 's', 9), ('b', NULL, 9)", "('b', 't')", "placed_further"),
    ],
)
def test_nothing_is_joined_only_where_the_shards_hold_just_what_is_wanted(
    tmp_path: Path, before: str, members: str, name: str
) -> None:
    with Warehouse(tmp_path) as house:
        assert views(house, before, members) == name
        made = sorted(house.rows(engine_sql(name), {}))
        if name == "placed_whole":
            assert made == sorted(house.rows(engine_sql("placed_first"), {})) == [("a", "t", 9), ("b", "s", 9)]


@pytest.mark.parametrize("requests", [1, 2_000])
def test_the_quick_way_gives_what_the_join_gives(tmp_path: Path, requests: int) -> None:
    with Warehouse(tmp_path) as house:
        ids = f"SELECT sha256(n::VARCHAR) AS request_id, n FROM range({requests}) AS t(n)"
        for name, columns in (
            ("placed_before", "request_id, NULL::VARCHAR AS shard, 700::INTEGER AS ceiling"),
            ("fresh_members", "'s' || n % 7 AS shard, request_id, 5 AS input_tokens"),
        ):
            path = tmp_path / f"{name}.parquet"
            house.write(f"SELECT {columns} FROM ({ids}) ORDER BY hash(n, {len(name)})", {}, path)
            house.view(name, [path])
        assert placing.going_on(house) == "placed_whole"
        quick, joined = (sorted(house.rows(engine_sql(way), {})) for way in ("placed_whole", "placed_first"))
        assert quick == joined
        assert len(quick) == requests
