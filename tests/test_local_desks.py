"""Stages asked of one's own engine, hour by hour: leases, reservations, copies, shards that follow one another."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch.calls import asking, desks, mirroring
from chimera_batch.cost import prices
from chimera_batch.errors import EngineFailed, ProviderDown
from chimera_batch.providers.base import Engine
from tests.support import FAR_OWNER, Bench, answered, bench, write_project

ROWS = "-- The rows.\nSELECT 'k' || lpad(i::VARCHAR, 3, '0') AS row_key, 'question ' || i AS q FROM range({}) AS t(i)\n"
HOURLY = "openai/tiny-1={}/h@1000,100"


def own(folder: Path, rows: int = 3, *, hourly: str = "3.6", owner: str | None = None, **profile: Any) -> Bench:
    """A stage of so many rows at an engine of one's own in memory."""
    project = write_project(folder, {"sql/tiny/one_rows.sql": ROWS.format(rows)}, stage=", window: now")
    chosen: dict[str, Any] = {"engine": Engine("attached"), **profile}
    one = bench(project, owner=owner, **chosen)
    return replace(one, ctx=replace(one.ctx, prices=prices.load(None, [HOURLY.format(hourly)])))


def seconds(line: bytes, took: str = "0.001") -> bytes:
    custom_id = orjson.loads(line)["custom_id"]
    return orjson.dumps({**orjson.loads(answered(custom_id)), "engine": {"engine": "vllm", "seconds": took}})


def test_a_stage_of_many_shards_is_one_queue(tmp_path: Path) -> None:
    """The longest answer of a shard holds nobody up: calls of the next shards begin meanwhile, and land first."""
    one = own(tmp_path, 12, max_requests=3, at_once=4)
    first, lock = threading.Event(), threading.Lock()
    asked: list[str] = []

    def ask(line: bytes) -> bytes:
        with lock:
            asked.append(orjson.loads(line)["custom_id"])
            alone = len(asked) == 1
        if alone:
            assert first.wait(30)
        elif len(asked) == 12:
            first.set()
        return seconds(line)

    one.host.ask = ask  # type: ignore[method-assign]  # see above
    assert one.go().done
    assert len(set(asked)) == 12 and len(one.pairs) == 4
    assert sum(attempt.billed for _, attempt in one.pairs) == 12 * Decimal("0.000001")


