"""Problem families of Physics."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int

_family = partial(Family, "Physics")
_GM = 398600.44  # km³/s², the Earth's, as the statement gives it


def period(h: int) -> float:
    return 2 * math.pi * math.sqrt((6371.0 + h) ** 3 / _GM) / 60


def fall(h: Fraction, v: Fraction) -> float:
    return float(v) * math.sqrt(2 * float(h) / 9.81)


def mixing(a: int, s: Fraction, b: int, t: Fraction, r: Fraction) -> Fraction:
    return (a * s + b * r * t) / (a + b * r)


def discharge(v: Fraction, r: Fraction, c: Fraction, t: Fraction) -> float:
    return float(v) * math.exp(-float(t) / (float(r) * float(c)))


def flight(b: Fraction, t: Fraction) -> float:
    """Kilometres that a particle of proper lifetime t µs covers at b times the speed of light."""
    return float(b) * 0.299792458 * float(t) / math.sqrt(1 - float(b) ** 2)


FAMILIES = (
    _family(
        "fall",
        "From a platform {h} m above level ground, a ball leaves horizontally at {v} m/s; air is neglected and "
        "g = 9.81 m/s².",
        "the horizontal distance at which the ball lands",
        {"h": Dec("2.0", "90.0", 1), "v": Dec("3.0", "45.0", 1)},
        fall,
        "The time of fall follows from the height; the horizontal speed stays.",
        "decimal",
        2,
        "m",
    ),
    _family(
        "mixing",
        "An insulated vessel holds {a} g of water at {s} °C, and {b} g of a metal at {t} °C is dropped in; the "
        "metal's specific heat is {r} times that of water.",
        "the final common temperature",
        {
            "a": Int(150, 900),
            "s": Dec("8.0", "25.0", 1),
            "b": Int(50, 400),
            "t": Dec("80.0", "250.0", 1),
            "r": Dec("0.080", "0.250", 3),
        },
        mixing,
        "The heat that the metal gives is the heat that the water takes.",
        "decimal",
        2,
        "°C",
    ),
    _family(
        "lens",
        "A thin converging lens of focal length {f} mm forms a real image of an object that stands {u} mm in front "
        "of it.",
        "the distance of the image behind the lens",
        {"f": Int(20, 200), "u": Int(240, 1500)},
        lambda f, u: Fraction(f * u, u - f),
        "The lens equation, solved for the image.",
        "decimal",
        2,
        "mm",
    ),
    _family(
        "discharge",
        "A capacitor of {c} µF is charged to {v} V and then discharges through a resistor of {r} kΩ.",
        "the voltage {t} ms after the discharge begins",
        {
            "c": Dec("1.0", "47.0", 1),
            "v": Dec("5.0", "60.0", 1),
            "r": Dec("1.0", "22.0", 1),
            "t": Dec("1.0", "40.0", 1),
        },
        discharge,
        "The voltage decays exponentially with the time constant RC.",
        "decimal",
        3,
        "V",
    ),
    _family(
        "collision",
        "On a frictionless track a glider of {m} g moving at {v} m/s meets a glider of {n} g at rest, and the "
        "collision is perfectly elastic.",
        "the velocity of the second glider afterwards",
        {"m": Int(80, 900), "v": Dec("0.30", "4.00", 2), "n": Int(80, 900)},
        lambda m, v, n: 2 * m * v / (m + n),
        "Momentum and kinetic energy are both conserved.",
        "decimal",
        3,
        "m/s",
    ),
    _family(
        "period",
        "A satellite circles a spherical Earth of radius 6371 km at an altitude of {h} km; take GM = 398600.44 km³/s².",
        "the period of its circular orbit",
        {"h": Int(180, 36000)},
        period,
        "Kepler's third law with the radius of the orbit.",
        "decimal",
        2,
        "min",
    ),
    _family(
        "flight",
        "An unstable particle with a proper mean lifetime of {t} µs travels at {b} times the speed of light, "
        "which is 0.299792458 km/µs.",
        "the mean distance that it covers in the laboratory",
        {"t": Dec("1.00", "30.00", 2), "b": Dec("0.500", "0.995", 3)},
        flight,
        "Time dilation stretches the lifetime.",
        "decimal",
        3,
        "km",
    ),
    _family(
        "doppler",
        "A siren emits {f} Hz while it approaches an observer at {w} m/s, and the observer moves towards it at "
        "{v} m/s; sound travels at 343 m/s.",
        "the frequency that the observer hears",
        {"f": Int(200, 2000), "w": Int(5, 60), "v": Int(1, 40)},
        lambda f, w, v: Fraction(f * (343 + v), 343 - w),
        "The Doppler shift for two moving ends.",
        "decimal",
        2,
        "Hz",
    ),
)
