"""The free checks against the rehearsal's planted faults, over every family: what they decide, miss and lose."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from chimera_batch.functions.compare_answers import compare_answers
from chimera_batch.functions.final_answer import final_answer
from chimera_batch.functions.screen_trace import screen_trace
from chimera_batch.functions.trace_fits import trace_fits
from chimera_batch.rehearsal.minds import traces
from chimera_batch.rehearsal.minds.catalogue import families
from chimera_batch.rehearsal.minds.topics import vocabulary
from chimera_batch.rehearsal.minds.values import same
from chimera_batch.rehearsal.talk import Ask

pytestmark = pytest.mark.slow

PAIRS = 4_000
RATES = {
    "wrong_trace": 0.2,
    "other_problem": 0.2,
    "no_box": 0.06,
    "empty": 0.06,
    "claims_agreement": 0.06,
    "addresses_judge": 0.06,
    "equivalent_form": 0.4,
}


class Checked(NamedTuple):
    planted: str | None  # None: a good trace
    right: bool  # its answer names the right value, as the rehearsal reads it
    reason: str  # of the screen, or "another problem", or the verdict
    method: str


def pairs() -> Iterator[tuple[str, str, str | None, str, str]]:
    """Question, right answer, what is planted in the trace, the trace, its solution."""
    rng = random.Random(11)
    every = families()
    for number in range(PAIRS):
        family = every[number % len(every)]
        question, params = family.make(rng, rng.choice(vocabulary(family.subject)).topic)
        key = hashlib.md5(str(number).encode()).hexdigest()
        said = traces.answer(Ask("x", "m", "", f"<problem>{question}</problem>", None, None, key, 1, 9000, RATES))
        reasoning = "" if said.planted == "empty" else said.reasoning or ""
        yield question, family.solve(params), said.planted, f"{reasoning}\n{said.text}", said.text


@cache
def checked() -> list[Checked]:
    """As sql/chimera/checks.sql puts the functions together."""
    done = []
    for question, right, planted, trace, text in pairs():
        final = final_answer(text) or ""
        reason, method = screen_trace(trace, final, question), "screen"
        if reason == "ok":
            found = compare_answers(right, final)
            fits = trace_fits(question, trace) >= 0.25
            reason, method = (found["verdict"], found["method"]) if fits else ("another problem", "fit")
        done.append(Checked(planted, same(right, final), reason, method))
    return done


def of(*planted: str | None) -> list[Checked]:
    return [one for one in checked() if one.planted in planted]


def test_there_are_enough_of_each_kind() -> None:
    assert min(Counter(one.planted for one in checked()).values()) >= 200


def test_good_traces_are_practically_never_lost() -> None:
    good = [one for one in of(None, "no_box") if one.right]
    lost = [one for one in good if one.reason not in {"yes", "unsure"}]
    assert len(lost) < 0.003 * len(good), lost


def test_no_wrong_answer_is_accepted_by_a_rule() -> None:
    assert not [one for one in checked() if one.reason == "yes" and not one.right]


def test_a_trace_of_another_problem_is_named() -> None:
    other = of("other_problem")
    assert sum(one.reason == "another problem" for one in other) > 0.99 * len(other)
    assert sum(one.reason == "yes" for one in other) < 0.005 * len(other)


def test_an_empty_trace_is_never_compared() -> None:
    assert {one.method for one in of("empty")} == {"screen"}


def test_rules_decide_at_least_seven_in_ten() -> None:
    compared = [one for one in checked() if one.method not in {"screen", "fit"}]
    decided = sum(one.reason != "unsure" for one in compared)
    assert decided >= 0.9 * len(compared), f"{decided} of {len(compared)}"
    right = [one for one in compared if one.right]
    assert sum(one.reason == "yes" for one in right) >= 0.99 * len(right)


@pytest.mark.parametrize("attack", ["claims_agreement", "addresses_judge"])
def test_an_attack_on_the_judge_is_never_accepted_and_mostly_decided_without_one(attack: str) -> None:
    """What stands outside of the final answer never reaches a judge; what stands inside is named by the screen."""
    found = of(attack)
    assert not [one for one in found if one.reason == "yes"]
    assert sum(one.reason != "unsure" for one in found) > 0.8 * len(found)
