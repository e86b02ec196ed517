"""What a comparison found: the verdict, which stage of it decided, and the two things that it held side by side."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

Verdict = Literal["yes", "no", "unsure"]

_LONGEST = 60  # characters that are shown of one answer


class Finding(NamedTuple):
    """``method``: exact, text, number, unit, list, set, symbolic, parts.

    Of what is unsure: digits, two numbers that are close and yet not the same to the digits that they state; scale,
    the same digits at another power of ten; none, where there was nothing to hold side by side.
    """

    verdict: Verdict
    method: str = "none"
    evidence: str = ""


UNDECIDED = Finding("unsure")


def short(text: str) -> str:
    """An answer on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def ratio(candidate: Fraction, reference: Fraction) -> str:
    """How many times the reference the candidate is, in words that fit one line."""
    if reference == 0:
        return "the reference is 0"
    try:
        return f"ratio {float(candidate / reference):.4g}"
    except OverflowError:
        return "ratio beyond 1e308"
