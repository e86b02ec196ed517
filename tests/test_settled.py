"""What is over of a stage is kept: whatever it gains, it stands as if all of it were counted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.history.counts import Standing
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests.drawn import Drawings
from chimera_batch.steps import adding, settled, standing
from chimera_batch.warehouse import Warehouse
from tests.support import Bench
from tests.test_planning import made, many, with_rows
from tests.test_standing import bad, ok, refused

pytestmark = pytest.mark.slow

VIEWS = {
    "standing": "SELECT request_id, shard, state, ceiling, last FROM standing",
    "history": "SELECT * FROM history",
    "landed": "SELECT shard, attempt, request_id, outcome, text FROM landed",
    "asked": "SELECT position, row_key, request_id FROM asked",
    "whole_shards": "SELECT * FROM whole_shards",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "FROM", 1)
    monkeypatch.setattr(adding, "FROM", 1)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    """Four rows in shards of three, in a command that may ask."""
    found = made(tmp_path, many(4), max_requests=3)
    drawings = Drawings(tmp_path / "drawn")
    yield replace(found, ctx=replace(found.ctx, drawings=drawings))
    drawings.close()


def number_of(line: dict[str, Any]) -> int:
    """Which row a wire line is of."""
    return int(line["body"]["messages"][0]["content"].rpartition("q")[2])


class Twice:
    """Every count is made once more with nothing kept: the two must agree, views included. ``kept``: what was gone on
    with, in requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[int] = []
        stand, before = standing.stand, settled.before

        def told(house: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
            return {
                name: sorted(house.rows(Source(name, Path(name), sql), {}), key=repr) for name, sql in VIEWS.items()
            }

        def counting(ctx: Any, stage: Any, asked: Any, house: Warehouse, folder: Path) -> Standing:
            found = stand(ctx, stage, asked, house, folder)
            seen = told(house)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(settled, "before", lambda *_: None)
                patch.setattr(settled, "keep", lambda *_: None)
                bare = replace(ctx, drawings=None)
                with bare.warehouse() as (other, place):
                    whole = stand(bare, stage, asked, other, place)
                    assert seen == told(other)
            assert (found, found.placed) == (whole, whole.placed)
            return found

        def looking(*given: Any) -> settled.Settled | None:
            found = before(*given)
            self.kept.append(found.wanted if found else 0)
            return found

        monkeypatch.setattr(standing, "stand", counting)
        monkeypatch.setattr(settled, "before", looking)


def finish(one: Bench, *answers: Any) -> None:
    """Take a stage to its end; the batches of each pass are answered by the row."""
    some = answers or (ok,)
    for _ in range(20):
        if one.go().done:
            return
        for batch in list(one.host.batches):
            one.host.answer(batch, lambda line: some[min(number_of(line), len(some) - 1)](line["custom_id"]))
    raise AssertionError("it does not end")


def test_only_what_is_new_is_counted(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = Twice(monkeypatch)
    finish(one, ok, refused, ok)
    assert set(twice.kept) == {0}
    for count in (7, 8):
        before = len(twice.kept)
        finish(with_rows(one, many(count)), ok, refused, ok, bad)
        assert set(twice.kept[before:]) == {count - (3 if count == 7 else 1)}, "all but what it gained"


def test_a_row_that_asks_the_same_again_has_all_of_it_counted(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = Twice(monkeypatch)
    finish(one)
    finish(with_rows(one, f"{many(5)} UNION ALL SELECT 'other', 'q1'"))
    assert set(twice.kept) == {0}


def test_rows_that_are_gone_have_all_of_it_counted(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = Twice(monkeypatch)
    finish(one)
    finish(with_rows(one, f"SELECT * FROM ({many(6)}) WHERE row_key <> 'k0001'"))
    assert set(twice.kept) == {0}


FATES = [ok, ok, refused, bad]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_it_stands_as_if_all_were_counted(
    one: Bench, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Rows come and go, a few at a time and of whole texts, answered in any way; what is kept is lost now and then."""
    twice, chance, count = Twice(monkeypatch), random.Random(seed), 4
    for _ in range(4):
        finish(with_rows(one, many(count)), *(chance.choice(FATES) for _ in range(count)))
        count += chance.choice([-1, 1, 2, 3])
        if chance.random() < 0.3:
            chance.choice(sorted((one.ctx.work / "remembered").glob("*.parquet"))).unlink()
    assert any(twice.kept), "something was gone on with"


def zeros(path: Path) -> None:
    """What a machine that lost its power may leave: as long as it was."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("broken", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1"), zeros])
def test_what_is_lost_or_broken_is_counted_again(one: Bench, monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    twice = Twice(monkeypatch)
    finish(one)
    for path in (one.ctx.work / "remembered").glob("*.parquet"):
        broken(path)
    finish(with_rows(one, many(6)))
    assert set(twice.kept) == {0}
    finish(with_rows(one, many(8)))
    assert set(twice.kept) == {0, 6}, "and kept anew"


def test_nothing_piles_up(one: Bench) -> None:
    for count in (4, 5, 3, 6, 2):
        finish(with_rows(one, many(count)))
        assert len(list((one.ctx.work / "remembered").glob("*.parquet"))) <= 2 * 2


def test_an_answer_that_a_person_forgives_is_asked_again(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept rests on every attempt: it is not heard once a person has given one another try."""
    twice = Twice(monkeypatch)
    finish(one, ok, bad)
    ctx, stage = one.ctx, one.stage
    ctx.ledger.retry(ctx.run, stage.name)
    finish(with_rows(one, many(6)))
    assert set(twice.kept) == {0}


def test_what_is_drawn_and_not_asked_yet_is_not_kept(one: Bench) -> None:
    """All that is new was answered under another key: it is over before it is asked, in a file that will be gone."""
    finish(one)
    before = settled.recall(one.ctx, "settled one")
    with with_rows(one, f"{many(4)} UNION ALL SELECT 'other', 'q1'").step() as step:
        assert step.walk(step.stand, keep=False).standing.settled
    assert settled.recall(one.ctx, "settled one") == before
