"""How long the truncated answers would have become, and whether asking them again with more room pays. Pure. Floor 2.

Lengths of answers are taken to be log-normal, seen only up to the output ceiling: the share that was cut there and the
quantiles of those that finished give the two parameters. What lies beyond the ceiling is read off that curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import exp, log
from statistics import NormalDist, linear_regression
from typing import Protocol

from chimera_batch.records import Usage

ENOUGH = 30  # measured answers; fewer say too little about the rest
_NORMAL = NormalDist()
_LEAST_SIGMA = 0.02  # answers of nearly one length: still no certainty beyond what was seen
_LEAST_TAIL = 1e-9  # a share beyond the ceiling, so that what is conditional on it stays a number


class Priced(Protocol):
    """What ``money.Price`` is, as far as this needs it."""

    def cost(self, usage: Usage, *, batch: bool) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Lengths:
    """Answers of one stage that were asked with one output ceiling.

    ``quantiles``: (share of the finished ones, output tokens that so many of them stay within), rising.
    """

    ceiling: int
    finished: int
    truncated: int
    quantiles: tuple[tuple[float, int], ...]
    input_tokens: int = 0  # of a truncated one, on average

    @property
    def measured(self) -> int:
        return self.finished + self.truncated


@dataclass(frozen=True, slots=True)
class Longer:
    """What a longer try of a truncated answer should cost (``usd``), and the ``share`` of such tries that finish."""

    usd: Decimal
    share: float

    @property
    def usd_each(self) -> Decimal:
        """Dollars for one answer that finishes; infinite where none does."""
        return self.usd / Decimal(str(self.share)) if self.share > 0 else Decimal("Infinity")


def fit(lengths: Lengths) -> tuple[float, float] | None:
    """(mu, sigma) of the logarithm of all lengths, the truncated ones included; None where too little finished.

    A line through the quantiles: a share q of the finished is a share q·(1 − cut) of all, and its logarithm should lie
    at mu + sigma·z of that share.
    """
    seen = lengths.finished / lengths.measured if lengths.measured else 0.0
    points = [(share * seen, tokens) for share, tokens in lengths.quantiles if tokens > 0]
    if lengths.truncated:
        points.append((seen, lengths.ceiling))
    shares = [(_NORMAL.inv_cdf(share), log(tokens)) for share, tokens in points if 0 < share < 1]
    if len({z for z, _ in shares}) < 2 or not lengths.finished:
        return None
    slope, intercept = linear_regression(*zip(*shares, strict=True))
    return intercept, max(slope, _LEAST_SIGMA)


def longer(lengths: Lengths, tried: int, most: int, price: Priced, *, batch: bool) -> Longer:
    """A try with a ceiling of ``most``, of an answer that did not end within ``tried`` output tokens."""
    fitted = fit(lengths)
    if fitted is None:
        share, tokens = 0.0, float(most)  # nothing finished: nothing says that anything would
    else:
        share, tokens = _beyond(*fitted, tried, most)
    usage = Usage(lengths.input_tokens, output_tokens=min(most, round(tokens)))
    return Longer(price.cost(usage, batch=batch), share)


def _beyond(mu: float, sigma: float, tried: int, most: int) -> tuple[float, float]:
    """Of lengths above ``tried``: the share up to ``most``, and the mean where none may be longer than ``most``."""
    below, above = ((log(end) - mu) / sigma for end in (tried, most))
    tail = max(_NORMAL.cdf(-below), _LEAST_TAIL)
    share = min(1.0, max(0.0, (_NORMAL.cdf(-below) - _NORMAL.cdf(-above)) / tail))
    inside = exp(mu + sigma * sigma / 2) * (_NORMAL.cdf(sigma - below) - _NORMAL.cdf(sigma - above)) / tail
    return share, min(float(most), max(float(tried), inside + most * (1 - share)))


def pays(lengths: Lengths, tried: Longer, worth: Decimal | None) -> bool:
    """Whether truncated answers are asked again with more room.

    ``worth``: what a usable row has cost so far, None while there is none. Before enough is measured they are.
    """
    return lengths.measured < ENOUGH or worth is None or tried.usd_each <= worth
