"""How alike two topics are that have not the same words."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from chimera_batch.functions.topic_blocks import abbreviations, all_words, initials, spelled
from chimera_batch.functions.topic_key import STOP

SPELLING, ABBREVIATION, PART = 1.0, 0.99, 0.95
"""The same words in another number or spelling; with an abbreviation written out; one has all words of the other."""


def topic_fuzz(one: str, other: str) -> float:
    """1: the same words but for number, spelling and order. 0.99: if an abbreviation of one stands for words of the
    other. 0.95: one says all that the other says, and not twice as much. Else how alike the letters are, below 1.

    Only 1 is proof: "organic" and "inorganic", "adsorption" and "absorption" are alike at 0.95.
    """
    mine, yours = spelled(one), spelled(other)
    if not mine or not yours:
        return 0.0
    if set(mine) == set(yours):
        return SPELLING
    pairs = [(a, b) for a in _shortened(one, abbreviations(other)) for b in _shortened(other, abbreviations(one))]
    if any(a == b for a, b in pairs):
        return ABBREVIATION
    if any(_part(a, b) for a, b in pairs):
        return PART
    from rapidfuzz import fuzz  # noqa: PLC0415 - the words decide most pairs

    common = set(mine) & set(yours)
    lines = (" ".join(sorted(words, key=lambda word: (word not in common, word))) for words in (mine, yours))
    return min(fuzz.ratio(*lines) / 100, ABBREVIATION)


def _shortened(topic: str, known: AbstractSet[str]) -> Iterator[frozenset[str]]:
    """Its words, and its words with those that one of the abbreviations may stand for replaced by it."""
    yield frozenset(spelled(topic))
    for words in {spelled(topic), all_words(topic)} if known else ():
        for short, start, end in initials(words):
            if short in known and short not in words:
                yield frozenset({*words[:start], short, *words[end:]} - STOP)


def _part(one: frozenset[str], other: frozenset[str]) -> bool:
    """One holds the other, which is more than a word and at least half of it."""
    common = len(one & other)
    return common == min(len(one), len(other)) > 1 and 2 * common >= max(len(one), len(other))
