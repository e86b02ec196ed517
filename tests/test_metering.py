"""A million costs in whole numbers are the ones that Decimal gives, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.cost.metering import Meter
from chimera_batch.cost.money import Price, Rates, Tier
from chimera_batch.records import Usage

BOOK = prices.load(None, ["openai/tiny=2,8,1,4", "local/gpu=3.07/h@1234.5,77"])
COUNTS = st.one_of(st.integers(0, 400_000), st.just(0), st.integers(0, 10**17))
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
AMOUNTS = st.decimals(0, 10_000, places=12).map(lambda amount: amount.normalize())
RATES = st.builds(Rates, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)


def tiered(base: Price, rates: list[Rates]) -> Price:
    tiers = tuple(Tier(100_000 * (n + 1), one, other) for n, (one, other) in enumerate(pairwise(rates)))
    return replace(base, standard=rates[0], batch=rates[-1], tiers=tiers)


@given(USAGES, st.sampled_from(BOOK.rows), st.booleans())
def test_every_price_of_the_table(usage: Usage, price: Price, batch: bool) -> None:
    meter = Meter(price)
    assert meter.usd(meter.units(usage, batch=batch)) == price.cost(usage, batch=batch)


@given(USAGES, st.lists(RATES, min_size=1, max_size=4), st.booleans())
def test_any_rates_and_tiers(usage: Usage, rates: list[Rates], batch: bool) -> None:
    price = tiered(BOOK.rows[0], rates)
    meter = Meter(price)
    usage = Usage(*(count % 10**9 for count in usage))  # what 28 digits of Decimal hold exactly beside 12 places
    assert meter.usd(meter.units(usage, batch=batch)) == price.cost(usage, batch=batch)


@given(st.lists(st.integers(0, 300_000), min_size=2, max_size=2), st.sampled_from(BOOK.rows), st.booleans())
def test_plain_rates_are_those_below_all_tiers(counts: list[int], price: Price, batch: bool) -> None:
    meter, (given_tokens, made) = Meter(price), counts
    each_given, each_cached, each_made = meter.plain(batch=batch)
    usage = Usage(min(given_tokens, meter.untiered), output_tokens=made)
    assert meter.units(usage, batch=batch) == usage.input_tokens * each_given + made * each_made
    read = Usage(usage.input_tokens, cached_tokens=usage.input_tokens)
    assert meter.units(read, batch=batch) == usage.input_tokens * each_cached


def test_a_tier_begins_above_its_threshold() -> None:
    price = next(row for row in BOOK.rows if row.tiers)
    meter, edge = Meter(price), price.tiers[0].above_input_tokens
    assert meter.untiered == edge
    for tokens, rates in ((edge, price.batch), (edge + 1, price.tiers[0].batch)):
        assert meter.usd(meter.units(Usage(tokens), batch=True)) == rates.cost(Usage(tokens))


def test_dollars_are_written_with_the_places_of_the_rates() -> None:
    """As the sum of Decimals would be: the journal keeps the text."""
    meter = Meter(BOOK.price("openai", "tiny", date(2026, 11, 1)))
    assert str(meter.usd(meter.units(Usage(10, output_tokens=3), batch=True))) == "0.000022"


def test_a_rate_that_is_no_number_is_refused() -> None:
    rates = replace(BOOK.rows[0].standard, input=Decimal("NaN"))
    with pytest.raises(ValueError, match="no rate"):
        Meter(replace(BOOK.rows[0], standard=rates))
