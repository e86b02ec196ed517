"""Which references are trusted, and what a row of the data set is good for: the SQL, over tables made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.test_chimera_sql import (
    ANSWERS,
    DRAFTS,
    REFERENCE_CHECKS,
    SOLUTIONS,
    VERIFIED,
    Desk,
    Row,
    by,
    draft,
    trace,
    verdict,
    vote,
)

LABELS = """row_key VARCHAR, problem_key VARCHAR, sample INTEGER, correctness BOOLEAN, decided_by VARCHAR,
    final_answer VARCHAR, decision_method VARCHAR, decision_evidence VARCHAR, decision_reason VARCHAR"""
TOPICS = "row_key VARCHAR, subject VARCHAR"


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- verdicts that are about the answer alone


@pytest.mark.parametrize(
    ("said", "objection"),
    [
        ({}, None),
        ({"answer_correct": False, "verdict": "reject"}, "answer"),
        ({"own_answer": "43"}, "answer"),  # says keep, computed another number
        ({"answer_correct": False, "on_topic": False, "verdict": "reject"}, "problem"),
        ({"single_answer": False, "verdict": "reject"}, "problem"),
        ({"self_contained": False, "own_answer": "none", "verdict": "reject"}, "problem"),
        ({"verdict": "reject"}, "problem"),  # finds nothing and rejects: no solution answers that
    ],
)
def test_what_a_verifier_objects_to(desk: Desk, said: Row, objection: str | None) -> None:
    [row] = vote(desk, verdict("p", **said)).values()
    assert row["objection"] == objection and row["kept"] == (objection is None)


def test_one_vote_against_the_problem_outweighs_votes_against_the_answer(desk: Desk) -> None:
    wrong, vague = {"answer_correct": False}, {"self_contained": False}
    rows = vote(
        desk,
        verdict("p", sample=1, **wrong), verdict("p", sample=2, **vague), verdict("p", sample=3),
        verdict("q", sample=1, **wrong), verdict("q", sample=2),
    )  # fmt: skip
    assert (rows["p"]["objection"], rows["q"]["objection"]) == ("problem", "answer")


# -- the cascade

PAIRS: list[tuple[str | None, str | None, bool | None]] = [
    # objection of a, of b (- where it is not asked), contested (None: not verified)
    (None, None, False),
    (None, "answer", True),
    ("answer", None, True),
    ("answer", "answer", None),
    (None, "problem", None),
    ("problem", None, None),  # audited: cannot get in
    ("answer", "problem", None),
]


def judged(desk: Desk, pairs: Sequence[tuple[str | None, str | None]]) -> None:
    desk.table("candidates", DRAFTS, [draft(n) for n in range(len(pairs))])
    columns = "row_key VARCHAR, kept BOOLEAN, objection VARCHAR, own_answer VARCHAR, reason VARCHAR"
    for place, name in enumerate(("verdict_a", "verdict_b")):
        rows = [
            {"row_key": f"m/t/{n}", "kept": said[place] is None, "objection": said[place], "reason": name}
            for n, said in enumerate(pairs)
        ]
        desk.table(name, columns, rows)


def test_who_is_verified_and_who_contested(desk: Desk) -> None:
    judged(desk, [(a, b) for a, b, _ in PAIRS])
    found = {row["row_key"]: row["contested"] for row in desk.run("chimera/verified.sql")}
    assert found == {f"m/t/{n}": contested for n, (_, _, contested) in enumerate(PAIRS) if contested is not None}


def test_b_sees_what_a_rejects_for_its_answer_alone(desk: Desk) -> None:
    judged(desk, [(a, b) for a, b, _ in PAIRS])
    seen = [row["row_key"] for row in desk.run("chimera/verdict_b_rows.sql", audit_share=0)]
    assert sorted(seen) == [f"m/t/{n}" for n, (a, _, _) in enumerate(PAIRS) if a != "problem"]


def test_agreement_weighs_each_kind_of_reject(desk: Desk) -> None:
    """a keeps 6 (b 5 of them), objects to 3 answers (b keeps 2), rejects 8 outright, of which b saw 2 and keeps 1."""
    says: list[tuple[str | None, str | None]] = [(None, None)] * 5 + [(None, "problem")]
    says += [("answer", None)] * 2 + [("answer", "answer")] + [("problem", None), ("problem", "problem")] * 4
    judged(desk, says)
    desk.db.execute(
        "DELETE FROM verdict_b WHERE row_key IN ('m/t/11', 'm/t/12', 'm/t/13', 'm/t/14', 'm/t/15', 'm/t/16')"
    )
    checked = [{"row_key": "m/t/6", "reference": "verified"}, {"row_key": "m/t/7", "reference": "disputed"}]
    desk.table("reference_checks", REFERENCE_CHECKS, [row | {"contested": True} for row in checked])
    row = by(desk.run("queries/agreement.sql"), "subject")["all"]
    assert (row["kept_by_a"], row["rejected_by_a"], row["pairs"], row["audited"], row["weight"]) == (6, 11, 11, 2, 4)
    assert row["agreement"] == round((5 + 1 + 8 / 2) / 17, 4)
    assert (row["contested"], row["stands"], row["falls"]) == (2, 1, 1)
    assert row["a_rejects_b_keeps"] == 3 and row["both_reject"] == 2


# -- the arbiter


def labels(desk: Desk, *said: tuple[int, bool | None, str | None]) -> None:
    rows = [
        {
            "row_key": f"m/t/{n}-{place}",
            "problem_key": f"m/t/{n}",
            "correctness": right,
            "final_answer": final,
            "decided_by": "judge" if final == "42.001" else "rule",
        }
        for place, (n, right, final) in enumerate(said)
    ]
    desk.table("labels", LABELS, rows)


def test_the_arbiter_is_asked_where_no_trace_arrives(desk: Desk) -> None:
    told = [draft(n, answer_kind="text" if n == 6 else "number", contested=n == 7) for n in range(1, 8)]
    desk.table("verified", VERIFIED, told)
    labels(
        desk, (1, True, "42"), (1, False, "41"), (2, False, "41"), (3, None, None), (5, True, "42.001"),
        (6, True, "42.001"), (7, True, "42"),
    )  # fmt: skip
    rows = by(desk.run("chimera/arbitration_rows.sql"))
    wanted = ["m/t/2", "m/t/3", "m/t/4", "m/t/5", "m/t/7"]
    assert sorted(rows) == wanted, "wrong, undecided, without a trace, a number by a judge's word, contested"


@pytest.mark.parametrize(
    ("reference", "said", "match"),
    [
        ("42", [("42.0", True)], "yes"),
        ("42", [("43", True)], "no"),
        ("42", [("none", False)], "no"),
        ("42", [("42", False)], "no"),  # a guess: it says itself that the text does not lead there
        ("Abel", [("Niels Abel", True)], "unsure"),
        ("Abel", [("", True)], "no"),
        ("Abel", [("none", False)], "no"),
        ("42", [("43", True), ("42", True)], "yes"),  # one is enough
        ("42", [("43", True), ("none", False)], "no"),
        ("Abel", [("none", False), ("Niels Abel", True)], "unsure"),
    ],
)
def test_what_the_arbiter_found(desk: Desk, reference: str, said: list[tuple[str, bool]], match: str) -> None:
    columns = f"row_key VARCHAR, question VARCHAR, reference_answer VARCHAR, {ANSWERS}"
    base = {"row_key": "p", "question": "q", "reference_answer": reference, "outcome": "ok"}
    answers = [
        base | {"sample": n, "answer": {"working": "w", "solvable": can, "final_answer": final}}
        for n, (final, can) in enumerate(said, 1)
    ]
    desk.table("answers", columns, [*answers, base | {"row_key": "late", "sample": 1, "outcome": "expired"}])
    [row] = desk.make("chimera/arbitration.sql")
    own = said[0][0] if match == "no" else said[-1][0]  # what is held beside the reference
    assert (row["match"], row["votes"], row["own_answer"]) == (match, len(said), own)
    asked = desk.run("chimera/arbitration_judgements_rows.sql")
    assert [one["candidate_answer"] for one in asked] == ([own] if match == "unsure" else [])


def test_the_judge_of_the_arbiter_must_be_of_one_mind(desk: Desk) -> None:
    said = [("p", True, "42"), ("p", False, "42"), ("q", True, "42"), ("r", True, "none")]
    rows = [
        {"row_key": key, "sample": n, "outcome": "ok", "answer": {"extracted": value, "reason": "r", "same": same}}
        for n, (key, same, value) in enumerate(said)
    ]
    desk.table("answers", f"row_key VARCHAR, {ANSWERS}", [*rows, {"row_key": "s", "outcome": "invalid"}])
    found = by(desk.run("chimera/arbitration_judgements.sql"))
    assert {key: row["same"] for key, row in found.items()} == {"p": False, "q": True, "r": False}


# -- references

ARBITRATION = "row_key VARCHAR, own_answer VARCHAR, match VARCHAR, solvable BOOLEAN"
FINDINGS: list[tuple[bool | None, str | None, str | None, bool | None, str, str | None, str]] = [
    # label and final answer of the trace, match of the arbiter, word of the judge, reference, confirmed by, reason
    (True, "42", None, None, "verified", "trace", "a trace arrives at it"),
    (False, "41", "yes", None, "verified", "arbiter", "the arbiter arrives at it"),
    (False, "41", "unsure", True, "verified", "arbiter", "the arbiter arrives at it"),
    (False, "41", "unsure", False, "disputed", None, "arrive"),
    (True, "42.001", None, None, "disputed", None, "no answer of the arbiter"),  # a number by a judge's word
    (False, "17", "no", None, "disputed", None, "agree on another answer"),
    (False, "41", "no", None, "disputed", None, "arrive"),
    (None, None, None, None, "disputed", None, "no answer of the arbiter"),
]


@pytest.mark.parametrize("contested", [True, False])
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_reference_needs_somebody_who_did_not_see_it(desk: Desk, finding: tuple[Any, ...], contested: bool) -> None:
    right, final, match, same, reference, by_whom, reason = finding
    if contested and by_whom == "trace":
        reference, by_whom, reason = "disputed", None, "no answer of the arbiter"  # which alone would do
    desk.table("verified", VERIFIED, [draft(1) | {"contested": contested}])
    labels(desk, (1, right, final))
    arbiter = {"row_key": "m/t/1", "own_answer": "17", "match": match, "solvable": True}
    desk.table("arbitration", ARBITRATION, [arbiter] if match else [])
    word = [] if same is None else [{"row_key": "m/t/1", "same": same}]
    desk.table("arbitration_judgements", "row_key VARCHAR, same BOOLEAN", word)
    [row] = desk.run("chimera/reference_checks.sql")
    assert (row["reference"], row["confirmed_by"], row["contested"]) == (reference, by_whom, contested)
    assert reason in row["reason"]


def test_a_problem_that_cannot_be_solved_is_disputed(desk: Desk) -> None:
    desk.table("verified", VERIFIED, [draft(1)])
    labels(desk)
    said = {"row_key": "m/t/1", "own_answer": "none", "match": "no", "solvable": False}
    desk.table("arbitration", ARBITRATION, [said])
    desk.table("arbitration_judgements", "row_key VARCHAR, same BOOLEAN")
    [row] = desk.run("chimera/reference_checks.sql")
    assert row["reference"] == "disputed" and "not solvable" in row["reason"]


# -- the data set


def published(desk: Desk, references: Mapping[int, str], *said: tuple[int, int, bool | None]) -> list[Row]:
    """The data set of problems with these references, and of traces (problem, sample, label)."""
    desk.table("verified", VERIFIED, [draft(n) for n in references])
    desk.table("solutions", SOLUTIONS, [trace(n, "42", sample=sample) for n, sample, _ in said])
    rows = [trace(n, "42", sample=sample) | {"correctness": right} for n, sample, right in said]
    kept = ("row_key", "problem_key", "sample", "correctness")
    desk.table("labels", LABELS, [{name: row[name] for name in kept} | {"decided_by": "rule"} for row in rows])
    checked = [{"row_key": f"m/t/{n}", "reference": reference} for n, reference in references.items()]
    desk.table("reference_checks", REFERENCE_CHECKS, checked)
    return desk.run("chimera/dataset.sql", held_out_share=0)


COLUMNS = [
    "index", "subject", "topic", "question", "answer", "original_solution", "solution", "correctness", "row_key",
    "problem_key", "topic_id", "area", "focus", "answer_kind", "final_answer", "decided_by", "decision_method",
    "decision_evidence", "decision_reason", "reference", "split", "use", "author_model", "solver_model",
]  # fmt: skip


def test_what_each_row_is_good_for(desk: Desk) -> None:
    desk.table("taxonomy", TOPICS)
    references = {1: "verified", 2: "verified", 3: "disputed", 4: "verified", 5: "verified", 6: "disputed"}
    said = [(1, 1, False), (1, 2, True), (2, 1, False), (2, 2, False), (3, 1, False), (5, 1, None), (6, 1, True)]
    rows = published(desk, references, *said)
    assert list(rows[0]) == COLUMNS
    assert {row["row_key"]: row["use"] for row in rows} == {
        "m/t/1": None,  # a wrong trace of a problem that another one solves
        "m/t/1-2": "sft",
        "m/t/2": "rl",
        "m/t/2-2": None,  # one row of each problem
        "m/t/3": None,
        "m/t/4": "rl",  # without a trace
        "m/t/5": "rl",  # without a label
        "m/t/6": None,  # disputed: not for training, whatever its label
    }
    assert {row["row_key"]: row["decided_by"] for row in rows}["m/t/4"] == "no trace"


@pytest.mark.parametrize(("share", "out"), [(0, 0), (0.02, 0), (0.2, 2), (0.26, 3), (1, 10)])
def test_whole_topics_are_held_out_of_each_subject(desk: Desk, share: float, out: int) -> None:
    topics = [{"row_key": f"{subject}{n}", "subject": subject} for subject in ("M", "P") for n in range(10)]
    desk.table("taxonomy", TOPICS, topics)
    desk.table("verified", VERIFIED)
    rows = [draft(n, topic_id=topic["row_key"], subject=topic["subject"]) for n, topic in enumerate(topics * 2)]
    published(desk, {})
    desk.table("verified", VERIFIED, rows)
    references = [{"row_key": row["row_key"], "reference": "verified"} for row in rows]
    desk.table("reference_checks", REFERENCE_CHECKS, references)
    found = desk.run("chimera/dataset.sql", held_out_share=share)
    held = [row for row in found if row["split"] == "held_out"]
    assert {s: len({row["topic_id"] for row in held if row["subject"] == s}) for s in ("M", "P")} == {
        "M": out,
        "P": out,
    }
    assert len(held) == 4 * out, "a topic is never on both sides"
    assert {row["use"] for row in held} <= {None}
    assert {row["use"] for row in found if row["split"] == "train"} <= {"rl"}


def test_a_larger_share_holds_out_the_same_topics_and_more(desk: Desk) -> None:
    desk.table("taxonomy", TOPICS, [{"row_key": f"M{n}", "subject": "M"} for n in range(20)])
    before: set[str] = set()
    for share in (0.1, 0.2, 0.5):
        desk.table("verified", VERIFIED)
        published(desk, {})
        desk.table("verified", VERIFIED, [draft(n, topic_id=f"M{n}", subject="M") for n in range(20)])
        checks = [{"row_key": f"m/t/{n}", "reference": "verified"} for n in range(20)]
        desk.table("reference_checks", REFERENCE_CHECKS, checks)
        found = desk.run("chimera/dataset.sql", held_out_share=share)
        held = {row["topic_id"] for row in found if row["split"] == "held_out"}
        assert before < held
        before = held
