"""The mind that lists topics: enough of them, new ones, and planted repetitions of known kinds."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest

from chimera_batch.rehearsal.minds import answer
from chimera_batch.rehearsal.minds.topics import VAGUE, respell, token_set, vocabulary
from chimera_batch.rehearsal.talk import Ask

QUOTAS = {
    "Mathematics": 574, "Computer Science": 165, "Chemistry": 139, "Physics": 96,
    "Literature": 64, "History": 53, "Biology": 48, "Linguistics": 40,
}  # fmt: skip
CLEAN = {"duplicate_topic": 0, "near_duplicate_topic": 0, "vague_topic": 0, "invalid_json": 0}


def listed(user: str, key: int = 0, **settings: Any) -> list[dict[str, str]]:
    ask = Ask("openai", "m", "", user, "chimera_topics", None, f"{key:032x}", 1, 9000, settings)
    topics: list[dict[str, str]] = json.loads(answer(ask).text)["topics"]
    return topics


def asking(subject: str, count: int, *, area: str = "", existing: list[str] | None = None) -> str:
    known = "\n".join(existing or [])
    return (
        f"<subject>{subject}</subject>\n<existing_topics>\n{known}\n</existing_topics>\n"
        f"<area>{area}</area>\n<count>{count}</count>"
    )


@pytest.mark.parametrize(("subject", "quota"), QUOTAS.items())
def test_the_vocabulary_holds_twice_the_quota_of_distinct_topics(subject: str, quota: int) -> None:
    topics = [topic.topic for topic in vocabulary(subject)]
    assert len({token_set(topic) for topic in topics}) == len(topics) >= 2 * quota


@pytest.mark.parametrize("subject", QUOTAS)
def test_no_two_topics_are_near_duplicates_by_their_words(subject: str) -> None:
    words = random.Random(0).sample([token_set(topic.topic) for topic in vocabulary(subject)], 150)
    for one, two in itertools.combinations(words, 2):
        assert len(one & two) / len(one | two) < 0.8


@pytest.mark.parametrize("subject", [*QUOTAS, "Alchemy"])
def test_topics_read_well(subject: str) -> None:
    for topic in vocabulary(subject):
        assert topic.topic[0].isupper()
        assert 2 <= len(topic.topic.split()) <= 10
        assert topic.topic == topic.topic.strip()
        assert ":" not in topic.topic
        assert topic.area


def test_the_list_has_the_asked_length_and_repeats_nothing() -> None:
    topics = listed(asking("Physics", 60), **CLEAN)
    assert len(topics) == 60
    assert len({token_set(topic["topic"]) for topic in topics}) == 60


def test_what_exists_is_not_named_again() -> None:
    existing = [topic["topic"] for topic in listed(asking("Biology", 100), key=1, **CLEAN)]
    more = [topic["topic"] for topic in listed(asking("Biology", 100, existing=existing), key=2, **CLEAN)]
    assert not {token_set(topic) for topic in existing} & {token_set(topic) for topic in more}


def test_rounds_reach_every_quota() -> None:
    vague = {token_set(topic) for topic in VAGUE}
    for subject, quota in QUOTAS.items():
        known: list[str] = []
        for turn in range(6):
            missing = quota - len({token_set(topic) for topic in known} - vague)
            for slot in range(-(-missing // 10)):
                user = asking(subject, 10, existing=known)
                known += [t["topic"] for t in listed(user, key=100 * turn + slot, invalid_json=0)]
        assert len({token_set(topic) for topic in known} - vague) >= quota


def test_the_asked_area_comes_first() -> None:
    topics = listed(asking("Mathematics", 30, area="topology"), **CLEAN)
    assert {topic["area"] for topic in topics} == {"Topology"}
    elsewhere = listed(asking("Mathematics", 30, area="Actuarial studies"), **CLEAN)
    assert len({topic["area"] for topic in elsewhere}) > 3


def test_an_exhausted_subject_repeats_itself() -> None:
    existing = [topic.topic for topic in vocabulary("Linguistics")]
    topics = listed(asking("Linguistics", 20, existing=existing), **CLEAN)
    assert len(topics) == 20


def test_planted_shares() -> None:
    kinds: Counter[str] = Counter()
    total = 0
    for key in range(250):
        seen: set[frozenset[str]] = set()
        for topic in listed(asking("Mathematics", 20), key=key, invalid_json=0):
            total += 1
            tokens = token_set(topic["topic"])
            kinds["vague"] += topic["topic"] in VAGUE
            kinds["duplicate"] += tokens in seen
            seen.add(tokens)
    assert total == 5000
    assert 0.045 < kinds["duplicate"] / total < 0.075
    assert 0.006 < kinds["vague"] / total < 0.015


def test_planted_faults_are_named() -> None:
    def planted(**settings: Any) -> str | None:
        user = asking("Mathematics", 10)
        ask = Ask("openai", "m", "", user, "chimera_topics", None, "0" * 32, 1, 9000, {**CLEAN, **settings})
        return answer(ask).planted

    assert planted(duplicate_topic=0, vague_topic=0) is None
    assert planted(duplicate_topic=1, vague_topic=0) == "duplicate_topic"
    assert planted(duplicate_topic=0, vague_topic=1) == "vague_topic"
    assert planted(duplicate_topic=0.5, vague_topic=0.5) == "duplicate_topic,vague_topic"


@pytest.mark.parametrize("topic", ["Deep learning and vision", "Moduli of toric varieties", "Algebra"])
def test_another_spelling_keeps_the_words(topic: str) -> None:
    rng = random.Random(0)
    spellings = {respell(topic, rng) for _ in range(100)}
    assert topic not in spellings
    assert len(spellings) >= 4
    assert {token_set(spelling) for spelling in spellings} == {token_set(topic)}


def test_reorderings_are_among_the_spellings() -> None:
    rng = random.Random(0)
    assert "Vision and deep learning" in {respell("Deep learning and vision", rng) for _ in range(100)}
    assert "Toric varieties, moduli of" in {respell("Moduli of toric varieties", rng) for _ in range(100)}


def test_an_unknown_subject_still_gets_topics() -> None:
    assert len(listed(asking("Alchemy", 25), **CLEAN)) == 25
    assert len(listed("no tags at all", **CLEAN)) == 10
