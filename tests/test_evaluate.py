"""manifests/evaluate.yaml in rehearsal: two models of known skill, and the table that finds the difference again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.minds import trials
from chimera_batch.rehearsal.minds.values import same
from tests import benchmarks
from tests.conftest import ROOT
from tests.end_to_end import Provider, Rehearsed, provider

BASE, TUNED = "Qwen/Qwen3-4B-Thinking-2507", "chimera-4b-sft"
SETTINGS: dict[str, Any] = {
    "seed": 11,
    "skill": {BASE: 0.45, TUNED: {"default": 0.7, "Physics": 0.2}, "gpt-6-luna": 0.9},
    "prices": str(ROOT / "manifests" / "examples" / "gpu.toml"),
}
SAMPLES = 6
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("server"), **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def place(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A run over files of the three shapes."""
    folder = tmp_path_factory.mktemp("evaluate")
    for name, rows in (
        ("contest", benchmarks.aime(48)),
        ("options", benchmarks.gpqa(48)),
        ("exam", benchmarks.hle(64)),
    ):
        benchmarks.write(folder / "data" / f"{name}.jsonl", rows)
    asked = {"samples": SAMPLES}
    stages = {"benchmark": {"file": "data/*.jsonl"}, "base_answers": asked, "tuned_answers": asked}
    manifest = benchmarks.manifest(folder, "evaluate", stages=stages)
    return Rehearsed(manifest, str(folder / "store"), served, folder / "cache")


@pytest.fixture(scope="module")
def ask(place: Rehearsed) -> Iterator[Query]:
    assert place.run()["state"] == "done"
    with place.tables() as query:
        yield query


def test_the_planted_difference_is_found_within_its_interval(ask: Query) -> None:
    questions: dict[str, list[str]] = {}
    for benchmark, question in ask("SELECT benchmark, question FROM verified"):
        questions.setdefault(benchmark, []).append(question)
    assert {name: len(listed) for name, listed in questions.items()} == {"contest": 48, "options": 48, "exam": 48}
    found = ask(
        "SELECT benchmark, questions, difference, difference_low, difference_high, verdict FROM comparison WHERE k = 1"
    )
    assert len(found) == 3
    for benchmark, count, difference, low, high, verdict in found:
        listed = questions[benchmark]
        chances = {model: [trials.chance(SETTINGS, model, one) for one in listed] for model in (BASE, TUNED)}
        planted = (sum(chances[TUNED]) - sum(chances[BASE])) / len(listed)
        assert count == len(listed)
        assert low <= planted <= high, f"{benchmark}: {planted} is not in {low} to {high}"
        assert low < difference < high and high - low < 0.25
        assert verdict == "better" and planted > 0.1


def test_every_try_is_graded_as_its_text_deserves(ask: Query) -> None:
    """Against the truth that the questions themselves tell, letters without exception."""
    wrong, letters = 0, 0
    rows = ask(
        "SELECT g.final_answer, g.correct, g.decided_by, v.question "
        "FROM graded g JOIN verified v ON v.row_key = problem_key"
    )
    assert len(rows) == 2 * 144 * SAMPLES
    for final, correct, decided_by, question in rows:
        answer = minds.truth(question)
        assert answer is not None and decided_by in {"rule", "judge", "letter"}
        if decided_by == "letter":
            letters += 1
            assert correct == (f"({final}) {answer}\n" in f"{question}\n")
        else:
            wrong += correct != same(answer, final)
    assert letters == 2 * 48 * SAMPLES
    assert wrong <= 0.005 * len(rows)


def test_most_tries_need_no_judge(ask: Query) -> None:
    ((judged, tries),) = ask("SELECT count(*) FILTER (decided_by = 'judge'), count(*) FROM graded")
    assert 0 < judged < 0.2 * tries
    assert ask("SELECT count(*) FROM judgements WHERE row_key LIKE '%options%'") == [(0,)]


def test_pass_at_k_rises_with_k_and_counts_no_k_above_the_tries(ask: Query) -> None:
    for benchmark in ("contest", "options", "exam"):
        passes = ask(f"SELECT k, base_pass, pass FROM comparison WHERE benchmark = '{benchmark}' ORDER BY k")
        assert [k for k, *_ in passes] == [1, 2, 4]
        assert passes == sorted(passes, key=lambda row: row[1]) == sorted(passes, key=lambda row: row[2])
        assert all(base < tuned for _, base, tuned in passes)
    ((n,),) = ask("SELECT DISTINCT n FROM scores")
    assert n == SAMPLES


def test_a_subject_that_fell_is_seen_below_the_mean(ask: Query) -> None:
    rows = ask(
        "SELECT v.subject = 'Physics', s.solver, sum(s.correct) / sum(s.n) FROM scores s "
        "JOIN verified v ON v.row_key = s.problem_key WHERE v.subject <> 'benchmark' GROUP BY ALL"
    )
    shares = {(physics, solver): share for physics, solver, share in rows}
    assert shares[True, "tuned"] < shares[True, "base"] and shares[False, "tuned"] > shares[False, "base"]


# -- the page


PAGE = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")


def test_the_pages_queries_are_true(ask: Query) -> None:
    queries = re.findall(r'chimera-batch query "(.*?)"', PAGE, re.DOTALL)
    assert len(queries) >= 3
    for query in queries:
        assert ask(query), query


@pytest.mark.usefixtures("ask")  # the two others are answered
def test_a_third_model_is_a_model_a_stage_and_a_line(place: Rehearsed, tmp_path: Path) -> None:
    """The page's blocks, laid over the shipped files; what the two others said is not bought again."""
    blocks = dict(
        re.findall(r"^`([\w/.]+)`[^\n]*:\n\n(?:<!--.*?-->\n)?```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    )
    assert blocks.keys() == {"manifests/evaluate.yaml", "sql/evaluate/tries.sql"}
    more = yaml.safe_load(blocks["manifests/evaluate.yaml"])
    told = yaml.safe_load(place.manifest.read_text(encoding="utf-8"))
    told["models"] |= more["models"]
    names = [stage["name"] for stage in told["stages"]]
    told["stages"].insert(names.index("tries"), more["stages"][0] | {"samples": SAMPLES})
    told["stages"][0]["file"] = str(place.manifest.parent / "data/*.jsonl")
    (tmp_path / "sql" / "evaluate").mkdir(parents=True)
    (tmp_path / "sql/evaluate/tries.sql").write_text(blocks["sql/evaluate/tries.sql"], encoding="utf-8")
    path = tmp_path / "evaluate.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    third = Rehearsed(path, place.store, place.served, tmp_path / "cache")
    before = len(place.served.bill)
    assert third.run()["state"] == "done"
    asked = [line for line in place.served.bill[before:] if "haiku" not in line["model"]]
    assert {line["model"] for line in asked} == {"gpt-6-luna"} and len(asked) == 144 * SAMPLES
    rows = third.query("SELECT solver, benchmark, difference FROM comparison WHERE k = 1")
    assert {solver for solver, *_ in rows} == {"tuned", "third"}
    found = {(solver, benchmark): difference for solver, benchmark, difference in rows}
    assert all(found["third", name] > found["tuned", name] for name in ("contest", "options", "exam"))
