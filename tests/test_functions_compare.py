"""What a comparison says beside its verdict: which stage decided, and what it held side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.answers_match import answers_match
from chimera_batch.functions.compare_answers import compare_answers


@pytest.mark.parametrize(
    ("reference", "candidate", "verdict", "method", "evidence"),
    [
        ("37.778", "78984.68", "no", "number", "78984.68 vs 37.778: ratio 2091"),
        ("0", "4", "no", "number", "4 vs 0: the reference is 0"),
        ("1", "10^{399}", "unsure", "scale", "10^{399} vs 1: ratio beyond 1e308"),
        ("0.82123", "0.822", "unsure", "digits", "0.822 vs 0.82123: ratio 1.001"),
        ("5", "500", "unsure", "scale", "500 vs 5: ratio 100"),
        ("3", "10^{399}", "no", "number", "10^{399} vs 3: ratio beyond 1e308"),
        ("$42$", "\\boxed{42}", "yes", "exact", "42"),
        ("Paris", "paris.", "yes", "text", "paris = Paris"),
        ("\\frac{1}{2}", "0.5", "yes", "number", "0.5 = \\frac{1}{2}"),
        ("5 m", "5", "yes", "unit", "5 = 5 m"),
        ("(1, 2)", "(1,2.0)", "yes", "list", "2 elements agree"),
        ("\\{1, 2\\}", "\\{2, 1\\}", "yes", "set", "2 elements agree"),
        ("7", " ", "no", "none", "the candidate is empty"),
        ("red", "blue", "unsure", "none", ""),
        ("x " * 2000, "x" + " x" * 1999, "yes", "exact", "the same long text"),
    ],
)
def test_the_stage_that_decided(reference: str, candidate: str, verdict: str, method: str, evidence: str) -> None:
    found = compare_answers(reference, candidate)
    assert found == {"verdict": verdict, "method": method, "evidence": evidence}
    assert answers_match(reference, candidate) == verdict


@pytest.mark.slow
@given(st.text(), st.text())
def test_evidence_is_one_short_line_whatever_the_texts(one: str, other: str) -> None:
    found = compare_answers(one, other)
    assert len(found["evidence"]) < 200 and len(found["evidence"].splitlines()) <= 1
