"""Estimates from samples: pass@k, and how far a mean may be off."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.bootstrap_interval import bootstrap_interval
from chimera_batch.functions.pass_at_k import pass_at_k
from chimera_batch.warehouse import Warehouse
from chimera_batch.warehouse.connection import Inline


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_mean_over_all_choices_of_k_samples(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        right = [place < c for place in range(n)]
        chosen = list(itertools.combinations(right, k))
        assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, chosen)), len(chosen)))


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [
        (10, 3, 1, 0.3),
        (8, 1, 8, 1.0),
        (8, 0, 8, 0.0),
        (1_000, 1, 8, 0.008),  # one minus a product of 8 rounded fractions is not 0.008
        (10_000, 1, 5_000, 0.5),
        (4, 2, 8, None),
        (4, 5, 1, None),
        (4, -1, 1, None),
        (4, 2, 0, None),
        (0, 0, 1, None),
        (2**62, 2**61, 2**60, None),
    ],
)
def test_pass_at_k(n: int, c: int, k: int, value: float | None) -> None:
    assert pass_at_k(n, c, k) == value


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_more_tries_and_more_right_ones_never_lower_it(drawn: tuple[int, int, int]) -> None:
    n, c, k = drawn
    value = pass_at_k(n, c, k)
    assert value is not None and 0 <= value <= 1
    assert (pass_at_k(n, min(c + 1, n), k) or 0) >= value
    assert k == n or (pass_at_k(n, c, k + 1) or 0) >= value


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(5), 0
    for _ in range(200):
        found = bootstrap_interval((rng.random(120) < 0.375).astype(float).tolist())
        covered += found is not None and found["low"] <= 0.375 <= found["high"]
    assert 180 <= covered <= 199  # 95 % of 200 is 190


def test_the_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(3).normal(2, 1, 4_000).tolist()
    found = bootstrap_interval(values)
    assert found is not None
    mean, half = float(np.mean(values)), 1.96 * float(np.std(values)) / 4_000**0.5
    assert found["low"] == pytest.approx(mean - half, abs=half / 5)
    assert found["high"] == pytest.approx(mean + half, abs=half / 5)


def test_the_order_of_the_values_does_not_matter() -> None:
    values = [1.0, 0.0, None, 0.25, 1.0, 0.5, float("nan")]
    assert (
        bootstrap_interval(values) == bootstrap_interval(values[::-1]) == bootstrap_interval([0.0, 0.25, 0.5, 1.0, 1.0])
    )


@pytest.mark.parametrize("values", [[], [None], [float("nan")], [1.0, float("inf")], [1.7e308] * 9])
def test_no_interval_where_there_is_no_mean(values: list[float | None]) -> None:
    assert bootstrap_interval(values) is None


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_the_interval_of_equal_values_is_that_value(value: float) -> None:
    assert bootstrap_interval([value] * 7) == {"low": value, "high": value}


def test_sql_sees_a_struct_and_nulls(tmp_path: Path) -> None:
    query = """
        SELECT
            pass_at_k(4, 2, 2),
            pass_at_k(NULL, 2, 2) IS NULL,
            bootstrap_interval(list(v)).low < avg(v),
            bootstrap_interval(list(v)).high > avg(v),
            bootstrap_interval(NULL) IS NULL,
            bootstrap_interval([]).low IS NULL
        FROM (VALUES (0.0), (NULL), (1.0), (1.0), (0.0), (1.0)) AS t (v)
    """
    with Warehouse(tmp_path) as house:
        assert list(house.rows(Inline(query), {})) == [(1 - 1 / 6, True, True, True, True, True)]
