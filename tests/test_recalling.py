"""What is remembered is what would be counted: whatever it rests on changes its digest, and nothing else does."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.context import Context
from chimera_batch.history.counts import last_asked
from chimera_batch.history.facts import Asked, Attempt, Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.pipeline.stage import Rule
from chimera_batch.steps import recalling, remembering
from chimera_batch.verbs import spending, statusing
from chimera_batch.warehouse import Warehouse
from tests.support import ROWS, Bench, answered, bench, failed, write_project
from tests.test_standing import bad, busy, late, made, nothing, ok, refused, short


class Opened(Exception):
    """A database was opened."""


@contextmanager
def no_warehouse(_ctx: Context) -> Iterator[tuple[Warehouse, Path]]:
    raise Opened
    yield


def forget(one: Bench) -> None:
    shutil.rmtree(one.ctx.work / "remembered", ignore_errors=True)


def agrees(one: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The status as remembered is the one that is counted anew, and is then said without a database."""
    said = statusing.status(one.ctx)
    forget(one)
    assert statusing.status(one.ctx) == said
    with monkeypatch.context() as patch:
        patch.setattr(Context, "warehouse", no_warehouse)
        assert statusing.status(one.ctx) == said
    return said


def finish(one: Bench, answer: Callable[[str], bytes | None] = ok) -> None:
    """Two passes: send, then collect."""
    one.go()
    for batch in list(one.host.batches.values()):
        if batch.status == "in_progress":
            one.host.answer(batch.id, lambda line: answer(line["custom_id"]))
    one.go()


@pytest.mark.slow
def test_at_every_moment_of_a_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    answers = [ok, ok, ok, short, refused, bad, busy, late, nothing]
    one = made(tmp_path, 9, stage=", breaker: 0, canary: 0, samples: 2, retry: {transient: 1, expired: 1, missing: 1}")
    said = []
    for _ in range(9):
        progress = one.go()
        said.append(agrees(one, monkeypatch))
        if progress.done:
            break
        for batch in one.host.batches.values():
            if batch.status == "in_progress":
                one.host.answer(batch.id, lambda line: chance.choice(answers)(line["custom_id"]))
        one.host.trouble["state"] = []
    assert progress.done
    assert len({str(document["stages"]) for document in said}) == len(said) > 3, "every pass has changed something"
    one.ctx.ledger.retry("tiny", "one")
    assert agrees(one, monkeypatch)["stages"][0]["packed"] == said[-1]["stages"][0]["given_up"] > 0


@pytest.mark.slow
def test_rows_that_were_edited_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, 4)
    finish(one)
    assert agrees(one, monkeypatch)["stages"][0]["orphaned"] == 0
    fewer = bench(made(tmp_path, 1).ctx.project, host=one.host, store=one.ctx.store)
    fewer.go()
    assert agrees(fewer, monkeypatch)["stages"][0]["orphaned"] == 3


def test_other_stages_and_runs_make_nothing_out_of_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, 3)
    finish(one)
    agrees(one, monkeypatch)
    more = {"sql/tiny/one_rows.sql": ROWS.replace("range(3)", "range(5)")}
    project = replace(write_project(tmp_path, more), run="other")
    other = bench(project, host=one.host, store=one.ctx.store)
    other.go()
    assert len(other.ctx.facts.shards) == 2
    one.ctx.ledger.refresh()
    monkeypatch.setattr(Context, "warehouse", no_warehouse)
    found = recalling.counted(one.ctx, one.stage)
    assert (found.standing.states["answered"], found.orphaned) == (3, 0), (
        "what another run buys is not this one's waste"
    )


def test_what_was_counted_before_the_last_event_is_not_kept(tmp_path: Path) -> None:
    one = made(tmp_path, 3)
    finish(one)
    forget(one)
    with one.step() as step:
        counts = step.stand(
            [(one.ctx.store.fetch(asked.key),) for asked in last_asked(one.ctx.facts, "tiny", one.stage)]
        )
        one.ctx.ledger.retry("tiny", "one")
        recalling.keep(one.ctx, one.stage, counts, step.warehouse)
        assert not (one.ctx.work / "remembered").exists()
        counts = step.stand(
            [(one.ctx.store.fetch(asked.key),) for asked in last_asked(one.ctx.facts, "tiny", one.stage)]
        )
        recalling.keep(one.ctx, one.stage, counts, step.warehouse)
        assert (one.ctx.work / "remembered").exists()


