"""The SQL of manifests/evaluate.yaml in a bare DuckDB: file shapes, options, letters, scores, intervals."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.pipeline import outside
from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.minds import trials
from chimera_batch.rehearsal.talk import Ask
from chimera_batch.warehouse.connection import connect
from tests import benchmarks
from tests.conftest import ROOT
from tests.test_chimera_sql import Desk, Row, by

SHIPPED = ROOT / "manifests" / "examples" / "benchmarks"
TRIES = """row_key VARCHAR, solver VARCHAR, benchmark VARCHAR, problem_key VARCHAR, sample INTEGER, usable BOOLEAN,
    text VARCHAR, reasoning VARCHAR, solver_model VARCHAR, answer_kind VARCHAR"""
VERIFIED = "row_key VARCHAR, benchmark VARCHAR, question VARCHAR, reference_answer VARCHAR, answer_kind VARCHAR"
CHECKS = "row_key VARCHAR, problem_key VARCHAR, final_answer VARCHAR, match VARCHAR, doubt BOOLEAN, reason VARCHAR"
SCORES = "row_key VARCHAR, solver VARCHAR, benchmark VARCHAR, problem_key VARCHAR, n BIGINT, correct BIGINT"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """With functions as the warehouse registers them: any of them may answer NULL."""
    made = Desk()
    made.db = connect(tmp_path / "spill", memory_limit="2GB", threads=1)
    return made


def read(desk: Desk, *files: Path) -> dict[str, Row]:
    """The files as a ``file:`` stage reads them, in one form."""
    source = outside.of_files("benchmark", files, None)
    desk.db.execute(f"CREATE OR REPLACE TABLE benchmark AS (\n{source.text}\n)")
    return by(desk.make("evaluate/questions.sql"))


def test_shapes_of_several_files_become_one(desk: Desk, tmp_path: Path) -> None:
    files = {
        "aime": benchmarks.aime(4),
        "gpqa": benchmarks.gpqa(4),
        "hle": benchmarks.hle(4),
        "plain": [
            {"prompt": "How many?", "ANSWER": "12 atm", "Topic": "gases"},
            {"prompt": "No answer.", "ANSWER": ""},
        ],
    }
    rows = read(desk, *(benchmarks.write(tmp_path / f"{name}.jsonl", told) for name, told in files.items()))
    kinds = Counter((row["benchmark"], row["answer_kind"]) for row in rows.values())
    assert {name for name, _ in kinds} == set(files)
    assert kinds["aime", "number"] == 4 and kinds["gpqa", "letter"] == 4 and kinds["plain", "text"] == 1
    assert sum(count for (name, _), count in kinds.items() if name == "hle") == 3, "one has a picture"
    for told in files["aime"]:
        assert (told["problem"], str(told["answer"])) in {
            (row["question"], row["reference_answer"]) for row in rows.values()
        }
    (plain,) = (row for row in rows.values() if row["benchmark"] == "plain")
    assert (plain["question"], plain["reference_answer"], plain["topic"]) == ("How many?", "12 atm", "gases")


def test_options_are_shuffled_by_the_question_alone(desk: Desk, tmp_path: Path) -> None:
    told = benchmarks.gpqa(40)
    file = benchmarks.write(tmp_path / "gpqa.jsonl", told)
    rows, again = read(desk, file), read(desk, file)
    assert rows == again
    assert Counter(row["reference_answer"] for row in rows.values()).keys() == set("ABCD"), "no place is favoured"
    for number, one in enumerate(told, 1):
        row = rows[f"gpqa/{number}"]
        assert row["question"].startswith(one["Question"])
        assert f"\n({row['reference_answer']}) {one['Correct Answer']}" in row["question"] + "\n"
        assert all(one[f"Incorrect Answer {place}"] in row["question"] for place in (1, 2, 3))


def test_csv_and_parquet_are_read_alike(desk: Desk, tmp_path: Path) -> None:
    """GPQA comes as CSV, where every cell is text; contests come as Parquet, where an answer is a number."""
    told = benchmarks.gpqa(6)
    with (tmp_path / "gpqa.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(told[0]))
        writer.writeheader()
        writer.writerows(told)
    rows = read(desk, tmp_path / "gpqa.csv")
    assert rows == read(desk, benchmarks.write(tmp_path / "gpqa.jsonl", told))
    lines = benchmarks.write(tmp_path / "lines.jsonl", benchmarks.aime(6))
    desk.db.execute(f"COPY (FROM read_json('{lines}')) TO '{tmp_path / 'aime.parquet'}'")
    rows = read(desk, tmp_path / "aime.parquet")
    assert {row["answer_kind"] for row in rows.values()} == {"number"} and len(rows) == 6


def test_hles_own_choices_are_graded_by_letter(desk: Desk, tmp_path: Path) -> None:
    told = {"question": "Which? A. one B. two", "answer": "B", "answer_type": "multipleChoice", "image": ""}
    (row,) = read(desk, benchmarks.write(tmp_path / "hle.jsonl", [told])).values()
    assert (row["answer_kind"], row["reference_answer"], row["question"]) == ("letter", "B", told["question"])


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_shipped_example_is_ours_and_right(desk: Desk, file: Path) -> None:
    """Solved again from its text: nobody's real benchmark lies here."""
    rows = read(desk, file)
    assert len(rows) >= 18
    for row in rows.values():
        answer = minds.truth(row["question"])
        assert answer is not None
        if row["answer_kind"] == "letter":
            assert f"({row['reference_answer']}) {answer}\n" in row["question"] + "\n"
        else:
            assert row["reference_answer"] == answer


