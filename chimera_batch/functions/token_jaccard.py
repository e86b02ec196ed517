"""How much of their words two topics share."""

from __future__ import annotations

from chimera_batch.functions.topic_key import topic_words


def token_jaccard(one: str, other: str) -> float:
    """Common words by all words, 0 to 1; 0 where one has none. From 0.8 up, topics are probably the same."""
    return overlap(topic_words(one), topic_words(other))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The Jaccard index of two sets; 0 where either is empty."""
    if not one or not other:
        return 0.0
    return len(one & other) / len(one | other)
