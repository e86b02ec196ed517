"""Topics under other names, and the knowledge which of them are one: what plants near duplicates, and what tells them.

The knowledge is complete and free of chance: every other name that can be planted is listed, so two texts are one topic
exactly if they stand for the same entry of the vocabulary, whatever the order, case and punctuation of their words.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any

from chimera_batch.rehearsal.minds.vocabulary import Topic, token_set, vocabulary

Words = frozenset[str]


def respell_nearly(subject: str, topic: str, rng: random.Random) -> str | None:
    """The same topic in other words, of a kind drawn first; None for a topic that is not of the vocabulary."""
    known = _entries(subject).get(meaning(subject, topic))
    if known is None:
        return None
    kinds = [names for _, names in sorted(other_names(subject, known).items()) if names]
    return rng.choice(rng.choice(kinds))


def narrow(topic: str, rng: random.Random) -> str:
    """A part of the topic, which is a topic of its own."""
    restricting = [word for word in _lists()["narrower"] if word.casefold() not in token_set(topic)]
    return f"{rng.choice(restricting or _lists()['narrower'])} {topic[:1].lower()}{topic[1:]}"


def meaning(subject: str, topic: str) -> Words:
    """Equal for two names of one topic, and for no others."""
    words = token_set(topic)
    return _known(subject).get(words, words)


def other_names(subject: str, entry: Topic) -> dict[str, list[str]]:
    """Other names of a topic of the vocabulary, by kind."""
    synonym = _lists()["methods"].get(entry.method)
    return {
        "synonym": [f"{synonym} {entry.objects[0]}"] if synonym else [],
        "abbreviation": [
            name
            for thing in entry.objects
            if (short := initials(thing)) in _unambiguous(subject)
            for name in _abbreviated(entry.topic, thing, f"{short}s")
        ],
        "tail": [f"{_swapped(entry)} {tail}" for tail in _lists()["tails"]],
        "number": [entry.topic[:-1]] if re.search(r"[^aeiouscx]s$", entry.topic) else [],
    }


def initials(thing: str) -> str:
    """What an object of several words is shortened to; empty where it is not."""
    words = re.findall(r"\w+", thing)
    return "".join(word[0] for word in words).upper() if len(words) > 2 and thing.endswith("s") else ""


def _abbreviated(topic: str, thing: str, short: str) -> list[str]:
    instead = re.sub(re.escape(thing), short, topic, flags=re.IGNORECASE)
    return [instead, f"{instead} ({thing})", re.sub(re.escape(thing), f"{thing} ({short})", topic, flags=re.IGNORECASE)]


def _swapped(entry: Topic) -> str:
    """ "X and Y" as "Y and X"; another topic as it is."""
    if len(entry.objects) < 2:
        return entry.topic
    one, two = entry.objects
    return f"{two[0].upper()}{two[1:]} and {one}"


@cache
def _lists() -> dict[str, Any]:
    return tomllib.loads((files("chimera_batch.rehearsal.minds") / "respellings.toml").read_text(encoding="utf-8"))


@cache
def _entries(subject: str) -> dict[Words, Topic]:
    return {token_set(entry.topic): entry for entry in vocabulary(subject)}


@cache
def _known(subject: str) -> dict[Words, Words]:
    """The words of every name -> those of the vocabulary's own."""
    known: dict[Words, Words] = {}
    for words, entry in _entries(subject).items():
        for names in other_names(subject, entry).values():
            known |= {token_set(name): words for name in names}
    return known | {words: words for words in _entries(subject)}


@cache
def _unambiguous(subject: str) -> frozenset[str]:
    """Initials that mean one object of the subject."""
    counted = Counter(initials(thing) for thing in {thing for one in vocabulary(subject) for thing in one.objects})
    return frozenset(short for short, times in counted.items() if short and times == 1)
