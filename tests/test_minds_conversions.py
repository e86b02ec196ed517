"""The mind that makes checkable problems of drafts that are none, scored over all families."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.functions.screen_problem import screen_problem
from chimera_batch.rehearsal.minds import DEFAULT_RATES, answer, families, fault_of, truth
from chimera_batch.rehearsal.minds.conversions import convert
from chimera_batch.rehearsal.minds.problems import _state
from chimera_batch.rehearsal.minds.topics import vocabulary
from chimera_batch.rehearsal.names import schema_name
from chimera_batch.rehearsal.talk import Ask

SCHEMA = json.loads((Path(__file__).parent.parent / "prompts/chimera/conversions.json").read_text("utf-8"))
FAULTS = ("proof_only", "multiple_choice", "answer_leaked")
CALM = {"conversion_declined": 0, "conversion_wrong": 0, "invalid_json": 0}
EACH = 4


@cache
def drafts(fault: str) -> tuple[tuple[str, str], ...]:
    made = []
    for family in families():
        for number in range(EACH):
            rng = random.Random(f"{family.name} {number} {fault}")
            made.append(_state(family, family.draw(rng), rng.choice(vocabulary(family.subject)).topic, fault, rng))
    return tuple(made)


def edit(question: str, given: str, key: object = 0, **settings: Any) -> dict[str, Any]:
    user = f"<draft>\n{question}\n</draft>\n<draft_answer>\n{given}\n</draft_answer>"
    digest = sha256(repr((question, key)).encode()).hexdigest()[:32]
    said = answer(Ask("openai", "m", "", user, "chimera_conversions", SCHEMA, digest, 1, 9000, CALM | settings))
    return {**json.loads(said.text), "planted": said.planted}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_kind_becomes_a_sound_problem(fault: str) -> None:
    assert len(drafts(fault)) >= 200
    for question, given in drafts(fault):
        made = edit(question, given)
        [one] = made["problems"]
        assert made["possible"] and not made["why_not"] and made["planted"] is None
        assert truth(one["question"]) == one["answer"], one
        assert fault_of(one["question"], one["answer"]) is None
        assert screen_problem(one["question"], one["answer"]) == "ok", one["question"]


def test_parts_are_kept_apart_with_their_own_answers() -> None:
    opening = "A seminar poses two tasks."
    for family in families():
        rng = random.Random(family.name)
        one, other = (family.draw(rng) for _ in range(2))
        asked = [f"{family.setup} Find {family.quantity}.".format_map(family.shown(p)) for p in (one, other)]
        made = convert(f"{opening} (a) {asked[0]} (b) {asked[1]}", f"(a) {family.solve(one)}; (b) wrong")
        assert made == [(f"{opening} {asked[0]}", family.solve(one)), (f"{opening} {asked[1]}", "wrong")]
        assert truth(made[1][0]) == family.solve(other)


def test_of_two_parts_the_right_one_survives() -> None:
    planted = drafts("wrong_part")
    for question, given in planted:
        made = edit(question, given)["problems"]
        faults = [fault_of(one["question"], one["answer"]) for one in made]
        assert sorted(faults, key=str) == [None, "wrong_answer"], question
        assert {screen_problem(one["question"], one["answer"]) for one in made} == {"ok"}
    assert len(planted) >= 200


@pytest.mark.parametrize(
    ("question", "given"),
    [
        ("", ""),
        ("Prove that G is simple.", "It is."),
        ("Find it. Choose one: (A) 3 (B) 4", "four"),
        ("(a) Find x. (b) Find y.", "3 and 4"),
        ("(a) Find x. (c) Find y.", "(a) 3 (b) 4"),
        ("(a) Find x.", "(a) 3"),
    ],
)
def test_what_it_does_not_understand_it_declines(question: str, given: str) -> None:
    made = edit(question, given)
    assert not made["possible"] and made["problems"] == [] and made["why_not"]


def test_its_own_faults_come_at_their_rates_and_are_real() -> None:
    planted: Counter[str] = Counter()
    cases = [(one, key) for one in drafts("proof_only") for key in range(10)]
    rates = {name: DEFAULT_RATES[name] for name in ("conversion_declined", "conversion_wrong")}
    for (question, given), key in cases:
        made = edit(question, given, key, **rates)
        planted[str(made["planted"])] += 1
        assert made["possible"] == (made["planted"] != "conversion_declined")
        for one in made["problems"]:
            wrong = fault_of(one["question"], one["answer"])
            assert wrong == ("wrong_answer" if made["planted"] == "conversion_wrong" else None)
    for name, wanted in rates.items():
        assert abs(planted[name] / len(cases) - wanted) < 4 * (wanted * (1 - wanted) / len(cases)) ** 0.5


def test_where_the_protocol_carries_no_name_the_schema_tells() -> None:
    assert schema_name(None, SCHEMA) == "chimera_conversions"
