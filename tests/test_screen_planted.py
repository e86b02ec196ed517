"""What the free screen finds of the rehearsal's planted faults, and what it costs in good ones, over all families."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from hashlib import sha256
from typing import Any

import pytest

from chimera_batch.functions.screen_problem import screen_problem
from chimera_batch.rehearsal.minds import answer, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds.catalogue import families
from chimera_batch.rehearsal.minds.problems import _state
from chimera_batch.rehearsal.minds.topics import vocabulary
from chimera_batch.rehearsal.talk import Ask
from tests.test_chimera_problems import screen
from tests.test_chimera_sql import Desk, Row, draft

pytestmark = pytest.mark.slow
EACH = 4  # of every family: more than 200 of each kind
NAMES = {
    "proof_only": "proof",
    "multiple_choice": "multiple choice",
    "answer_leaked": "answer in question",
    "wrong_part": "multi-part",
}


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


# -- duplicates: the author's own, drafted again and again under other topics


def worn(number: int, **rates: float) -> Row:
    """A draft of the mind; about every seventh is the well-worn problem of its area."""
    rng = random.Random(number)
    subject = rng.choice(sorted({family.subject for family in families()}))
    topic = rng.choice(vocabulary(subject))
    user = f"<subject>{subject}</subject><area>{topic.area}</area><topic>{topic.topic}</topic>"
    key = sha256(str(number).encode()).hexdigest()[:32]
    settings: dict[str, Any] = {"refusal": 0, "invalid_json": 0, **rates}
    made = json.loads(answer(Ask("openai", "m", "", user, "chimera_problems", None, key, 1, 9000, settings)).text)
    row = draft(number, made["question"], made["answer"], topic=topic.topic, subject=subject, area=topic.area)
    return row | {"row_key": f"d/{number:05d}"}


def test_planted_duplicates_are_merged_and_nothing_else() -> None:
    drafts = [worn(number, duplicate_problem=0.15) for number in range(3000)]
    rows = screen(Desk(), drafts)
    first: dict[tuple[str, str], str] = {}
    again = set()
    for one in drafts:
        known = fingerprint(one["question"])
        if rows[one["row_key"]]["reason"] in {"ok", "same problem", "near duplicate"} and known:
            again |= {one["row_key"]} if (known, one["reference_answer"]) in first else set()
            first.setdefault((known, one["reference_answer"]), one["row_key"])
    merged = {key for key, row in rows.items() if row["duplicate_of"]}
    assert len(again) >= 200
    assert merged == again, (len(again - merged), len(merged - again))


def test_ten_thousand_drafts_are_screened_within_a_minute_of_processor_time() -> None:
    drafts = [worn(number) for number in range(10_000)]
    desk = Desk()
    desk.db.execute("SET memory_limit = '512MB'")
    began = time.process_time()
    rows = screen(desk, drafts)
    assert time.process_time() - began < 60
    sound = [row for row in drafts if fault_of(row["question"], row["reference_answer"]) is None]
    taken = [rows[row["row_key"]]["reason"] for row in sound]
    lost = [reason for reason in taken if reason not in {"ok", "same problem", "near duplicate"}]
    assert len(sound) > 7000 and len(lost) <= 0.005 * len(sound), Counter(lost)


def test_thousands_of_drafts_of_one_wording_make_no_pairs_without_end() -> None:
    """An author that repeats itself: the work grows with the drafts, not with their pairs, and memory is bounded."""
    rng = random.Random(1)
    words = [f"w{first}{second}" for first in "abcdefghij" for second in "abcdefghij"]
    base = rng.choices(words, k=60)
    drafts = []
    for number in range(2000):
        text = list(base)
        text[rng.randrange(60)] = rng.choice(words)
        drafts.append(draft(number, f"Find {' '.join(text)}.", "word"))
    desk = Desk()
    desk.db.execute("SET memory_limit = '300MB'")
    began = time.process_time()
    rows = screen(desk, drafts)
    assert time.process_time() - began < 20
    assert Counter(row["duplicate_of"] is None for row in rows.values()) == {True: 1, False: 1999}
