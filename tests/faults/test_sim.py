"""The simulated weeks: that they are what their seed says, that they see what is wrong, and that nothing is.

``python -m bench.nights`` plays them by the thousand; a few are played here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from chimera_batch.context import Context
from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.steps import recovery
from tests.faults.sim import fates, schedule, truth, week
from tests.faults.sim.batches import NEVER, Plan, Row, SimBatch
from tests.faults.sim.host import Execution
from tests.faults.sim.playing import Ended
from tests.faults.sim.schedule import Fault
from tests.faults.sim.truth import Truth

# -- schedules


def test_a_seed_draws_the_same_schedule_every_time() -> None:
    drawn = [schedule.draw(seed) for seed in range(40)]
    assert drawn == [schedule.draw(seed) for seed in range(40)]
    assert len({tuple(faults) for faults in drawn}) == 40
    kinds = {fault.kind for faults in drawn for fault in faults}
    assert len(kinds) > 45, "forty weeks meet nearly every kind"


def test_every_kind_of_row_is_made_by_something() -> None:
    assert set(schedule.ROWS) == {*fates.SPOIL, "rows_shuffled"}


def test_a_schedule_is_made_as_short_as_it_can_be() -> None:
    faults = [Fault("north.state", number, "down") for number in range(30)]
    needed, tried = {faults[3], faults[17]}, []

    def fails(some: Any) -> bool:
        tried.append(len(some))
        return needed <= set(some)

    assert schedule.shrink(faults, fails) == [faults[3], faults[17]]
    assert len(tried) < 60


# -- what is seen


def attempt_of(nonce: str, **more: Any) -> Attempt:
    known: dict[str, Any] = {"sha256": "", "requests": 1, "bytes": 1, "ids": None, "input_tokens": 1}
    made = Attempt(1, "week", "drafts", nonce, **known, usd=Decimal(3), owner="me", lease_until=0.0, at=0.0)
    for name, value in {"stand": "landed", "billed": Decimal(1), **more}.items():
        setattr(made, name, value)
    return made


def batch(name: str, *kinds: str, word: str = "completed", totals: bool = False) -> SimBatch:
    plan = Plan(0.0, NEVER, NEVER, NEVER, word=word)
    return SimBatch(name, "openai", 0.0, [], plan, totals=totals, kinds=set(kinds))


def told(first: Execution, second: Execution, one: Attempt, other: Attempt) -> tuple[list[str], Counter[str]]:
    """What is said of two executions of the same request by two attempts."""
    shard: Any = replace(_SHARD)
    both = Truth(Facts(), [first, second], {"a": (shard, one), "b": (shard, other)}, Counter())
    return list(both.flaws()), both.allowed


_SHARD = Shard("s", "r", "drafts", "k", "m", 1, 1, "north", "tiny-1", "/v1", "24h", 9, None, cache=False, canary=False)
ONE = Decimal(1)
FIRST = Execution("request", "a", 1.0, ONE, usable=True, delivered=True, priced=True, batch=batch("batch-1"))
SECOND = replace(FIRST, nonce="b", at=2.0, batch=batch("batch-2"))


def test_a_second_execution_after_a_usable_answer_is_a_flaw() -> None:
    flaws, _ = told(FIRST, SECOND, attempt_of("a", batch="batch-1"), attempt_of("b", batch="batch-2"))
    assert len(flaws) == 1
    assert "executed again" in flaws[0]


@pytest.mark.parametrize("change", [{"usable": False}, {"delivered": False}])
def test_what_was_of_no_use_or_never_came_is_asked_again(change: dict[str, bool]) -> None:
    first = replace(FIRST, **change)
    assert told(first, SECOND, attempt_of("a", batch="batch-1"), attempt_of("b", batch="batch-2")) == ([], Counter())


@pytest.mark.parametrize(
    ("first", "fate", "why"),
    [
        (FIRST, {"written_off": True, "batch": "batch-1"}, truth.RESEND),
        (replace(FIRST, batch=batch("batch-1", "pause")), {"strays": ["batch-1"]}, truth.PAUSED),
        (replace(FIRST, batch=batch("batch-1", "batch_listed_very_late")), {"stand": "dropped"}, truth.LISTED),
        (replace(FIRST, batch=None), {"taken_from": ["elsewhere"]}, truth.CALLS),
        (replace(FIRST, batch=None, delivered=False), {}, truth.CALLS),
    ],
)
def test_windows_that_are_known_are_counted_by_name(first: Execution, fate: dict[str, Any], why: str) -> None:
    flaws, allowed = told(first, SECOND, attempt_of("a", **fate), attempt_of("b", batch="batch-2"))
    assert flaws == []
    assert allowed == {why: 1}


def test_a_window_excuses_only_the_batch_that_went_through_it() -> None:
    first = replace(FIRST, batch=batch("batch-1", "pause"))
    flaws, _ = told(first, SECOND, attempt_of("a", batch="batch-1"), attempt_of("b", batch="batch-2"))
    assert len(flaws) == 1, "it is its attempt's own batch, and was collected"


@pytest.mark.parametrize(("cuts", "flaws"), [(1, 1), (2, 0)])
def test_one_short_download_is_no_excuse_and_two_in_a_row_are(cuts: int, flaws: int) -> None:
    first = replace(FIRST, batch=replace(batch("batch-1"), cuts=cuts))
    assert len(told(first, SECOND, attempt_of("a", batch="batch-1"), attempt_of("b", batch="batch-2"))[0]) == flaws


def test_what_was_charged_unseen_is_a_flaw_unless_it_is_suspected_or_reserved() -> None:
    one = attempt_of("a", batch="batch-1", billed=Decimal(0))
    alone = Truth(Facts(), [FIRST], {"a": (_SHARD, one)}, Counter())
    assert "charged" in "".join(alone.flaws())
    for more in ({"suspected": ONE}, {"stand": "submitted"}):
        known = attempt_of("a", **{"batch": "batch-1", "billed": Decimal(0), **more})
        assert not list(replace(alone, attempts={"a": (_SHARD, known)}).flaws())


def test_a_charge_that_no_claim_names_and_a_bill_above_the_hosts_are_flaws() -> None:
    assert "no claim" in "".join(Truth(Facts(), [FIRST], {}, Counter()).flaws())
    dear = attempt_of("a", batch="batch-1", billed=Decimal(2))
    assert "charged less" in "".join(Truth(Facts(), [FIRST], {"a": (_SHARD, dear)}, Counter()).flaws())


def test_only_errors_of_ours_may_reach_the_surface() -> None:
    process: Any = None
    assert list(truth.surface(Ended("run", process, KeyError("x"))))
    assert list(truth.surface(Ended("run", process, None, document={"stages": [], "state": "waiting"})))
    assert not list(truth.surface(Ended("run", process, None, document={"stages": [], "state": "done"})))


def test_a_call_that_failed_must_be_said() -> None:
    process: Any = SimpleNamespace(met=[Fault("north.find", 0, "down")])
    assert list(truth.told(Ended("run", process)))
    assert not list(truth.told(Ended("run", process, said=["cannot look up the batch: north.find: HTTP 503"])))
    assert not list(truth.told(Ended("run", process, killed=True))), "nobody is there to hear it"


def test_a_batch_that_is_cancelled_charges_what_it_had_executed() -> None:
    rows = [Row(f"nonce-{n}", float(n), (1, 1), ONE, [b"{}"]) for n in range(10)]
    one = SimBatch("b", "openai", 0.0, rows, Plan(1.0, 10.0, 10.0, 10.0))
    one.cancel(4.5)
    assert [row.at for row in one.executed(100.0)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert one.status(5.0) == "cancelling"
    assert one.status(1000.0) == "cancelled"


# -- weeks


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 10])
def test_a_week_of_bad_nights_ends_well(seed: int) -> None:
    report = week.play(seed)
    assert report.flaws == [], "\n".join([*map(repr, report.struck), *report.log])
    assert report.commands > 5
    assert report.struck


@pytest.mark.slow
def test_a_seed_plays_the_same_week_again() -> None:
    one, other = week.play(9), week.play(9)
    assert one.log == other.log
    assert one.struck == other.struck


@pytest.mark.slow
def test_a_client_that_sends_a_lost_create_again_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker sees the bug that all this is about, and only the fault that it takes is left of the schedule."""

    def send_it_again(ctx: Context, shard: Shard, attempt: Attempt, *_: Any, **__: Any) -> bool:
        ctx.ledger.dropped(shard, attempt, "it was probably lost")
        return False

    monkeypatch.setattr(recovery, "look_up", send_it_again)
    lost = Fault("north.create", 0, "lost_after")
    report = week.play(9, [lost, Fault("north.state", 3, "down")])
    assert any("executed again" in flaw or "charged" in flaw for flaw in report.flaws)
    assert schedule.shrink(report.struck, lambda some: bool(week.play(9, some).flaws)) == [lost]
