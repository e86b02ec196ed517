"""What answers took, and the rest priced by it. Prices are round, so that every dollar can be checked by eye."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost import measured, sampling
from chimera_batch.cost.chain import chain
from chimera_batch.cost.measured import Measured, Took
from chimera_batch.cost.prices import load
from chimera_batch.cost.stagefacts import Drawn, StageFacts
from chimera_batch.cost.tally import Span, Tally, Terms
from chimera_batch.pipeline.stage import Assume
from chimera_batch.records import Usage

PRICE = load(None, ["acme/m=2,10,1,5"]).price("acme", "m", date(2026, 11, 21))
TERMS = Terms(PRICE, batch=True, output_tokens=9999)


def took(output: int, *, counted: int = 1000, billed: int | None = None, times: int = 1, **more: bool) -> Took:
    usage = Usage(counted if billed is None else billed, output_tokens=output)
    return Took(counted, [usage] * times, **{"truncated": False, "ok": True, **more})


def of(*several: Took, random: bool = True) -> Measured:
    return measured.measure(several, PRICE, batch=True, random=random)


def tally(requests: int, tokens: int = 1000) -> Tally:
    made = Tally(TERMS)
    for _ in range(requests):
        made.add(tokens, tokens, 4000)
    return made


def test_a_request_by_hand() -> None:
    found = of(*[took(200)] * 40)
    assert found.usd.mean == pytest.approx((1000 + 200 * 5) / 1e6)
    assert found.sync_usd == pytest.approx((2000 + 200 * 10) / 1e6)
    assert found.beyond.mean == pytest.approx(200 * 5 / 1e6)
    assert (found.n, found.output.mean, found.input_tokens, found.counted) == (40, 200, 1000, 1000)


def test_every_asking_counts() -> None:
    found = of(*[took(200, times=2, truncated=True)] * 30, *[took(100, ok=False)] * 10)
    assert found.usd.mean == pytest.approx((30 * 2 * (1000 + 1000) + 10 * (1000 + 500)) / 40 / 1e6)
    assert (found.truncated, found.ok) == (30, 30)
    assert found.lengths == (100,) * 10 + (400,) * 30


@pytest.mark.parametrize(("random", "basis"), [(True, "pilot of 40"), (False, "measured on 40")])
def test_the_basis_says_whether_it_is_a_sample(random: bool, basis: str) -> None:
    assert of(*[took(200)] * 40, random=random).basis == basis


def test_the_rest_is_counted_input_and_measured_output() -> None:
    """Prompts ten times as long as those of the sample are no surprise: they were counted."""
    work = measured.work(tally(100, tokens=10_000), of(*[took(200)] * 40))
    assert work.usd.likely == Decimal("100") * (10_000 + 200 * 5) / 10**6
    assert work.usd.low == work.usd.likely == work.usd.high
    assert work.sync_usd == 2 * work.usd.likely
    assert (work.requests, work.input_tokens, work.output_tokens) == (100, 1_000_000, 20_000)


def test_a_tokenizer_that_counts_too_much_is_corrected() -> None:
    work = measured.work(tally(100), of(*[took(200, billed=800)] * 40))
    assert work.usd.likely == Decimal("100") * (800 + 200 * 5) / 10**6
    assert work.input_tokens == 80_000


def test_cheap_cached_input_is_part_of_what_was_measured() -> None:
    cached = Took(1000, [Usage(1000, cached_tokens=900, output_tokens=200)], truncated=False, ok=True)
    price = replace(PRICE, batch=replace(PRICE.batch, cached_input=Decimal("0.1")))
    found = measured.measure([cached] * 40, price, batch=True, random=True)
    work = measured.work(tally(100), found)
    assert work.usd.likely == pytest.approx(Decimal("100") * (100 + 90 + 1000) / 10**6)


def test_answers_that_are_no_sample_have_a_wider_interval() -> None:
    several = [took(100 + n) for n in range(60)]
    sample, others = (measured.work(tally(500), of(*several, random=random)).usd for random in (True, False))
    assert others.likely == sample.likely
    assert others.low == sample.low * Decimal("0.8")
    assert others.high == sample.high * Decimal("1.25")


def test_requests_that_do_not_exist_yet_are_like_the_measured_ones() -> None:
    count = Span(Decimal(80), Decimal(100), Decimal(120), Decimal(400))
    work = measured.expected(of(*[took(200)] * 40), count, Decimal("0.01"))
    assert work.usd == Span(*(Decimal(c) * 2000 / 10**6 for c in (80, 100, 120)), Decimal(4))
    assert (work.requests, work.input_tokens, work.output_tokens) == (100, 100_000, 20_000)


@given(
    st.lists(st.builds(took, st.integers(0, 4000), billed=st.integers(0, 3000)), min_size=30, max_size=90),
    st.integers(0, 500),
    st.booleans(),
)
def test_spans_are_in_order_and_never_negative(several: list[Took], requests: int, random: bool) -> None:
    usd = measured.work(tally(requests), of(*several, random=random)).usd
    assert 0 <= usd.low <= usd.likely <= usd.high <= usd.ceiling


# -- rows that come from a sample of the stage above


def facts(name: str, requests: int, **more: object) -> StageFacts:
    known = {"provider": "acme", "model": "m", "terms": TERMS, "ceiling": 4000, "tally": tally(requests)}
    return StageFacts(name, "ask", **{**known, "wanted": requests, **more})  # type: ignore[arg-type] - for brevity


def test_rows_of_a_sample_are_scaled_up_with_their_uncertainty() -> None:
    drawn = Drawn(100, Span.exactly(1000))
    more = drawn.more(50)
    assert more.likely == 450
    low, _, high = sampling.share(50, 100)
    luck = (1 + 100 / 900) ** 0.5  # that of the rest: there are 900 of them
    assert float(more.low) == pytest.approx(900 * (0.5 - (0.5 - low) * luck))
    assert float(more.high) == pytest.approx(900 * (0.5 + (high - 0.5) * luck))
    assert more.ceiling == 900  # all of those still to come could be kept
    assert 30 < drawn.more(0).high < 40  # none of a hundred is not none at all
    assert drawn.more(0).low == drawn.more(0).likely == 0
    assert 860 < drawn.more(100).low < 870
    assert drawn.more(100).high == 900
    assert drawn.more(200).low < 1800 < drawn.more(200).high
    few = Drawn(200, Span.exactly(220)).more(100)  # whether 5 or 15 of the last 20 are kept is luck
    assert few.low < 6
    assert few.high > 14
    assert Drawn(100, Span.exactly(100)).more(50).parts() == (0, 0, 0, 0)


def test_a_stage_below_a_sample_costs_what_its_rows_will() -> None:
    (cost,) = chain([facts("b", 50, drawn=Drawn(100, Span.exactly(1000)), measured=of(*[took(200)] * 40))]).costs
    assert cost.work.requests == 500
    assert cost.work.usd.likely == pytest.approx(Decimal(500) * 2000 / 10**6)
    assert cost.work.usd.low < cost.work.usd.likely < cost.work.usd.high
    assert cost.requests.likely == 500


def test_rows_of_a_free_stage_are_scaled_too() -> None:
    free = StageFacts("s", "sql", rows=20, drawn=Drawn(100, Span.exactly(1000)))
    below = facts("b", 0, tally=None, wanted=0, reads=("s",), assume=Assume(output_tokens=10))
    (cost,) = chain([free, below]).costs
    assert cost.work.requests == 200


# -- how long it takes


@pytest.mark.parametrize(
    ("stages", "likely", "most"),
    [
        ([("a", (), (2.0, 24.0))], 2.0, 24.0),
        ([("a", (), (2.0, 24.0)), ("b", ("a",), (None, 24.0))], None, 48.0),
        ([("a", (), (2.0, 24.0)), ("b", ("a",), (0.5, 24.0))], 2.5, 48.0),
        ([("a", (), (2.0, 24.0)), ("b", (), (5.0, 24.0))], 5.0, 24.0),  # side by side
    ],
)
def test_hours_follow_one_another(
    stages: list[tuple[str, tuple[str, ...], tuple[float | None, float]]], likely: float | None, most: float
) -> None:
    waited = chain([facts(name, 10, reads=reads, hours=hours) for name, reads, hours in stages]).waited
    assert (waited.likely_hours, waited.most_hours) == (likely, most)


# -- answers that were cut, and are asked for again


def pending(tried: int, room: int, *usages: Usage) -> Took:
    return Took(1000, usages, truncated=bool(tried), ok=False, pending=(tried, room))


def test_what_is_still_to_be_asked_again_belongs_to_what_was_measured() -> None:
    """Leaving out those that were cut would leave out just the long ones: the pilot would be too cheap."""
    cut = pending(4000, 8000, Usage(1000, output_tokens=4000))
    found = of(*[took(200)] * 35, *[cut] * 5)
    whole = (2 * 1000 + (4000 + 6000) * 5) / 1e6  # half-way between the ceilings is what is expected
    assert found.usd.mean == pytest.approx((35 * 0.002 + 5 * whole) / 40)
    assert (found.n, found.truncated) == (40, 5)


def test_an_answer_that_fits_no_schema_is_asked_again_as_usual() -> None:
    bad = pending(0, 4000, Usage(1000, output_tokens=50))
    found = of(*[took(200)] * 39, bad)
    assert found.output.mean == pytest.approx((39 * 200 + 50 + 200) / 40)


def test_a_cut_answer_that_is_left_costs_more_than_it_was_cut_at() -> None:
    made = tally(10)
    for _ in range(3):
        made.add(1000, 1000, 8000, tried=4000)
    work = measured.work(made, of(*[took(200)] * 40))
    each = [Decimal(1000 + tokens * 5) / 10**6 for tokens in (4000, 6000, 8000)]
    usual = 10 * Decimal(2000) / 10**6
    assert [work.usd.low, work.usd.likely, work.usd.high] == [usual + 3 * one for one in each]
    assert work.sync_usd == 2 * work.usd.likely
    assert (work.requests, work.output_tokens) == (13, 10 * 200 + 3 * 6000)


def test_without_a_measurement_a_cut_answer_is_longer_than_assumed() -> None:
    made = Tally(Terms(PRICE, batch=True, output_tokens=100))
    made.add(1000, 1000, 8000, tried=4000)
    assert made.work().usd.likely == Decimal(1000 + 6000 * 5) / 10**6
    assert made.cut == 1
