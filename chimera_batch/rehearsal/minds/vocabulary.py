"""Every topic that the minds can name: methods beside objects, and objects beside objects."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Topic:
    area: str
    topic: str
    method: str = ""  # what it begins with, where it is no pair of objects
    objects: tuple[str, ...] = ()


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
        methods = entry["methods"]
        listed += [Topic(area, f"{method} {thing}", method, (thing,)) for method in methods for thing in objects]
        pairs = combinations(objects, 2)
        listed += [Topic(area, f"{one[0].upper()}{one[1:]} and {two}", "", (one, two)) for one, two in pairs]
    return tuple(listed)
