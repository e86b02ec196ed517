"""manifests/difficulty.yaml in rehearsal: a base model of known skill, and references of which some are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chimera_batch.rehearsal.minds import trials
from chimera_batch.rehearsal.minds.dice import dice
from chimera_batch.rehearsal.minds.values import near
from tests import benchmarks
from tests.conftest import ROOT
from tests.end_to_end import Rehearsed, provider

BASE = "Qwen/Qwen3-4B-Thinking-2507"
SETTINGS: dict[str, Any] = {
    "seed": 11,
    "skill": {BASE: {"default": 0.375, "Physics": 0.8}},
    "prices": str(ROOT / "manifests" / "examples" / "gpu.toml"),
}
PROBLEMS, SAMPLES = 144, 8
Query = Callable[[str], list[tuple[Any, ...]]]


def rows() -> Iterator[dict[str, Any]]:
    """A data set with two traces of every third problem; every fourth reference is wrong, and known to be in doubt."""
    for number, (family, question, answer) in enumerate(benchmarks.problems(PROBLEMS, "difficulty")):
        wrong = number % 4 == 0
        told = near(answer, dice("difficulty", number)) if wrong else answer
        for trace in range(2 if number % 3 == 0 else 1):
            yield {
                "id": f"p{number}-{trace}",
                "problem_key": f"p{number}",
                "subject": family.subject,
                "topic": family.name,
                "question": question,
                "answer": told,
                "answer_kind": "number",
                "reference": "disputed" if wrong else "verified",
            }


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    folder = tmp_path_factory.mktemp("difficulty")
    benchmarks.write(folder / "made.jsonl", rows())
    manifest = benchmarks.manifest(folder, "difficulty")
    text = manifest.read_text("utf-8").replace("from: quickstart/dataset", "file: made.jsonl\n  key: id")
    manifest.write_text(text, encoding="utf-8")
    with provider(folder / "server", **SETTINGS) as served:
        place = Rehearsed(manifest, str(folder / "store"), served, folder / "cache")
        assert place.run()["state"] == "done"
        with place.tables() as query:
            yield query


@pytest.fixture(scope="module")
def table(ask: Query) -> dict[tuple[str, str], tuple[Any, ...]]:
    found = ask((ROOT / "sql" / "queries" / "difficulty.sql").read_text("utf-8"))
    return {(row[0], row[1]): row[2:] for row in found}


def test_every_problem_has_all_its_tries(ask: Query) -> None:
    assert ask("SELECT count(*), min(n + undecided), max(n + undecided) FROM difficulty") == [
        (PROBLEMS, SAMPLES, SAMPLES)
    ]
    ((decided,),) = ask("SELECT sum(n) / sum(n + undecided) FROM difficulty")
    assert decided > 0.99


def test_the_planted_skill_is_found_within_its_interval(table: dict[tuple[str, str], tuple[Any, ...]]) -> None:
    listed = [row for row in rows() if row["reference"] == "verified" and row["id"].endswith("-0")]
    for subject, wanted in (("all", listed), ("Physics", [row for row in listed if row["subject"] == "Physics"])):
        chances = [trials.chance(SETTINGS, BASE, row["question"]) for row in wanted]
        problems, _, share, low, high, *_ = table[subject, "verified"]
        assert problems == len(wanted)
        slack = 0.02  # resampling a dozen problems makes an interval that is a little too sure of itself
        assert low - slack <= sum(chances) / len(chances) <= high + slack
        assert low < share < high


def test_wrong_references_are_not_taken_for_difficulty(table: dict[tuple[str, str], tuple[Any, ...]]) -> None:
    verified, disputed, mixed = (table["all", which][2] for which in ("verified", "disputed", "any"))
    assert disputed < 0.05 and verified > 0.3
    assert mixed == pytest.approx((3 * verified + disputed) / 4, abs=1e-3)


def test_more_tries_never_lower_the_chance(table: dict[tuple[str, str], tuple[Any, ...]]) -> None:
    for values in table.values():
        passes = values[2::3]
        assert passes == tuple(sorted(passes)) and len(passes) == 4
    one, *_, eight = table["all", "verified"][2::3]
    assert eight > one + 0.1


def test_the_query_has_a_row_for_each_subject_and_all(
    ask: Query, table: dict[tuple[str, str], tuple[Any, ...]]
) -> None:
    ((subjects,),) = ask("SELECT count(DISTINCT subject) FROM verified")
    assert subjects == 8
    assert len({subject for subject, _ in table}) == 9
    assert {reference for _, reference in table} == {"verified", "disputed", "any"}
