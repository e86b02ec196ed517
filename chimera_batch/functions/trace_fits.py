"""How much of a problem its trace speaks of: the trace of another problem may end with the right answer."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from chimera_batch.functions.text_key import folded

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]{4,}")
_STEM = 5  # letters by which two forms of a word are one
_COMMON = frozenset({"0", "1", "2", "3", "4", "10", "100"})
_FEWEST = 6  # marks: of a shorter problem one cannot tell
_BEGINNING, _END = 4_000, 2_000  # characters: in between, a long trace has used most words of its field


def trace_fits(question: str, trace: str) -> float:
    """The share, 0 to 1, of the problem's numbers and telling words that the trace mentions; 1 where there are few.

    A trace says at its beginning what it is about, so only that and its end are read. Words count by their first
    letters, words that any problem may hold do not count, and numbers count by their digits.
    """
    wanted = _marks(question)
    if len(wanted) < _FEWEST:
        return 1.0
    beginning = max(_BEGINNING, 3 * len(question))
    read = trace if len(trace) <= beginning + _END else f"{trace[:beginning]} {trace[-_END:]}"
    return len(wanted & _marks(read)) / len(wanted)


def _marks(text: str) -> frozenset[str]:
    plain = folded(text)
    numbers = {digits for found in _NUMBER.findall(plain) if (digits := _digits(found)) not in _COMMON}
    words = {stem for found in set(_WORD.findall(plain)) if (stem := found[:_STEM]) not in _everyday()}
    return frozenset(numbers | words)


def _digits(number: str) -> str:
    """1,000 and 1000 are one number, and 2.50 is 2.5."""
    whole, dot, part = number.replace(",", "").partition(".")
    part = part.rstrip("0")
    return f"{whole.lstrip('0') or '0'}.{part}" if dot and part else whole.lstrip("0") or "0"


@cache
def _everyday() -> frozenset[str]:
    """The beginnings of the words that problems have in common."""
    lines = resources.files("chimera_batch.functions").joinpath("everyday.txt").read_text("utf-8").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    return frozenset(word[:_STEM] for word in words)
