"""How long a turnaround takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.pacing import Expected, Forecasts, forecast, promised_hours, typical_hours
from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.history.folding import apply

REALM = "openai@api"


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("7d", 168), ("30m", 0.5), ("now", 0), ("flex", 0)])
def test_a_window_in_hours(window: str, hours: float) -> None:
    assert promised_hours(window) == hours


def landed(*took: float, model: str = "m", window: str = "24h", realm: str = REALM) -> Facts:
    """A store whose batches took so many hours."""
    facts = Facts()
    for number, hours in enumerate(took):
        name = {"realm": realm, "shard": f"{model}-{number}"}
        shape = {"stage": "s", "key": "k", "members": "i", "requests": 1, "bytes": 1, "provider": "p", "model": model}
        rest = {"endpoint": "/v1/x", "window": window, "ceiling": 9, "schema": None, "cache": False, "canary": False}
        claim = {"attempt": 1, "run": "r", "stage": "s", "nonce": "n", "sha256": "x", "requests": 1, "bytes": 1}
        more = {"ids": None, "input_tokens": 1, "usd": "1", "lease_until": 9.0, "by": "me"}
        land = {"key": "a", "raw": [], "outcomes": {}, "usd": "0", "quarantined": 0, "status": "completed"}
        events: list[dict[str, Any]] = [
            {"type": "packed", **name, **shape, **rest, "at": 0.0},
            {"type": "claimed", **name, **claim, **more, "at": 0.0},
            {"type": "submitted", **name, "attempt": 1, "batch": f"b{number}", "at": 100.0},
            {"type": "landed", **name, "attempt": 1, **land, "final": True, "at": 100.0 + hours * 3600},
        ]
        for event in events:
            apply(facts, event)
    return facts


def test_the_middle_of_what_batches_took() -> None:
    assert typical_hours(landed(1, 9, 2), REALM, "m", "24h") == pytest.approx(2)
    assert typical_hours(landed(1, 2), REALM, "m", "24h") == pytest.approx(1.5)


@pytest.mark.parametrize("other", [("other@api", "m", "24h"), (REALM, "other", "24h"), (REALM, "m", "7d")])
def test_another_host_model_or_window_says_nothing(other: tuple[str, str, str]) -> None:
    assert typical_hours(landed(1), *other) is None


HOUR = 3600.0
MANY = [(100, 1 * HOUR), (100, 3 * HOUR), (90, 2 * HOUR), (300, 9 * HOUR)]


@pytest.mark.parametrize(
    ("history", "requests", "elapsed", "hours", "basis"),
    [
        ([], 100, 0, None, "no history"),
        ([(100, 2 * HOUR)], 100, 0, 2, "median of 1 past batch"),
        ([(100, 2 * HOUR)], 9_000, 0, 2, "median of 1 past batch"),  # another size is better than nothing
        (MANY, 100, 0, 2.5, "median of 4 past batches of like size"),
        (MANY, 90, 0, 2, "median of 3 past batches of like size"),  # 300 are more than three times as many
        ([*MANY, (50_000, 20 * HOUR)], 100, 0, 2.5, "median of 4 past batches of like size"),
        ([*MANY, (50_000, 20 * HOUR)], 50_000, 0, 3, "median of 5 past batches"),  # only one is of like size
        (MANY, 100, 2 * HOUR, 6, "the slower ones of 4 past batches of like size"),  # 3 and 9 took longer than 2
        (MANY, 100, 9 * HOUR, None, "later than all of 4 past batches of like size"),
        ([(100, 2 * HOUR)], 100, 3 * HOUR, None, "later than 1 past batch"),
    ],
)
def test_what_past_batches_say_of_one(
    history: list[tuple[int, float]], requests: int, elapsed: float, hours: float | None, basis: str
) -> None:
    seconds = None if hours is None else hours * HOUR
    assert forecast(history, requests, elapsed) == (seconds, basis)


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.floats(1, 10**6)), max_size=8),
    st.integers(1, 10**6),
    st.floats(0, 10**7),
)
def test_a_batch_is_never_expected_back_in_the_past(
    history: list[tuple[int, float]], requests: int, elapsed: float
) -> None:
    seconds, _ = forecast(history, requests, elapsed)
    assert seconds is None or elapsed < seconds <= max(took for _, took in history)


def under_way(facts: Facts, *, window: str = "24h", at: float = 5000.0) -> tuple[Shard, Attempt]:
    """A further batch of the same host, submitted at a moment."""
    more = landed(1, window=window).shards[f"{REALM}/m-0"]
    attempt = more.attempts[0]
    attempt.landed_at, attempt.stand, attempt.submitted_at = None, "submitted", at
    return more, attempt


def test_when_a_batch_under_way_is_expected() -> None:
    facts = landed(1, 3, 2)
    shard, attempt = under_way(facts)
    found = Forecasts(facts, 6000.0).of(shard, attempt)
    assert found == Expected(5000.0 + 2 * HOUR, "median of 3 past batches of like size")


def test_nothing_is_expected_of_calls_that_are_answered_at_once_or_of_what_was_not_sent() -> None:
    facts = landed(1)
    assert Forecasts(facts, 6000.0).of(*under_way(facts, window="now")) is None
    shard, attempt = under_way(facts)
    attempt.submitted_at = None
    assert Forecasts(facts, 6000.0).of(shard, attempt) is None


def test_a_batch_that_a_person_stopped_says_nothing_of_how_long_one_takes() -> None:
    facts = landed(1)
    shard, attempt = under_way(facts)
    for other in facts.shards.values():
        other.attempts[0].cancel_at = 1.0
    assert Forecasts(facts, 6000.0).of(shard, attempt) == Expected(None, "no history")
