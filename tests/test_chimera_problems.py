"""From drafts to candidates: what is converted, what is one problem, and that every step can be looked up."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal.minds import families, fingerprint
from chimera_batch.rehearsal.minds.topics import vocabulary
from tests.test_chimera_sql import ANSWERS, CONVERSIONS, DRAFT_ROWS, DRAFTS, KEPT, PREVIOUS, Desk, Row, by, desk, draft

__all__ = ["desk"]

LOG = (
    "A lattice path runs from the origin to the point with coordinates {} and {} by unit steps to the right and "
    "upwards, and it may not pass through the point with coordinates {} and {}. Find the number of such paths."
)


def screen(desk: Desk, drafts: Sequence[Row], converted: Sequence[Row] = (), near: float = 0.5) -> dict[str, Row]:
    desk.table("problems", DRAFTS)
    desk.table("conversions", CONVERSIONS)
    fill(desk, "problems", drafts)
    fill(desk, "conversions", converted)
    desk.make("chimera/screened.sql", near_problem=near)
    desk.make("chimera/candidates.sql")
    return by(desk.rows("screened"))


def fill(desk: Desk, name: str, rows: Sequence[Row]) -> None:
    if rows:
        names, marks = ", ".join(rows[0]), ", ".join("?" for _ in rows[0])
        desk.db.executemany(f'INSERT INTO "{name}" ({names}) VALUES ({marks})', [list(row.values()) for row in rows])


def reasons(rows: dict[str, Row]) -> list[str]:
    return [rows[key]["reason"] for key in sorted(rows)]


def converted(number: int, question: str, answer: str = "42", **more: Any) -> Row:
    base = draft(number, question, answer)
    key = base["row_key"]
    own = {"converted_from": key, "flaw": "proof", "part": 1, "why_not": None, "row_key": f"{key}/converted-1"}
    return base | own | more


# -- which drafts are converted, and into what


def test_the_editor_gets_what_has_a_checkable_core(desk: Desk) -> None:
    drafts = [
        draft(1, "Prove that the group G is simple."),
        draft(2, "Find it. Choose one: (A) 3 (B) 4", "(B) 4"),
        draft(3, "Find them.", "(a) 3; (b) 4"),
        draft(4, "Is G simple?", "yes"),
        draft(5, "What is x? It is known that the result is 45.", "45"),
        draft(6, "Discuss the groups.", "They are simple."),
        draft(7, "In the figure above, find the angle."),
        draft(8, "", "1"),
        draft(9),
    ]
    desk.table("problems", DRAFTS, drafts)
    rows = by(desk.run("chimera/conversions_rows.sql"))
    assert {key: row["flaw"] for key, row in rows.items()} == {
        "m/t/1": "proof", "m/t/2": "multiple choice", "m/t/3": "multi-part", "m/t/4": "yes or no",
        "m/t/5": "answer in question",
    }  # fmt: skip
    assert all(row["original_solution"] and row["reference_answer"] for row in rows.values())


def problem(number: int) -> Row:
    return {"question": f"Find {number}.", "solution": "s", "answer": str(number), "answer_kind": "number"}


def answered(number: int, problems: Sequence[Row], possible: bool = True, **more: Any) -> Row:
    row = {name: value for name, value in draft(number).items() if name in DRAFT_ROWS or name == "wave"}
    answer = {"working": "w", "possible": possible, "problems": list(problems), "why_not": "" if possible else "hollow"}
    own = {"flaw": "proof", "question": "Prove it.", "reference_answer": "It.", "original_solution": "so"}
    return row | own | {"sample": 1, "round": 1, "outcome": "ok", "answer": answer, "model": "editor-1"} | more


def made(desk: Desk, rows: Sequence[Row]) -> dict[str, Row]:
    columns = f"{DRAFT_ROWS}, wave INTEGER, flaw VARCHAR, question VARCHAR, reference_answer VARCHAR"
    desk.table("answers", f"{columns}, original_solution VARCHAR, {ANSWERS}", rows)
    return by(desk.run("chimera/conversions.sql"))


def test_every_part_is_a_problem_with_a_key_of_its_own(desk: Desk) -> None:
    rows = made(
        desk,
        [
            answered(1, [problem(11)]),
            answered(2, [problem(21), problem(22)]),
            answered(3, [], possible=False),
            answered(4, [problem(41)], possible=False),
            answered(5, [problem(n) for n in range(20)]),
            answered(6, [problem(61)], outcome="refused"),
            answered(2, [problem(23)], sample=2),
        ],
    )
    assert {key: row["reference_answer"] for key, row in rows.items() if row["converted_from"] != "m/t/5"} == {
        "m/t/1/converted-1": "11", "m/t/2/converted-1": "21", "m/t/2/converted-2": "22",
        "m/t/2-2/converted-1": "23", "m/t/3/converted": None, "m/t/4/converted": None,
    }  # fmt: skip
    assert rows["m/t/3/converted"]["why_not"] == "hollow" and rows["m/t/3/converted"]["part"] == 0
    assert sum(row["converted_from"] == "m/t/5" for row in rows.values()) == 8
    one = rows["m/t/2/converted-2"]
    assert (one["question"], one["converted_from"], one["author_model"]) == ("Find 22.", "m/t/2", "editor-1")
    assert (one["topic_id"], one["wave"], one["original_solution"]) == ("m/t", 1, "s")


def test_what_was_made_is_screened_again_and_goes_on(desk: Desk) -> None:
    rows = screen(
        desk,
        [draft(1, "Prove that G has order twelve."), draft(2)],
        [
            converted(1, "Find the order of the group G of the cube's proper colourings.", "12"),
            converted(1, "Prove it again.", row_key="m/t/1/converted-2", part=2),
            converted(3, None, None, row_key="m/t/3/converted", part=0) | {"question": None, "reference_answer": None},
        ],
    )
    assert {key: row["reason"] for key, row in rows.items()} == {
        "m/t/1": "proof", "m/t/1/converted-1": "ok", "m/t/1/converted-2": "proof", "m/t/2": "ok",
    }  # fmt: skip
    candidates = by(desk.rows("candidates"))
    assert {key: row["converted_from"] for key, row in candidates.items()} == {
        "m/t/1/converted-1": "m/t/1", "m/t/2": None,
    }  # fmt: skip
    assert set(draft(1)) <= set(candidates["m/t/2"])


def test_a_draft_stays_before_what_was_made_of_another_one(desk: Desk) -> None:
    rows = screen(
        desk,
        [draft(1, "Prove that it is so."), draft(2, LOG.format(9, 8, 3, 2)), draft(3, LOG.format(9, 8, 4, 2), wave=2)],
        [converted(1, LOG.format(9, 8, 3, 2)), converted(3, LOG.format(9, 8, 4, 2), wave=1)],
    )
    assert rows["m/t/1/converted-1"]["duplicate_of"] == "m/t/2"
    assert rows["m/t/3"]["duplicate_of"] == "m/t/3/converted-1", "the earlier wave stays, whoever wrote it"


# -- what is one problem


def alike(desk: Desk, one: Row, other: Row) -> str:
    return str(screen(desk, [draft(1, **one), draft(2, **other)])["m/t/2"]["reason"])


SAME = {"question": LOG.format(14, 13, 4, 3), "answer": "1/2"}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"question": LOG.format(14, 13, 4, 3)}, "same problem"),
        ({"question": LOG.format(14, 13, 4, 3).upper()}, "same problem"),
        ({"subject": "Physics", "area": "Optics"}, "same problem"),
        ({"answer": "0.5"}, "same problem"),
        ({"question": LOG.format("14.0", "13", "4", "3.00")}, "near duplicate"),
        (
            {"question": "For once, " + LOG.format(14, 13, 4, 3).replace("Find", "Compute"), "area": "B"},
            "near duplicate",
        ),
        ({"question": "In the seminar. " + LOG.format(14, 13, 4, 3), "subject": "Physics"}, "near duplicate"),
        ({"question": LOG.format(14, 13, 4, 3) + " Give it to 3 digits."}, "near duplicate"),
        ({"question": LOG.format(14, 13, 3, 4)}, "ok"),  # the numbers in other places
        ({"question": LOG.format(15, 13, 4, 3)}, "ok"),  # another number
        ({"question": LOG.format(14, 13, 5, 3) + " Give it to 3 digits."}, "ok"),
        ({"answer": "2/3"}, "ok"),  # the verifiers decide which is right
        ({"question": "Take this. " + LOG.format(14, 13, 4, 3), "answer": "2/3"}, "ok"),
        ({"question": "How many steps has a path from the origin to 14, 13 past 4, 3?"}, "ok"),  # other words
    ],
)
def test_near_duplicates(desk: Desk, other: Row, reason: str) -> None:
    assert alike(desk, SAME, SAME | other) == reason


WORDS = "An alignment turns the word “{}” into “{}” at unit costs for each edit, as {} proposed. Find the least cost."


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("mother", "brother", "Levenshtein"), "same problem"),
        (("mother", "feather", "Levenshtein"), "ok"),
        (("mother", "brother", "Damerau"), "ok"),
    ],
)
def test_names_and_quotations_are_data(desk: Desk, names: tuple[str, str, str], reason: str) -> None:
    one = {"question": WORDS.format("mother", "brother", "Levenshtein"), "answer": "3"}
    assert alike(desk, one, one | {"question": WORDS.format(*names)}) == reason


def test_the_name_of_the_topic_does_not_count(desk: Desk) -> None:
    text = "A seminar on {} poses this. " + LOG.format(9, 8, 3, 2)
    topics = (
        "Lattice walks with forbidden points and a very long name",
        "Ballot sequences, reflection and other tricks",
    )
    drafts = [draft(n, text.format(topic), topic=topic) for n, topic in enumerate(topics, 1)]
    assert reasons(screen(desk, drafts)) == ["ok", "same problem"]


def test_chains_end_at_the_one_that_stays(desk: Desk) -> None:
    words = [f"w{chr(97 + n)}" for n in range(26)] + ["find", "it"]
    texts = [words, [*words[:5], "xa", "xb", *words[7:]]]
    texts.append([*texts[1][:18], "ya", "yb", *texts[1][20:]])
    rows = screen(desk, [draft(n, " ".join(text)) for n, text in enumerate(texts, 1)], near=0.7)
    assert reasons(rows) == ["ok", "near duplicate", "near duplicate"]
    assert {row["duplicate_of"] for row in rows.values()} == {None, "m/t/1"}


def test_merges_can_be_looked_up(desk: Desk) -> None:
    again = "For once, " + LOG.format(9, 8, 3, 2)
    screen(desk, [draft(1, LOG.format(9, 8, 3, 2)), draft(2, again, topic="U"), draft(3), draft(4, again, wave=2)])
    rows = desk.run("queries/duplicates.sql")
    assert [(row["row_key"], row["duplicate_of"], row["reason"]) for row in rows] == [
        ("m/t/2", "m/t/1", "near duplicate"),
        ("m/t/4", "m/t/1", "same problem"),
    ]
    assert 0.8 < rows[0]["overlap"] < 1 and (rows[0]["topic"], rows[0]["kept_topic"]) == ("U", "T")


def test_the_screen_is_summed_up(desk: Desk) -> None:
    screen(
        desk,
        [draft(1, "Prove that A holds."), draft(2, "Prove that B holds."), draft(3), draft(4, "Discuss it.")],
        [converted(1, "Find the order of A."), converted(2, "", "", part=0, row_key="m/t/2/converted")],
    )
    rows = by(desk.run("queries/screening.sql"), "reason")
    assert [rows[name]["drafts"] for name in ("ok", "proof", "discussion")] == [1, 2, 1]
    proof = rows["proof"]
    assert (proof["given_to_editor"], proof["declined"], proof["problems_made"], proof["passed"]) == (2, 1, 1, 1)


# -- measured on the rehearsal's families, whose instances differ in their data alone


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_copies_are_merged_and_relatives_are_not(seed: int) -> None:
    rng = random.Random(seed)
    drafts, number = [], 0
    for family in rng.sample(families(), 6):
        for _ in range(4):
            params, style = family.draw(rng), rng.random()
            for _copy in range(rng.choice((1, 1, 2))):
                number += 1
                topic = rng.choice(vocabulary(family.subject)).topic
                text = family.question(params, topic, random.Random(style))
                drafts.append(draft(number, text, family.solve(params), topic=topic, subject=family.subject))
    rows = screen(Desk(), drafts)
    seen: set[str | None] = set()
    for one in sorted(drafts, key=lambda row: row["row_key"]):
        kept = rows[one["row_key"]]["duplicate_of"] is None
        assert kept == (fingerprint(one["question"]) not in seen), one["question"]
        seen.add(fingerprint(one["question"]))


# -- waves: what was made of drafts counts towards the target


def test_converted_problems_count_towards_the_target_of_their_subject(desk: Desk) -> None:
    subjects = [{"subject": name, "topics": 10} for name in ("Mathematics", "Physics")]
    columns = "row_key VARCHAR, subject VARCHAR, area VARCHAR, topic VARCHAR, kind VARCHAR"
    topics = [(f"{name}/{n}", name) for name in ("Mathematics", "Physics") for n in range(10)]
    desk.table("taxonomy", columns)
    fill(desk, "taxonomy", [{"row_key": k, "subject": s, "area": "A", "topic": k, "kind": "formal"} for k, s in topics])
    desk.table("previous", PREVIOUS)
    desk.table("kept", KEPT)
    asked = [(f"{key}/1", f'{{"subject": "{name}"}}') for key, name in topics]
    fill(desk, "previous", [{"round": 1, "row_key": k, "sample": 1, "outcome": "ok", "row": r} for k, r in asked])
    sizes = {"subjects": subjects, "problems": 30, "problems_per_topic": 9}

    def another_wave() -> tuple[bool, Counter[str]]:
        [enough] = desk.run("chimera/problems_enough.sql", **sizes)
        rows = desk.run("chimera/problems_rows.sql", first_wave=0.85, expected_yield=0.75, round=2, **sizes)
        return enough["enough"], Counter(row["subject"] for row in rows)

    # half of the drafts of physics are kept as they are; those of mathematics were split: more are kept than drafted
    fill(desk, "kept", [{"row_key": k, "row": r} for k, r in asked if "Physics" in k and k < "Physics/5"])
    parts = [{"row_key": f"{k}/converted-{n}", "row": r} for k, r in asked if "Mathematics" in k for n in (1, 2)]
    fill(desk, "kept", parts[:14])
    enough, wave = another_wave()
    assert not enough and set(wave) == {"Mathematics", "Physics"}
    assert 1 <= wave["Mathematics"] <= 4 and wave["Physics"] >= 12
    fill(desk, "kept", parts[14:] + [{"row_key": f"x{n}", "row": '{"subject": "Physics"}'} for n in range(10)])
    assert another_wave() == (True, Counter())
