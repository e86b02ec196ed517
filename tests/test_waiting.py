"""Turnarounds that follow one another, and their hours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.waiting import Waited, Waits

DAY = (2.0, 24.0)  # hours of a turnaround: as batches took, as promised
WAITED = st.builds(
    Waited, st.integers(0, 9), st.integers(0, 9), st.none() | st.floats(0, 99), st.floats(0, 999, allow_nan=False)
)


def test_one_after_the_other() -> None:
    assert Waited().then((1, 2), 1, DAY) == Waited(1, 2, 2.0, 48.0)
    assert Waited().then((1, 2), 2, DAY).then((1, 1), 1, DAY) == Waited(3, 5, 6.0, 120.0)


def test_what_was_never_timed_is_not_guessed() -> None:
    assert Waited().then((1, 1), 1, (None, 24.0)) == Waited(1, 1, None, 24.0)
    assert Waited().then((0, 1), 1, (None, 24.0)) == Waited(0, 1, 0.0, 24.0)  # nothing is likely waited for


def test_side_by_side_the_longest_counts() -> None:
    assert Waited.longest([Waited(1, 5, 9.0, 24.0), Waited(3, 3, 2.0, 48.0)]) == Waited(3, 5, 9.0, 48.0)
    assert Waited.longest([Waited(1, 1, None, 24.0), Waited()]) == Waited(1, 1, None, 24.0)
    assert Waited.longest([]) == Waited()


def test_a_wave_goes_through_the_stages_below_as_well() -> None:
    """a, then b and c of one turnaround each; up to c everything is gone through once more, at most three times."""
    waits, one = Waits(), Waited().then((1, 1), 1, DAY)
    waits.add("top", [], one, one)
    waits.add("a", ["top"], waits.before(["top"]).plus(one), one)
    waits.repeat("c", ["top"], (1, 3))
    waits.add("b", ["a"], waits.before(["a"]).plus(one), one)
    waits.add("c", ["b"], waits.before(["b"]))
    waits.add("d", ["c"], waits.before(["c"]).plus(one), one)
    assert waits.done["b"] == Waited(3, 3, 6.0, 72.0)
    assert waits.done["c"] == Waited(3 + 2, 3 + 6, 10.0, 216.0)
    assert waits.longest() == waits.done["d"] == Waited(6, 10, 12.0, 240.0)


def test_a_further_wave_is_as_long_as_a_whole_one_though_this_one_is_half_over() -> None:
    """a is answered and b is under way: this round waits for b alone, the next one for a and for b."""
    waits, one = Waits(), Waited().then((1, 1), 1, DAY)
    waits.add("a", [], Waited(), one)
    waits.repeat("b", [], (1, 1))
    waits.add("b", ["a"], waits.before(["a"]).plus(one), one)
    assert waits.done["b"] == Waited(3, 3, 6.0, 72.0)


def test_tables_that_nobody_makes_are_not_waited_for() -> None:
    assert Waits().before(["nothing", "known"]) == Waited()


@given(WAITED, WAITED)
def test_waiting_longer_is_never_shorter(one: Waited, two: Waited) -> None:
    both, longest = one.plus(two), Waited.longest([one, two])
    assert both.likely >= longest.likely
    assert both.most >= longest.most
    assert both.most_hours >= longest.most_hours
    assert both == two.plus(one)


@pytest.mark.parametrize(("likely", "most"), [(0, 0), (1, 2)])
def test_what_came_since_and_over_and_over(likely: int, most: int) -> None:
    before, now = Waited(2, 3, 4.0, 72.0), Waited(4, 6, 8.0, 144.0)
    assert now.since(before) == Waited(2, 3, 4.0, 72.0)
    assert now.since(before).times(likely, most) == Waited(2 * likely, 3 * most, 4.0 * likely, 72.0 * most)
