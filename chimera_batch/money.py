"""What one request costs: rates, tiers, batch and standard, in exact Decimal dollars.

The one function from usage and price to money, used by the estimate, the budget gate and the bill. It is called per
request, because a tier such as "above 272k input tokens" looks at one request's input, never at a sum. Floor 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from chimera_batch.records import Usage

NEAR = timedelta(days=60)
"""A retirement this close is warned of; a price checked longer ago than this is called stale."""

_MEGA = -6  # rates are per million tokens; shifting the exponent is exact, dividing may not be


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens, every kind of token with a rate of its own."""

    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    cache_write_long: Decimal
    output: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Dollars for the tokens of one request, or of several whose rates are the same."""
        parts = usage.cached_tokens + usage.cache_write_tokens + usage.cache_write_long_tokens
        total = (
            max(0, usage.input_tokens - parts) * self.input  # parts above the total: a host that counts them apart
            + usage.cached_tokens * self.cached_input
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_write_long_tokens * self.cache_write_long
            + usage.output_tokens * self.output
        )
        return total.scaleb(_MEGA)

    def as_text(self, prefix: str) -> dict[str, str]:
        """The rates by name, in plain digits."""
        names = ("input", "cached_input", "cache_write", "cache_write_long", "output")
        return {prefix + name: format(getattr(self, name), "f") for name in names}

    def most(self, input_tokens: int, output_tokens: int, *, cache: bool) -> Decimal:
        """The most that so many tokens can cost: all of the input at the dearest rate that it may be charged.

        Hosts that cache by themselves charge writes unasked, so the short write counts always, the long one only with
        ``cache`` (the request asks for it). Cache hits never count: they are best effort.
        """
        dearest = max(self.input, self.cache_write, self.cache_write_long if cache else self.cache_write)
        return (input_tokens * dearest + output_tokens * self.output).scaleb(_MEGA)


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the table. ``batch`` equals ``standard`` where no batch price is known (``batch_known``)."""

    provider: str
    model: str
    names: frozenset[str]  # the model and its aliases
    standard: Rates
    batch: Rates
    batch_known: bool
    above_input_tokens: int | None = None  # the tier's rates hold for requests with more input than this
    tier_standard: Rates | None = None
    tier_batch: Rates | None = None
    effective_from: date | None = None  # None: since ever
    retire_on: date | None = None
    source: str | None = None
    as_of: date | None = None  # None: given by hand without a date

    def tiered(self, input_tokens: int) -> bool:
        """Whether a request with this much input, cache reads and writes included, pays the tier's rates."""
        return self.above_input_tokens is not None and input_tokens > self.above_input_tokens

    def rates(self, *, tiered: bool, batch: bool) -> Rates:
        if tiered and self.tier_standard is not None and self.tier_batch is not None:
            return self.tier_batch if batch else self.tier_standard
        return self.batch if batch else self.standard

    def cost(self, usage: Usage, *, batch: bool) -> Decimal:
        """Exact dollars of **one** request; never call it with summed usage, which may cross the tier."""
        return self.rates(tiered=self.tiered(usage.input_tokens), batch=batch).cost(usage)

    def most(self, input_bound: int, ceiling: int, *, batch: bool, cache: bool = False) -> Decimal:
        """The most that one request of at most ``input_bound`` tokens and this output ceiling can cost, in dollars."""
        most = self.rates(tiered=False, batch=batch).most(input_bound, ceiling, cache=cache)
        if self.tiered(
            input_bound
        ):  # the bound may be far above the real input, so both sides of the tier are possible
            most = max(most, self.rates(tiered=True, batch=batch).most(input_bound, ceiling, cache=cache))
        return most

    def as_row(self) -> dict[str, Any]:
        """This price as a row of the table, every rate as text: what a claim keeps, so that the bill is at the price of
        the day it was sent, whoever collects it. ``prices.from_row`` reads it back."""
        row: dict[str, Any] = {"provider": self.provider, "model": self.model, **self.standard.as_text("")}
        row |= self.batch.as_text("batch_") if self.batch_known else {}
        if self.tier_standard is not None and self.tier_batch is not None:
            tier = self.tier_standard.as_text("") | (self.tier_batch.as_text("batch_") if self.batch_known else {})
            row["tier"] = {"above_input_tokens": self.above_input_tokens, **tier}
        return row

    def warnings(self, today: date, *, batch: bool = True) -> list[str]:
        """What a person should know before trusting this price: retirement, age, a missing batch price."""
        name, found = f"{self.provider}/{self.model}", []
        if self.retire_on is not None and self.retire_on <= today:
            found.append(f"{name} was shut down on {self.retire_on}; requests to it will be refused")
        elif self.retire_on is not None and self.retire_on - today <= NEAR:
            found.append(f"{name} will be shut down on {self.retire_on}")
        if self.effective_from is not None and self.effective_from > today:
            found.append(f"the price of {name} holds from {self.effective_from} on; an earlier one is not known")
        if self.as_of is not None and today - self.as_of > NEAR:
            found.append(f"the price of {name} was last checked on {self.as_of}")
        if batch and not self.batch_known:
            found.append(f"no batch price is known for {name}; the standard price is used")
        return found