# -- grading


def graded(desk: Desk, text: str, reference: str = "B", kind: str = "letter", usable: bool = True) -> Row:
    told = {"benchmark": "b", "problem_key": "q"}
    row = told | {"row_key": "base/q/1", "solver": "base", "sample": 1, "usable": usable, "text": text}
    desk.table("tries", TRIES, [row | {"answer_kind": kind}])
    desk.table("verified", VERIFIED, [{"row_key": "q", "reference_answer": reference, "answer_kind": kind}])
    if desk.db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'checks'").fetchone() == (0,):
        desk.table("checks", CHECKS)
        desk.table("judgements", "row_key VARCHAR, same BOOLEAN")
    (made,) = desk.run("evaluate/graded.sql")
    return made


@pytest.mark.parametrize(
    "said",
    [
        "B",
        "b",
        "(B)",
        "B.",
        "B) 12.5 atm",
        "(B) 12",
        "**B**",
        "\\text{B}",
        "\\text{(B)}",
        "\\mathbf{B}",
        "Option B",
        "$B$",
    ],
)
def test_a_letter_is_read_in_every_dress(desk: Desk, said: str) -> None:
    row = graded(desk, f"So it is \\boxed{{{said}}}")
    assert (row["correct"], row["decided_by"]) == (True, "letter")


@pytest.mark.parametrize("said", ["A", "C", "(D)", "BC", "B or C", "Boron", "A) B", "12.5 atm", "", "none", "B C"])
def test_what_is_not_that_letter_alone_is_wrong(desk: Desk, said: str) -> None:
    assert graded(desk, f"So it is \\boxed{{{said}}}")["correct"] is False


def test_a_try_without_an_answer_is_wrong_and_one_without_a_judge_is_open(desk: Desk) -> None:
    assert graded(desk, "I cannot say.")["correct"] is False
    cut = graded(desk, "so far", usable=False)
    assert (cut["correct"], cut["decided_by"]) == (False, "no usable answer")
    doubtful = {"row_key": "base/q/1", "problem_key": "q", "final_answer": "x", "match": "unsure", "doubt": True}
    desk.table("checks", CHECKS, [doubtful])
    assert graded(desk, "x", "y", "text")["decided_by"] == "undecided"
    assert graded(desk, "x", "y", "text")["correct"] is None
    desk.table("judgements", "row_key VARCHAR, same BOOLEAN", [{"row_key": "base/q/1", "same": True}])
    assert (graded(desk, "x", "y", "text")["correct"], graded(desk, "x", "y", "text")["decided_by"]) == (True, "judge")


def test_a_bare_box_is_an_answer_to_a_benchmark(desk: Desk) -> None:
    """Not to be trained on, but right: models whose thinking is hidden say no more."""
    question = "A rigid vessel of 12.69 L holds 4.865 mol of an ideal gas at 387 K. Find the pressure of the gas."
    said = {"q/1": ("\\boxed{12.174 atm}", True), "q/2": ("\\boxed{11 atm}", False), "q/3": ("\\boxed{}", False)}
    told = {"solver": "base", "benchmark": "b", "problem_key": "q", "sample": 1, "usable": True, "answer_kind": "text"}
    desk.table("tries", TRIES, [told | {"row_key": key, "text": text} for key, (text, _) in said.items()])
    row = {"row_key": "q", "question": question, "reference_answer": "12.174 atm", "answer_kind": "text"}
    desk.table("verified", VERIFIED, [row])
    desk.make("evaluate/solutions.sql")
    desk.make("chimera/checks.sql")
    desk.table("judgements", "row_key VARCHAR, same BOOLEAN")
    rows = by(desk.run("evaluate/graded.sql"))
    assert {key: row["correct"] for key, row in rows.items()} == {key: right for key, (_, right) in said.items()}


