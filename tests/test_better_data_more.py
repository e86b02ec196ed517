"""Rewriting, failure-seeded augmentation and the mixing bench in rehearsal, and the commands of their page."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.cost.tokens import counter
from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.minds.articles import CLAIM
from chimera_batch.rehearsal.minds.catalogue import recognise
from tests import benchmarks
from tests.conftest import ROOT
from tests.end_to_end import Provider, provider
from tests.test_better_data import TEACHER, Query, ran

BASE = "Qwen/Qwen3-4B-Thinking-2507"
WEAK = {"Physics", "Chemistry"}
SETTINGS: dict[str, Any] = {
    "seed": 14,
    "skill": {BASE: {"default": 0.95, **dict.fromkeys(WEAK, 0.03)}, TEACHER: 0.98},
    "rewrite_number": 0.1,
    "rewrite_omission": 0.1,
    "rewrite_claim": 0.1,
    "rewrite_bare": 0.1,
    "variant_copy": 0.1,
    "ambiguous": 0.1,
    "prices": str(ROOT / "manifests" / "examples" / "gpu.toml"),
}
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("server"), **SETTINGS) as running:
        yield running


# -- rewriting


@pytest.fixture(scope="module")
def rewritten(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    folder = tmp_path_factory.mktemp("rewriting")
    file = benchmarks.write(folder / "texts.jsonl", [*benchmarks.texts(200), {"id": "void", "text": " "}])
    with ran(served, folder, "rewriting", stages={"texts": {"file": str(file)}}) as query:
        yield query


def test_articles_that_are_kept_have_every_section_and_every_number(rewritten: Query) -> None:
    rows = rewritten("SELECT article, source FROM rewritten WHERE kept")
    assert len(rows) > 100
    for article, source in rows:
        sections = re.split(r"^## (\w+)$", article, flags=re.MULTILINE)
        assert sections[1::2] == ["Background", "Definitions", "Formulas", "Examples"]
        assert all(text.strip() for text in sections[2::2])
        assert set(NUMBER.findall(source)) == set(NUMBER.findall(article))


def test_unfaithful_rewrites_are_dropped_each_kind_by_name(rewritten: Query) -> None:
    rows = rewritten(
        "SELECT a.article, a.source, r.kept, r.reason, r.evidence FROM rewritten r JOIN articles a USING (row_key)"
    )
    kinds: dict[str, list[tuple[bool, str]]] = {}
    for article, source, kept, reason, evidence in rows:
        told, written = set(NUMBER.findall(source)), set(NUMBER.findall(article))
        empty = article.rstrip().endswith("## Examples")
        kind = "empty" if empty else "claim" if CLAIM in article else "lost" if told - written else "faithful"
        kinds.setdefault(kind, []).append((kept, reason))
        if kind == "lost":
            assert set(evidence.split("; ")) == told - written
    assert {kind: len(found) > 8 for kind, found in kinds.items()} == dict.fromkeys(
        ("empty", "claim", "lost", "faithful"), True
    )
    assert {reason for _, reason in kinds["empty"]} == {"a section is empty"}
    assert {reason for _, reason in kinds["lost"]} == {"a number is lost"}
    assert sum(kept for kept, _ in kinds["claim"]) <= 1, "one stays only where the judge errs"
    good = [kept for kept, _ in kinds["faithful"]]
    assert sum(good) >= 0.95 * len(good)


def test_what_fails_the_free_check_is_never_judged(rewritten: Query) -> None:
    assert rewritten("SELECT count(*) FROM verdicts v JOIN checked c USING (row_key) WHERE c.reason <> 'ok'") == [(0,)]
    assert rewritten("SELECT kept, reason FROM rewritten WHERE row_key = 'void'") == [(False, "no article")]
    ((there, judged),) = rewritten("SELECT (SELECT count(*) FROM articles), (SELECT count(*) FROM verdicts)")
    assert 0.5 * there < judged < 0.9 * there


# -- failure-seeded augmentation


@pytest.fixture(scope="module")
def augmented(served: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    folder = tmp_path_factory.mktemp("augmentation")
    seeds = benchmarks.write(folder / "mine.jsonl", benchmarks.plain(160, "mine"))
    pool = benchmarks.write(folder / "pool.jsonl", benchmarks.plain(600, "pool"))
    stages = {"benchmark": {"file": str(seeds)}, "pool": {"file": str(pool)}}
    with ran(served, folder, "augmentation", stages=stages) as query:
        yield query


def kind_of(question: str) -> str:
    found = recognise(question)
    assert found is not None
    return found.family.name


def test_what_the_base_model_is_weak_at_is_what_fails(augmented: Query) -> None:
    rows = augmented("SELECT v.subject, v.row_key IN (SELECT row_key FROM failures) FROM verified v")
    weak = [failed for subject, failed in rows if subject in WEAK]
    rest = [failed for subject, failed in rows if subject not in WEAK]
    assert len(weak) > 20 and sum(weak) >= 0.9 * len(weak)
    assert sum(rest) <= 0.05 * len(rest)


def test_the_nearest_are_of_the_failed_kind_first(augmented: Query) -> None:
    rows = augmented(
        "SELECT f.question, n.question, n.place, n.nearness "
        "FROM neighbours n JOIN failures f ON f.row_key = n.failure_key"
    )
    places = Counter(failed for failed, *_ in rows)
    assert max(places.values()) <= 20
    there = Counter(kind_of(question) for (question,) in augmented("SELECT question FROM pool"))
    hits = [kind_of(failed) == kind_of(near) for failed, near, place, _ in rows if place <= there[kind_of(failed)]]
    assert sum(hits) >= 0.9 * len(hits) > 100
    by_place = sorted((failed, place, nearness) for failed, _, place, nearness in rows)
    for (one, _, closer), (other, _, farther) in pairwise(by_place):
        assert one != other or closer >= farther


def test_new_problems_are_new_and_of_the_failing_kinds(augmented: Query) -> None:
    rows = augmented(
        "SELECT a.question, a.answer, f.question, a.kept, a.reason "
        "FROM augmented a JOIN failures f ON f.row_key = a.failure_key"
    )
    failing = {kind_of(seed) for _, _, seed, *_ in rows}
    kept = [(question, answer, seed) for question, answer, seed, good, _ in rows if good]
    assert len(kept) > 0.6 * len(rows) > 30
    fitting = [kind_of(question) in failing for question, *_ in kept]
    assert sum(fitting) >= 0.9 * len(fitting), "but for what the author wrote beside the point"
    assert all(minds.fingerprint(question) != minds.fingerprint(seed) for question, _, seed in kept)
    right = [minds.fault_of(question, answer) is None for question, answer, _ in kept]
    assert sum(right) >= 0.98 * len(right), "two answers that match are right"
    reasons = Counter(reason for *_, good, reason in rows if not good)
    assert reasons["the failed problem again"] > 2 and reasons["two answers differ"] > 2


# -- the mixing bench


def mixed(served: Provider, folder: Path, kind: str = "candidate", **params: Any) -> tuple[Any, ...]:
    """Rows of the mix, and its table of shares."""
    folder.mkdir(exist_ok=True)
    parts = {"candidate_files": benchmarks.trained_on(400, kind), "base_files": benchmarks.trained_on(600, "base")}
    stages = {name: {"file": str(benchmarks.write(folder / f"{name}.jsonl", rows))} for name, rows in parts.items()}
    with ran(served, folder, "mixing", stages=stages, params=params) as query:
        return query("SELECT row_key, part, text, tokens, place FROM mix ORDER BY place"), query(
            "SELECT row_key, rows, tokens, share, wanted_share, tokens_there FROM shares ORDER BY row_key"
        )


def test_a_fifth_of_the_tokens_are_candidates(served: Provider, tmp_path: Path) -> None:
    rows, shares = mixed(served, tmp_path, tokens=60_000)
    count = counter("Qwen/Qwen3-4B").count
    assert all(tokens == count(text) for _, _, text, tokens, _ in rows[:50])
    sums = Counter[str]()
    for _, part, _, tokens, _ in rows:
        sums[part] += tokens
    longest = max(tokens for *_, tokens, _ in rows)
    assert 60_000 - 2 * longest <= sum(sums.values()) <= 60_000
    assert sums["candidate"] / sum(sums.values()) == pytest.approx(0.2, abs=0.01)
    assert [(key, tokens, wanted) for key, _, tokens, _, wanted, _ in shares] == [
        ("base", sums["base"], 0.8),
        ("candidate", sums["candidate"], 0.2),
    ]
    assert [place for *_, place in rows] == list(range(1, len(rows) + 1))
    early = [part for _, part, *_ in rows[: len(rows) // 2]].count("candidate")
    assert 0.3 < early / [part for _, part, *_ in rows].count("candidate") < 0.7, "both parts are shuffled together"


def test_the_draw_is_the_same_everywhere_and_the_base_is_the_same_in_every_mix(
    served: Provider, tmp_path: Path
) -> None:
    def base(rows: Any) -> list[str]:
        return [key for key, part, *_ in rows if part == "base"]

    rows, _ = mixed(served, tmp_path / "one", tokens=40_000)
    assert mixed(served, tmp_path / "two", tokens=40_000)[0] == rows
    other, _ = mixed(served, tmp_path / "three", "rival", tokens=40_000)
    assert base(other) == base(rows) and other != rows
    larger, _ = mixed(served, tmp_path / "four", tokens=50_000)
    assert {key for key, *_ in rows} < {key for key, *_ in larger}
    drawn, _ = mixed(served, tmp_path / "five", tokens=40_000, seed="2")
    assert set(base(drawn)) != set(base(rows))


def test_without_a_size_the_scarcer_part_sets_it(served: Provider, tmp_path: Path) -> None:
    _, shares = mixed(served, tmp_path, candidate_share=0.05)
    found = {key: (tokens, share, there) for key, _, tokens, share, _, there in shares}
    assert found["base"][0] > 0.98 * found["base"][2], "all of the base, and as many candidates as that takes"
    assert found["candidate"][1] == pytest.approx(0.05, abs=0.005)


# -- the pages


@pytest.mark.parametrize("name", ["candidates", "development", "pool", "mixing/base", "mixing/candidates"])
def test_the_shipped_examples_are_ours(name: str) -> None:
    """Of the rehearsal's own families, every line."""
    for line in (ROOT / "manifests" / "examples" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert recognise(row.get("question") or row["text"]) is not None
