"""Answers of several parts: split, put beside each other by their labels, and judged one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.answer_parts import answer_parts, labelled_parts, paired
from chimera_batch.functions.compare_answers import compare_answers, compare_parts


@pytest.mark.parametrize(
    ("text", "labels", "parts"),
    [
        ("(a) 3 (b) 5", ["a", "b"], ["3", "5"]),
        ("a) 3\nb) 5", ["a", "b"], ["3", "5"]),
        ("\\text{(a)} 3, \\text{(b)} 5", ["a", "b"], ["3", "5"]),
        ("Part A: 3; Part B: red", ["a", "b"], ["3", "red"]),
        ("(1) 3 (2) 4", ["1", "2"], ["3", "4"]),
        ("i) yes ii) no", ["i", "ii"], ["yes", "no"]),
        ("x = 1, y = 2", ["x", "y"], ["1", "2"]),
        ("$x=1$ and $y=2$", ["x", "y"], ["1", "2"]),
        ("a_3 = 2, a_{37} = 19", ["a_3", "a_{37}"], ["2", "19"]),
        ("U(a) = -3 Hz, U(2a) = -0.02 Hz, ratio 0.6", ["u(a)", "u(2a)", "ratio"], ["-3 Hz", "-0.02 Hz", "0.6"]),
        ("The ratio is 3; the mean is 4", ["the ratio", "the mean"], ["3", "4"]),
        ("3, 5", [""], ["3", "5"]),
        ("U = 78,984.68 Hz, V = 2,431 Hz", ["u", "v"], ["78,984.68 Hz", "2,431 Hz"]),
        ("1,234, 5,678", [""], ["1,234", "5,678"]),
        ("1,234", [""], ["1,234"]),
        ("(1, 2)", [""], ["(1, 2)"]),
        ("x = 1 or x = 2", [""], ["x=1", "x=2"]),
        ("f(a) = 3 (b)", [""], ["f(a) = 3 (b)"]),
        ("I. Newton", [""], ["I. Newton"]),
        ("(a) 3 (b)", [""], ["(a) 3 (b)"]),
        ("x < 1, y = 2", [""], ["x<1", "y=2"]),
        ("12:00", [""], ["12:00"]),
        ("", [""], [""]),
    ],
)  # fmt: skip
def test_parts(text: str, labels: list[str], parts: list[str]) -> None:
    assert [part.label for part in labelled_parts(text)] == labels
    assert answer_parts(text) == parts


@given(st.text(st.sampled_from("ab(1),=; x.i\n\\$"), max_size=40))
def test_no_text_breaks_the_splitting(text: str) -> None:
    assert answer_parts(text)
    assert paired(text, text)[0][1] == paired(text, text)[0][2]


def test_parts_meet_by_label_else_in_their_order_else_not_at_all() -> None:
    assert paired("x = 1, y = 2", "y = 3, x = 4") == [("x", "1", "4"), ("y", "2", "3")]
    assert paired("(a) 1 (b) 2", "1, 2") == [("a", "1", "1"), ("b", "2", "2")]
    assert paired("p = 1, q = 2", "q_0 = 2, p = 1") == [("", "p = 1, q = 2", "q_0 = 2, p = 1")]
    assert paired("(a) 1 (b) 2", "1") == [("", "(a) 1 (b) 2", "1")]


@pytest.mark.parametrize(
    ("reference", "candidate", "verdict", "evidence"),
    [
        ("x = 1, y = 2", "y = 2.0, x = 1", "yes", "2 parts agree"),
        ("(a) 3 m (b) 7", "(a) 300 cm (b) 8", "no", "b: 8 vs 7: ratio 1.143"),
        ("(a) red (b) 7", "(a) crimson (b) 7", "unsure", ""),
        ("(a) red (b) 7", "(a) crimson (b) 8", "no", "b: 8 vs 7: ratio 1.143"),
    ],
)
def test_one_wrong_part_decides_and_all_have_to_agree(
    reference: str, candidate: str, verdict: str, evidence: str
) -> None:
    found = compare_answers(reference, candidate)
    assert (found["verdict"], found["evidence"]) == (verdict, evidence)


def test_a_number_that_is_nowhere_in_the_list_decides() -> None:
    found = compare_answers("37.778, 0.024449, 0.0006471", "0.024449, 37.778, 0.03078")
    assert (found["verdict"], found["method"]) == ("no", "list")
    assert compare_answers("1, 2", "2, 1")["verdict"] == "unsure"


def test_what_is_asked_about_is_each_part_with_its_own_two_texts() -> None:
    assert compare_parts("(a) red (b) 7", "(a) crimson (b) 7") == [
        {
            "part": "a",
            "reference": "red",
            "candidate": "crimson",
            "verdict": "unsure",
            "method": "none",
            "evidence": "",
        },
        {"part": "b", "reference": "7", "candidate": "7", "verdict": "yes", "method": "exact", "evidence": "7"},
    ]
    [one] = compare_parts("red", "crimson")
    assert one["part"] == ""
