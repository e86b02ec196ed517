"""Final answers found and compared: a yes is trusted, a no is rare, the rest goes to a judge."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.answering.latex import plain
from chimera_batch.functions.answering.quantity import quantity
from chimera_batch.functions.answers_match import answers_match
from chimera_batch.functions.final_answer import final_answer

YES = [
    ("42", "42."),
    ("$42$", "\\boxed{42}"),
    ("$\\boxed{42}$", "**42**"),
    ("\\[42\\]", "\\(42\\)"),
    ("1,234", "1234"),
    ("1{,}234", "1\\,234"),
    ("1 234 567", "1234567"),
    ("\\frac{1}{2}", "0.5"),
    ("\\dfrac12", "1/2"),
    ("-\\frac{1}{2}", "-0.50"),
    ("3\\times10^{-4}", "0.0003"),
    ("3.0e-4", "3\\times 10^{-4}"),
    ("3×10⁻⁴", "3e-4"),
    ("10^{-3}", "0.001"),
    ("-10^2", "-100"),
    ("50\\%", "0.5"),
    ("12.5%", "1/8"),
    ("3.14159", "3.14"),
    ("0.333", "1/3"),
    ("0", "0.0"),
    ("5 m", "5\\,\\text{m}"),
    ("9.81 m/s^2", "9.81\\ \\mathrm{m/s^{2}}"),
    ("7\\text{ days}", "7"),
    ("299792458 m/s", "2.998e8 m/s"),
    ("90^\\circ", "90°"),
    ("x = 5", "5"),
    ("x=5", "x = 5.0"),
    ("≈ 2.50", "2.5"),
    ("Paris", "paris."),
    ("Yes", "yes"),
    ("\\text{Riemann}", "Riemann"),
    ("(1, 2)", "(1,2)"),
    ("(\\frac12, 3)", "(0.5, 3.0)"),
    ("\\left(1,2\\right)", "(1, 2)"),
    ("\\{1, 2\\}", "\\{2, 1\\}"),
    ("[0, 1]", "[0,1.0]"),
    ("a, b", "a,b"),
    ("0,111", "0.111"),
    ("1,22", "1.22"),
    ("x = 1, y = 2", "x=1, y=2.0"),
    ("((1,2),3)", "((1, 2), 3.0)"),
    ("x^{2}+1", "x^2 + 1"),
    ("2\\sqrt{3}", "2 \\sqrt 3"),
    ("a \\le b", "a \\leq b"),
    ("\\pi", "π"),
    ("O(n \\log n)", "$O(n\\log n)$"),
]

COMPUTED = [  # by SymPy and pint
    ("1.5 km", "1500 m"),
    ("2\\pi", "6.2832"),
    ("x+1", "1+x"),
    ("5!", "120"),
    ("\\frac{1}{\\sqrt{2}}", "sqrt(2)/2"),
    ("2\\sin(x)\\cos(x)", "\\sin(2x)"),
    ("x < 1", "-x > -1"),
    ("\\begin{pmatrix}1 & 2\\end{pmatrix}", "\\begin{bmatrix}1 & \\frac{4}{2}\\end{bmatrix}"),
    ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"),
    ("(1, \\sqrt{8})", "(1, 2\\sqrt{2})"),
    ("e^{-x}", "\\frac{1}{e^{x}}"),
    ("5 cm", "0.05 m"),
    ("20 °C", "293.15 K"),
    ("1 eV", "1.602e-19 J"),
    ("36 km/h", "10 m/s"),
    ("2.0 kJ mol^{-1}", "2000 J/mol"),
]

UNSURE = [
    ("0.82123", "0.822"),  # the paper's wrong digit: close, but outside what either states
    ("0.8218", "0.8"),
    ("50", "50%"),
    ("0.5%", "0.5"),
    ("5 m", "5 s"),  # nothing that a rule could hold against each other
    ("5 dollars", "5 m"),
    ("1,234,567", "1.234567"),
    ("204_5", "204"),  # what Math-Verify alone would call the same, wrongly: a base …
    ("P + 1", "p + 1"),  # … capitals …
    ("10^{-9}\\pi", "2 \\cdot 10^{-9}\\pi"),  # … tiny numbers …
    ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"),
    ("(1, 2)", "\\{1, 2\\}"),  # … a sequence for a set …
    ("2, 1", "1, 2"),
    ("3 apples", "3 papels"),  # … letters in any order …
    ("\\frac{5}{2} m \\pi", "\\frac{5}{2} s \\pi"),  # … and units
    ("1 - \\frac{1}{\\mathrm{e}}", "1 + \\frac{1}{\\mathrm{e}}"),
    ("5", "500"),
    ("2x", "2"),
    ("5m", "5"),
    ("1/2x", "0.5x"),
    ("1, 234", "1234"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    ("(1,2)", "(1,2,3)"),
    ("\\{1,1,2\\}", "\\{1,2,2\\}"),
    ("{1,2}", "(1,2)"),
    ("1,2", "2,1"),
    ("x=5", "y=5"),
    ("a\\times b", "a\\cdot b"),
    ("P", "p"),
    ("10^{999999}", "1"),
    ("1/0", "1"),
    ("yes", "no"),
    ("", ""),
    ("", "1"),
    ("12\\text{ apples}", "12"),
    ("1e-9", "0"),
    ("((1,2)", "(1,2)"),
    ("x" * 3000, "y" * 3000),
    ("1.00", "1.005"),
]

NO = [
    ("0.0006471", "0.03078"),  # the paper's false positive
    ("3.14159", "3"),
    ("42", "43"),
    ("1024", "1025"),
    ("-5", "5"),
    ("1/2", "1/3"),
    ("2.5", "2.7"),
    ("5 m", "6 m"),
    ("12%", "13%"),
    ("5 cm", "0.06 m"),
    ("0", "1"),
    ("7", ""),
    ("7", "  $$ "),
]


@pytest.mark.parametrize(("reference", "candidate"), YES)
def test_equal_answers_match(reference: str, candidate: str) -> None:
    assert answers_match(reference, candidate) == "yes"
    assert answers_match(candidate, reference) == "yes"


@pytest.mark.parametrize(("reference", "candidate"), COMPUTED)
def test_what_has_to_be_computed(reference: str, candidate: str) -> None:
    assert answers_match(reference, candidate) == "yes"
    assert answers_match(candidate, reference) == "yes"


@pytest.mark.parametrize(("reference", "candidate"), UNSURE)
def test_what_rules_cannot_decide_goes_to_a_judge(reference: str, candidate: str) -> None:
    assert answers_match(reference, candidate) == "unsure"


@pytest.mark.parametrize(("reference", "candidate"), NO)
def test_clean_numbers_that_clearly_differ_do_not_match(reference: str, candidate: str) -> None:
    assert answers_match(reference, candidate) == "no"


@given(st.text(), st.text())
def test_the_verdict_is_symmetric_but_for_empty_answers(one: str, other: str) -> None:
    if plain(one) and plain(other):
        assert answers_match(one, other) == answers_match(other, one)


@given(st.text(min_size=1).filter(lambda text: plain(text) != ""))
def test_an_answer_matches_itself(text: str) -> None:
    assert answers_match(text, text) == "yes"


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_integers_match_exactly_or_not_at_all(one: int, other: int) -> None:
    assert (answers_match(str(one), f"${other:,}$") == "yes") == (one == other)


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6), st.floats(2e-3, 10))
def test_a_number_off_by_more_than_the_tolerance_never_matches(value: Fraction, off: float) -> None:
    if value:
        moved = value * (1 + Fraction(off))
        assert answers_match(f"{float(value):.12g}", f"{float(moved):.12g}") != "yes"


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_fractions_in_every_notation(top: int, bottom: int) -> None:
    for one in (f"\\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", f"$\\dfrac{{{top}}}{{{bottom}}}$"):
        assert answers_match(one, f"\\boxed{{\\frac{{{top * 2}}}{{{bottom * 2}}}}}") == "yes"


@pytest.mark.parametrize(
    ("text", "value", "slack", "unit"),
    [
        ("1,234.50", Fraction(2469, 2), Fraction(1, 200), ""),
        ("-3", Fraction(-3), Fraction(0), ""),
        (".5 kg", Fraction(1, 2), Fraction(1, 20), "kg"),
        ("2.0\\times10^{3}\\,\\mathrm{J}", Fraction(2000), Fraction(50), "J"),
        ("\\frac{-1}{4}", Fraction(-1, 4), Fraction(0), ""),
    ],
)
def test_quantities(text: str, value: Fraction, slack: Fraction, unit: str) -> None:
    found = quantity(text)
    assert found is not None
    assert (found.value, found.slack, found.unit) == (value, slack, unit)


@pytest.mark.parametrize(
    "text", ["", "x", "1 + 1", "1.2.3", "1e9999", "1/0", "5!", "3 or 4", "12,34", "9" * 200, "²", "1 = 1"]
)
def test_what_is_no_single_number(text: str) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{1} and then $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{ 7 } but \\boxed{never closed", "7"),
        ("<think>\\boxed{3}</think>\nAnswer: 4", "4"),
        ("<think>Answer: 3</think>\nno more", None),
        ("Answer: 1\ntext\n**Final Answer:** 42", "42"),
        ("**Answer**: *x = 3*", "x = 3"),
        ("## Final answer\nnothing", None),
        ("The final answer is 12", "12"),
        ("the answer is: 12", "12"),
        ("Answer:\n\n  17 m", "17 m"),
        ("ANSWER：五", "五"),
        ("Answers: 3", None),
        ("\\boxed{}", None),
        ("\\boxed{}\nAnswer: 5", "5"),
        ("\\fbox{9}", "9"),
        ("Answer:", None),
        ("", None),
        ("no label, 42", None),
        ("$k = \\boxed{45}$ and $n = \\boxed{2}$", "45, 2"),
        ("\\boxed{5}, that is \\boxed{6}", "6"),
        ("\\boxed{5} $\\boxed{5}$", "5"),
        (
            "\\boxed{255} in all.\nFinal Answer: The final answer is $10,455$. I hope it is correct.",
            "$10,455$.",
        ),
        ("\\boxed{255}\n\nFinal answer: as boxed", "255"),
        ("we add them, so the final answer is 7", "7"),
        ("Final answer: the answer is 12", "12"),
        ("Answer:" * 5000, "Answer:" * 4995),
    ],
)
def test_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@given(st.text(st.sampled_from("ab{}\\ 1"), max_size=30).filter(lambda text: text.strip()))
def test_a_balanced_box_is_given_back_whole(text: str) -> None:
    inside = text.replace("\\", "").replace("{", "(").replace("}", ")")
    if inside.strip():
        assert final_answer(f"work \\boxed{{ {{{inside}}} }} done") == f"{{{inside}}}"
