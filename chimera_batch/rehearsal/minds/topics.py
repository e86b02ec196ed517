"""The mind that lists topics: combinations of methods and objects, with planted repetitions and non-topics."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations

from chimera_batch.rehearsal.minds.dice import dice, rate, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_count, read_lines, read_tag
from chimera_batch.rehearsal.talk import Ask, Said

VAGUE = (
    "Emerging directions", "Selected advanced topics", "Recent developments", "Open problems", "Future trends",
    "Education research and outreach", "Other perspectives", "Current issues", "Miscellaneous questions",
)  # fmt: skip
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Topic:
    area: str
    topic: str


def token_set(topic: str) -> frozenset[str]:
    """What makes two spellings one topic here: the words, whatever their order, case and punctuation."""
    return frozenset(_WORD.findall(topic.casefold()))


@cache
def vocabulary(subject: str) -> tuple[Topic, ...]:
    """Every topic that the mind can name for a subject, each once; a common stock for subjects it does not know."""
    data = tomllib.loads((files("chimera_batch.rehearsal.minds") / "vocabulary.toml").read_text(encoding="utf-8"))
    entry = next((entry for name, entry in data.items() if name.casefold() == subject.casefold()), data["other"])
    listed = []
    for area, objects in entry["areas"].items():
        listed += [Topic(area, f"{method} {thing}") for method in entry["methods"] for thing in objects]
        listed += [Topic(area, f"{one[0].upper()}{one[1:]} and {two}") for one, two in combinations(objects, 2)]
    return tuple(listed)


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
