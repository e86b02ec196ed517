"""A batch host that is down through a night: left alone longer and longer, told in one line, begun again by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.context import Timing
from chimera_batch.errors import ProviderDown
from tests.support import Bench, answered, bench, write_project

HOURS = 12
TRIES = 12  # polled once an hour: however often it is polled, 17 at most


class Morning(Exception):
    """The night is over."""


def night(folder: Path, verb: str, error: ProviderDown, *, hours: float = HOURS, poll: float = 900.0) -> Bench:
    """A run that nobody looks at, of a host whose ``verb`` fails until the morning."""
    one = bench(write_project(folder))
    begun = one.clock()
    one.host.trouble[verb] = [error] * 10_000

    def sleep(seconds: float) -> None:
        one.clock.sleep(seconds)
        if one.clock() >= begun + hours * 3600:
            raise Morning

    object.__setattr__(one.ctx, "sleep", sleep)
    object.__setattr__(one.ctx, "timing", Timing(poll=poll))
    try:
        runner.converge(one.ctx)
    except Morning:
        return one
    raise AssertionError("it gave up")


def test_a_dead_host_fills_no_journal(tmp_path: Path) -> None:
    one = night(tmp_path, "upload", ProviderDown("openai: HTTP 503"), poll=3600.0)
    events = list(one.ctx.store.list("journal/"))
    assert len(one.host.called("upload")) == TRIES
    assert len(events) <= 2 * TRIES + 6, "a claim and its end for each try, and what came before the first"
    said = [line for line in one.said if "HTTP 503" in line]
    assert len(said) == 1, one.said
    assert all(attempt.stand == "dropped" and not attempt.suspected for _, attempt in one.pairs)


def test_a_dead_host_is_planned_for_when_it_may_be_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over a large stage is seconds of SQL; one for each look of two hours was 360 of them."""
    passes, advance = [], runner.advance
    monkeypatch.setattr(runner, "advance", lambda ctx, **more: passes.append(ctx.clock()) or advance(ctx, **more))
    one = night(tmp_path, "upload", ProviderDown("openai: HTTP 503"), hours=2, poll=20.0)
    tries = len(one.host.called("upload"))
    assert 6 <= tries <= 7
    assert len(passes) <= 2 * tries + 1, "one that tries, and one that finds that it has to wait"


def test_a_cancel_is_heard_at_the_next_look(tmp_path: Path) -> None:
    """And not when the host may be asked again: by then somebody may have begun the run anew, and two would send."""
    one = bench(write_project(tmp_path))
    one.host.trouble["upload"] = [ProviderDown("openai: HTTP 503")] * 1000
    begun, halted = one.clock(), list[float]()

    def sleep(seconds: float) -> None:
        one.clock.sleep(seconds)
        if one.clock() > begun + 4000 and not halted:
            halted.append(one.clock())
            one.ctx.ledger.halt(one.ctx.run)
        assert one.clock() < begun + 40_000

    assert runner.converge(replace(one.ctx, sleep=sleep)).halted
    assert one.clock() - halted[0] <= 2 * one.ctx.timing.poll


def test_what_a_dead_host_holds_back_is_sent_while_others_work(tmp_path: Path) -> None:
    """A batch under way takes a day; the host that was down for a quarter of an hour isn't left alone until then."""
    one = bench(write_project(tmp_path, head="providers: {openai: {max_requests: 2}}"))
    one.host.trouble["create"] = []
    uploads = iter([None, *[ProviderDown("openai: HTTP 503")] * 3])
    upload = one.host.upload

    def sometimes(*given: Any) -> Any:
        if (error := next(uploads, None)) is not None:
            raise error
        return upload(*given)

    one.host.upload = sometimes  # type: ignore[method-assign]
    begun = one.clock()

    def sleep(seconds: float) -> None:
        one.clock.sleep(seconds)
        if one.clock() >= begun + 3600:
            raise Morning

    object.__setattr__(one.ctx, "sleep", sleep)
    with pytest.raises(Morning):
        runner.converge(one.ctx)
    assert len(one.host.batches) == 2, "none has ended, and both were made"


def test_what_the_host_asks_for_is_kept(tmp_path: Path) -> None:
    one = night(tmp_path, "create", ProviderDown("openai: HTTP 429", retry_after=1800.0), hours=1)
    at = [attempt.at for _, attempt in one.pairs]
    assert [later - earlier for earlier, later in pairwise(at)] == [1800.0]


def test_when_it_comes_back_the_run_goes_on(tmp_path: Path) -> None:
    one = night(tmp_path, "upload", ProviderDown("openai: HTTP 503"), hours=1)
    one.host.trouble.clear()
    object.__setattr__(one.ctx, "sleep", one.clock.sleep)
    for _ in range(4):
        runner.advance(one.ctx)
        if one.host.batches:
            break
        one.clock.sleep(900.0)
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    assert one.go().done
    assert len(one.host.batches) == 1
