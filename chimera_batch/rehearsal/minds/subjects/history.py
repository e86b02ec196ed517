"""Problem families of History: calendars, populations, prices, coin and supply."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints, Pick

_family = partial(Family, "History")
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_YEAR = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MONTH = Pick(_YEAR, blank="some month of")


def on(day: int, month: str, year: int) -> date:
    return date(year, _YEAR.index(month) + 1, day)


def laspeyres(q: tuple[int, ...], p: tuple[int, ...], n: tuple[int, ...]) -> Fraction:
    then = sum(a * b for a, b in zip(q, p, strict=True))
    now = sum(a * b for a, b in zip(q, n, strict=True))
    return Fraction(100 * now, then)


def siege(s: int, n: int, r: int, d: int, m: int) -> int:
    """Whole days that s tonnes last when m more eaters of r grams a day arrive after d days."""
    left = s * 10**6 - n * r * d
    return d + left // ((n + m) * r)


FAMILIES = (
    _family(
        "weekday",
        "A dispatch from a diplomatic archive carries the new-style date {d} {m} {y}.",
        "the day of the week of that date",
        {"d": Int(1, 28), "m": _MONTH, "y": Int(1600, 1990)},
        lambda d, m, y: _WEEK[on(d, m, y).weekday()],
        "Count days from a known date, modulo seven.",
        "text",
    ),
    _family(
        "interval",
        "A treaty was signed on {d} {m} {y} and lapsed on {e} {n} {z}, both dates in the Gregorian calendar.",
        "the number of days from the first date to the second",
        {"d": Int(1, 28), "m": _MONTH, "y": Int(1590, 1750), "e": Int(1, 28), "n": _MONTH, "z": Int(1760, 1980)},
        lambda d, m, y, e, n, z: (on(e, n, z) - on(d, m, y)).days,
        "Count whole years with their leap days first.",
    ),
    _family(
        "population",
        "A parish register implies {n} inhabitants in one year and a constant natural increase of {r} percent "
        "a year, while {e} people emigrate at the end of every year.",
        "the number of inhabitants after {t} years that this model gives",
        {"n": Int(2000, 30000), "r": Dec("0.40", "2.50", 2), "e": Int(1, 30), "t": Int(8, 60)},
        lambda n, r, e, t: n * (1 + r / 100) ** t - e * ((1 + r / 100) ** t - 1) / (r / 100),
        "A geometric series takes the emigrants away.",
        "decimal",
        2,
    ),
    _family(
        "laspeyres",
        "A household account lists {q} units of rye, candles and cloth; a unit of each cost {p} pence in the "
        "base year and {n} pence in the later year, in this order.",
        "the Laspeyres price index of the later year, with 100 for the base year",
        {"q": Ints(3, 2, 60), "p": Ints(3, 3, 90), "n": Ints(3, 5, 140)},
        laspeyres,
        "Price the old basket at both sets of prices.",
        "decimal",
        2,
    ),
    _family(
        "debasement",
        "A mint strikes {n} coins from a mark of {g} grams of metal; a reform raises this to {m} coins and "
        "lowers the fineness from {a} to {b} parts per thousand.",
        "the silver that each coin loses",
        {"n": Int(60, 120), "g": Dec("230.0", "250.0", 1), "m": Int(121, 260), "a": Int(700, 958), "b": Int(200, 690)},
        lambda n, g, m, a, b: g * (Fraction(a, 1000 * n) - Fraction(b, 1000 * m)),
        "Silver per coin before, less after.",
        "decimal",
        4,
        "g",
    ),
    _family(
        "siege",
        "A fortress stores {s} tonnes of flour for {n} people who each eat {r} grams a day; after {d} days a relief "
        "force of {m} people enters and eats at the same rate.",
        "the number of whole days, counted from the start, for which everyone can be fed",
        {"s": Int(200, 900), "n": Int(500, 2000), "r": Int(400, 900), "d": Int(10, 60), "m": Int(50, 900)},
        siege,
        "Take away what is eaten before the relief and divide the rest.",
    ),
    _family(
        "exchange_bill",
        "A merchant buys a bill for {a} groats that pays {b} groats after {m} months, with no other charge.",
        "the implied compound interest per year in percent",
        {"a": Int(4000, 9000), "b": Int(9050, 9900), "m": Int(2, 18)},
        lambda a, b, m: ((b / a) ** (12 / m) - 1) * 100,
        "Raise the ratio to the twelve-over-months power.",
        "decimal",
        2,
    ),
)
