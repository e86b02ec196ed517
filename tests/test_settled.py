"""What is over of a stage is kept: whatever it gains, it stands as if all of it were counted."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import digests
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


def test_what_could_not_be_read_once_is_read_again(one: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(one)
    name = next(iter(kept(one)))
    of_file, failing = digests.of_file, [OSError(5, "Input/output error")]

    def once(path: Path) -> str:
        if failing:
            raise failing.pop()
        return of_file(path)

    monkeypatch.setattr(settled.digests, "of_file", once)
    for error in (OSError, ValueError):
        with pytest.raises(error):
            settled._lent(one.ctx, name, "not its digest", tmp_path)


def kept(one: Bench) -> set[str]:
    """The files that are there; they must be those that what is kept names."""
    last = settled.recall(one.ctx, "settled one")
    assert last is not None
    found = {path.name for path in (one.ctx.work / "remembered").glob("*.parquet")}
    assert found == {name for view in settled.VIEWS for name, _ in last[1]["files"][view]}
    return found


def test_nothing_piles_up(one: Bench) -> None:
    for count, files in ((4, 2), (5, 4), (3, 2)):
        finish(with_rows(one, many(count)))
        assert len(kept(one)) == files


def test_what_is_kept_already_is_not_kept_again(one: Bench) -> None:
    """Neither by another command that counted the same, nor by one that counted fewer rounds and is late."""
    finish(one)
    before = kept(one)
    assert one.stand().settled
    assert kept(one) == before


def test_what_was_kept_before_goes_even_where_some_of_it_is_lost(one: Bench) -> None:
    finish(one)
    before = kept(one)
    (one.ctx.work / "remembered" / max(before)).unlink()  # a view's, the first to be deleted
    finish(with_rows(one, many(6)))
    assert len(kept(one)) == 2 and not before & kept(one), "counted as a whole, and kept anew"


def test_what_is_kept_under_its_name_and_makes_no_sense_is_not_heard(one: Bench) -> None:
    settled.remember(one.ctx, "settled one", "a digest", {"shards": []})
    finish(one)
    assert len(kept(one)) == 2


def test_a_stage_that_gained_nothing_has_nothing_before_it(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """How it stands is remembered as a whole; here are only the first of more files."""
    monkeypatch.setattr(settled, "FROM", 4)  # as many as there are
    finish(one)
    last = settled.recall(one.ctx, "settled one")
    assert last is not None
    with one.step() as step:
        asked = [Path(path) for path in last[1]["asked"]]
        assert settled.before(one.ctx, one.stage, asked, step.warehouse, step.folder) is None
        more = settled.before(one.ctx, one.stage, [*asked, asked[0]], step.warehouse, step.folder)
    assert more is None, "asked again"


@pytest.mark.parametrize(
    ("changes", "least", "alone"),
    [
        ({}, 1, True),
        ({}, 2, False),  # how many are open beside it decides whether a batch of them is taken
        ({"window": "now"}, 2, True),
        ({"left": ("a call",)}, 1, False),
        ({"longer_if_it_pays": True}, 1, False),
    ],
)
def test_only_what_a_request_s_own_history_decides_is_kept(
    one: Bench, changes: dict[str, Any], least: int, alone: bool
) -> None:
    stage = one.stage
    name = stage.calls[0].provider
    profiles = {**one.ctx.told.profiles, name: replace(one.ctx.told.profiles[name], min_requests=least)}
    ctx = replace(one.ctx, told=replace(one.ctx.told, profiles=profiles))
    assert settled._may_be(ctx, replace(stage, **changes)) is alone


def test_the_digest_is_of_which_shards_and_not_of_their_order(one: Bench) -> None:
    """They come out of a set, whose order is another one in every process."""
    names = [f"one-{number:012x}" for number in range(400)]
    value = {"asked": [], "wanted": 1, "files": {}}
    keys = {settled._key(one.ctx, one.stage, {**value, "shards": some}) for some in (names, names[::-1])}
    assert len(keys) == 1
    assert settled._key(one.ctx, one.stage, {**value, "shards": names[1:]}) not in keys


def test_each_stage_and_run_has_files_of_its_own(one: Bench) -> None:
    other = replace(one.ctx, told=replace(one.ctx.told, run="other"))
    prefixes = [
        settled._prefix(ctx, stage) for ctx in (one.ctx, other) for stage in (one.stage, replace(one.stage, name="two"))
    ]
    assert len(set(prefixes)) == 4 and not any(a.startswith(b) for a in prefixes for b in prefixes if a != b)


def test_what_two_commands_kept_at_once_goes_when_nothing_names_it_any_more(one: Bench) -> None:
    """Each removes what was kept before; of the one that was not heard last nobody knows the files."""
    finish(one)
    folder, hours = one.ctx.work / "remembered", 2 * 3600
    whole, *_ = folder.glob("*.parquet")
    stage, _, rest = whole.name.partition("-")
    other, young, elsewhere = (
        folder / name for name in (f"{stage}-other.parquet", f"{stage}-young.parquet", f"x-{rest}")
    )
    for path in (other, young, elsewhere):
        path.write_bytes(whole.read_bytes())
    for path in (other, elsewhere):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - hours))
    finish(with_rows(one, many(6)))
    assert (other.exists(), young.exists()) == (False, True), "whoever keeps now may name it in a moment"
    assert elsewhere.exists(), "another stage's"


def test_each_file_is_read_once_to_see_that_it_is_whole(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are large: half a gigabyte for ten million requests."""
    finish(one)
    read, of_file = Counter[tuple[Path, int]](), digests.of_file

    def counting(path: Path) -> str:
        read[path.parent, path.stat().st_ino] += 1  # of one step, whatever it is called there
        return of_file(path)

    monkeypatch.setattr(settled.digests, "of_file", counting)
    finish(with_rows(one, many(6)))
    value = settled.recall(one.ctx, "settled one")
    assert value is not None
    files = [file for view in settled.VIEWS for file in value[1]["files"][view]]
    assert len(files) == 4
    assert all(of_file(one.ctx.work / "remembered" / name) == sha256 for name, sha256 in files)
    assert set(read.values()) == {1}


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
