"""Topics under other names: what is planted, and that the mind that compares them knows exactly that."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from chimera_batch.rehearsal.minds import answer
from chimera_batch.rehearsal.minds.respelling import initials, meaning, narrow, other_names, respell_nearly
from chimera_batch.rehearsal.minds.topics import respell
from chimera_batch.rehearsal.minds.vocabulary import token_set, vocabulary
from chimera_batch.rehearsal.talk import Ask

SUBJECTS = (
    "Mathematics",
    "Computer Science",
    "Chemistry",
    "Physics",
    "Literature",
    "History",
    "Biology",
    "Linguistics",
)


def ask(schema: str, user: str, key: int = 0, **settings: Any) -> dict[str, Any]:
    one = Ask("openai", "m", "", user, schema, None, f"{key:032x}", 1, 9000, {"invalid_json": 0, **settings})
    found: dict[str, Any] = json.loads(answer(one).text)
    return found


def compared(subject: str, first: str, second: str, key: int = 0, **settings: Any) -> str:
    user = f"<subject>{subject}</subject><first_topic>{first}</first_topic><second_topic>{second}</second_topic>"
    return str(ask("chimera_same_topics", user, key, **{"same_topic_error": 0, **settings})["relation"])


@pytest.mark.parametrize("subject", [*SUBJECTS, "Alchemy"])
def test_every_other_name_means_its_own_topic_and_no_second_one(subject: str) -> None:
    owners: dict[frozenset[str], str] = {}
    kinds: Counter[str] = Counter()
    for entry in vocabulary(subject):
        assert meaning(subject, entry.topic) == token_set(entry.topic)
        for kind, names in other_names(subject, entry).items():
            kinds[kind] += len(names)
            for name in names:
                assert owners.setdefault(token_set(name), entry.topic) == entry.topic
                assert meaning(subject, name) == token_set(entry.topic) != token_set(name)
    assert kinds["tail"] and (subject == "Alchemy" or kinds["synonym"])


def test_the_kinds_of_other_names() -> None:
    pair = next(
        one for one in vocabulary("Chemistry") if one.objects == ("lanthanide complexes", "metal–organic frameworks")
    )
    names = other_names("Chemistry", pair)
    assert "Lanthanide complexes and MOFs" in names["abbreviation"]
    assert "Lanthanide complexes and metal–organic frameworks (MOFs)" in names["abbreviation"]
    assert "Metal–organic frameworks and lanthanide complexes in modern research" in names["tail"]
    assert initials("metal–organic frameworks") == "MOF"
    assert initials("click reactions") == ""


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_name_drawn_of_a_name_still_means_the_topic(subject: str) -> None:
    rng = random.Random(subject)
    for entry in rng.sample(vocabulary(subject), 40):
        name = respell_nearly(subject, respell(entry.topic, rng), rng)
        assert name is not None
        again = respell_nearly(subject, name, rng)
        assert again is not None
        assert meaning(subject, again) == meaning(subject, respell(name, rng)) == token_set(entry.topic)


def test_a_topic_of_nobody_has_no_other_name() -> None:
    assert respell_nearly("Physics", "Emerging directions", random.Random(0)) is None


def test_a_narrower_topic_is_another_one() -> None:
    rng = random.Random(0)
    for entry in vocabulary("Physics")[:60]:
        assert meaning("Physics", narrow(entry.topic, rng)) != token_set(entry.topic)


def test_planted_shares() -> None:
    def listed(key: int, **settings: Any) -> list[str]:
        user = "<subject>Mathematics</subject><area>Algebra</area><count>25</count>"
        return [one["topic"] for one in ask("chimera_topics", user, key, vague_topic=0, **settings)["topics"]]

    def share(**settings: Any) -> float:
        again = 0
        for key in range(80):
            names = listed(key, duplicate_topic=0, **settings)
            again += len(names) - len({meaning("Mathematics", name) for name in names})
        return again / 2000

    assert share(near_duplicate_topic=0) == 0
    assert 0.008 < share() < 0.035
    assert 0.15 < share(near_duplicate_topic=0.2) < 0.25
    assert share(near_duplicate_topic=0, narrower_topic=0.3) < 0.06, (
        "only where the same word was put before the same topic"
    )


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("Quantum simulation of Rydberg arrays", "Quantum simulators of Rydberg arrays", "same"),
        ("BECs and trapped ion chains", "Bose–Einstein condensates and trapped ion chains", "same"),
        (
            "RYDBERG ARRAYS AND optical lattice clocks",
            "Optical lattice clocks and Rydberg arrays in modern research",
            "same",
        ),
        ("Transport in spin liquids", "Quantum transport in spin liquids", "narrower"),
        ("Transport in spin liquids", "Transport in Weyl semimetals", "overlapping"),
        ("Ghost imaging", "Dark matter", "different"),
        ("", "", "same"),
    ],
)
def test_how_two_topics_relate(first: str, second: str, relation: str) -> None:
    assert compared("Physics", first, second) == compared("Physics", second, first) == relation


def test_errors_come_at_their_rate_and_each_order_errs_on_its_own() -> None:
    wrong = sum(
        compared("Physics", "Ghost imaging", "Dark matter", key, same_topic_error=0.2) == "same" for key in range(500)
    )
    assert 70 < wrong < 130
    assert compared("Physics", "Ghost imaging", "Ghost imaging", same_topic_error=1) != "same"
