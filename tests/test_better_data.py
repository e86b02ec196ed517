"""The disagreement filter and the tries for the RL set, in rehearsal: each one's planted effect is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.minds.values import same
from tests import benchmarks
from tests.conftest import ROOT
from tests.end_to_end import Provider, Rehearsed, provider, write_pipeline

STUDENT, TEACHER = "chimera-4b-sft", "Qwen/Qwen3-235B-A22B-Thinking-2507"
SETTINGS: dict[str, Any] = {
    "seed": 13,
    "skill": {STUDENT: 0.5, TEACHER: 0.98},
    "prices": str(ROOT / "manifests" / "examples" / "gpu.toml"),
}
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("server"), **SETTINGS) as running:
        yield running


@contextmanager
def ran(served: Provider, folder: Path, name: str, **changes: Any) -> Iterator[Query]:
    """The shipped manifest with changes, run to its end; SQL over its tables."""
    manifest = benchmarks.manifest(folder, name, **changes)
    place = Rehearsed(manifest, str(folder / "store"), served, folder / "cache")
    assert place.run()["state"] == "done"
    with place.tables() as query:
        yield query


# -- disagreement filter


@pytest.fixture(scope="module")
def filtered(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    folder = tmp_path_factory.mktemp("disagreement")
    file = benchmarks.write(
        folder / "mine.jsonl", [*benchmarks.candidates(400), {"id": "void", "question": "?", "answer": ""}]
    )
    with ran(served, folder, "disagreement", stages={"candidates": {"file": str(file)}}) as query:
        yield query


def test_planted_wrong_answers_fall_and_good_ones_stay(filtered: Query) -> None:
    rows = filtered("SELECT question, answer, kept, reason FROM filtered WHERE row_key <> 'void'")
    assert len(rows) == 400
    wrong = [kept for question, answer, kept, _ in rows if minds.fault_of(question, answer) == "wrong_answer"]
    good = [kept for question, answer, kept, _ in rows if minds.fault_of(question, answer) is None]
    assert (len(wrong), len(good)) == (100, 300)
    assert sum(wrong) <= 1, "a wrong answer stays only where the judge errs"
    assert sum(good) >= 0.95 * len(good)
    assert {reason for *_, kept, reason in rows if kept} == {"agrees"}


def test_what_is_kept_comes_as_it_was_and_what_is_not_has_a_reason(filtered: Query) -> None:
    assert filtered("SELECT DISTINCT source FROM agreed") == [("ours",)]
    ((kept, agreed),) = filtered("SELECT (SELECT count(*) FROM filtered WHERE kept), (SELECT count(*) FROM agreed)")
    assert kept == agreed
    assert filtered("SELECT reason, kept FROM filtered WHERE row_key = 'void'") == [("empty", False)]
    for regenerated, answer, evidence in filtered(
        "SELECT regenerated, answer, evidence FROM filtered WHERE reason = 'disagrees'"
    ):
        assert regenerated and evidence and regenerated != answer


def test_three_answers_forgive_a_slip(served: Provider, filtered: Query, tmp_path: Path) -> None:
    file = benchmarks.write(tmp_path / "mine.jsonl", benchmarks.candidates(120))
    stages = {"candidates": {"file": str(file)}, "solutions": {"samples": 3}}
    with ran(served, tmp_path, "disagreement", stages=stages, params={"agreeing": 2}) as query:
        rows = query("SELECT question, answer, kept, agreeing, answers FROM filtered")
    assert {kept == (agreeing >= 2) for _, _, kept, agreeing, _ in rows} == {True}
    good = {question: kept for question, answer, kept, *_ in rows if minds.fault_of(question, answer) is None}
    once = dict(filtered("SELECT question, kept FROM filtered"))
    assert sum(good.values()) >= sum(once[question] for question in good)


# -- attempts: RL, part two


FROM = {"labelled": {"from": "chimera-9k/dataset"}}
LABELLED = (
    "index",
    "subject",
    "topic",
    "question",
    "answer",
    "original_solution",
    "solution",
    "correctness",
    "row_key",
)


def labelled(count: int) -> list[dict[str, Any]]:
    """A data set as the pipeline ends with: by turns an SFT row, a problem for RL, a held-out one, a disputed one."""
    rows = []
    for number, (family, question, answer) in enumerate(benchmarks.problems(count, "labelled")):
        turn = number % 4
        told = (number, family.subject, family.name, question, answer, "…", "trace", turn == 0, f"problem-{number:03d}")
        rows.append(
            dict(zip(LABELLED, told, strict=True))
            | {"problem_key": f"problem-{number:03d}", "answer_kind": "number", "final_answer": answer}
            | {"use": {0: "sft", 1: "rl"}.get(turn), "split": "held_out" if turn == 2 else "train"}
            | {"reference": "disputed" if turn == 3 else "verified"}
        )
    return rows


@pytest.fixture(scope="module")
def store(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a run `chimera-9k` has its data set."""
    folder = tmp_path_factory.mktemp("attempts")
    file = benchmarks.write(folder / "labelled.jsonl", labelled(240))
    stage = {"name": "dataset", "file": str(file), "key": "row_key"}
    manifest = write_pipeline(folder, {"run": "chimera-9k", "budget": {"usd": 1}, "stages": [stage]}, {})
    Rehearsed(manifest, str(folder / "store"), served, folder / "cache").run()
    return folder


