from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.batches import (
    Batch,
    Ended,
    Verdict,
    anthropic_status,
    counts,
    early,
    ends,
    judge,
    pack,
    progress,
    status,
    unpack,
    wants_execution,
)


def batch(**change: Any) -> Batch:
    """Created at 100, in progress from 110, due at 210, finalizing takes 5."""
    usual: dict[str, Any] = {
        "id": "batch_1", "n": 1, "dialect": "openai", "profile": "openai", "endpoint": "/v1/responses",
        "created": 100.0, "validate": 10.0, "work": 100.0, "finalize": 5.0, "total": 50,
    }  # fmt: skip
    return Batch(**usual | change)


def ended(how: Any = "completed", at: float = 212.0, **change: Any) -> Ended:
    usual: dict[str, Any] = {"output": "file-o", "error": None, "ok": 50, "failed": 0, "unfinished": 0, "usage": None}
    return Ended(at=at, how=how, **usual | change)


DONE = {"ended": ended(), "billed": True}
BAD = ({"code": "x"},)


@pytest.mark.parametrize(
    "change, now, word, claude",
    [
        ({}, 105, "validating", "in_progress"),
        ({"total": None}, 150, "validating", "in_progress"),
        ({}, 110, "in_progress", "in_progress"),
        ({}, 500, "in_progress", "in_progress"),
        ({"problems": BAD, "total": 0}, 109, "validating", "in_progress"),
        ({"problems": BAD, "total": 0}, 110, "failed", "in_progress"),
        ({"problems": BAD, "total": 0, "cancelled": 105.0}, 120, "failed", "canceling"),
        (DONE | {"billed": False}, 999, "in_progress", "in_progress"),
        (DONE, 216, "finalizing", "in_progress"),
        (DONE, 217, "completed", "ended"),
        ({"ended": ended("expired"), "billed": True}, 217, "expired", "ended"),
        ({"cancelled": 105.0}, 106, "cancelling", "canceling"),
        ({"cancelled": 150.0}, 300, "cancelling", "canceling"),
        ({"cancelled": 150.0, "ended": ended("cancelled", 151.0), "billed": True}, 155, "cancelling", "canceling"),
        ({"cancelled": 150.0, "ended": ended("cancelled", 151.0), "billed": True}, 156, "cancelled", "ended"),
        (DONE | {"cancelled": 211.0}, 217, "completed", "ended"),
        ({"faults": ({"kind": "stuck"},)}, 9999, "in_progress", "in_progress"),
        ({"faults": ({"kind": "stuck", "status": "paused"},)}, 9999, "paused", "paused"),
        ({"faults": ({"kind": "stuck"},), "cancelled": 150.0}, 9999, "cancelling", "canceling"),
        ({"faults": ({"kind": "unknown_status"},)}, 150, "paused", "paused"),
        (DONE | {"faults": ({"kind": "unknown_status"},)}, 217, "completed", "ended"),
    ],
)
def test_status_follows_the_clock(change: dict[str, Any], now: float, word: str, claude: str) -> None:
    assert status(batch(**change), now) == word
    assert anthropic_status(batch(**change), now) == claude


@pytest.mark.parametrize(
    "change, verdict",
    [
        ({}, Verdict("completed", 50)),
        ({"cancelled": 105.0}, Verdict("cancelled", 0)),
        ({"cancelled": 160.0}, Verdict("cancelled", 25)),
        ({"cancelled": 210.0}, Verdict("completed", 50)),
        ({"faults": ({"kind": "expire", "finished": 45},)}, Verdict("expired", 45)),
        ({"faults": ({"kind": "expire", "finished": 99},)}, Verdict("expired", 50)),
        ({"faults": ({"kind": "cancel"},)}, Verdict("cancelled", 0)),
    ],
)
def test_the_verdict(change: dict[str, Any], verdict: Verdict) -> None:
    assert judge(batch(**change)) == verdict


@pytest.mark.parametrize(
    "change, due",
    [
        ({}, 210.0),
        ({"cancelled": 150.0}, 150.0),
        ({"cancelled": 300.0}, 210.0),
        ({"total": None}, None),
        ({"problems": BAD}, None),
        (DONE, None),
        ({"faults": ({"kind": "stuck"},)}, None),
        ({"faults": ({"kind": "stuck"},), "cancelled": 150.0}, 150.0),
    ],
)
def test_when_it_wants_to_be_executed(change: dict[str, Any], due: float | None) -> None:
    assert wants_execution(batch(**change)) == due


def test_counts_move_and_never_reach_the_total_early() -> None:
    seen = [counts(batch(), now)["completed"] for now in range(110, 400, 10)]
    assert seen[:11] == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 49]
    assert set(seen[11:]) == {49}
    assert counts(batch(), 109) == {"total": 0, "completed": 0, "failed": 0}
    assert counts(batch(**DONE), 217) == {"total": 50, "completed": 50, "failed": 0}
    assert counts(batch(problems=BAD), 300)["total"] == 0


def test_counts_may_lie_on_order() -> None:
    lie = {"kind": "counts_lie", "completed": 7}
    assert counts(batch(**DONE, faults=(lie,)), 217) == {"total": 50, "completed": 7, "failed": 0}


def test_cancelled_before_the_start_counts_nothing() -> None:
    one = batch(cancelled=105.0, ended=ended("cancelled", 106.0, ok=0, unfinished=50), billed=True)
    assert early(one)
    assert counts(one, 300) == {"total": 0, "completed": 0, "failed": 0}


@given(st.floats(0, 1000), st.floats(0, 100), st.integers(0, 100))
def test_status_never_goes_back(first: float, step: float, total: int) -> None:
    order = ["validating", "in_progress", "finalizing", "completed"]
    one = batch(**DONE, total=total)
    assert order.index(status(one, first)) <= order.index(status(one, first + step))


@given(st.floats(0, 1000), st.integers(0, 100), st.floats(0, 200))
def test_progress_is_a_part(now: float, total: int, work: float) -> None:
    assert 0 <= progress(batch(total=total, work=work), now) <= max(total - 1, 0)


@pytest.mark.parametrize(
    "one", [batch(), batch(**DONE, faults=({"kind": "stuck"},), problems=BAD, verdict=Verdict("expired", 3))]
)
def test_a_record_survives_json(one: Batch) -> None:
    assert unpack(orjson.loads(orjson.dumps(pack(one)))) == one


def test_no_end_before_execution() -> None:
    assert ends(batch()) == float("inf")
