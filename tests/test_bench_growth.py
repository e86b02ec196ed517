"""The benchmark of growth: its slope is the slope, its bars can be missed, and one small size goes all the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.growth import Point, flaws, measured, slope

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_the_slope_of_a_power_is_the_power(power: float) -> None:
    assert slope([(n, 7 * n**power) for n in (10, 1_000, 50_000)]) == pytest.approx(power)


def points(power: float, memory: float) -> list[Point]:
    sizes = enumerate((10**5, 10**6, 10**7))
    return [Point(n, n**power, 1.0, 200.0 * memory**k, n**power, 1.0, 300.0) for k, n in sizes]


def test_the_bars() -> None:
    assert flaws(points(1.04, 1.0)) == []
    assert [flaw.partition(":")[0] for flaw in flaws(points(1.1, 1.0))] == ["package", "collect"]
    assert [flaw.partition(":")[0] for flaw in flaws(points(1.0, 1.2))] == ["package"]
    assert flaws(points(2.0, 9.0)[:1]) == [], "one size has no slope"


def test_one_size_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = measured(tmp_path, 2500)
    assert found.requests == 2500
    assert found.package > 0 and found.collect > 0
    assert found.collect_mb >= found.package_mb > 50
