"""The key under which topics count as the same: the set of their words.

Exact comparison keeps "Mass spectrometry and proteomics" beside "Proteomics and mass spectrometry".
"""

from __future__ import annotations

import re

from chimera_batch.functions.text_key import folded

WORD = re.compile(r"[^\W_]+(?:\+\+|\+|#)?(?![^\W_])")  # C, C++ and C# are three topics
STOP = frozenset(
    ["an", "and", "as", "at", "by", "for", "from", "in", "into", "its", "of", "on", "or", "the", "their", "to"]
)
"""Without "a": vitamin A is a topic."""


def topic_words(text: str) -> frozenset[str]:
    """The words that carry a topic; all of them where there are only small ones."""
    words = frozenset(WORD.findall(folded(text).replace("'s", "")))
    return (words - STOP) or words


def topic_key(text: str) -> str:
    """Its words in alphabetical order, one space between; empty for a text without words."""
    return " ".join(sorted(topic_words(text)))
