"""Problem families of Mathematics."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import comb, gcd

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Int, Pick

_family = partial(Family, "Mathematics")


def recurrence(a: int, b: int, p: int, q: int, n: int, m: int) -> int:
    for _ in range(n):
        a, b = b, (p * b + q * a) % m
    return a % m


def divisors(a: int, b: int, c: int, d: int, e: int) -> int:
    """Divisors of 2^a 3^b 5^c 7^d that 2^e divides and that are no squares."""
    rest = (b + 1) * (c + 1) * (d + 1)
    squares = (b // 2 + 1) * (c // 2 + 1) * (d // 2 + 1)
    return (a - e + 1) * rest - (a // 2 - (e + 1) // 2 + 1) * squares


def one_colour(r: int, g: int, b: int, k: int) -> Fraction:
    return Fraction(comb(r, k) + comb(g, k) + comb(b, k), comb(r + g + b, k))


def power_trace(a: int, b: int, c: int, d: int, n: int) -> int:
    before, now = 2, a + d
    for _ in range(n - 1):
        before, now = now, (a + d) * now - (a * d - b * c) * before
    return now


def fourth_powers(p: int, q: int, r: int) -> int:
    """Newton's identities for the roots of x³ − p x² + q x − r."""
    second = p * p - 2 * q
    third = p * second - q * p + 3 * r
    return p * third - q * second + r * p


def avoiding_paths(m: int, n: int, x: int, y: int, q: int) -> int:
    return (comb(m + n, n) - comb(x + y, x) * comb(m - x + n - y, m - x)) % q


def integral(a: int, b: int, c: int, t: int) -> Fraction:
    return Fraction(a * t**3, 3) + Fraction(b * t**2, 2) + c * t


def remainders(i: str, a: int, j: str, b: int, k: str, c: int) -> int:
    moduli = (int(i), int(j), int(k))
    n = 0
    step = 1
    for modulus, wanted in zip(moduli, (a, b, c), strict=True):
        while n % modulus != wanted % modulus:
            n += step
        step *= modulus
    return n or step


def long_run(a: int, m: int, b: int, n: int) -> Fraction:
    return Fraction(b, n) / (Fraction(a, m) + Fraction(b, n))


def coprime_run(a: int, b: int, n: int) -> int:
    return sum(1 for x in range(a, a + n) if gcd(x, b) == 1)


FAMILIES = (
    _family(
        "recurrence",
        "A sequence of integers starts with s(0) = {a} and s(1) = {b}, and for every n ≥ 2 it obeys "
        "s(n) = {p} s(n−1) + {q} s(n−2).",
        "the remainder of s({n}) on division by {m}",
        {"a": Int(1, 40), "b": Int(1, 40), "p": Int(2, 9), "q": Int(2, 9), "n": Int(15, 60), "m": Int(101, 999)},
        recurrence,
        "Run the recurrence and reduce every term by the modulus.",
    ),
    _family(
        "divisors",
        "Let N be the product of 2 to the power {a}, 3 to the power {b}, 5 to the power {c} and 7 to the power {d}.",
        "the number of positive divisors of N that are multiples of 2 to the power {e} but not perfect squares",
        {"a": Int(6, 30), "b": Int(2, 20), "c": Int(2, 15), "d": Int(1, 12), "e": Int(1, 5)},
        divisors,
        "Count all choices of exponents and take away those in which every exponent is even.",
    ),
    _family(
        "one_colour",
        "An urn holds {r} red, {g} green and {b} blue balls, and {k} of them are drawn at once, without replacement.",
        "the probability that all the balls drawn have one colour",
        {"r": Int(5, 40), "g": Int(5, 40), "b": Int(5, 40), "k": Int(2, 5)},
        one_colour,
        "Add the three counts of one-coloured draws and divide by the count of all draws.",
        "fraction",
    ),
    _family(
        "power_trace",
        "The matrix M has two rows, ({a}, {b}) and ({c}, {d}).",
        "the trace of M raised to the power {n}",
        {"a": Int(-12, 12), "b": Int(-12, 12), "c": Int(-12, 12), "d": Int(-12, 12), "n": Int(3, 8)},
        power_trace,
        "By Cayley–Hamilton the traces of the powers obey a recurrence in trace and determinant.",
    ),
    _family(
        "fourth_powers",
        "The monic cubic x³ − {p}x² + {q}x − {r} has three complex roots, counted with multiplicity.",
        "the sum of the fourth powers of its roots",
        {"p": Int(1, 90), "q": Int(1, 90), "r": Int(1, 90)},
        fourth_powers,
        "Newton's identities turn the coefficients into power sums.",
    ),
    _family(
        "avoiding_paths",
        "A lattice path runs from (0, 0) to ({m}, {n}) by unit steps to the right and upwards, and it "
        "may not pass through the point ({x}, {y}). All such paths are counted.",
        "the remainder of this count on division by {q}",
        {"m": Int(9, 24), "n": Int(9, 24), "x": Int(1, 8), "y": Int(1, 8), "q": Int(101, 999)},
        avoiding_paths,
        "Subtract the paths through the forbidden point from all paths.",
    ),
    _family(
        "powers_mod",
        "Two large powers are added: {a} to the power {b}, and {c} to the power {d}.",
        "the remainder of this sum on division by {m}",
        {"a": Int(2, 99), "b": Int(100, 999), "c": Int(2, 99), "d": Int(100, 999), "m": Int(1001, 9999)},
        lambda a, b, c, d, m: (pow(a, b, m) + pow(c, d, m)) % m,
        "Square and multiply, modulo the divisor.",
    ),
    _family(
        "integral",
        "Over the interval from 0 to {t}, the area under the curve y = {a}x² + {b}x + {c} is measured.",
        "the exact area",
        {"a": Int(1, 60), "b": Int(1, 60), "c": Int(1, 60), "t": Int(2, 25)},
        integral,
        "Integrate term by term and insert the upper limit.",
        "fraction",
    ),
    _family(
        "remainders",
        "A positive integer leaves remainder {a} on division by {i}, remainder {b} on division by {j} and "
        "remainder {c} on division by {k}.",
        "the smallest positive integer with these three remainders",
        {
            "i": Pick(("8", "9", "11", "13")),
            "a": Int(0, 7),
            "j": Pick(("17", "19", "23")),
            "b": Int(0, 16),
            "k": Pick(("29", "31", "37", "41")),
            "c": Int(0, 28),
        },
        remainders,
        "The Chinese remainder theorem, one modulus after the other.",
    ),
    _family(
        "long_run",
        "A two-state Markov chain leaves state A for state B with probability {a}/{m} in each step, and "
        "returns from B to A with probability {b}/{n}.",
        "the long-run share of steps that the chain spends in state A",
        {"a": Int(1, 30), "m": Int(31, 97), "b": Int(1, 30), "n": Int(31, 97)},
        long_run,
        "In equilibrium the flow from A to B balances the flow back.",
        "fraction",
    ),
    _family(
        "coprime_run",
        "Consider the {n} consecutive integers that begin with {a}.",
        "the number of these integers that are coprime to {b}",
        {"n": Int(40, 400), "a": Int(100, 9999), "b": Int(30, 2310, 30)},
        lambda n, a, b: coprime_run(a, b, n),
        "Sieve the run by the prime factors.",
    ),
)