# -- scores and the comparison


def compare(desk: Desk, scores: dict[str, list[tuple[int, int]]], ks: list[int]) -> dict[tuple[str, int], Row]:
    rows = [
        {
            "row_key": f"{solver}/q{place}",
            "solver": solver,
            "benchmark": "b",
            "problem_key": f"q{place}",
            "n": n,
            "correct": c,
        }
        for solver, told in scores.items()
        for place, (n, c) in enumerate(told)
    ]
    desk.table("scores", SCORES, rows)
    return {(row["solver"], row["k"]): row for row in desk.run("evaluate/comparison.sql", base="base", ks=ks)}


def test_pass_at_k_is_the_mean_over_every_choice_of_k_tries(desk: Desk) -> None:
    rows = compare(desk, {"base": [(6, 2), (6, 0), (6, 5)], "tuned": [(6, 3), (6, 1), (6, 5)]}, [1, 2, 4, 8])
    assert set(rows) == {("tuned", 1), ("tuned", 2), ("tuned", 4)}, "8 of 6 tries cannot be told"
    for (_, k), row in rows.items():
        expected = 0.0
        for right in (3, 1, 5):
            chosen = list(combinations([True] * right + [False] * (6 - right), k))
            expected += sum(any(one) for one in chosen) / len(chosen) / 3
        assert row["pass"] == pytest.approx(expected, abs=1e-4)
        assert row["difference"] == pytest.approx(row["pass"] - row["base_pass"], abs=2e-4)
        assert row["base_low"] <= row["base_pass"] <= row["base_high"]
        assert row["questions"] == 3


def test_the_paired_interval_is_narrower_and_its_verdict_follows(desk: Desk) -> None:
    base = [(10, place % 10) for place in range(60)]
    rows = compare(
        desk,
        {
            "base": base,
            "same": base,
            "tuned": [(n, c + 1) for n, c in base],
            "worse": [(n, max(c - 2, 0)) for n, c in base],
        },
        [1],
    )
    tuned = rows["tuned", 1]
    assert (tuned["difference"], tuned["verdict"]) == (0.1, "better")
    assert tuned["difference_high"] - tuned["difference_low"] < (tuned["pass_high"] - tuned["pass_low"]) / 5
    assert rows["worse", 1]["verdict"] == "worse" and rows["same", 1]["verdict"] == "no difference seen"
    desk.db.execute("CREATE OR REPLACE TABLE comparison AS SELECT 1")
    desk.make("evaluate/comparison.sql", base="base", ks=[1])
    fell, *_, rose = desk.run("queries/regressions.sql")
    assert (fell["solver"], fell["verdict"], rose["solver"], rose["verdict"]) == ("worse", "fell", "tuned", "rose")


def test_a_question_that_only_one_model_tried_is_not_compared(desk: Desk) -> None:
    rows = compare(desk, {"base": [(4, 2)], "tuned": [(4, 2), (4, 4)]}, [1])
    assert rows["tuned", 1]["questions"] == 1 and rows["tuned", 1]["difference"] == 0


# -- the mind that has a skill


def ask(question: str, skill: Any, key: str) -> Ask:
    return Ask("mine", "m", "", f"<problem>\n{question}\n</problem>", None, None, key, 1, 9000, {"skill": {"m": skill}})


def test_a_skill_is_the_share_of_right_tries() -> None:
    questions = [question for _, question, _ in benchmarks.problems(300, "skill")]
    settings = {"skill": {"m": 0.6}}
    chances = [trials.chance(settings, "m", question) for question in questions]
    assert sum(chances) / 300 == pytest.approx(0.6, abs=0.03)
    assert min(chances) < 0.3 and max(chances) > 0.9, "some are hard and some are easy"
    right = [minds.answer(ask(question, 0.6, str(n))).planted is None for n, question in enumerate(questions)]
    assert sum(right) / 300 == pytest.approx(sum(chances) / 300, abs=0.07)


def test_a_skill_may_hang_on_subject_and_family() -> None:
    told = {"default": 1.0, "Physics": 0.0, "buffer": 0.0}
    for number, (family, question, _) in enumerate(benchmarks.problems(120, "kinds")):
        failed = minds.answer(ask(question, told, str(number))).planted == "wrong_trace"
        assert failed == (family.subject == "Physics" or family.name == "buffer")


def test_nobody_knows_the_answer_to_somebody_elses_question() -> None:
    for question in ("What is it?", "What is it?\n(A) this\n(B) that", "(A) alone", "(A) x\n(A) x"):
        said = minds.answer(ask(question, 1.0, "k"))
        assert "\\boxed{" in said.text
