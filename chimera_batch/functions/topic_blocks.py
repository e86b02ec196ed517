"""Topics as words in one spelling, and what could abbreviate them; and the word lists of ``topics.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from chimera_batch.functions.text_key import folded
from chimera_batch.functions.topic_key import STOP, WORD

_SHORT = re.compile(r"(?<![^\W_])[^\W_]{2,8}(?![^\W_])")
BLOCKS = "STRUCT(words VARCHAR[], initials VARCHAR[])"
_MOST = 64  # words that are looked at for initials: no topic is as long


@cache
def lists() -> dict[str, Any]:
    """``topics.toml``."""
    return tomllib.loads((files("chimera_batch.functions") / "topics.toml").read_text(encoding="utf-8"))


@cache
def _rules() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), to) for pattern, to in lists()["spellings"]]


@lru_cache(4096)
def plain(word: str) -> str:
    """A word in the singular and in American spelling, as far as rules go; never empty."""
    for pattern, to in _rules():
        if len(word) > 3:
            word = pattern.sub(to, word, count=1)
    return word


@lru_cache(4096)
def all_words(text: str) -> tuple[str, ...]:
    """The words of a topic in their order, each in its plain spelling, small ones too."""
    short = abbreviations(text)
    words = WORD.findall(folded(text).replace("'s", ""))
    return tuple(single if (single := word.removesuffix("s")) in short else plain(word) for word in words)


@lru_cache(4096)
def spelled(text: str) -> tuple[str, ...]:
    """The words that carry a topic: all where there are only small ones."""
    words = all_words(text)
    return tuple(word for word in words if word not in STOP) or words


def abbreviations(text: str) -> set[str]:
    """What looks like one, in lower case and singular: PROTACs, NMR, mRNA; nothing where all letters are capitals."""
    if text.isupper() and " " in text:
        return set()
    found = (word.removesuffix("s") for word in _SHORT.findall(text))
    return {word.lower() for word in found if sum(letter.isupper() for letter in word) > 1}


def initials(words: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """What two to six words that follow one another may be shortened to, and from where to where they stand."""
    firsts = "".join(word[0] for word in words[:_MOST])
    for start in range(len(firsts) - 1):
        for end in range(start + 2, min(start + 6, len(firsts)) + 1):
            yield firsts[start:end], start, end


def topic_blocks(text: str) -> dict[str, list[str]]:
    """By what topics that may be the same are found: the words, each in its plain spelling, and the initials of words
    that stand together, one of which may be another topic's word.

    Two topics that have neither a word in common nor a word among the other's initials are not the same, as far as
    letters can tell.
    """
    shortened = {short for words in (spelled(text), all_words(text)) for short, _, _ in initials(words)}
    return {"words": sorted(set(spelled(text))), "initials": sorted(shortened - set(spelled(text)))}