# -- the digest


Settled = tuple[Bench, list[Asked], list[Shard]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    one = made(tmp_path_factory.mktemp("settled"), 3)
    finish(one)
    return one


@pytest.fixture
def settled(finished: Bench) -> Settled:
    """A finished stage, and what its standing rests on, to be changed."""
    return (
        finished,
        last_asked(finished.ctx.facts, finished.ctx.run, finished.stage),
        deepcopy(list(finished.ctx.facts.shards.values())),
    )


def _attempt(**changes: Any) -> Callable[[Bench, list[Asked], list[Shard]], None]:
    def change(one: Bench, asked: list[Asked], shards: list[Shard]) -> None:
        for name, value in changes.items():
            setattr(shards[0].attempts[0], name, value)

    return change


def _again(one: Bench, asked: list[Asked], shards: list[Shard]) -> None:
    shards[0].attempts.append(replace(shards[0].attempts[0], number=2))


CHANGES: dict[str, Callable[[Bench, list[Asked], list[Shard]], Any]] = {
    "asked anew": lambda one, asked, shards: asked.__setitem__(0, replace(asked[0], key="runs/x")),
    "a further round": lambda one, asked, shards: asked.append(replace(asked[0], round=2)),
    "another shard": lambda one, asked, shards: shards.append(replace(shards[0], id="two")),
    "a shard less": lambda one, asked, shards: shards.clear(),
    "other members": lambda one, asked, shards: setattr(shards[0], "members", "requests/x"),
    "another attempt": _again,
    "no attempt": lambda one, asked, shards: shards[0].attempts.clear(),
    "under way": _attempt(stand="submitted"),
    "dropped": _attempt(stand="dropped"),
    "another landing": _attempt(answers=["answers/x"]),
    "more landings": _attempt(answers=["answers/x", "answers/y"]),
    "other outcomes": _attempt(outcomes={"ok": 2, "error": 1}),
    "fewer sent": _attempt(ids="requests/x.ids"),
    "another stage's": _attempt(stage="two"),
    "another run's": _attempt(run="other"),
    "forgiven": _attempt(forgiven={("tiny", "one")}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_a_standing_rests_on_changes_the_digest(name: str, settled: Settled) -> None:
    one, asked, shards = settled
    before = recalling.basis(one.ctx, one.stage, asked, shards)
    assert recalling.basis(one.ctx, one.stage, list(asked), list(shards)) == before
    CHANGES[name](one, asked, shards)
    assert recalling.basis(one.ctx, one.stage, asked, shards) != before


def test_what_it_does_not_rest_on_does_not(settled: Settled) -> None:
    one, asked, shards = settled
    before = recalling.basis(one.ctx, one.stage, asked, shards)
    _attempt(seen_at=5.0, cleaned=True, billed=Decimal(9), forgiven={("other", "one")})(one, asked, shards)
    assert recalling.basis(one.ctx, replace(one.stage, breaker=0.1), asked, shards) == before


def rules(stage: Stage) -> Stage:
    return replace(stage, retry={**stage.retry, "error": Rule(times=3)})


def test_rules_side_and_program_count_too(settled: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked, shards = settled
    stage = one.stage
    pays = replace(stage, longer_if_it_pays=True)
    found = {
        recalling.basis(one.ctx, stage, asked, shards),
        recalling.basis(one.ctx, rules(stage), asked, shards),
        recalling.basis(replace(one.ctx, rehearse=True), stage, asked, shards),
        recalling.basis(one.ctx, pays, asked, shards),
    }
    monkeypatch.setattr(one.pairs[0][1], "billed", Decimal(9))  # what rows cost decides whether a longer try pays
    found.add(recalling.basis(one.ctx, pays, asked, shards))
    monkeypatch.setattr(remembering, "__version__", "9.9")
    found.add(recalling.basis(one.ctx, stage, asked, shards))
    assert len(found) == 6


# -- the files


BROKEN = [b"", b"{", b"[]", b"null", b'["x"]', b'["KEY", {}]', b'["KEY", null]', b"\xff\xfe"]


def test_a_broken_file_is_none(settled: Settled) -> None:
    one, asked, shards = settled
    said = statusing.status(one.ctx)
    key = recalling.basis(one.ctx, one.stage, asked, shards).encode()
    files = list((one.ctx.work / "remembered").iterdir())
    assert len(files) == 2
    for content in BROKEN:
        for path in files:
            path.write_bytes(content.replace(b"KEY", key))
        assert statusing.status(one.ctx) == said


def test_a_folder_that_cannot_be_written_costs_time_alone(settled: Settled, tmp_path: Path) -> None:
    one, _, _ = settled
    (tmp_path / "remembered").write_text("a file stands in the way")
    assert statusing.status(replace(one.ctx, work=tmp_path)) == statusing.status(one.ctx)


def test_what_was_kept_last_is_heard_with_its_digest(tmp_path: Path) -> None:
    ctx = made(tmp_path).ctx
    assert remembering.recall(ctx, "a") is None
    remembering.remember(ctx, "a", "1", {"x": [1, None]})
    remembering.remember(ctx, "b", "1", 0)
    remembering.remember(ctx, "a", "2", {"x": []})
    assert remembering.recall(ctx, "a") == ("2", {"x": []})
    other = replace(ctx, told=replace(ctx.told, run="other"))
    assert remembering.recall(other, "a") is None
    assert {path.suffix for path in (ctx.work / "remembered").iterdir()} == {".json"}


# -- where the money went


def cut(identity: str) -> bytes:
    return answered(identity, "fo", finish="length", tokens=(1_000, 500))


def test_what_was_wasted_is_read_once_for_each_landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, 3, stage=", breaker: 0, retry: {truncated: 1, error: 1}")
    finish(one, cut)
    first = spending.wasted(one.ctx)["one"]["truncated"]
    assert (first.requests, first.tokens) == (3, 4_500)
    with monkeypatch.context() as patch:
        patch.setattr(Context, "warehouse", no_warehouse)
        assert spending.wasted(one.ctx)["one"]["truncated"] == first
    finish(one, lambda identity: failed(identity, 400))  # costs nothing, so it is no waste
    assert [attempt.outcomes for _, attempt in one.pairs if attempt.answers] == [{"truncated": 3}, {"error": 3}]
    assert spending.wasted(one.ctx) == {"one": {"truncated": first}}
    forget(one)
    assert spending.wasted(one.ctx) == {"one": {"truncated": first}}


def test_usable_answers_are_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, 3)
    finish(one)
    monkeypatch.setattr(Context, "warehouse", no_warehouse)
    assert spending.wasted(one.ctx) == {}


def test_what_is_kept_follows_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path, 3)
    assert spending.kept(one.ctx)["one"].rows is None
    finish(one)
    assert spending.kept(one.ctx)["one"].rows == 3
    monkeypatch.setattr(Context, "warehouse", no_warehouse)
    assert spending.kept(one.ctx)["one"].rows == 3
    facts = one.ctx.facts.tables
    facts["tiny", "one"] = replace(facts["tiny", "one"], sha256="0" * 64)
    with pytest.raises(Opened):
        spending.kept(one.ctx)


def test_an_attempt_is_told_whole(tmp_path: Path) -> None:
    """A field that an attempt gains one day is either in the digest or said here not to matter."""
    matters = {"number", "run", "stage", "stand", "requests", "ids", "answers", "outcomes", "forgiven"}
    money = {"usd", "billed", "suspected", "reported", "price", "input_tokens", "bytes", "cache"}
    word = {"nonce", "sha256", "owner", "lease_until", "at", "file", "batch", "submitted_at", "status", "done"}
    word |= {"seen_at", "reason", "landed_at", "queue_full_at", "quarantined", "cleaned", "cancel_at", "taken_from"}
    word |= {"doubted_at", "adopted", "disowned", "strays", "strays_over", "written_off", "blind", "raw"}
    word |= {"cancel_reason", "down", "over", "words", "most", "repeats"}
    assert set(Attempt.__dataclass_fields__) == matters | money | word
