"""The benchmark of trust: its scorers and queries on cases made by hand, and a scored run that has to hold the bars."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import _trust, trust
from chimera_batch.pipeline import project
from chimera_batch.rehearsal.minds import DEFAULT_RATES
from chimera_batch.rehearsal.minds.catalogue import families
from tests.test_chimera_sql import Desk, Row, by

TOLD = yaml.safe_load((_trust.HERE / "trust.yaml").read_text("utf-8"))
JUDGES = ("verifier_miss", "verifier_false_alarm", "rho", "misconception", "blind_error", "judge_error", "judge_fooled")


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- what is run


def test_whoever_judges_errs_as_by_default() -> None:
    raised = TOLD["common"]["rehearsal"]
    assert not set(raised) & set(JUDGES), "only what is planted is planted more often"
    assert set(raised) - {"seed"} <= set(DEFAULT_RATES)


def test_both_pipelines_judge_the_same_drafts(tmp_path: Path) -> None:
    ours, papers, scores = (yaml.safe_load(path.read_text("utf-8")) for path in _trust.write(tmp_path, 3, 7))
    stages = [stage["name"] for stage in ours["stages"]]
    shared = stages[: stages.index("problems") + 1]
    assert [stage["name"] for stage in papers["stages"]][: len(shared)] == shared
    for place in range(len(shared)):
        assert papers["stages"][place] == ours["stages"][place]
    for same in ("params", "models", "rehearsal"):
        assert papers[same] == ours[same]
    assert len({ours["run"], papers["run"], scores["run"]}) == 3
    assert len(ours["params"]["subjects"]) == 8 and {one["topics"] for one in ours["params"]["subjects"]} == {3}
    assert ours["rehearsal"]["seed"] == 7
    assert (papers["stages"][-1]["name"], ours["stages"][-1]["name"]) == ("dataset", "dataset")


def test_the_projects_load(tmp_path: Path) -> None:
    ours, papers, scores = _trust.write(tmp_path, 3, 1)
    for name in ("topics", "problems", "traces"):
        (tmp_path / "truth").mkdir(exist_ok=True)
        (tmp_path / "truth" / f"{name}.jsonl").write_text(json.dumps({"row_key": "k"}) + "\n", "utf-8")
    for path in (ours, papers, scores):
        assert project.load(path).stages


# -- the truth


def test_names_of_one_topic_are_told() -> None:
    said = [
        ("1", "Physics", "Quantum optics of cold atoms", True, True),
        ("2", "Physics", "cold atoms, quantum optics of", False, True),
        ("3", "Physics", "Emerging directions", False, True),
        ("4", "Biology", "Quantum optics of cold atoms", True, False),
    ]
    one, two, vague, other = _trust.topics_told(said)
    assert one["same_as"] == two["same_as"] != other["same_as"]
    assert [row["fault"] for row in (one, two, vague, other)] == ["sound", "sound", "vague_topic", "sound"]
    assert (two["kept"], two["kept_by_set"]) == (False, True)


def test_problems_are_told_by_their_texts() -> None:
    family = families()[0]
    question, params = family.make(random.Random(1), "T")
    again = family.question(params, "Another topic", random.Random(2))
    right = family.solve(params)
    drafts = [("a", question, right, False), ("b", again, right, True), ("c", question, "17", False)]
    first, second, wrong, strange = _trust.problems_told([*drafts, ("d", "What is love?", "42", False)])
    assert first["same_as"] == second["same_as"] == wrong["same_as"]
    assert (first["fault"], second["fault"], wrong["fault"]) == ("sound", "sound", "wrong_answer")
    assert (second["converted"], strange["fault"], strange["same_as"]) == (True, "strange", "d")


def test_traces_of_problems_without_an_answer_are_set_aside() -> None:
    family = families()[0]
    question, params = family.make(random.Random(1), "T")
    thinking = f"The problem reads: {question} and so on"
    right = f"\\boxed{{{family.solve(params)}}}"
    told = _trust.traces_told(
        [("a", question, thinking, right), ("b", question, thinking, r"\boxed{0.5}"), ("c", question, None, ":"),
         ("d", "Prove that x.", "", right)]
    )  # fmt: skip
    assert [row["fault"] for row in told] == ["sound", "wrong_trace", "empty", "of a faulty problem"]


# -- the queries


def fill(desk: Desk, kept: dict[str, str], paper: list[str]) -> None:
    faults = {"good": "sound", "again": "sound", "lost": "sound", "bad": "wrong_answer", "made": "wrong_answer"}
    problems = [
        {"row_key": key, "fault": fault, "converted": key == "made", "same_as": "good" if key == "again" else key}
        for key, fault in faults.items()
    ]
    desk.table("truth_problems", "row_key VARCHAR, fault VARCHAR, same_as VARCHAR, converted BOOLEAN", problems)
    traces = [{"row_key": "good", "fault": "sound"}, {"row_key": "bad", "fault": "wrong_trace"}]
    desk.table("truth_traces", "row_key VARCHAR, fault VARCHAR", traces)
    names = [("t1", "one", True), ("t2", "one", False), ("t3", "two", False)]
    topics = [{"row_key": k, "fault": "sound", "same_as": s, "kept": o, "kept_by_set": True} for k, s, o in names]
    topics.append({"row_key": "t4", "fault": "vague_topic", "same_as": "x", "kept": False, "kept_by_set": True})
    columns = "row_key VARCHAR, fault VARCHAR, same_as VARCHAR, kept BOOLEAN, kept_by_set BOOLEAN"
    desk.table("truth_topics", columns, topics)
    rows = [
        {"row_key": k, "problem_key": k, "reference": r, "solution": "s", "correctness": True} for k, r in kept.items()
    ]
    columns = "row_key VARCHAR, problem_key VARCHAR, reference VARCHAR, solution VARCHAR, correctness BOOLEAN"
    desk.table("dataset", columns, rows)
    theirs = [{"row_key": key, "problem_key": key, "trace_key": key, "correctness": key == "bad"} for key in paper]
    desk.table("paper_dataset", "row_key VARCHAR, problem_key VARCHAR, trace_key VARCHAR, correctness BOOLEAN", theirs)
    desk.table("checks", "row_key VARCHAR, doubt BOOLEAN", [{"row_key": str(n), "doubt": n == 0} for n in range(4)])


def test_confusion_and_bars(desk: Desk) -> None:
    fill(desk, {"good": "verified", "made": "verified", "bad": "disputed"}, ["good", "again", "bad"])
    found = by(desk.make("queries/confusion.sql"))

    def told(kind: str) -> tuple[Any, ...]:
        row = found[kind]
        return row["ours"], row["ours_passed"], row["paper"], row["paper_passed"]

    assert told("problem/sound") == (2, 1, 2, 1), "two different problems, one of them drafted twice"
    assert told("problem/duplicate") == (1, 0, 1, 1)
    assert told("problem/wrong_answer") == (1, 0, 1, 1), "what is disputed is not kept"
    assert told("problem/converted: wrong_answer") == (1, 1, None, None)
    assert told("trace/wrong_trace") == (1, 1, 1, 1)
    assert told("trace/sound") == (1, 1, 1, 0)
    assert told("topic/sound") == (2, 1, 2, 2) and told("topic/duplicate") == (1, 0, 1, 1)
    assert told("topic/vague_topic") == (1, 0, 1, 1)
    bars = by(desk.run("queries/trust.sql"), "measure")
    assert (bars["wrong references kept"]["ours"], bars["wrong references kept"]["cases"]) == (0.5, 2)
    assert bars["good problems lost"]["ours"] == 0.5 and not bars["good problems lost"]["holds"]
    assert bars["wrong traces labelled correct"]["paper"] == 1
    assert (bars["duplicate topics left"]["ours"], bars["duplicate topics left"]["holds"]) == (0, True)
    assert bars["duplicate topics left"]["paper"] == 0.25
    assert (bars["traces left to a judge"]["ours"], bars["traces left to a judge"]["holds"]) == (0.25, True)


# -- what falls short


def kind(what: str, fault: str, ours: int | None, passed: int = 0) -> Row:
    counts = {
        "ours": ours,
        "ours_passed": passed,
        "ours_part": 0.0,
        "paper": 300,
        "paper_passed": 3,
        "paper_part": 0.01,
    }
    return {"what": what, "fault": fault} | counts


def document(**more: Any) -> dict[str, Any]:
    bar = {"measure": "m", "at_most": 0.01, "cases": 1000, "ours": 0.005, "holds": True, "paper": None}
    kinds = [kind("problem", "wrong_answer", 250), kind("trace", "sound", 2500), kind("problem", "converted: sound", 3)]
    return {"bars": [bar], "confusion": kinds, "subjects": 8} | more


def test_what_falls_short_is_said() -> None:
    assert list(trust.flaws(document())) == []
    missed = {**document()["bars"][0], "holds": False, "ours": 0.02}
    assert list(trust.flaws(document(bars=[missed]))) == ["m: 0.02 of 1000 cases, at most 0.01 allowed"]
    rare = [kind("problem", "ambiguous", 199), kind("trace", "sound", 1999)]
    assert list(trust.flaws(document(confusion=rare))) == [
        "problem ambiguous: only 199 planted",
        "only 1999 problem/trace pairs",
    ]
    assert list(trust.flaws(document(subjects=7))) == ["only 7 subjects"]


def test_the_tables_are_markdown() -> None:
    lines = list(trust.show(document()))
    assert lines[2] == "| m | 1.00 % | 1,000 | 0.50 % |  |"
    assert "| trace | sound | 2,500 | 0 | 0.00 % | 300 | 3 | 1.00 % |" in lines
    assert {line.count("|") for line in lines[:3]} == {6}


# -- the proof


@pytest.mark.slow
def test_the_bars_hold(tmp_path: Path) -> None:
    """At a third of the benchmark's size, so that each kind occurs about 70 times and more."""
    found = _trust.measure(tmp_path, topics=20)
    assert list(trust.flaws(found, least=60, traces=1_000)) == []
    bars = by(found["bars"], "measure")
    for measure in ("wrong references kept", "wrong traces labelled correct", "duplicate topics left"):
        assert bars[measure]["ours"] < bars[measure]["paper"], "and the paper's own steps do worse on the same cases"
