"""What a random sample says of the rest: 95 % intervals for a sum still to come and for a share. Pure. Floor 2.

The cost of reasoning models is skewed: a few answers are ten times as long as the others, and Student's interval, which
knows nothing of that, covers the truth too seldom. So the interval is the union of Student's and of Hall's, which takes
the sample's skewness into account (P. Hall, "On the removal of skewness by transformation", JRSS B 54, 1992). What it
covers is measured in ``bench/coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEAST = 30
"""Fewer answers give no point estimate."""
_Z = 1.959963984540054  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Sample:
    """Moments of a measured quantity: ``n`` values, their mean, variance (n - 1) and skewness."""

    n: int
    mean: float
    variance: float
    skewness: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Sample:
        """Needs one pass over values that fit into memory. An empty sample has mean 0."""
        found = list(values)
        n = len(found)
        mean = math.fsum(found) / n if n else 0.0
        square = math.fsum((value - mean) ** 2 for value in found)
        variance = square / (n - 1) if n > 1 else 0.0
        cube = math.fsum((value - mean) ** 3 for value in found) / n if n else 0.0
        spread = variance**1.5
        return cls(n, mean, variance, cube / spread if spread > 0 else 0.0)

    @property
    def enough(self) -> bool:
        """Whether a point estimate may rest on it."""
        return self.n >= LEAST


def total(sample: Sample, more: int) -> tuple[float, float, float]:
    """(low, likely, high) of the sum over ``more`` further members of the population that was sampled.

    A prediction interval: it holds the luck of the sample and that of the rest. Raises ValueError for a sample without
    members.
    """
    if sample.n == 0:
        raise ValueError("an empty sample says nothing")
    likely = sample.mean * more
    if more == 0 or sample.variance == 0:
        return likely, likely, likely
    width = math.sqrt(sample.variance * (1 / sample.n + 1 / more)) * more
    t = _student(sample.n - 1)
    skew = sample.skewness / math.sqrt(sample.n)
    low = min(likely - t * width, likely - width * _hall(t, skew))
    high = max(likely + t * width, likely - width * _hall(-t, skew))
    return low, likely, high


def mean(sample: Sample) -> tuple[float, float, float]:
    """(low, likely, high) of the population's mean."""
    many = 10**9  # the rest's own luck vanishes
    low, likely, high = total(sample, many)
    return low / many, likely / many, high / many


def share(part: int, n: int) -> tuple[float, float, float]:
    """(low, likely, high) of a share of which ``part`` of ``n`` were counted: Wilson's score interval."""
    if n == 0:
        return 0.0, 0.0, 1.0
    likely, square = part / n, _Z * _Z
    middle = (part + square / 2) / (n + square)
    half = _Z / (n + square) * math.sqrt(part * (n - part) / n + square / 4)
    return max(0.0, min(likely, middle - half)), likely, min(1.0, max(likely, middle + half))


def _student(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t: the Cornish-Fisher series, exact to 0.001 from 9 degrees on."""
    z, d = _Z, max(1, freedom)
    first = (z**3 + z) / (4 * d)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3)
    return z + first + second + third


def _hall(quantile: float, skew: float) -> float:
    """Hall's monotone transformation, inverted: the studentised mean that belongs to a normal quantile."""
    if abs(skew) < 1e-6:
        return quantile
    inner = 1 + skew * (quantile - skew / 6)
    return 3 / skew * (math.cbrt(inner) - 1)
