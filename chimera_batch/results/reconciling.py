"""What a provider may have charged for and not delivered. Pure; floor 2.

The bill is the sum of the usage that came, request by request. Beside it stands what is *suspected*: the provider's
totals of the batch, where it gives them, say how much more was executed; where it gives none, what may have been
executed counts at the most that it can cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Literal

from chimera_batch.cost.prices import Price, Rates
from chimera_batch.records import Usage

Fear = Literal["executed", "perhaps", "no"]
"""Whether a request without usage was executed, going by what is known of it alone. ``perhaps``: some of these were."""


@dataclass(frozen=True, slots=True)
class Terms:
    """At what the requests of one attempt are priced."""

    price: Price
    batch: bool
    cache: bool = False  # they ask for prompt caching

    def most(self, input_bound: int, ceiling: int) -> Decimal:
        """The most that one request can cost, in dollars: the same bound that its reservation rested on."""
        return self.price.most(input_bound, ceiling, batch=self.batch, cache=self.cache)


@dataclass(frozen=True, slots=True)
class Unbilled:
    """The requests that were sent and of which no usage came, added up."""

    requests: int
    most: Decimal  # USD: what all of them together can cost at most
    feared: Decimal  # USD: of it, what may have been charged if no totals say otherwise
    longest: int  # the largest input bound among them, in tokens


@dataclass(frozen=True, slots=True)
class Finding:
    """What may have been charged for nothing, in dollars, and what a person should know of the provider's totals."""

    usd: Decimal
    note: str | None = None


def unbilled(requests: Iterable[tuple[int, int, Fear]], terms: Terms, *, some: int = 0) -> Unbilled:
    """Add up (input bound, output ceiling, fear) of requests without usage.

    ``some``: how many of those with the fear "perhaps" may have been executed, it is not known which. The dearest
    count.
    """
    count, most, feared, longest = 0, Decimal(0), Decimal(0), 0
    dearest: list[Decimal] = []
    for bound, ceiling, fear in requests:
        usd = terms.most(bound, ceiling)
        count, most, longest = count + 1, most + usd, max(longest, bound)
        if fear == "executed":
            feared += usd
        elif fear == "perhaps" and some > 0:
            heapq.heappush(dearest, usd)
            if len(dearest) > some:
                heapq.heappop(dearest)
    return Unbilled(count, most, sum(dearest, feared), longest)


def suspect(gap: Unbilled, booked: Usage, reported: Usage | None, terms: Terms) -> Finding:
    """What the requests of ``gap`` may have cost.

    ``booked``: the summed usage of the rows that came. ``reported``: the provider's totals. Totals of nothing, and
    totals below the rows, say nothing of what is missing.
    """
    if reported is None or not (reported.input_tokens or reported.output_tokens):
        return Finding(gap.feared)
    said = f"{_said(reported)}, its rows to {_said(booked)}"
    if reported.input_tokens < booked.input_tokens or reported.output_tokens < booked.output_tokens:
        return Finding(gap.feared, f"the provider's totals are below the sum of its rows: they come to {said}")
    lost = _beyond(booked, reported)
    cheapest, dearest = _range(lost, gap.longest, terms, written=_perhaps_written(booked, reported))
    usd = min(dearest.cost(lost), gap.most)
    if cheapest.cost(lost) <= gap.most:
        return Finding(usd)
    return Finding(usd, f"the provider's totals are above all that its requests can account for: {said}")


def plus(total: Usage, one: Usage) -> Usage:
    """Two usages added up."""
    return Usage(*map(int.__add__, total, one))


def _beyond(booked: Usage, reported: Usage) -> Usage:
    """What the totals hold beyond the rows; kinds of input that the totals do not tell apart are input."""
    return Usage(*(max(0, told - known) for told, known in zip(reported, booked, strict=True)))


def _perhaps_written(booked: Usage, reported: Usage) -> bool:
    """Whether input may have been written to a cache without the totals saying so: OpenAI's leave writes out.

    The rows that came show whether any was; where none came, nobody knows.
    """
    if reported.cache_write_tokens or reported.cache_write_long_tokens:
        return False
    return not booked.input_tokens or bool(booked.cache_write_tokens or booked.cache_write_long_tokens)


def _range(lost: Usage, longest: int, terms: Terms, *, written: bool) -> tuple[Rates, Rates]:
    """The cheapest and the dearest rates that any of the lost requests can have paid.

    A tier needs one request with more input than its threshold: none is longer than its bound, nor than all that is
    lost.
    """
    price = terms.price
    highest = price.tier(min(longest, lost.input_tokens))
    choice = [price.rates(tier=tier, batch=terms.batch) for tier in range(highest + 1)]
    columns = [[getattr(one, field.name) for one in choice] for field in fields(Rates)]
    cheapest, dearest = Rates(*map(min, columns)), Rates(*map(max, columns))
    if written:
        long = dearest.cache_write_long if terms.cache else dearest.cache_write
        dearest = replace(dearest, input=max(dearest.input, dearest.cache_write, long))
    return cheapest, dearest


def _said(usage: Usage) -> str:
    return f"{usage.input_tokens:,} input and {usage.output_tokens:,} output tokens"
