"""How much of one text's wording another one holds: what a Jaccard index hides where the other is long."""

from __future__ import annotations

from chimera_batch.functions.ngram_jaccard import ngrams


def ngram_containment(part: str, whole: str, n: int) -> float:
    """The share of ``part``'s distinct n-grams of words that ``whole`` has too, 0 to 1; 0 where it has none."""
    wanted = ngrams(part, n)
    return len(wanted & ngrams(whole, n)) / len(wanted) if wanted else 0.0
