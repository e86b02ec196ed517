"""Retry by cause: what is asked again, how often, and with how much room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.pipeline.shape_stage import Retry
from chimera_batch.pipeline.stage import Rule
from chimera_batch.records import OUTCOMES, Outcome
from chimera_batch.rules.retry import Choice, History, choose

_SAID = Retry()
RULES = {
    name: Rule(getattr(_SAID, name).times, getattr(getattr(_SAID, name), "ceiling", 1.0)) for name in Retry.model_fields
}
"""The rules of a manifest that says nothing."""

CAUSES = ("truncated", "refused", "invalid", "error", "transient", "expired", "cancelled", "missing")


def heard(last: Outcome, *, ceiling: int = 100, passing: bool = False, ok: bool = False, **counts: int) -> History:
    return History(ok, last, passing, ceiling, counts)


def test_the_rules_of_a_silent_manifest() -> None:
    assert {name: rule.times for name, rule in RULES.items()} == {
        "truncated": 1,
        "invalid": 1,
        "error": 0,
        "refused": 0,
        "missing": 2,
        "transient": 5,
        "expired": 5,
        "cancelled": 5,
    }
    assert RULES["truncated"].factor == 2.0
    assert set(CAUSES) == set(RULES)


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("cause", [name for name in CAUSES if name != "truncated"])
def test_every_cause_is_asked_again_as_often_as_its_rule_says(cause: str, times: int) -> None:
    last: Any = "error" if cause == "transient" else cause
    rules = {**{name: Rule(99) for name in RULES}, cause: Rule(times)}
    for tried in range(1, times + 3):
        history = heard(last, passing=cause == "transient", **{cause: tried})
        said = choose(history, rules, 100)
        assert said == Choice("retryable" if tried <= times else "given_up", 100)


def test_a_passing_error_and_a_definite_one_are_counted_apart() -> None:
    both = {"error": 1, "transient": 3}
    assert choose(heard("error", passing=True, **both), RULES, 100).state == "retryable"
    assert choose(heard("error", passing=False, **both), RULES, 100).state == "given_up"


@pytest.mark.parametrize("last", OUTCOMES)
def test_an_answer_ends_it_whatever_came_last(last: Outcome) -> None:
    counts = dict.fromkeys(CAUSES, 50)
    assert choose(heard(last, ok=True, **counts), RULES, 100).state == "answered"


@pytest.mark.parametrize("last", [name for name in OUTCOMES if name != "ok"])
def test_what_was_never_counted_is_asked_again(last: Outcome) -> None:
    assert choose(heard(last), RULES, 100).state == "retryable"


TRUNCATED: list[tuple[str, History, float, int, Choice]] = [
    ("once", heard("truncated", truncated=1), 2.0, 100, Choice("retryable", 200)),
    ("twice", heard("truncated", truncated=2, ceiling=200), 2.0, 100, Choice("given_up", 100)),
    ("a factor", heard("truncated", truncated=1), 1.5, 100, Choice("retryable", 150)),
    ("a factor of odd tokens", heard("truncated", truncated=1, ceiling=101), 1.5, 101, Choice("retryable", 151)),
    ("the manifest allows more", heard("truncated", truncated=1), 2.0, 300, Choice("retryable", 300)),
    ("more, after giving up", heard("truncated", truncated=9, ceiling=200), 2.0, 201, Choice("retryable", 201)),
    ("as much as was tried", heard("truncated", truncated=2, ceiling=200), 2.0, 200, Choice("given_up", 200)),
    ("the manifest allows less", heard("truncated", truncated=1, ceiling=400), 2.0, 100, Choice("retryable", 800)),
]


@pytest.mark.parametrize(
    ("history", "factor", "ceiling", "said"), [row[1:] for row in TRUNCATED], ids=[row[0] for row in TRUNCATED]
)
def test_a_truncated_answer_gets_more_room(history: History, factor: float, ceiling: int, said: Choice) -> None:
    assert choose(history, {**RULES, "truncated": Rule(1, factor)}, ceiling) == said


def test_the_room_grows_each_time() -> None:
    rules, ceiling, asked = {**RULES, "truncated": Rule(3, 2.0)}, 100, []
    for tried in range(1, 6):
        said = choose(heard("truncated", ceiling=ceiling, truncated=tried), rules, 100)
        if said.state == "given_up":
            break
        asked.append(ceiling := said.ceiling)
    assert asked == [200, 400, 800]


@pytest.mark.parametrize("last", ["expired", "cancelled", "missing", "invalid", "error"])
def test_room_once_grown_stays_when_something_else_went_wrong(last: Outcome) -> None:
    """Truncated at 100, asked again with 200, and that batch expired: 100 would only be truncated once more."""
    history = heard(last, ceiling=200, passing=last == "error", truncated=1, **{last: 1, "transient": 1})
    assert choose(history, RULES, 100) == Choice("retryable", 200)
    assert choose(history, RULES, 300) == Choice("retryable", 300)


def test_less_room_in_the_manifest_holds_for_what_was_never_truncated() -> None:
    assert choose(heard("expired", ceiling=400, expired=1), RULES, 100) == Choice("retryable", 100)


COUNTS = st.dictionaries(st.sampled_from(CAUSES), st.integers(0, 8))


@given(
    st.sampled_from([o for o in OUTCOMES if o != "ok"]), st.booleans(), st.integers(1, 500), st.integers(1, 500), COUNTS
)
def test_nothing_loops_for_ever_and_nothing_shrinks(
    last: Outcome, transient: bool, tried_with: int, ceiling: int, counts: Mapping[str, int]
) -> None:
    said = choose(History(False, last, transient, tried_with, counts), RULES, ceiling)
    assert said.state in {"retryable", "given_up"}
    if said.state == "retryable":
        assert said.ceiling >= ceiling
        assert last != "truncated" or said.ceiling > tried_with
    often = choose(
        History(False, last, transient, tried_with, dict.fromkeys(CAUSES, 7)), RULES, min(ceiling, tried_with)
    )
    assert often.state == "given_up"
