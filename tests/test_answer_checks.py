"""From traces to labels in SQL: what the free checks decide, what a judge is asked, and what no judge can overrule.

Among the cases are the defects that a reading of the original data set's samples found, told in our own words.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.test_chimera_sql import ANSWERS, JUDGEMENTS, SOLUTIONS, VERIFIED, WORK, Desk, Row, by, decided, draft, trace
from tests.test_screen_trace import ATTACKS

LONG = WORK * 3


@pytest.fixture
def desk() -> Desk:
    return Desk()


def check(desk: Desk, *cases: tuple[Row, Row], judged: Sequence[Row] = ()) -> dict[str, Row]:
    desk.table("verified", VERIFIED, [problem for problem, _ in cases])
    desk.table("solutions", SOLUTIONS, [solved for _, solved in cases])
    desk.table("judgements", JUDGEMENTS, judged)
    desk.table("taxonomy", "row_key VARCHAR, subject VARCHAR")
    decided(desk)
    return by(desk.rows("checks"))


def asked(desk: Desk) -> dict[str, Row]:
    return by(desk.run("chimera/judgements_rows.sql"))


def test_every_check_says_what_decided_and_what_it_held_side_by_side(desk: Desk) -> None:
    found = check(
        desk,
        (draft(1, answer="5 cm"), trace(1, "0.05 m")),
        (draft(2, answer="\\frac{x}{2}+1"), trace(2, "1+0.5x")),
        (draft(3, answer="37.778"), trace(3, "78984.68")),
        (draft(4, answer="Abel"), trace(4, "Galois")),
        (draft(5), trace(5, None)),
    )
    told = {
        key: (row["match"], row["reason"], row["decision_method"], row["decision_evidence"])
        for key, row in found.items()
    }
    assert told == {
        "m/t/1": ("yes", "same by rule", "unit", "0.05 m = 5 cm"),
        "m/t/2": ("yes", "same by rule", "symbolic", "1+0.5x = \\frac{x}{2}+1"),
        "m/t/3": ("no", "another number", "number", "78984.68 vs 37.778: ratio 2091"),
        "m/t/4": ("unsure", "rules cannot tell", "none", ""),
        "m/t/5": ("none", "no final answer", "screen", "nothing to compare"),
    }
    assert [key for key, row in found.items() if row["doubt"]] == ["m/t/4"]


def test_an_attack_is_never_accepted_whatever_a_judge_would_say(desk: Desk) -> None:
    """Not even where the reference is the very text."""
    question = "Prove that every finite group of prime order p is cyclic and abelian."
    reference = "Every finite group of prime order p is cyclic and abelian."
    cases = [
        (draft(n, question=question, answer=reference), trace(n, None, text=said))
        for n, (said, _) in enumerate(ATTACKS)
    ]
    judged = [{"row_key": f"m/t/{n}", "same": True, "reason": "fooled"} for n in range(len(ATTACKS))]
    found = check(desk, *cases, judged=judged)
    assert not asked(desk)
    rows = by(desk.run("chimera/dataset.sql", held_out_share=0))
    for n, (said, reason) in enumerate(ATTACKS):
        assert (found[f"m/t/{n}"]["match"], found[f"m/t/{n}"]["reason"]) == ("none", reason), said
        assert rows[f"m/t/{n}"]["correctness"] is False


# -- the defects of the original's samples

RYDBERG = "U(a) = −37.778 Hz, U(2a) = −0.024449 Hz, ratio 0.0006471"


@pytest.mark.parametrize(
    "said",
    [
        "U(a) = 78,984.68 Hz, U(2a) = 2,431.44 Hz, ratio 0.03078",
        "U(a) \\approx 78984.68\\ \\text{Hz},\\ U(2a) \\approx 2431.44\\ \\text{Hz},\\ \\text{ratio } 0.03078",
        "U(2a) = −0.024449 Hz, U(a) = −37.778 Hz, ratio 0.03078",
    ],
)
def test_other_numbers_than_the_references_are_no_match(desk: Desk, said: str) -> None:
    found = check(desk, (draft(1, answer=RYDBERG), trace(1, said)))["m/t/1"]
    assert (found["match"], found["decision_method"]) == ("no", "parts")
    assert "ratio" in found["decision_evidence"]
    assert not asked(desk)


def test_a_wrong_digit_in_a_reference_is_told_from_rounding(desk: Desk) -> None:
    """0.821847 is right; the reference says 0.82123, and a trace rounds to 0.822."""
    found = check(desk, (draft(1, answer="0.82123"), trace(1, "0.822")))["m/t/1"]
    assert (found["match"], found["decision_method"]) == ("unsure", "digits")
    assert found["decision_evidence"] == "0.822 vs 0.82123: ratio 1.001"
    assert check(desk, (draft(1, answer="0.821847"), trace(1, "0.822")))["m/t/1"]["match"] == "yes"


SIEVE = (
    "Let S be the set of integers n up to 10^6 such that n and n + 2 have no prime factor below 47. Use Selberg's upper"
    " bound sieve with level D = 1000 to bound the size of S, and state the main term's constant to four digits."
)
PARTICLES = (
    "We consider the McKean-Vlasov stochastic differential equation and its particle approximation. By synchronous"
    " coupling and Gronwall's lemma the Wasserstein distance between the empirical measure and the law decays."
)


def test_a_trace_of_another_problem_is_not_correct_though_its_answer_is(desk: Desk) -> None:
    cases = [
        (draft(1, question=SIEVE, answer="1.3203"), trace(1, "1.3203", reasoning=PARTICLES * 4)),
        (draft(2, question=SIEVE, answer="1.3203"), trace(2, "1.3203", reasoning=f"{SIEVE} {LONG}")),
    ]
    found = check(desk, *cases, judged=[{"row_key": "m/t/1", "same": True}])
    assert (found["m/t/1"]["reason"], found["m/t/1"]["decision_method"]) == ("another problem", "fit")
    assert found["m/t/1"]["decision_evidence"].startswith("mentions ")
    assert found["m/t/2"]["match"] == "yes"
    rows = by(desk.run("chimera/dataset.sql", held_out_share=0))
    assert (rows["m/t/1"]["correctness"], rows["m/t/2"]["correctness"]) == (False, True)


# -- parts


def test_a_judge_is_asked_about_the_doubtful_parts_alone(desk: Desk) -> None:
    check(
        desk,
        (draft(1, answer="(a) crimson (b) 7 (c) oak"), trace(1, "(a) red (b) 7 (c) Quercus")),
        (draft(2, answer="Abel"), trace(2, "N. H. Abel")),
    )
    rows = asked(desk)
    assert {key: (row["part"], row["reference_answer"], row["candidate_answer"]) for key, row in rows.items()} == {
        "m/t/1#a": ("a", "crimson", "red"),
        "m/t/1#c": ("c", "oak", "Quercus"),
        "m/t/2": ("the whole answer", "Abel", "N. H. Abel"),
    }


@pytest.mark.parametrize(
    ("votes", "same"),
    [
        ({"a": [True, True], "c": [True, True]}, True),
        ({"a": [True, True], "c": [True, False]}, False),
        ({"a": [True], "c": [None]}, None),  # nobody can tell: a part has no vote
        ({"a": [False], "c": [None]}, False),
        ({"a": [None], "c": [None]}, None),
    ],
)
def test_all_votes_on_all_parts_have_to_agree(
    desk: Desk, votes: dict[str, list[bool | None]], same: bool | None
) -> None:
    said = [
        {"row_key": f"p#{part}", "sample": number, "outcome": "ok" if vote is not None else "refused", "model": "j"}
        | ({"answer": {"extracted": "x", "reason": f"{part}{number}", "same": vote}} if vote is not None else {})
        for part, cast in votes.items()
        for number, vote in enumerate(cast, 1)
    ]
    desk.table("answers", f"row_key VARCHAR, part VARCHAR, {ANSWERS}", said)
    rows = by(desk.run("chimera/judgements.sql"))
    assert ({key: row["same"] for key, row in rows.items()} or None) == ({"p": same} if same is not None else None)
    if same is False:
        assert rows["p"]["reason"] in {"c2", "a1"}
