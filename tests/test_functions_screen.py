"""Problems that no final answer can decide are found before they are paid for again."""

from __future__ import annotations

import pytest

from chimera_batch.functions.screen_problem import screen_problem


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Find the order of the group of units of Z/15Z.", "8"),
        ("Let f(a) = 1 and f(b) = 2. What is f(a) + f(b)?", "3"),
        ("Minimise x + y subject to (1) x > 0 and (2) xy = 4. What is the minimum?", "4"),
        ("A map satisfying (a) linearity and (b) continuity has norm N. Determine N.", "1"),
        ("Show that the limit exists and compute its value.", "e"),
        ("Is 7 prime? Compute the 7th prime.", "17"),
        ("In the interval (a, b) where a) is closed, find the measure.", "b - a"),
        ("Vitamins A and B react at 300 K. Calculate the yield.", "0.31"),
        ("Which author wrote the Decameron?", "Boccaccio"),
        ("Between the Poisson and the Gaussian law, which has the heavier right tail?", "Poisson"),
    ],
)
def test_a_problem_with_one_checkable_answer_is_ok(question: str, answer: str) -> None:
    assert screen_problem(question, answer) == "ok"


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("", "1", "empty question"),
        (" ?! ", "1", "empty question"),
        ("What is 1 + 1?", "", "empty answer"),
        ("What is 1 + 1?", " . ", "empty answer"),
        ("Prove that there are infinitely many primes.", "There are infinitely many primes.", "proof"),
        ("Show carefully that the sequence converges.", "it converges", "proof"),
        ("Find the limit.", "Proof. Let x be …", "proof"),
        ("Determine it.", "The claim is true.", "proof"),
        ("What is 2+2?\n(A) 3\n(B) 4\n(C) 5", "B", "multiple choice"),
        ("What is 2+2? A. 3 B. 4 C. 5", "B", "multiple choice"),
        ("Which one of the following is prime: 4, 5, 6?", "5", "multiple choice"),
        ("Let X be normal. (a) Find its mean. (b) Compute the variance.", "0 and 1", "multi-part"),
        ("a) What is x?\nb) What is y?", "1", "multi-part"),
        ("Part 1: find x. Part 2: then find y.", "1", "multi-part"),
        ("(i) Determine p; (ii) prove that it is prime.", "7", "multi-part"),
        ("Find x and y.", "(a) 3 (b) 4", "multi-part"),
        ("The constant equals 0.0006471 in these units. What is the constant?", "0.0006471", "answer in question"),
        (
            "Given that the group is cyclic of order seven, what is the group?",
            "Cyclic of order seven.",
            "answer in question",
        ),
    ],
)
def test_the_others_are_named(question: str, answer: str, reason: str) -> None:
    assert screen_problem(question, answer) == reason
