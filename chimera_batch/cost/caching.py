"""Whether marking the shared beginning of requests for the prompt cache pays, by what was measured. Pure. Floor 2.

A mark makes the host write the beginning to its cache, for more than input costs, and read it from there, for less.
Whether a batch's requests find it there is best effort, so it is tried on the first answers and kept if it paid.
"""

from __future__ import annotations

from decimal import Decimal

from chimera_batch.cost.money import Rates
from chimera_batch.records import Caching, Usage

ENOUGH = 50  # results of marked requests; fewer say too little


def saving(sums: Usage, rates: Rates) -> Decimal:
    """Dollars that the cache saved on these tokens, against the same tokens at the price of input. May be negative."""
    return rates.cost(sums._replace(cached_tokens=0, cache_write_tokens=0, cache_write_long_tokens=0)) - rates.cost(
        sums
    )


def pays(sums: Usage, rates: Rates) -> bool:
    """Whether what was read from the cache saved more than writing it cost."""
    return saving(sums, rates) > 0


def wanted(said: Caching, shared_tokens: int, least_tokens: int, measured: tuple[int, Usage], rates: Rates) -> bool:
    """Whether the next attempt of a stage marks its requests.

    ``shared_tokens``: of the beginning that all requests share; ``least_tokens``: of one that the host caches.
    ``measured``: how many marked requests came back, and the sums of their usage.
    """
    if said != "auto":
        return said
    if shared_tokens < least_tokens:
        return False
    results, sums = measured
    return results < ENOUGH or pays(sums, rates)
