"""The benchmark that holds quotes against bills: its arithmetic, and one small night of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bench.calibration import Night, Shape, good, rehearse, show

NIGHT = Night(1, 9.0, 10.0, 12.0, 99.0, Decimal("10.5"), Decimal("10.5"), 3)


@pytest.mark.parametrize(
    ("billed", "inside"), [("9", True), ("8.999", False), ("12", True), ("12.001", False), ("10", True)]
)
def test_inside_is_within_the_interval(billed: str, inside: bool) -> None:
    assert replace(NIGHT, billed=Decimal(billed)).inside is inside


def test_the_error_is_that_of_likely() -> None:
    assert replace(NIGHT, billed=Decimal(8)).error == pytest.approx(0.25)


@pytest.mark.parametrize(("outside", "fine"), [(0, True), (1, True), (2, False)])
def test_nine_in_ten_are_asked(outside: int, fine: bool) -> None:
    nights = [replace(NIGHT, billed=Decimal(13 if number < outside else 10)) for number in range(10)]
    assert good(nights) is fine


def test_a_ceiling_that_was_passed_is_never_fine() -> None:
    assert not good([NIGHT] * 19 + [replace(NIGHT, ceiling=10.4)])


def test_the_table_marks_what_lies_outside() -> None:
    lines = list(show([NIGHT, replace(NIGHT, seed=2, billed=Decimal(13))]))
    assert "outside" not in lines[1]
    assert lines[2].endswith("outside")
    assert lines[3].startswith("1 of 2 inside; median error of likely 13.9%")


@pytest.mark.slow
def test_a_night_through_the_server(tmp_path: Path) -> None:
    night = rehearse(tmp_path, 1, Shape(rows=1000, ceiling=9_000))
    assert night.billed == night.ledger  # to the last digit
    assert 0 < night.low < night.likely < night.high < night.ceiling
    assert night.low <= night.billed <= night.high
