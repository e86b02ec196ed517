"""One number as people state it: value, precision, unit. Exact arithmetic, no evaluation of anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from chimera_batch.functions.answering.latex import plain

_DIGITS = r"\d+(?:\.\d*)?|\.\d+"
_GROUPED = r"\d{1,3}(?:(?:,|\{,\}| )\d{3})+(?:\.\d+)?"
_POWER = r"(?:[eE](?P<e>[+-]?\d{1,4})|\*10\^(?:\{\s*(?P<braced>[+-]?\d{1,4})\s*\}|(?P<bare>[+-]?\d{1,4})))"
_DECIMAL = re.compile(rf"(?P<sign>[+-]?)(?P<number>{_GROUPED}|{_DIGITS}){_POWER}?")
_BARE = re.compile(r"([+-]?[0-9]{1,30})(?:\.([0-9]{1,30}))?")
_TEN = re.compile(r"(?P<sign>[+-]?)10\^(?:\{\s*(?P<braced>[+-]?\d{1,4})\s*\}|(?P<bare>[+-]\d{1,4}|\d{1,4}))")
_FRACTION = re.compile(
    r"(?P<sign>[+-]?)(?:\\frac\{\s*(?P<top>-?\d{1,60})\s*\}\{\s*(?P<bottom>\d{1,60})\s*\}|(?P<over>\d{1,60})/(?P<under>\d{1,60}))"
)
_LETTERS = r"[A-Za-zµΩÅ°€]{1,16}(?:\^(?:-?\d|\{-?\d{1,2}\}))?"
_UNIT = re.compile(rf"(?:%| ?{_LETTERS}(?:(?: ?[*/] ?| ){_LETTERS}){{0,5}})?")
_UNITS = re.compile(
    r"(?:[fpnµumckMGTdh]?(?:m|s|g|Hz|J|eV|K|Pa|N|W|V|A|T|C|F|H|L|l|mol|M|cal|Wb|bar|B|b|bit|bits|bytes)|Å|Ω|°|°C|°F|%|rad|sr"
    r"|deg|degrees?|min|minutes?|h|hours?|d|days?|yr|years?|sec|seconds?|met(?:er|re)s?|grams?|joules?|newtons?|watts?|volts?"
    r"|kelvin|moles?|atm|ppm|dollars?|USD|units?)(?:\^(?:-?\d|\{-?\d\}))?"
)
_LARGEST = 400  # powers of ten: nothing in nature is larger, and 10^999999999 must not be computed
_LONGEST = 120  # characters of a number


@dataclass(frozen=True, slots=True)
class Quantity:
    value: Fraction  # 12 for "12%": the sign is in the unit
    slack: Fraction  # half a unit in the last stated place; 0 for integers and fractions, which are exact
    unit: str  # without spaces; "" where none is stated
    measured: bool  # the unit is one of measurement, set apart from the number, and no variable: 5 m, not 5m or 5x
    spelt: str  # the unit as it stands there

    @property
    def exact(self) -> bool:
        return self.slack == 0


def bare_number(text: str) -> Quantity | None:
    """What ``quantity`` makes of a number without any decoration, much faster; None of everything else."""
    found = _BARE.fullmatch(text)
    if found is None:
        return None
    whole, part = found[1], found[2] or ""
    slack = Fraction(1, 2 * 10 ** len(part)) if part else Fraction(0)
    return Quantity(Fraction(int(whole + part), 10 ** len(part)), slack, "", False, "")


def quantity(text: str) -> Quantity | None:
    """The number that the text is, or None where it is anything more than one number with an optional unit."""
    text = plain(text).lstrip("≈").strip()
    if not text or len(text) > _LONGEST or not text.isprintable():
        return None
    for pattern, read in ((_FRACTION, _fraction), (_TEN, _ten), (_DECIMAL, _decimal)):
        found = pattern.match(text)
        unit = _UNIT.fullmatch(text, found.end()) if found else None
        if found and unit:
            measured = _measured(unit[0], found[0])
            if pattern is _FRACTION and found["under"] and unit[0] and not measured:
                return None  # 1/2x: x/2 to some and 1/(2x) to others
            value = read(found)
            return Quantity(*value, unit[0].replace(" ", ""), measured, unit[0].strip()) if value else None
    return None


def _measured(unit: str, number: str) -> bool:
    """Whether it is a unit and no variable: by what it is called, and by being set apart from the number."""
    apart = unit.startswith(" ") or unit[:1] in {"%", "°", "µ", "Å", "Ω"} or (number.endswith("}") and len(unit) > 2)
    return apart and all(_UNITS.fullmatch(part) for part in re.split(r"[*/ ]", unit.strip()) if part)


def _fraction(found: re.Match[str]) -> tuple[Fraction, Fraction] | None:
    bottom = int(found["bottom"] or found["under"])
    if bottom == 0:
        return None
    return _signed(found, Fraction(int(found["top"] or found["over"]), bottom)), Fraction(0)


def _ten(found: re.Match[str]) -> tuple[Fraction, Fraction] | None:
    power = int(found["braced"] or found["bare"])
    return (_signed(found, Fraction(10) ** power), Fraction(0)) if abs(power) <= _LARGEST else None


def _decimal(found: re.Match[str]) -> tuple[Fraction, Fraction] | None:
    digits = found["number"].replace("{,}", "").replace(",", "").replace(" ", "")
    power = int(found["e"] or found["braced"] or found["bare"] or 0)
    if abs(power) > _LARGEST:
        return None
    scientific = any(found[name] for name in ("e", "braced", "bare"))
    places = len(digits.partition(".")[2])
    exact = places == 0 and not scientific
    slack = Fraction(0) if exact else Fraction(1, 2) / 10**places * Fraction(10) ** power
    return _signed(found, Fraction(digits) * Fraction(10) ** power), slack


def _signed(found: re.Match[str], value: Fraction) -> Fraction:
    return -value if found["sign"] == "-" else value
