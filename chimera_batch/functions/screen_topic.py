"""Topics that are none: too general to write a dozen problems about, or about nothing. No model is asked."""

from __future__ import annotations

import re
from functools import cache

from chimera_batch.functions.text_key import folded
from chimera_batch.functions.topic_blocks import lists
from chimera_batch.functions.topic_key import topic_key, topic_words

_JOINT = re.compile(r"\s*(?:,|;|/|&|\band\b)\s*")
_LONGEST = 400  # characters; no topic is as long


def screen_topic(topic: str, subject: str, names: str) -> str:
    """``ok``, ``too general`` or ``no topic``. ``names``: what else is too general, such as areas, one a line.

    Too general is the subject, a name, or a field of ``topics.toml``, also behind "advanced", "foundations of" and the
    like ("history of" only where history is not the subject), or several of them joined. No topic is a catch-all
    ("Emerging directions") and what is about the discipline.
    """
    if len(topic) > _LONGEST or _vague(topic):
        return "no topic"
    words, own = topic_words(topic), topic_words(subject)
    known = _fields() | {topic_key(subject), *map(topic_key, names.splitlines())}
    if {topic_key(topic), _key(words - (_words("qualifiers") - own))} & (known - {""}) or _all_fields(topic):
        return "too general"
    telling = words - _words("qualifiers") - _words("vague_heads") - _words("vague_nouns")
    return "ok" if any(letter.isalpha() for word in telling for letter in word) else "no topic"


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(lists()[name])


@cache
def _fields() -> frozenset[str]:
    words = [topic_words(field) for field in lists()["fields"]]
    return frozenset(map(_key, words)) | frozenset(_key(one - _words("qualifiers")) for one in words) - {""}


@cache
def _pattern() -> re.Pattern[str]:
    heads, nouns, about = ("|".join(map(re.escape, lists()[name])) for name in ("vague_heads", "vague_nouns", "about"))
    return re.compile(rf"^\W*(?:{heads})(?:[ -][^\W_]+)? (?:{nouns})\b|\b(?:{about})\b")


def _vague(topic: str) -> bool:
    return bool(_pattern().search(folded(topic)))


def _key(words: frozenset[str]) -> str:
    return " ".join(sorted(words))


def _all_fields(topic: str) -> bool:
    parts = [topic_key(part) for part in _JOINT.split(folded(topic)) if part]
    return len(parts) > 1 and all(part in _fields() for part in parts)
