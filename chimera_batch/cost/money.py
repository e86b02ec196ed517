"""What one request costs: rates, tiers, batch and standard, in exact Decimal dollars.

The one function from usage and price to money, used by the estimate, the budget gate and the bill. It is called per
request, because a tier such as "above 272k input tokens" looks at one request's input, never at a sum. Floor 1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from chimera_batch.records import Usage

NEAR = timedelta(days=60)
"""A retirement this close is warned of; a price checked longer ago than this is called stale."""

_LEAST = Decimal("0.0001")  # USD: what is less has no digits to show
_MEGA = -6  # rates are per million tokens; shifting the exponent is exact, dividing may not be


def dollars(usd: Decimal | float) -> str:
    """For people: cents, or more digits where cents would say 0.00. A float is the number that it is written as."""
    exact = usd if isinstance(usd, Decimal) else Decimal(repr(usd))  # so that one amount never has two roundings
    if 0 < exact < _LEAST:
        return f"<${_LEAST}"
    return f"${exact:,.2f}" if exact >= 1 or not exact else f"${exact:.4f}"


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
class GpuTime:
    """A machine paid by the hour, and how many tokens it was measured to handle in a second, all requests together.

    Input and output are timed apart: so many seconds for reading the prompts plus so many for writing the answers.
    """

    usd_per_hour: Decimal  # for the whole machine
    input_tokens_per_second: Decimal
    output_tokens_per_second: Decimal

    def rates(self) -> Rates:
        """What that comes to per million tokens. Nothing is taken off for cached input: hits are best effort."""
        read, written = gpu_rates(self.usd_per_hour, self.input_tokens_per_second, self.output_tokens_per_second)
        return Rates(input=read, cached_input=read, cache_write=read, cache_write_long=read, output=written)

    def hours(self, usd: Decimal, input_tokens: int, output_tokens: int) -> Decimal:
        """How long the machine takes for what costs so much; where it costs nothing, for so many tokens."""
        if self.usd_per_hour:
            return usd / self.usd_per_hour
        seconds = input_tokens / self.input_tokens_per_second + output_tokens / self.output_tokens_per_second
        return seconds / 3600

    def as_text(self) -> dict[str, str]:
        """As a price row says it, in plain digits."""
        return {field.name: format(getattr(self, field.name), "f") for field in fields(self)}

    def __str__(self) -> str:
        cents = self.usd_per_hour.quantize(Decimal("0.01"))
        dollars = cents if cents == self.usd_per_hour else self.usd_per_hour
        read, written = self.input_tokens_per_second, self.output_tokens_per_second
        if read == written:
            return f"${dollars:f}/h at {written:,f} tok/s"
        return f"${dollars:f}/h at {written:,f} tok/s ({read:,f} tok/s of input)"


def gpu_rates(usd_per_hour: Decimal, input_tps: Decimal, output_tps: Decimal) -> tuple[Decimal, Decimal]:
    """USD per million tokens of input and of output: dollars a second over tokens a second.

    Worked out exactly and rounded up to 12 places, so never below what the machine costs. The throughputs are above 0.
    """
    read, written = (
        Decimal(ceil(Fraction(usd_per_hour) * 10**18 / (3600 * Fraction(tps)))).scaleb(-12)
        for tps in (input_tps, output_tps)
    )
    return read, written


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of a request with more input than ``above_input_tokens``: of all its tokens, not of the excess."""

    above_input_tokens: int
    standard: Rates
    batch: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the table. ``batch`` equals ``standard`` where no batch price is known (``batch_known``)."""

    provider: str
    model: str
    names: frozenset[str]  # the model and its aliases
    standard: Rates
    batch: Rates
    batch_known: bool
    tiers: tuple[Tier, ...] = ()  # by rising threshold
    gpu: GpuTime | None = None  # where the rates come from, if the row gives time instead of tokens
    effective_from: date | None = None  # None: since ever
    retire_on: date | None = None
    source: str | None = None
    as_of: date | None = None  # None: given by hand without a date

    def tier(self, input_tokens: int) -> int:
        """Which rates a request with this much input pays, cache reads and writes included: 0 below all thresholds."""
        return sum(input_tokens > tier.above_input_tokens for tier in self.tiers)

    def rates(self, *, tier: int, batch: bool) -> Rates:
        """The rates of a tier, as ``tier`` numbers them."""
        where: Price | Tier = self.tiers[tier - 1] if tier else self
        return where.batch if batch else where.standard

    def cost(self, usage: Usage, *, batch: bool) -> Decimal:
        """Exact dollars of **one** request; never call it with summed usage, which may cross a tier."""
        return self.rates(tier=self.tier(usage.input_tokens), batch=batch).cost(usage)

    def most(self, input_bound: int, ceiling: int, *, batch: bool, cache: bool = False) -> Decimal:
        """The most that one request of at most ``input_bound`` tokens and this output ceiling can cost, in dollars.

        The bound may be far above the real input, so every tier up to the bound's is possible.
        """
        return max(
            self.rates(tier=tier, batch=batch).most(input_bound, ceiling, cache=cache)
            for tier in range(self.tier(input_bound) + 1)
        )

    def as_row(self) -> dict[str, Any]:
        """This price as a row of the table, every rate as text: what a claim keeps, so that the bill is at the price of
        the day it was sent, whoever collects it. ``prices.from_row`` reads it back."""
        row: dict[str, Any] = {"provider": self.provider, "model": self.model}
        if self.gpu is not None:
            return row | self.gpu.as_text()
        row |= self._text(self)
        tiers = [{"above_input_tokens": t.above_input_tokens} | self._text(t) for t in self.tiers]
        if tiers:  # one tier is a table by itself: that is how all rows were once written
            row["tier"] = tiers[0] if len(tiers) == 1 else tiers
        return row

    def _text(self, part: Price | Tier) -> dict[str, str]:
        return part.standard.as_text("") | (part.batch.as_text("batch_") if self.batch_known else {})

    def retirement(self, today: date, within: timedelta) -> str | None:
        """That the model is shut down, or will be before long; None where no such date is known."""
        name = f"{self.provider}/{self.model}"
        if self.retire_on is None or self.retire_on - today > within:
            return None
        if self.retire_on <= today:
            return f"{name} was shut down on {self.retire_on}; requests to it will be refused"
        return f"{name} will be shut down on {self.retire_on}"

    def warnings(self, today: date, *, batch: bool = True) -> list[str]:
        """What a person should know before trusting this price: retirement, age, a missing batch price."""
        name, ends = f"{self.provider}/{self.model}", self.retirement(today, NEAR)
        found = [ends] if ends else []
        if self.effective_from is not None and self.effective_from > today:
            found.append(f"the price of {name} holds from {self.effective_from} on; an earlier one is not known")
        if self.as_of is not None and today - self.as_of > NEAR:
            found.append(f"the price of {name} was last checked on {self.as_of}")
        if batch and not self.batch_known:
            found.append(f"no batch price is known for {name}; the standard price is used")
        return found
