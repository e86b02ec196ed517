"""What the free screen finds of the rehearsal's planted faults, and what it costs in good ones, over all families."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from chimera_batch.functions.screen_problem import screen_problem
from chimera_batch.rehearsal.minds import fault_of, truth
from chimera_batch.rehearsal.minds.catalogue import families
from chimera_batch.rehearsal.minds.problems import _state
from chimera_batch.rehearsal.minds.topics import vocabulary

pytestmark = pytest.mark.slow
EACH = 4  # of every family: more than 200 of each kind
NAMES = {"proof_only": "proof", "multiple_choice": "multiple choice", "answer_leaked": "answer in question"}


def drafts(fault: str | None) -> list[tuple[str, str]]:
    made = []
    for family in families():
        for number in range(EACH):
            rng = random.Random(f"{family.name} {number} {fault}")
            made.append(_state(family, family.draw(rng), rng.choice(vocabulary(family.subject)).topic, fault, rng))
    assert len(made) >= 200
    return made


@pytest.mark.parametrize("fault", sorted(NAMES))
def test_every_planted_kind_is_caught_by_its_name(fault: str) -> None:
    planted = drafts(fault)
    assert {fault_of(*one) for one in planted} == {fault}
    assert Counter(screen_problem(*one) for one in planted) == {NAMES[fault]: len(planted)}


def test_no_good_problem_is_lost() -> None:
    sound = drafts(None)
    assert all(truth(question) == answer for question, answer in sound)
    lost = [(screen_problem(*one), one) for one in sound if screen_problem(*one) != "ok"]
    assert len(lost) <= 0.005 * len(sound), lost


def test_what_only_a_solver_can_tell_is_left_to_the_verifiers() -> None:
    for fault in ("wrong_answer", "ambiguous"):
        assert Counter(screen_problem(*one) for one in drafts(fault)).keys() == {"ok"}
