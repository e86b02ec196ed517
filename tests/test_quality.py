"""manifests/quality.yaml in rehearsal: an order of worth and a favour for the first place are planted, and found."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.talk import Ask
from tests import benchmarks
from tests.conftest import ROOT
from tests.end_to_end import Rehearsed, provider

BIASED, EVEN = "claude-haiku-5-5", "gpt-5.6-luna"
MARKS = {"ours": "Justify nothing.", "exam": "Show each step.", "contest": "Be brief."}
SETTINGS: dict[str, Any] = {
    "seed": 3,
    "worth": {MARKS["ours"]: 1.5, MARKS["exam"]: 0.7},  # and "contest" nothing
    "position_bias": {BIASED: 0.9},
    "invalid_json": 0.02,
}
PROBLEMS, TRIPLES = 64, 48
Query = Callable[[str], list[tuple[Any, ...]]]


def ours() -> Iterator[dict[str, Any]]:
    """Two traces of every problem: it is one problem all the same."""
    for number, (family, question, _) in enumerate(benchmarks.problems(PROBLEMS, "quality")):
        for trace in (1, 2):
            key = f"p{number}"
            told = {"problem_key": key, "subject": family.subject, "question": f"{question} {MARKS['ours']}"}
            yield {"id": f"{key}-{trace}", **told}


def marked(rows: list[dict[str, Any]], column: str, name: str) -> Iterator[dict[str, Any]]:
    return ({**row, column: f"{row[column]} {MARKS[name]}"} for row in rows)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    folder = tmp_path_factory.mktemp("quality")
    benchmarks.write(folder / "made.jsonl", ours())
    benchmarks.write(folder / "data" / "exam.jsonl", marked(benchmarks.hle(100), "question", "exam"))
    benchmarks.write(folder / "data" / "contest.jsonl", marked(benchmarks.aime(60), "problem", "contest"))
    params = {"sets": ["ours", "exam", "contest"], "triples": TRIPLES}
    manifest = benchmarks.manifest(folder, "quality", params=params, stages={"benchmark": {"file": "data/*.jsonl"}})
    text = manifest.read_text("utf-8").replace("from: quickstart/dataset", "file: made.jsonl\n  key: id")
    manifest.write_text(text, encoding="utf-8")
    with provider(folder / "server", **SETTINGS) as served:
        place = Rehearsed(manifest, str(folder / "store"), served, folder / "cache")
        assert place.run()["state"] == "done"
        with place.tables() as query:
            yield query


def named(ask: Query, name: str) -> list[tuple[Any, ...]]:
    return ask((ROOT / "sql" / "queries" / f"{name}.sql").read_text("utf-8"))


def test_triples_are_of_one_subject_and_share_no_problem(ask: Query) -> None:
    rows = ask("SELECT subject, keys FROM triples")
    assert len(rows) == TRIPLES
    keys = [key for _, listed in rows for key in listed]
    assert len(set(keys)) == 3 * TRIPLES
    subjects = dict(ask("SELECT row_key, subject FROM problems"))
    for subject, (first, second, third) in rows:
        assert subjects[first] == subjects[second] == subject and subjects[third] is None
    assert min(Counter(subject for subject, _ in rows).values()) >= 4  # of all subjects


def test_every_problem_stands_in_every_place_once(ask: Query) -> None:
    rows = ask("SELECT judge, problem_key, position FROM points WHERE criterion = 'depth'")
    places: dict[tuple[str, str], list[int]] = {}
    for judge, key, position in sorted(rows):
        places.setdefault((judge, key), []).append(position)
    whole = [found for found in places.values() if len(found) == 3]
    assert len(whole) >= 0.95 * 6 * TRIPLES, "but for answers that were no ranking"
    assert all(found == [1, 2, 3] for found in whole)


def test_all_orders_are_asked_equally_often(ask: Query) -> None:
    which = "criterion = 'depth' AND judge = 'b'"
    rows = ask(f"SELECT split_part(row_key, '/', 3), triple, position, problem_set FROM points WHERE {which}")
    orders: dict[tuple[str, str], list[str]] = {}
    for turn, triple, _, name in sorted(rows):
        orders.setdefault((triple, turn), []).append(name)
    counts = Counter(map(tuple, orders.values()))
    assert set(counts) == set(itertools.permutations(MARKS))
    assert max(counts.values()) - min(counts.values()) <= 4


def test_the_planted_order_is_found_by_both_judges(ask: Query) -> None:
    for judge, model in (("a", BIASED), ("b", EVEN)):
        for criterion in ("all", "clarity", "depth", "well-posedness"):
            rows = [row for row in named(ask, "quality") if (row[0], row[2]) == (judge, criterion)]
            assert [row[3] for row in rows] == ["ours", "exam", "contest"]
            assert all(row[1].startswith(model) and row[4] >= 0.9 * TRIPLES for row in rows)
            assert sum(row[5] for row in rows) == pytest.approx(6, abs=0.01)
            assert all(low < points < high for *_, points, low, high, _ in rows)
            if criterion == "all":
                (*_, first_low, _, _), (*_, middle_low, middle_high, _), (*_, last_high, _) = rows
                assert first_low > middle_high and middle_low > last_high, "the intervals are apart"


def test_the_planted_favour_is_found_and_none_where_there_is_none(ask: Query) -> None:
    rows = {(row[0], row[2]): row[3:] for row in named(ask, "positions")}
    assert len(rows) == 6
    for (judge, _), (rankings, one, two, three, *points, chi_square, p) in rows.items():
        assert rankings > 0.9 * 3 * TRIPLES
        assert one + two + three == pytest.approx(1, abs=0.002)
        assert sum(points) == pytest.approx(6, abs=0.01)
        if judge == "a":
            assert one > 0.4 and p < 0.05
        else:
            assert abs(one - 1 / 3) < 0.12 and p > 0.001
        assert chi_square >= 0


def test_a_favour_for_a_place_is_none_for_a_set(ask: Query) -> None:
    """Judge a favours the front as much as `ours` is better than `exam`, and gives the sets what judge b gives them."""
    found = {(row[0], row[3]): row[5] for row in named(ask, "quality") if row[2] == "all"}
    assert all(abs(found["a", name] - found["b", name]) < 0.2 for name in MARKS)


def test_the_mind_ranks_by_worth() -> None:
    schema = json.loads((ROOT / "prompts" / "quality" / "ranking.json").read_text("utf-8"))
    user = "".join(f"<problem_{n}>{'x' * n}{' good' if n == 2 else ''}</problem_{n}>" for n in (1, 2, 3))
    told = Ask("openai", "m", "", user, None, schema, "k", 2, 9999, {"worth": {"good": 99.0}, "position_bias": 0})
    made = json.loads(minds.answer(told).text)
    assert list(made) == list(schema["properties"])
    assert all(
        made[name][0] == 2 and sorted(made[name]) == [1, 2, 3] for name in ("clarity", "well_posedness", "depth")
    )
