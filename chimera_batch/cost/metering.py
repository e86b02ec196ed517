"""The bill of very many requests at one price: ``Price.cost`` in whole numbers. Pure; floor 1.

A Decimal a request costs as much time as reading its answer. So rates are turned into whole units once, so small that
every rate is a whole number of them for one token, and a request's cost is a whole number too. Nothing is rounded.
"""

from __future__ import annotations

from decimal import Decimal

from chimera_batch.cost.money import Price, Rates
from chimera_batch.records import Usage

_MEGA = 6  # rates are per million tokens
_HOUR = 3600 * 10**9  # nanoseconds
_Whole = tuple[int, int, int, int, int]


class Meter:
    """Costs at one price in units of ``10**-places`` dollars."""

    def __init__(self, price: Price) -> None:
        tiers = range(len(price.tiers) + 1)
        standard, batch = ([price.rates(tier=tier, batch=batch) for tier in tiers] for batch in (False, True))
        self.places = _MEGA + max(0, *(-_exponent(rate) for row in standard + batch for rate in _listed(row)))
        self._scale = self.places - _MEGA
        self._rates = [self._whole(row) for row in standard], [self._whole(row) for row in batch]
        self._price = price
        self.untiered = price.tiers[0].above_input_tokens if price.tiers else 1 << 62  # tokens: more pay another rate

    def _whole(self, rates: Rates) -> _Whole:
        found = tuple(int(rate.scaleb(self._scale)) for rate in _listed(rates))
        return found[0], found[1], found[2], found[3], found[4]

    def units(self, usage: Usage, *, batch: bool) -> int:
        """What one request costs; never call it with summed usage, which may cross a tier."""
        given, cached, written, written_long, made, _ = usage
        a, b, c, d, e = self._rates[batch][0 if given <= self.untiered else self._price.tier(given)]
        if not (cached or written or written_long):
            return given * a + made * e
        plain = given - cached - written - written_long
        return max(0, plain) * a + cached * b + written * c + written_long * d + made * e

    def machine(self, nanoseconds: int) -> int:
        """What so long on a machine paid by the hour costs, to the nearest unit. Only for a price by the hour."""
        if self._price.gpu is None:
            raise ValueError(f"{self._price.model} is not priced by the hour")
        hourly = int(self._price.gpu.usd_per_hour.scaleb(self.places))
        return (2 * nanoseconds * hourly + _HOUR) // (2 * _HOUR)

    def plain(self, *, batch: bool) -> tuple[int, int, int]:
        """What a token of input, one read from a cache and one of output cost below all tiers."""
        given, cached, _, _, made = self._rates[batch][0]
        return given, cached, made

    def usd(self, units: int) -> Decimal:
        """Exact dollars."""
        return Decimal(units).scaleb(-self.places)


def _listed(rates: Rates) -> tuple[Decimal, ...]:
    return rates.input, rates.cached_input, rates.cache_write, rates.cache_write_long, rates.output


def _exponent(rate: Decimal) -> int:
    exponent = rate.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{rate} is no rate")  # NaN or infinite
    return exponent
