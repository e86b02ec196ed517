"""Quantities in base units, by pint. Only units that ``quantity`` knows by name get here, never a text of a model."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from chimera_batch.functions.answering.quantity import Quantity

if TYPE_CHECKING:
    import pint

_NAMES = {  # what pint calls otherwise, or takes for something else
    "°": "degree", "deg": "degree", "degrees": "degree", "°C": "degC", "°F": "degF", "Å": "angstrom", "Ω": "ohm",
    "h": "hour", "hours": "hour", "d": "day", "days": "day", "yr": "year", "years": "year", "min": "minute",
    "minutes": "minute", "sec": "second", "seconds": "second", "M": "molar", "mM": "millimolar", "µM": "micromolar",
    "nM": "nanomolar", "B": "byte", "bytes": "byte", "bits": "bit", "L": "liter", "moles": "mole", "rad": "radian",
}  # fmt: skip
_FACTOR = re.compile(r"(?P<name>[^\d^*/ ]+)(?:\^\{?(?P<power>-?\d{1,2})\}?)?")
_UNKNOWN = {"dollar", "dollars", "USD", "unit", "units", "ppm"}


@cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint  # noqa: PLC0415 - a quarter of a second, so only where two units differ

    return pint.UnitRegistry()


def in_base_units(item: Quantity) -> Quantity | None:
    """The same amount in SI base units; None where pint does not know the unit."""
    scale = _scale(item.spelt)
    if scale is None:
        return None
    factor, offset, base = scale
    return Quantity(item.value * factor + offset, item.slack * factor, base, True, base)


@cache
def _scale(unit: str) -> tuple[Fraction, Fraction, str] | None:
    """Factor and offset to base units, and these."""
    import pint  # noqa: PLC0415 - as in _registry

    try:
        spelt = _spelt(unit)
        if spelt is None:
            return None
        registry = _registry()
        zero, one = (registry.Quantity(float(n), spelt).to_base_units() for n in (0, 1))
        offset = Fraction(zero.magnitude)
        return Fraction(one.magnitude) - offset, offset, str(one.units)
    except (pint.PintError, ArithmeticError, ValueError, TypeError, AttributeError):
        return None


def _spelt(unit: str) -> str | None:
    """ "m/s^2" and "J mol^{-1}" as pint writes them; None where a part of it is no unit."""
    pieces: list[str] = []
    sign = 1
    for part in re.split(r"([*/ ])", unit):
        if part in {"*", " ", "/", ""}:
            sign = -1 if part == "/" else sign
            continue
        found = _FACTOR.fullmatch(part)
        if not found or found["name"] in _UNKNOWN:
            return None
        pieces.append(f"{_NAMES.get(found['name'], found['name'])} ** {sign * int(found['power'] or 1)}")
        sign = 1
    return " * ".join(pieces) or None
