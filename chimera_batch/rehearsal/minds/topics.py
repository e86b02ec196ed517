"""The mind that lists topics: combinations of methods and objects, with planted repetitions and non-topics."""

from __future__ import annotations

import random

from chimera_batch.rehearsal.minds.dice import dice, rate, seed_of
from chimera_batch.rehearsal.minds.respelling import narrow, respell_nearly
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_count, read_lines, read_tag
from chimera_batch.rehearsal.minds.vocabulary import Topic, token_set, vocabulary
from chimera_batch.rehearsal.talk import Ask, Said

VAGUE = (
    "Emerging directions", "Selected advanced topics", "Recent developments", "Open problems", "Future trends",
    "Education research and outreach", "Other perspectives", "Current issues", "Miscellaneous questions",
)  # fmt: skip


def answer(ask: Ask) -> Said:
    """``count`` topics of the asked subject, from the asked area first, that are mostly not in the list so far."""
    rng = dice(seed_of(ask.settings), "topics", ask.key)
    subject = read_tag(ask.user, "subject") or "other"
    existing = read_lines(ask.user, "existing_topics")
    fresh = _fresh(subject, read_tag(ask.user, "area") or "", {token_set(topic) for topic in existing}, rng)
    listed: list[Topic] = []
    planted = set()
    for _ in range(read_count(ask.user, "count", 10)):
        topic, fault = _next(ask, rng, fresh, existing + [topic.topic for topic in listed])
        listed.append(topic)
        planted |= {fault} if fault else set()
    made = {"topics": [{"area": topic.area, "topic": topic.topic} for topic in listed]}
    return said(ask, "topics", made, ",".join(sorted(planted)) or None)


def _fresh(subject: str, area: str, known: set[frozenset[str]], rng: random.Random) -> list[Topic]:
    """New topics in the order in which they will be named, last first; a few known ones slip in when little is left."""
    stock = vocabulary(subject)
    new = [topic for topic in stock if token_set(topic.topic) not in known] or list(stock)
    rng.shuffle(new)
    return sorted(new, key=lambda topic: topic.area.casefold() == area.casefold())


def _next(ask: Ask, rng: random.Random, fresh: list[Topic], named: list[str]) -> tuple[Topic, str | None]:
    area = read_tag(ask.user, "area") or "General"
    u = rng.random() - rate(ask.settings, "vague_topic")
    if u < 0:
        return Topic(area, rng.choice(VAGUE)), "vague_topic"
    if named and (u < rate(ask.settings, "duplicate_topic") or not fresh):
        return Topic(area, respell(rng.choice(named), rng)), "duplicate_topic"
    u -= rate(ask.settings, "duplicate_topic")
    if named and u < rate(ask.settings, "near_duplicate_topic"):
        subject = read_tag(ask.user, "subject") or "other"
        again = rng.choice(named)
        return Topic(area, respell_nearly(subject, again, rng) or respell(again, rng)), "near_duplicate_topic"
    if named and u - rate(ask.settings, "near_duplicate_topic") < rate(ask.settings, "narrower_topic"):
        return Topic(area, narrow(rng.choice(named), rng)), "narrower_topic"
    return fresh.pop(), None


def respell(topic: str, rng: random.Random) -> str:
    """The same topic with its words in another order, case or hyphenation; never the same string."""
    forms = {topic.upper(), topic.lower(), topic.title(), topic.replace(" ", "-", 1), f"{topic}.", f"“{topic}”"}
    one, joined, two = topic.partition(" and ")
    if joined:
        forms.add(f"{two[:1].upper()}{two[1:]} and {one[:1].lower()}{one[1:]}")
    one, joined, two = topic.partition(" of ")
    if joined:
        forms.add(f"{two[:1].upper()}{two[1:]}, {one[:1].lower()}{one[1:]} of")
    return rng.choice(sorted(forms - {topic}))
