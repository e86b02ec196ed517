"""The rules that decide in process whether two answers are the same: exact, by number, element by element.

Rules are trusted when they say yes (about 99 % precise) and not when they say no (they miss one match in seven): what
they cannot decide is ``unsure``. ``no`` is said of two plain numbers that clearly differ, and of an empty answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from chimera_batch.functions.finding import UNDECIDED, Finding, Verdict, ratio, short
from chimera_batch.functions.latex import plain
from chimera_batch.functions.quantity import Quantity, quantity

_CLOSE = Fraction(1, 1000)  # relative; besides, the difference must be within the precision that the two state
_FAR = Fraction(1, 100)
_MOST = 64  # elements of a list
_NAMED = re.compile(r"([A-Za-z]\w{0,11}(?:_\{\w{1,11}\})?)\s*[=≈](?!=)")
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[ -][^\W\d_]+)*")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}


def by_rules(reference: str, candidate: str) -> Finding:
    """Symmetric, except that an empty candidate is ``no`` and an empty reference ``unsure``."""
    one, other = _unnamed(plain(reference), plain(candidate))
    if not one or not other:
        return Finding("no", "none", "the candidate is empty") if one else UNDECIDED
    return _compare(one, other, depth=0)


def _compare(one: str, other: str, depth: int) -> Finding:
    if one == other:
        return Finding("yes", "exact", short(one))
    if _WORDS.fullmatch(one) and one.casefold() == other.casefold():
        return Finding("yes", "text", f"{short(other)} = {short(one)}")
    first, second = quantity(one), quantity(other)
    if first and second:
        return _shown(_numbers(first, second), (first, one), (second, other))
    if depth < 4 and not (first or second):
        return _lists(one, other, depth + 1)
    return UNDECIDED


def _shown(verdict: Verdict, one: tuple[Quantity, str], other: tuple[Quantity, str]) -> Finding:
    """The verdict on two numbers with its evidence; "one" is the reference's."""
    if verdict == "unsure":
        return UNDECIDED
    method = "number" if one[0].unit == other[0].unit else "unit"
    if verdict == "yes":
        return Finding("yes", method, f"{short(other[1])} = {short(one[1])}")
    return Finding("no", method, f"{short(other[1])} vs {short(one[1])}: {ratio(other[0].value, one[0].value)}")


def _numbers(one: Quantity, other: Quantity) -> Verdict:
    if one.unit != other.unit:
        return _across_units(one, other)
    if _same(one.value, one.slack, other.value, other.slack):
        return "yes"
    return "no" if _clearly_differ(one, other) else "unsure"


def _across_units(one: Quantity, other: Quantity) -> Verdict:
    """12 % is 0.12; 5 m is the 5 that was asked for in metres; cm against m is for a judge."""
    if "%" in {one.unit, other.unit}:
        if one.unit and other.unit:
            return "unsure"
        first, second = (_percent(item) for item in (one, other))
        return "yes" if _same(*first, *second) else "unsure"
    bare = (not one.unit and other.measured) or (not other.unit and one.measured)
    return "yes" if bare and _same(one.value, one.slack, other.value, other.slack) else "unsure"


def _percent(item: Quantity) -> tuple[Fraction, Fraction]:
    scale = 100 if item.unit == "%" else 1
    return item.value / scale, item.slack / scale


def _same(one: Fraction, slack: Fraction, other: Fraction, other_slack: Fraction) -> bool:
    """Within the precision that both state, and within one part in a thousand: 3.14 is π to 3.14159, 3 is not."""
    difference = abs(one - other)
    return difference <= slack + other_slack and difference <= _CLOSE * max(abs(one), abs(other))


def _clearly_differ(one: Quantity, other: Quantity) -> bool:
    if one.exact and other.exact:
        return not _rescaled(one.value, other.value, Fraction(0))
    if one.value == 0 or other.value == 0:
        return max(abs(one.value), abs(other.value)) > _CLOSE  # below that, somebody's rounding error
    difference = abs(one.value - other.value)
    far = difference > max(one.slack + other.slack, _FAR * max(abs(one.value), abs(other.value)))
    return far and not _rescaled(one.value, other.value, _FAR)


def _rescaled(one: Fraction, other: Fraction, tolerance: Fraction) -> bool:
    """The same digits at another power of ten: probably another unit, so not for a rule to decide."""
    small, large = sorted((abs(one), abs(other)))
    if small in {0, large}:
        return False
    ratio, tens = large / small, 0
    while ratio > 3:
        ratio, tens = ratio / 10, tens + 1
    return tens > 0 and abs(ratio - 1) <= tolerance


def _unnamed(one: str, other: str) -> tuple[str, str]:
    """Without "x =" in front, unless the two name different things."""
    first, second = _NAMED.match(one), _NAMED.match(other)
    if first and second and first[1] != second[1]:
        return one, other
    return _behind(one, first), _behind(other, second)


def _behind(text: str, name: re.Match[str] | None) -> str:
    """What stands behind a name's sign; all of it where that is nothing."""
    return (text[name.end() :].strip() if name else "") or text


def _lists(one: str, other: str, depth: int) -> Finding:
    """Lists match element by element in their order, sets in any order. Never ``no``."""
    first, second = _elements(one), _elements(other)
    if not first or not second or first[0] != second[0] or len(first[1]) != len(second[1]):
        return UNDECIDED
    left, right = first[1], second[1]
    method = "set" if first[0] == "\\{" else "list"
    if method == "list":
        same = all(_matches(a, b, depth) for a, b in zip(left, right, strict=True))
    else:
        same = _paired(left, right, depth)
    return Finding("yes", method, f"{len(left)} elements agree") if same else UNDECIDED


def _paired(left: list[str], right: list[str], depth: int) -> bool:
    """Whether each element of one set has a partner of its own in the other."""
    waiting = list(right)
    for item in left:
        partner = next((place for place, taken in enumerate(waiting) if _matches(item, taken, depth)), None)
        if partner is None:
            return False
        del waiting[partner]
    return True


def _matches(one: str, other: str, depth: int) -> bool:
    first, second = _unnamed(one, other)
    return bool(first) and _compare(first, second, depth).verdict == "yes"


def _elements(text: str) -> tuple[str, list[str]] | None:
    """The bracket and what stands between its commas; "" for a bare list; None where there is no list."""
    opening = next((mark for mark in ("\\{", "(", "[", "{") if text.startswith(mark)), "")
    if opening and not text.endswith(_BRACKETS[opening]):
        opening = ""
    inside = text[len(opening) : len(text) - len(opening)] if opening else text
    parts = _split(inside)
    if parts is None or len(parts) > _MOST or (not opening and len(parts) == 1):
        return None
    return ("\\{" if opening == "{" else opening), parts


def _split(text: str) -> list[str] | None:
    """At the commas and semicolons outside brackets; None where the brackets do not fit."""
    parts, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            return None
        if letter in ",;" and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()] if depth == 0 else None