def test_only_what_the_model_solves_within_eight_tries_stays_for_rl(served: Provider, store: Path) -> None:
    with ran(served, store, "attempts", stages=FROM) as query:
        tries = query("SELECT row_key, tries, solved, within FROM tried")
        rows = query("SELECT problem_key, use, index FROM dataset ORDER BY index")
        texts = query(
            "SELECT s.problem_key, s.text, v.question FROM solutions s JOIN verified v ON v.row_key = problem_key"
        )
        columns = [name for name, *_ in query("SELECT column_name FROM (DESCRIBE dataset)")]
        before = [name for name, *_ in query("SELECT column_name FROM (DESCRIBE labelled)")]
    assert columns == before
    assert len(tries) == 60 and {count for _, count, *_ in tries} == {8}, "only verified ones in train without a trace"
    right: Counter[str] = Counter()
    for key, text, question in texts:
        answer = minds.truth(question)
        assert answer is not None
        right[key] += same(answer, text.rpartition("\\boxed{")[2].rpartition("}")[0])
    assert sum(solved != right[key] for key, _, solved, _ in tries) <= 2, "but for the judge's errors"
    within = {key for key, *_, kept in tries if kept}
    assert within == {key for key, _, solved, _ in tries if solved >= 1} and 30 < len(within) < 60
    assert {key for key, use, _ in rows if use == "rl"} == within
    assert sum(use == "sft" for _, use, _ in rows) == 60
    assert [index for *_, index in rows] == list(range(240))


def test_the_rl_set_may_keep_all_or_leave_out_what_is_always_solved(served: Provider, store: Path) -> None:
    uses, counts = [], []
    kinds = "SELECT CASE solved WHEN 0 THEN 'never' WHEN 8 THEN 'always' END, count(*) FROM tried GROUP BY 1"
    for params in ({"rl": "all"}, {"most_solved": 7}):
        with ran(served, store, "attempts", stages=FROM, params=params) as query:
            uses.append(dict(query("SELECT coalesce(use, '-'), count(*) FROM dataset GROUP BY 1")))
            counts.append(dict(query(kinds)))
    assert counts[0] == counts[1] and counts[0]["always"] > 0 and counts[0]["never"] > 0
    assert uses[0] == {"sft": 60, "rl": 60, "-": 120}
    assert uses[1] == {"sft": 60, "rl": counts[1][None], "-": 180 - counts[1][None]}
