"""What a random sample says of the rest."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import coverage
from chimera_batch.cost import sampling
from chimera_batch.cost.sampling import Sample

LENGTHS = st.lists(st.floats(1, 1e6), min_size=2, max_size=300)


def test_moments_by_hand() -> None:
    sample = Sample.of([1, 2, 3, 10])
    assert (sample.n, sample.mean) == (4, 4)
    assert sample.variance == pytest.approx(50 / 3)
    assert sample.skewness == pytest.approx((-27 - 8 - 1 + 216) / 4 / (50 / 3) ** 1.5)


@given(LENGTHS)
def test_moments_are_those_of_the_standard_library(values: list[float]) -> None:
    sample = Sample.of(values)
    assert sample.mean == pytest.approx(statistics.fmean(values))
    assert sample.variance == pytest.approx(statistics.variance(values), abs=1e-3 * sample.mean**2)


def test_an_empty_sample_says_nothing() -> None:
    assert Sample.of([]).n == 0
    with pytest.raises(ValueError, match="says nothing"):
        sampling.total(Sample.of([]), 5)


@pytest.mark.parametrize(("n", "enough"), [(0, False), (29, False), (30, True), (200, True)])
def test_thirty_are_needed_for_a_point_estimate(n: int, enough: bool) -> None:
    assert Sample.of([1.0] * n).enough is enough


def test_equal_values_leave_no_doubt() -> None:
    assert sampling.total(Sample.of([2.5] * 40), 100) == (250, 250, 250)
    assert sampling.total(Sample.of([1.0, 9.0] * 40), 0) == (0, 0, 0)


@given(LENGTHS, st.integers(1, 100_000))
def test_an_interval_holds_its_middle(values: list[float], more: int) -> None:
    low, likely, high = sampling.total(Sample.of(values), more)
    assert low <= likely <= high
    assert likely == pytest.approx(Sample.of(values).mean * more)


@given(LENGTHS)
def test_it_is_at_least_as_wide_as_students(values: list[float]) -> None:
    sample = Sample.of(values)
    plain = Sample(sample.n, sample.mean, sample.variance, 0.0)
    ours, students = sampling.total(sample, 1000), sampling.total(plain, 1000)
    assert ours[0] <= students[0] + 1e-6 * ours[1]
    assert ours[2] >= students[2] - 1e-6 * ours[1]


@pytest.mark.parametrize(("freedom", "quantile"), [(9, 2.2622), (29, 2.0452), (99, 1.9842), (199, 1.9720)])
def test_students_quantile_is_the_published_one(freedom: int, quantile: float) -> None:
    assert sampling._student(freedom) == pytest.approx(quantile, abs=1e-3)


def test_a_larger_sample_is_a_narrower_one() -> None:
    rng = random.Random(3)
    values = [rng.lognormvariate(8, 1) for _ in range(400)]
    widths = []
    for n in (30, 100, 400):
        low, likely, high = sampling.total(Sample.of(values[:n]), 5000)
        widths.append((high - low) / likely)
    assert widths == sorted(widths, reverse=True)


def test_a_mean_is_the_total_of_very_many() -> None:
    sample = Sample.of([float(n % 17) for n in range(120)])
    low, likely, high = sampling.mean(sample)
    assert likely == pytest.approx(sample.mean)
    assert high - low == pytest.approx(2 * 1.98 * math.sqrt(sample.variance / 120), rel=0.05)


@pytest.mark.parametrize(
    ("part", "n", "low", "high"),
    [(0, 100, 0.0, 0.037), (5, 100, 0.0215, 0.1118), (50, 100, 0.4038, 0.5962), (30, 30, 0.8865, 1.0)],
)
def test_wilsons_interval_is_the_published_one(part: int, n: int, low: float, high: float) -> None:
    found = sampling.share(part, n)
    assert found == pytest.approx((low, part / n, high), abs=1e-3)


def test_the_share_of_nothing_is_anything() -> None:
    assert sampling.share(0, 0) == (0, 0, 1)


@given(st.integers(0, 500), st.integers(1, 500))
def test_a_share_stays_within_its_bounds(part: int, n: int) -> None:
    low, likely, high = sampling.share(min(part, n), n)
    assert 0 <= low <= likely <= high <= 1


HARDEST = {"log-normal, cv 1.25", "mixture, cv 1.3"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in HARDEST else pytest.mark.slow) for name in coverage.DISTRIBUTIONS],
)
def test_nineteen_in_twenty_lie_inside_after_a_pilot_of_200(name: str) -> None:
    """In 2,000 simulated draws; the published seed."""
    found = coverage.measure(name, 200, draws=2_000, seed=1)
    assert found.covered >= 0.93
    assert found.error <= 0.08
    assert found.covered > found.student  # or the skewness would not be worth its lines


@pytest.mark.slow
@pytest.mark.parametrize("pilot", [30, 100])
@pytest.mark.parametrize("name", coverage.DISTRIBUTIONS)
def test_what_smaller_pilots_cover(name: str, pilot: int) -> None:
    """What docs/performance.md says of 30 and 100."""
    found = coverage.measure(name, pilot, draws=2_000, seed=1)
    assert found.covered >= {30: 0.86, 100: 0.93}[pilot]
