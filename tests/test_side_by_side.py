"""Large batches are landed two at a time: what one of them raises, and Ctrl-C, leave the others as they should be."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from chimera_batch.errors import AccountRefused, StoreDown
from chimera_batch.steps import polling

Pair = tuple[Any, Any]


def pairs(count: int) -> list[Pair]:
    return [(f"shard-{n}", n) for n in range(count)]


def beside(monkeypatch: pytest.MonkeyPatch, poll_one: Any, attempts: list[Pair]) -> tuple[list[bool], list[str]]:
    said: list[str] = []
    monkeypatch.setattr(polling, "_poll_one", poll_one)
    ctx: Any = SimpleNamespace(say=said.append)
    try:
        return polling._side_by_side(ctx, attempts), said
    except Exception as error:
        error.said = said  # type: ignore[attr-defined]  # for the test
        raise


def test_one_alone_has_both_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    def poll_one(ctx: Any, shard: str, number: int, *, threads: int = 2) -> bool:
        return threads == 2

    assert beside(monkeypatch, poll_one, pairs(1)) == ([True], [])
    assert beside(monkeypatch, poll_one, pairs(3)) == ([False] * 3, [])


def test_what_one_raises_comes_when_all_have_been_polled_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    polled = []

    def poll_one(ctx: Any, shard: str, number: int, *, threads: int) -> bool:
        polled.append(number)
        if number == 1:
            raise AccountRefused("no money")
        if number == 3:
            raise StoreDown("no store")
        return True

    with pytest.raises(AccountRefused, match="no money") as found:
        beside(monkeypatch, poll_one, pairs(5))
    assert sorted(polled) == [0, 1, 2, 3, 4]
    assert found.value.said == ["no store"]  # type: ignore[attr-defined]  # put there above


def test_ctrl_c_ends_what_has_begun_and_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    polled, both, go_on = [], threading.Barrier(2, timeout=60), threading.Event()
    waiting, wait = threading.Event(), polling.wait

    def poll_one(ctx: Any, shard: str, number: int, *, threads: int) -> bool:
        if both.wait() == 0:
            waiting.wait(60)
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(2, go_on.set).start()
        go_on.wait(60)
        polled.append(number)
        return True

    def waited(futures: Any, seconds: float) -> Any:
        waiting.set()
        return wait(futures, seconds)

    monkeypatch.setattr(polling, "wait", waited)
    with pytest.raises(KeyboardInterrupt):
        beside(monkeypatch, poll_one, pairs(20))
    assert sorted(polled) == [0, 1]
