"""The normal form of a text: equal keys mean the same words and formulas in the same order."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")  # "well-posed" is "well posed", but 3-2 is no 3 2
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+|[^\w\s]")
_OPERATORS = frozenset("-*/%\\@#&<>=+^|~$")
_MARKS = re.compile("[\u0300-\u036f]+")  # what NFKD takes off Latin letters
_TYPOGRAPHY = tuple(zip("−‐‑–—’_$", "---  '  ", strict=True))


def folded(text: str) -> str:
    """Compatibility forms, letter case and Latin accents taken away."""
    if text.isascii():  # then letter case is all that there is
        text = text.lower()
    else:
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = unicodedata.normalize("NFKC", _MARKS.sub("", text))
    for mark, plain in _TYPOGRAPHY:  # ten times as fast as str.translate
        text = text.replace(mark, plain)
    return text


def text_key(text: str) -> str:
    """Words, numbers and operators in their order, one space between; punctuation, case and spacing do not count."""
    found = _TOKEN.findall(_HYPHEN.sub(" ", folded(text)))
    return " ".join([token for token in found if len(token) > 1 or token.isalnum() or _is_operator(token)])


@cache
def _is_operator(mark: str) -> bool:
    return mark in _OPERATORS or unicodedata.category(mark).startswith("S")
