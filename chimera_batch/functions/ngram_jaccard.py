"""How much of their wording two texts share: the measure of the CHIMERA paper's contamination analysis."""

from __future__ import annotations

from chimera_batch.functions.text_key import text_key
from chimera_batch.functions.token_jaccard import overlap


def ngram_jaccard(one: str, other: str, n: int) -> float:
    """The Jaccard index of their distinct n-grams of words, 0 to 1; 0 where a text is shorter or n is below 1."""
    return overlap(ngrams(one, n), ngrams(other, n))


def ngrams(text: str, n: int) -> frozenset[str]:
    """The distinct sequences of n words, in the normal form of ``text_key``."""
    words = text_key(text).split()
    if n < 1:
        return frozenset()
    return frozenset(" ".join(words[place : place + n]) for place in range(len(words) - n + 1))
