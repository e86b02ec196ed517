"""The rules that decide whether two answers are the same: exact, by number, element by element, as expressions.

Rules are trusted when they say yes (about 99 % precise) and not when they say no (they miss one match in seven): what
they cannot decide is ``unsure``. ``no`` is said of two plain numbers that clearly differ, and of an empty answer.
"""

from __future__ import annotations

import re

from chimera_batch.functions.answering.amounts import compared_amounts
from chimera_batch.functions.answering.elements import bare, elements
from chimera_batch.functions.answering.finding import UNDECIDED, Finding, short
from chimera_batch.functions.answering.latex import plain
from chimera_batch.functions.answering.mathtext import comparable, latex
from chimera_batch.functions.answering.quantity import quantity
from chimera_batch.functions.answering.symbolic import same_expression

_ATOM = r"\|?\\?[A-Za-z]{1,12}'{0,2}(?:_(?:\{[^{}]{1,12}\}|\w))?(?:\([^()=]{1,12}\))?\|?"
_NAME = rf"(?:{_ATOM}(?::{_ATOM})?|\\frac\{{{_ATOM}\}}\{{{_ATOM}\}}|\({_ATOM}(?:[,;]{_ATOM}){{1,7}}\))"
_NAMED = re.compile(rf"({_NAME})\s*[=≈∈](?!=)")
_RELATION = re.compile(r"[=≈∈<>≤≥≠]")
_COMMA = re.compile(r"-?(?:0,\d+|\d+,(?!\d{3}$)\d+)")  # 1,234 may be a thousand
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[ -][^\W\d_]+)*")
_DEEPEST = 4  # lists in lists
_FEW = 8  # elements of a set that are tried in any order as expressions


def by_rules(reference: str, candidate: str) -> Finding:
    """Symmetric, except that an empty candidate is ``no``, and that 12 may stand for a reference of 12 %."""
    one, other = _unnamed(plain(reference), plain(candidate))
    if not one or not other:
        return Finding("no", "none", "the candidate is empty") if one else UNDECIDED
    return _compare(one, other, depth=0)


def _compare(one: str, other: str, depth: int, expressions: bool = True) -> Finding:
    if one == other:
        return Finding("yes", "exact", short(one))
    if _WORDS.fullmatch(one) and one.casefold() == other.casefold():
        return Finding("yes", "text", f"{short(other)} = {short(one)}")
    if (_COMMA.fullmatch(one) or _COMMA.fullmatch(other)) and one.replace(",", ".") == other.replace(",", "."):
        return Finding("yes", "number", f"{short(other)} = {short(one)}")  # the decimal comma
    first, second = quantity(one), quantity(other)
    if first and second:
        return compared_amounts((first, one), (second, other))
    found = _lists(one, other, depth + 1) if depth < _DEEPEST else UNDECIDED
    if found is not None:
        return found
    slack = next((item.slack for item in (first, second) if item), 0)
    return _expressions(one, other, float(slack)) if expressions else UNDECIDED


def _expressions(one: str, other: str, slack: float) -> Finding:
    left, right = latex(one), latex(other)
    if comparable(left, right) and same_expression(left, right, slack):
        return Finding("yes", "symbolic", f"{short(other)} = {short(one)}")
    return UNDECIDED


def _unnamed(one: str, other: str) -> tuple[str, str]:
    """Without "x =" in front, unless the two name different things."""
    first, second = _NAMED.match(one), _NAMED.match(other)
    if first and second and first[1] != second[1]:
        return one, other
    if bool(first) != bool(second) and _RELATION.search(other if first else one):
        return one, other  # y = 1 - x and x + y = 1
    return _behind(one, first), _behind(other, second)


def _behind(text: str, name: re.Match[str] | None) -> str:
    """What stands behind a name's sign; all of it where that is nothing, or an equation of its own."""
    value = text[name.end() :].strip() if name else ""
    return bare(text if not value or "=" in value or "≈" in value else value)


def _lists(one: str, other: str, depth: int) -> Finding | None:
    """Lists match element by element in their order, sets in any order. None where one is no list."""
    first, second = elements(one), elements(other)
    if not first or not second:
        numbers = (first and quantity(other)) or (second and quantity(one))
        return UNDECIDED if numbers else None
    (bracket, left), (their_bracket, right) = first, second
    if not bracket and not their_bracket and _unordered(bracket, left):
        left, right = _once(left), _once(right)
    if len(left) != len(right):
        return None if "\\pm" in one + other or "±" in one + other else UNDECIDED
    unordered = _unordered(bracket, left) or _unordered(their_bracket, right)
    if bracket != their_bracket and not (
        "" in {bracket, their_bracket} and (unordered or "(" in {bracket, their_bracket})
    ):
        return UNDECIDED
    method = "set" if unordered else "list"
    if _paired(left, right, depth) if unordered else _in_order(left, right, depth):
        return Finding("yes", method, f"{len(left)} elements agree")
    stray = _stray(left, right)
    return Finding("no", method, f"{short(stray)} is none of {short(other)}") if stray else UNDECIDED


def _once(items: list[str]) -> list[str]:
    """Each solution once, also if it is named twice."""
    return list({item.replace(";", ","): item for item in items}.values())


def _stray(left: list[str], right: list[str]) -> str | None:
    """A number of the reference that clearly differs from every element of a candidate which is numbers alone."""
    ours = [(item, text) for text in left if (item := quantity(_behind(text, _NAMED.match(text))))]
    theirs = [(item, text) for text in right if (item := quantity(_behind(text, _NAMED.match(text))))]
    if len(theirs) < len(right) or len(ours) < len(left):
        return None
    return next((one[1] for one in ours if all(compared_amounts(one, other).verdict == "no" for other in theirs)), None)


def _unordered(bracket: str, items: list[str]) -> bool:
    """A set, or solutions that are tuples: their order says nothing."""
    return bracket == "\\{" or (not bracket and all(item.startswith("(") for item in items))


def _in_order(left: list[str], right: list[str], depth: int) -> bool:
    return all(_matches(a, b, depth) for a, b in zip(left, right, strict=True))


def _paired(left: list[str], right: list[str], depth: int) -> bool:
    """Whether each element of one set has a partner of its own in the other."""
    waiting, few = list(right), len(left) <= _FEW
    for item in left:
        partner = next((place for place, taken in enumerate(waiting) if _matches(item, taken, depth, few)), None)
        if partner is None:
            return False
        del waiting[partner]
    return True


def _matches(one: str, other: str, depth: int, expressions: bool = True) -> bool:
    first, second = _unnamed(one, other)
    return bool(first and second) and _compare(first, second, depth, expressions).verdict == "yes"
