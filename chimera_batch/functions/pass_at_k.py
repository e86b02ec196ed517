"""The chance that one of k tries is right, estimated without bias from more tries than k."""

from __future__ import annotations

from functools import lru_cache
from math import comb

_MOST = 10_000  # samples of one problem: beyond that the whole numbers below take long


@lru_cache(4096)
def pass_at_k(n: int, c: int, k: int) -> float | None:
    """1 - C(n-c, k) / C(n, k) for c right ones among n samples (Chen et al. 2021, arXiv 2107.03374), rounded once.

    None where it is not known: k above n (8 tries cannot be told from 4), k below 1, c not from 0 to n, n above 10,000.
    """
    if not (0 <= c <= n <= _MOST and 1 <= k <= n):
        return None
    every = comb(n, k)
    return (every - comb(n - c, k)) / every
