"""Problem families of Chemistry."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int

_family = partial(Family, "Chemistry")


def carbon_share(c: int, h: int, o: int) -> Fraction:
    carbon = c * Fraction("12.011")
    return 100 * carbon / (carbon + h * Fraction("1.008") + o * Fraction("15.999"))


def nernst(e: Fraction, n: int, q: Fraction) -> float:
    return float(e) - 8.314462 * 298.15 / (n * 96485.332) * math.log(float(q))


def arrhenius(e: Fraction, s: int, t: int) -> float:
    return math.exp(float(e) * 1000 / 8.314462 * (1 / (273.15 + s) - 1 / (273.15 + t)))


def buffer(p: Fraction, a: Fraction, b: Fraction) -> float:
    return float(p) + math.log10(float(b) / float(a))


FAMILIES = (
    _family(
        "buffer",
        "A buffer contains {a} mol of a weak acid with pKa {p} and {b} mol of its conjugate base.",
        "the pH by the Henderson–Hasselbalch equation",
        {"a": Dec("0.050", "0.900", 3), "p": Dec("3.00", "9.50", 2), "b": Dec("0.050", "0.900", 3)},
        buffer,
        "Add the logarithm of the ratio of base to acid to the pKa.",
        "decimal",
        3,
    ),
    _family(
        "gas_pressure",
        "A rigid vessel of {v} L holds {n} mol of an ideal gas at {t} K; take R = 0.082057 L atm/(mol K).",
        "the pressure of the gas",
        {"v": Dec("1.00", "60.00", 2), "n": Dec("0.100", "5.000", 3), "t": Int(220, 900)},
        lambda v, n, t: n * Fraction("0.082057") * t / v,
        "The ideal gas law, solved for the pressure.",
        "decimal",
        3,
        "atm",
    ),
    _family(
        "blend",
        "Two solutions of one solute are blended, with volumes taken as additive: {a} mL at {c} mol/L and {b} mL "
        "at {d} mol/L.",
        "the concentration of the blend",
        {"a": Int(20, 900), "c": Dec("0.050", "2.500", 3), "b": Int(20, 900), "d": Dec("0.050", "2.500", 3)},
        lambda a, c, b, d: (a * c + b * d) / (a + b),
        "Amounts add, and so do volumes.",
        "decimal",
        4,
        "mol/L",
    ),
    _family(
        "nernst",
        "A galvanic cell with standard potential {e} V transfers {n} electrons per formula turnover and works at "
        "298.15 K with reaction quotient {q}; take R = 8.314462 J/(mol K) and F = 96485.332 C/mol.",
        "the cell potential",
        {"e": Dec("0.300", "2.800", 3), "n": Int(1, 6), "q": Dec("0.0010", "9.5000", 4)},
        nernst,
        "The Nernst equation.",
        "decimal",
        4,
        "V",
    ),
    _family(
        "first_order",
        "A reactant decays in a first-order reaction with rate constant {k} per minute from an initial "
        "concentration of {c} mol/L.",
        "the concentration after {t} minutes",
        {"k": Dec("0.0100", "0.0900", 4), "c": Dec("0.500", "4.000", 3), "t": Int(3, 40)},
        lambda k, c, t: float(c) * math.exp(-float(k) * t),
        "The integrated first-order law.",
        "decimal",
        4,
        "mol/L",
    ),
    _family(
        "carbon_share",
        "A compound has the molecular formula with {c} carbon, {h} hydrogen and {o} oxygen atoms; the atomic "
        "masses are 12.011, 1.008 and 15.999.",
        "the mass percentage of carbon",
        {"c": Int(4, 60), "h": Int(4, 99), "o": Int(1, 20)},
        carbon_share,
        "The mass of carbon over the molar mass.",
        "decimal",
        2,
        "%",
    ),
    _family(
        "arrhenius",
        "A reaction with an activation energy of {e} kJ/mol is warmed from {s} °C to {t} °C; take R = 8.314462 "
        "J/(mol K) and 0 °C = 273.15 K.",
        "the factor by which its rate constant grows",
        {"e": Dec("30.0", "110.0", 1), "s": Int(5, 30), "t": Int(31, 75)},
        arrhenius,
        "The ratio of two Arrhenius factors.",
        "decimal",
        3,
    ),
    _family(
        "titration",
        "A sample of {v} mL of sulfuric acid needs {b} mL of sodium hydroxide solution of {c} mol/L until both "
        "protons are neutralised.",
        "the concentration of the acid",
        {"v": Dec("5.00", "50.00", 2), "b": Dec("4.00", "45.00", 2), "c": Dec("0.0500", "0.5000", 4)},
        lambda v, b, c: b * c / (2 * v),
        "Two moles of base neutralise one of the acid.",
        "decimal",
        5,
        "mol/L",
    ),
)
