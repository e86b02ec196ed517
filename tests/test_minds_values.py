"""Answers as values: reading, comparing, rewriting and spoiling them."""

from __future__ import annotations

import random
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.minds import families
from chimera_batch.rehearsal.minds.values import WEEKDAYS, Value, extract, near, other_form, read, same


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("42", F(42), ""),
        ("-7", F(-7), ""),
        ("−7", F(-7), ""),
        ("3/7", F(3, 7), ""),
        (r"\frac{3}{7}", F(3, 7), ""),
        (r"-\dfrac{3}{7}", F(-3, 7), ""),
        ("1,234,567", F(1234567), ""),
        ("1{,}234", F(1234), ""),
        ("12.50 km", F(25, 2), "km"),
        (r"12.5\ \text{km}", F(25, 2), "km"),
        (r"12.5\,\mathrm{mol/L}", F(25, 2), "mol/l"),
        (r"1.25 \times 10^{3}", F(1250), ""),
        (r"1.25 \times 10^{-3} m", F(1, 800), "m"),
        ("1.25·10^3", F(1250), ""),
        ("$5$", F(5), ""),
        (r"\boxed{5}", F(5), ""),
        ("62.86 %", F(6286, 100), "%"),
        ("5.", F(5), ""),
    ],
)
def test_numbers_in_any_notation(text: str, number: F, unit: str) -> None:
    value = read(text)
    assert (value.number, value.text) == (number, unit)


@pytest.mark.parametrize("text", ["Tuesday", r"\text{Tuesday}", " tuesday ", "TUESDAY."])
def test_words_ignore_case_and_wrapping(text: str) -> None:
    assert read(text) == Value(None, None, "tuesday")


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("0.5", "1/2", True),
        ("0.50", "0.5", True),
        ("2/4", "1/2", True),
        ("1,000", "1000", True),
        ("12.35 km", "12.35", True),
        ("12.35 km", "12.35 m", False),
        ("0.4286", "3/7", True),
        ("0.43", "3/7", False),  # too few places to stand for it
        ("0.82123", "0.821847", False),  # a wrong digit that two verifiers passed
        ("0.82123", "0.822", False),
        ("0.0006471", "0.03078", False),
        ("5", "-5", False),
        ("1/0", "1/0", True),
        ("1/0", "1", False),
        ("GATTACA", "gattaca", True),
        ("GATTACA", "GATTACC", False),
        ("Monday", "1", False),
        ("12.35", "12.36", False),
        ("9" * 900, "9" * 900, True),
    ],
)
def test_comparison_by_value(a: str, b: str, equal: bool) -> None:
    assert same(a, b) is equal
    assert same(b, a) is equal


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"So \boxed{3} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"Hence \boxed{x^{2}}.", "x^{2}"),
        ("The final answer is 12.5 km.", "12.5 km"),
        ("The result of this is: 7", "7"),
        ("Therefore the value equals 3/7.", "3/7"),
        ("I do not know.", ""),
        ("", ""),
        (":", ""),
        ("Thought process:", ""),
        (r"\boxed{never closed", ""),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, answer: str) -> None:
    assert extract(solution) == answer


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_spoilt_answers_are_wrong_and_other_forms_are_right(family) -> None:  # type: ignore[no-untyped-def]  # a Family
    rng = random.Random(5)
    for _ in range(25):
        right = family.solve(family.draw(rng))
        wrong, other = near(right, rng), other_form(right, rng)
        assert not same(wrong, right)
        assert not same(right, wrong)
        assert same(other, right), other
        assert other != right
        assert wrong.partition(" ")[2] == right.partition(" ")[2]  # the unit stays


def test_spoilt_decimals_are_outside_any_sensible_tolerance() -> None:
    rng = random.Random(1)
    for _ in range(300):
        wrong = read(near("398600.44 km", rng)).number
        assert wrong is not None
        assert abs(wrong - F("398600.44")) / F("398600.44") >= F(1, 2000)


def test_a_spoilt_decimal_is_no_rounding_error() -> None:
    rng = random.Random(4)
    for right in ("0.1074", "1.723 km", "0.00630", "-12.5 °C"):
        value = read(right)
        assert value.number is not None and value.places is not None
        for _ in range(100):
            wrong = read(near(right, rng)).number
            assert wrong is not None
            assert abs(wrong - value.number) >= F(3, 10**value.places)


@pytest.mark.parametrize("answer", ["-01-02-03", "x", ":", "0", "00", "1/0", "5²", r"\frac{1}{2}", "3/01", "½", "1 2"])
def test_odd_answers_are_spoilt_without_end_or_error(answer: str) -> None:
    for seed in range(20):
        assert not same(near(answer, random.Random(seed)), answer)


def test_spoilt_answers_look_like_the_right_one() -> None:
    rng = random.Random(2)
    wrong = {near("1437", rng) for _ in range(300)}
    assert {"-1437", "1438", "1436"} <= wrong
    assert len(wrong) > 20
    assert not any(text.lstrip("-").startswith("0") for text in wrong)
    assert {near("Friday", rng) for _ in range(100)} == set(WEEKDAYS) - {"Friday"}


def test_every_notation_comes_up() -> None:
    rng = random.Random(3)
    integers = {other_form("41250", rng) for _ in range(100)}
    assert {"41,250", "41{,}250", "41250.0", r"4.1250 \times 10^{4}"} == integers
    fractions = {other_form("3/8", rng) for _ in range(100)}
    assert {r"\frac{3}{8}", r"\dfrac{3}{8}", "6/16", "0.375"} == fractions
    assert "0.142857" not in {other_form("1/7", rng) for _ in range(100)}
    assert {other_form("12.50 km", rng).split("12.50")[-1][-8:] for _ in range(100)} >= {r"\text{km}"[-8:]}


@given(st.text(max_size=60), st.text(max_size=60))
def test_reading_never_fails(a: str, b: str) -> None:
    read(a)
    extract(a)
    assert same(a, b) == same(b, a)
    assert same(a, a)


@given(st.text(min_size=1, max_size=30).filter(str.strip), st.integers())
def test_anything_can_be_spoilt(answer: str, seed: int) -> None:
    wrong = near(answer.strip(), random.Random(seed))
    assert not same(wrong, answer.strip())


@given(st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,8})?(e[0-9]{1,9})?( */ *[0-9]{1,5})?", fullmatch=True), st.integers())
def test_any_number_can_be_read_and_spoilt(answer: str, seed: int) -> None:
    assert not same(near(answer, random.Random(seed)), answer)
