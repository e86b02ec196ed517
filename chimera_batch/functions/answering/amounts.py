"""Whether two quantities are the same: within the precision that they state, in whatever units."""

from __future__ import annotations

from fractions import Fraction

from chimera_batch.functions.answering.finding import UNDECIDED, Finding, Verdict, ratio, short
from chimera_batch.functions.answering.quantity import Quantity
from chimera_batch.functions.answering.units import in_base_units

_CLOSE = Fraction(1, 1000)  # relative; besides, the difference must be within the precision that the two state
_FAR = Fraction(1, 100)
_CONVERTED = Fraction(1, 10**9)  # relative: what a conversion factor may be off by
_WHOLE_PERCENT = Fraction(3, 2)  # from here on nobody means the hundredfold by leaving "%" out


def compared_amounts(one: tuple[Quantity, str], other: tuple[Quantity, str]) -> Finding:
    """The verdict on two numbers, each with its text; "one" is the reference's."""
    verdict = _verdict(one[0], other[0])
    method = "number" if one[0].unit == other[0].unit else "unit"
    if verdict == "yes":
        return Finding("yes", method, f"{short(other[1])} = {short(one[1])}")
    if verdict == "unsure" and (method == "unit" or not one[0].value or not other[0].value):
        return UNDECIDED
    times = ratio(other[0].value, one[0].value) if method == "number" else "another value"
    evidence = f"{short(other[1])} vs {short(one[1])}: {times}"
    if verdict == "no":
        return Finding("no", method, evidence)
    return Finding("unsure", "scale" if _rescaled(one[0].value, other[0].value, _FAR) else "digits", evidence)


def _verdict(one: Quantity, other: Quantity) -> Verdict:
    if one.unit != other.unit:
        return _percentages(one, other) if "%" in {one.unit, other.unit} else _across_units(one, other)
    if _same(one.value, one.slack, other.value, other.slack):
        return "yes"
    return "no" if _clearly_differ(one, other) else "unsure"


def _percentages(one: Quantity, other: Quantity) -> Verdict:
    """12 % is 0.12, and 12 where 12 % is the reference."""
    if one.unit and other.unit:
        return "unsure"
    if one.unit and one.value > _WHOLE_PERCENT and _same(one.value, one.slack, other.value, other.slack):
        return "yes"
    first, second = (_percent(item) for item in (one, other))
    return "yes" if _same(*first, *second) else "unsure"


def _percent(item: Quantity) -> tuple[Fraction, Fraction]:
    scale = 100 if item.unit == "%" else 1
    return item.value / scale, item.slack / scale


def _across_units(one: Quantity, other: Quantity) -> Verdict:
    """5 m is the 5 that was asked for in metres; 5 cm is 0.05 m; 5 m is nothing that a rule could hold against 5 s."""
    if not one.unit or not other.unit:
        bare = (not one.unit and other.measured) or (not other.unit and one.measured)
        return "yes" if bare and _same(one.value, one.slack, other.value, other.slack) else "unsure"
    first, second = (in_base_units(item) if item.measured else None for item in (one, other))
    if first is None or second is None or first.unit != second.unit:
        return "unsure"
    room = max(first.slack + second.slack, _CONVERTED * max(abs(first.value), abs(second.value)))
    if _same(first.value, room, second.value, Fraction(0)):
        return "yes"
    return "no" if _far(first, second) else "unsure"


def _same(one: Fraction, slack: Fraction, other: Fraction, other_slack: Fraction) -> bool:
    """Within the precision that both state, and within one part in a thousand: 3.14 is π to 3.14159, 3 is not."""
    difference = abs(one - other)
    return difference <= slack + other_slack and difference <= _CLOSE * max(abs(one), abs(other))


def _clearly_differ(one: Quantity, other: Quantity) -> bool:
    if one.exact and other.exact:
        return not _rescaled(one.value, other.value, Fraction(0))
    if one.value == 0 or other.value == 0:
        return max(abs(one.value), abs(other.value)) > _CLOSE  # below that, somebody's rounding error
    return _far(one, other) and not _rescaled(one.value, other.value, _FAR)


def _far(one: Quantity, other: Quantity) -> bool:
    difference = abs(one.value - other.value)
    return difference > max(one.slack + other.slack, _FAR * max(abs(one.value), abs(other.value)))


def _rescaled(one: Fraction, other: Fraction, tolerance: Fraction) -> bool:
    """The same digits at another power of ten: probably another unit, so not for a rule to decide."""
    small, large = sorted((abs(one), abs(other)))
    if small in {0, large}:
        return False
    ratio, tens = large / small, 0
    while ratio > 3:
        ratio, tens = ratio / 10, tens + 1
    return tens > 0 and abs(ratio - 1) <= tolerance