def test_leases_are_kept_while_no_reply_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of silence, for the shards that wait for their turn too: nobody else may take them over."""
    monkeypatch.setattr(asking, "_TURN", 0.01)
    one = own(tmp_path, 6, max_requests=2, at_once=1)
    kept = list[bool]()

    def safe() -> bool:
        """Whether every claim has more than half of its lease before it."""
        left = [attempt.lease_until - one.clock() for _, attempt in one.pairs if attempt.stand == "claimed"]
        return min(left) > 450

    def ask(line: bytes) -> bytes:
        for _ in range(5):
            one.clock.now += 440
            end = time.monotonic() + 60
            while not safe() and time.monotonic() < end:  # the other thread looks after the claims
                time.sleep(0.005)
            kept.append(safe())
        return seconds(line)

    one.host.ask = ask  # type: ignore[method-assign]  # a slow engine, by the virtual clock
    assert one.go().done
    assert len(kept) == 30 and all(kept), "a lease was not renewed"


def test_a_slow_machine_is_not_asked_beyond_what_was_reserved(tmp_path: Path) -> None:
    """The price row promises more tokens a second than the machine gives: the budget rules again at each attempt."""
    one = own(tmp_path, 40, at_once=1)
    asked: list[bytes] = []

    def ask(line: bytes) -> bytes:
        asked.append(line)
        return seconds(line, "4")  # 0.004 USD; each was to take a little over a second

    one.host.ask = ask  # type: ignore[method-assign]  # a slow engine
    progress = one.go()
    attempt = one.pairs[0][1]
    assert not progress.done and 0 < len(asked) < 40
    assert attempt.billed <= attempt.usd + Decimal("0.012"), "at most what was under way or handed out beyond it"
    assert any("machine time are used up" in said for said in one.said)
    while not one.go().done:
        pass
    assert len(asked) == 40 and one.ctx.facts.spent("tiny") == Decimal("0.16")


def test_a_machine_that_is_paid_for_has_no_such_limit(tmp_path: Path) -> None:
    one = own(tmp_path, 20, hourly="0")
    one.host.ask = lambda line: seconds(line, "1000")  # type: ignore[method-assign]  # a very slow engine
    assert one.go().done and one.ctx.facts.spent("tiny") == 0


def test_a_lost_call_is_made_again_and_stops_nobody(tmp_path: Path) -> None:
    one = own(tmp_path, 5)
    lost = [ProviderDown("gone", lost=True), ProviderDown("gone", lost=True)]

    def ask(line: bytes) -> bytes:
        if lost:
            raise lost.pop()
        return seconds(line)

    one.host.ask = ask  # type: ignore[method-assign]  # loses two
    assert one.go().done
    ((_, attempt),) = one.pairs
    assert attempt.outcomes == {"ok": 5} and attempt.suspected == 0


def test_an_engine_that_is_gone_for_good_lands_what_it_answered(tmp_path: Path) -> None:
    one = own(tmp_path, 6, at_once=1)
    answers = 2

    def ask(line: bytes) -> bytes:
        nonlocal answers
        if not answers:
            raise EngineFailed("CUDA out of memory", why="out_of_memory")
        answers -= 1
        return seconds(line)

    one.host.ask = ask  # type: ignore[method-assign]  # dies
    with pytest.raises(EngineFailed, match="out of memory"):
        one.go()
    ((_, attempt),) = one.pairs
    assert attempt.stand == "landed" and attempt.outcomes == {"ok": 2} and attempt.suspected == 0


class Broken(KeyboardInterrupt):
    """Ctrl-C."""


def test_broken_off_lands_and_gives_up_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_TURN", 0.01)
    one = own(tmp_path, 8, at_once=4)
    closed, lock, asked = threading.Event(), threading.Lock(), list[bytes]()

    def ask(line: bytes) -> bytes:
        with lock:
            asked.append(line)
            fast = len(asked) <= 3
        if fast:
            return seconds(line)
        assert closed.wait(30), "it was not given up"
        raise ProviderDown("cut off", lost=True)

    def keep_house(self: Any) -> None:
        if len(asked) >= 7:
            raise Broken

    one.host.ask = ask  # type: ignore[method-assign]  # holds four of them
    one.host.close = closed.set  # type: ignore[method-assign]  # as an engine's connections are cut
    monkeypatch.setattr(asking._Session, "_keep_house", keep_house)
    with pytest.raises(KeyboardInterrupt):
        one.go()
    ((_, attempt),) = one.pairs
    assert attempt.stand == "landed" and attempt.outcomes == {"ok": 3} and attempt.suspected == 0


# -- another machine


def test_a_machine_that_is_lost_leaves_its_replies_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spool is out of sight, its copy is not: what was copied lands elsewhere, the rest is asked again."""
    monkeypatch.setattr(mirroring, "elsewhere", lambda store: True)
    gone = own(tmp_path, 4, owner=FAR_OWNER, at_once=1)
    crashes = 0

    def ask(line: bytes) -> bytes:
        nonlocal crashes
        crashes += 1
        if crashes == 3:
            desk.copy()
            raise SystemExit
        return seconds(line)

    paths = gone.draw()
    assert gone.pack(paths)
    gone.host.ask = ask  # type: ignore[method-assign]  # dies with the machine
    monkeypatch.setattr(asking, "ask", lambda *_: None)
    gone.go()  # claims only
    monkeypatch.undo()
    monkeypatch.setattr(mirroring, "elsewhere", lambda store: True)
    shard, attempt = gone.pairs[0]
    desk = desks.Desk(gone.ctx, shard, attempt)
    with pytest.raises(SystemExit):
        for line in desk.lines():
            desk.ask(line)
    desk._open.close()
    desks.spool_of(gone.ctx, shard, attempt).remove()

    there = bench(gone.ctx.project, host=gone.host, store=gone.ctx.store, engine=Engine("attached"))
    there = replace(there, ctx=replace(there.ctx, prices=gone.ctx.prices))
    gone.host.ask = seconds  # type: ignore[method-assign]  # another machine's
    there.clock.now += 1000
    shard, attempt = there.pairs[0]
    assert asking.recover(there.ctx, shard, attempt)
    assert attempt.outcomes == {"ok": 2} and attempt.suspected == 0
    assert there.go().done and len(there.table()) == 4
    assert sorted(attempt.requests for _, attempt in there.pairs) == [2, 4]
