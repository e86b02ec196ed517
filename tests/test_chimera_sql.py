"""Every SQL file of the built-in pipelines, run in a bare DuckDB over tables made by hand.

The functions that SQL can call are the real ones; the engine around the SQL is not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chimera_batch.functions import FUNCTIONS

SQL = Path(__file__).resolve().parent.parent / "sql"
Row = dict[str, Any]


# -- a bare DuckDB -------------------------------------------------------------------------------------------


ANSWERS = """round INTEGER, sample INTEGER, request_id VARCHAR, outcome VARCHAR, text VARCHAR, reasoning VARCHAR,
    answer JSON, embedding FLOAT[], model VARCHAR"""
PREVIOUS = 'round INTEGER, row_key VARCHAR, sample INTEGER, outcome VARCHAR, "row" JSON, answer JSON, text VARCHAR'
KEPT = 'row_key VARCHAR, "row" JSON'


class Desk:
    """One connection; tables go in as rows, a SQL file's result comes out as dicts."""

    def __init__(self) -> None:
        self.db = duckdb.connect(config={"threads": 1})
        for function in FUNCTIONS:
            nulls = "special" if function.name == "final_answer" else "default"  # only that one may return NULL
            self.db.create_function(
                function.name, function.call, list(function.parameters), function.returns, null_handling=nulls
            )

    def table(self, name: str, columns: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self.db.execute(f'CREATE OR REPLACE TABLE "{name}" ({columns})')
        for row in rows:
            plain = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
            names, marks = ", ".join(f'"{key}"' for key in plain), ", ".join("?" for _ in plain)
            self.db.execute(f'INSERT INTO "{name}" ({names}) VALUES ({marks})', list(plain.values()))

    def run(self, file: str, **params: Any) -> list[Row]:
        text = (SQL / file).read_text(encoding="utf-8")
        cursor = self.db.execute(text, params or None)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def make(self, file: str, **params: Any) -> list[Row]:
        """Run a file and keep its result as the table of that name, as a sql stage does."""
        name = Path(file).stem
        text = (SQL / file).read_text(encoding="utf-8")
        self.db.execute(f'CREATE OR REPLACE TABLE "{name}" AS ({text})', params or None)
        return self.rows(name)

    def rows(self, name: str) -> list[Row]:
        cursor = self.db.execute(f'FROM "{name}"')
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def by(rows: Sequence[Row], key: str = "row_key") -> dict[Any, Row]:
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows), f"{key} is not unique"
    return found


# -- topics: rounds ------------------------------------------------------------------------------------------

ROUNDS = {"topics_margin": 1.0, "topics_overask": 1.0, "topics_min_new": 0.1}


def subject(name: str = "Mathematics", topics: int = 4, ask: int = 2, **more: Any) -> Row:
    return {"subject": name, "topics": topics, "ask": ask, "areas": ["Algebra", "Analysis"], "kind": "formal"} | more


def asked(round_: int, topics: Sequence[str], *, area: str = "Algebra", name: str = "Mathematics", **more: Any) -> Row:
    key = f"{name.lower()}/{area.lower()}/r{round_}-{more.pop('slot', 1)}"
    answer = {"topics": [{"area": "Branch", "topic": topic} for topic in topics]}
    row = {"row_key": key, "subject": name, "area": area, "count": 2}
    return {"round": round_, "row_key": key, "sample": 1, "outcome": "ok", "row": row, "answer": answer} | more


def ask_topics(desk: Desk, previous: Sequence[Row], subjects: Sequence[Row], round_: int, **params: Any) -> list[Row]:
    desk.table("previous", PREVIOUS, previous)
    return desk.run("chimera/topics_rows.sql", subjects=list(subjects), round=round_, **(ROUNDS | params))


def enough(desk: Desk, previous: Sequence[Row], subjects: Sequence[Row], **params: Any) -> bool:
    desk.table("previous", PREVIOUS, previous)
    takes = {"topics_margin": 1.0, "topics_min_new": 0.1} | params
    [row] = desk.run("chimera/topics_enough.sql", subjects=list(subjects), **takes)
    [value] = row.values()
    assert isinstance(value, bool)
    return value


def test_round_one_spreads_the_quota_over_areas(desk: Desk) -> None:
    rows = ask_topics(desk, [], [subject(topics=10, ask=3)], 1)
    assert [row["row_key"] for row in rows] == [
        "mathematics/algebra/r1-1",
        "mathematics/algebra/r1-2",
        "mathematics/analysis/r1-1",
        "mathematics/analysis/r1-2",
    ]
    assert {row["count"] for row in rows} == {3}
    assert {row["existing_topics"] for row in rows} == {""}
    assert len({(row["area"], row["focus"]) for row in rows}) == 4, "two requests would be the same question"


def test_margin_and_overask_raise_the_number_of_requests(desk: Desk) -> None:
    few = ask_topics(desk, [], [subject(topics=10, ask=1)], 1)
    more = ask_topics(desk, [], [subject(topics=10, ask=1)], 1, topics_margin=1.2, topics_overask=1.5)
    assert (len(few), len(more)) == (10, 18)
    assert len({(row["area"], row["focus"]) for row in more}) == 18


def test_a_larger_quota_adds_requests_and_changes_none(desk: Desk) -> None:
    before = ask_topics(desk, [], [subject(topics=10), subject("Physics", 6)], 1)
    after = ask_topics(desk, [], [subject(topics=17), subject("Physics", 6)], 1)
    assert len(after) > len(before)
    assert all(row in after for row in before)


def test_next_round_asks_for_what_is_missing_where_least_is_known(desk: Desk) -> None:
    previous = [asked(1, ["Galois groups", "Group rings", "rings, group"]), asked(1, [], area="Analysis")]
    rows = ask_topics(desk, previous, [subject(topics=4, ask=2)], 2)
    assert [(row["row_key"], row["area"]) for row in rows] == [("mathematics/analysis/r2-1", "Analysis")]
    assert rows[0]["existing_topics"].split("\n") == ["Galois groups", "Group rings"]


def test_subjects_with_enough_or_exhausted_are_left_alone(desk: Desk) -> None:
    full = asked(1, ["a1 b1", "c1 d1", "e1 f1", "g1 h1"])
    dry = [
        asked(1, ["Lattices", "Spin glasses"], name="Physics"),
        asked(2, ["Spin glasses", "lattices"], name="Physics"),
    ]
    failed = asked(2, [], name="Biology", outcome="expired")
    rows = ask_topics(desk, [full, *dry, failed], [subject(), subject("Physics", 9), subject("Biology", 2)], 3)
    assert {row["subject"] for row in rows} == {"Biology"}


def test_answers_that_are_not_ok_count_for_nothing(desk: Desk) -> None:
    lost = asked(1, ["a1 b1", "c1 d1", "e1 f1", "g1 h1"]) | {"outcome": "invalid"}
    assert not enough(desk, [lost], [subject()])
    assert len(ask_topics(desk, [lost], [subject()], 2)) == 2


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ([], False),
        ([asked(1, ["a1 b1", "c1 d1", "e1 f1"])], False),
        ([asked(1, ["a1 b1", "c1 d1", "e1 f1", "g1 h1"])], True),
        ([asked(1, ["a1 b1", "b1 a1", "e1 f1", "g1 h1"])], False),  # a reordering is no new topic
        ([asked(1, ["a1 b1", "c1 d1"]), asked(2, ["b1 a1", "d1 c1"])], True),  # exhausted
        ([asked(1, ["a1 b1", "c1 d1"]), asked(2, ["b1 a1", "x1 y1"])], False),
    ],
)
def test_enough(desk: Desk, previous: list[Row], expected: bool) -> None:
    assert enough(desk, previous, [subject()]) is expected


def test_every_subject_has_to_be_enough(desk: Desk) -> None:
    previous = [asked(1, ["a1 b1", "c1 d1", "e1 f1", "g1 h1"])]
    assert not enough(desk, previous, [subject(), subject("Physics")])
    assert not enough(desk, previous, [subject()], topics_margin=1.1)


def test_topics_table_keeps_every_name_with_its_place(desk: Desk) -> None:
    columns = f"row_key VARCHAR, subject VARCHAR, area VARCHAR, {ANSWERS}"
    answer = {
        "topics": [{"area": " B ", "topic": " One topic "}, {"area": "C", "topic": " "}, {"area": "C", "topic": "Two"}]
    }
    base = {"row_key": "m/a/r1-1", "subject": "M", "area": "A", "round": 1}
    rows = [
        base | {"sample": 1, "outcome": "ok", "answer": answer},
        base | {"sample": 2, "outcome": "ok", "answer": answer},
        base | {"row_key": "m/a/r1-2", "sample": 1, "outcome": "refused"},
    ]
    desk.table("answers", columns, rows)
    found = by(desk.run("chimera/topics.sql"))
    assert list(found) == ["m/a/r1-1-2/1", "m/a/r1-1-2/3", "m/a/r1-1/1", "m/a/r1-1/3"]
    assert found["m/a/r1-1/1"]["topic"] == "One topic"
    assert found["m/a/r1-1/1"]["branch"] == "B"


# -- taxonomy ------------------------------------------------------------------------------------------------

TOPICS = """row_key VARCHAR, round INTEGER, subject VARCHAR, area VARCHAR, branch VARCHAR, topic VARCHAR,
    asked_by VARCHAR, place INTEGER"""


def named(topics: Sequence[str], *, area: str = "Algebra", round_: int = 1, name: str = "Mathematics") -> list[Row]:
    by_ = f"{name}/{area}/r{round_}"
    common = {"round": round_, "subject": name, "area": area, "branch": "Branch", "asked_by": by_}
    return [common | {"row_key": f"{by_}/{n}", "topic": topic, "place": n} for n, topic in enumerate(topics, 1)]


PAIRS = {  # here more counts as the same than in the manifests, and nobody is asked: see test_taxonomy.py
    "near_topic": 0.8, "grey_topic": 0.6, "grey_fuzzy": 0.85,
    "topic_embeddings": False, "near_cosine": 0.995, "grey_cosine": 0.85,
}  # fmt: skip
SAME = "row_key VARCHAR, same BOOLEAN, votes BIGINT, yes_votes BIGINT, said VARCHAR, difference VARCHAR"


def decide(desk: Desk, topics: Sequence[Row], *, quota: int = 100, extra: Sequence[Row] = ()) -> dict[str, str]:
    desk.table("topics", TOPICS, topics)
    subjects = [subject(topics=quota), subject("History", quota, kind="humanities")]
    desk.make("chimera/topic_names.sql", subjects=subjects, extra_topics=list(extra))
    desk.make("chimera/topic_pairs.sql", **PAIRS)
    desk.table("same_topics", SAME)
    desk.make("chimera/topic_decisions.sql", subjects=subjects)
    desk.make("chimera/taxonomy.sql", subjects=subjects)
    assert len(desk.rows("topic_decisions")) == len(topics) + len(extra), "a topic was lost silently"
    return {row["topic"]: row["decision"] for row in desk.rows("topic_decisions")}


def kept(desk: Desk) -> set[str]:
    return {row["topic"] for row in by(desk.rows("taxonomy")).values()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Foundation models and large language models", "Large language models and foundation models"),
        ("Mass spectrometry and proteomics", "Proteomics and mass spectrometry"),
        ("K-theory (algebraic and topological)", "K-theory (topological and algebraic)"),
    ],
)
def test_reordered_topics_are_one(desk: Desk, first: str, second: str) -> None:
    decisions = decide(desk, named([first, second]))
    assert decisions == {first: "kept", second: "same words"}
    [topic] = desk.rows("taxonomy")
    assert (topic["topic"], topic["aliases"]) == (first, [second])
    assert topic["named_as"] == "Mathematics/Algebra/r1/1"


def test_near_duplicates_merge_and_chains_end_at_one_root(desk: Desk) -> None:
    chain = ["a1 b1 c1 d1 e1", "a1 b1 c1 d1 e1 f1", "a1 b1 c1 d1 e1 f1 g1", "a1 b1 c1 z1 y1"]
    decisions = decide(desk, named(chain))
    assert [decisions[topic] for topic in chain] == ["kept", "near duplicate", "near duplicate", "kept"]
    aliases = {row["topic"]: row["aliases"] for row in desk.rows("taxonomy")}
    assert aliases == {chain[0]: chain[1:3], chain[3]: []}


def test_three_quarters_overlap_is_not_a_duplicate(desk: Desk) -> None:
    pair = ["Programming languages and compilers", "Quantum programming languages and compilers"]
    assert set(decide(desk, named(pair)).values()) == {"kept"}


def test_the_same_topic_may_stand_in_two_subjects(desk: Desk) -> None:
    decide(desk, [*named(["Old texts"]), *named(["Old texts"], name="History", area="Sources")])
    assert sorted(row["row_key"].split("/")[0] for row in desk.rows("taxonomy")) == ["history", "mathematics"]
    assert {row["subject"]: row["kind"] for row in desk.rows("taxonomy")} == {
        "History": "humanities",
        "Mathematics": "formal",
    }


@pytest.mark.parametrize(
    ("topic", "decision"),
    [
        ("Emerging directions", "no topic"),
        ("Selected advanced topics", "no topic"),
        ("Physics education research and outreach", "no topic"),
        ("Algebra", "too general"),
        ("mathematics", "too general"),
        ("Open mapping theorem", "kept"),
        ("General position arguments", "kept"),
        ("Special functions", "kept"),
    ],
)
def test_what_is_no_topic(desk: Desk, topic: str, decision: str) -> None:
    assert decide(desk, named([topic])) == {topic: decision}


def test_quota_takes_turns_between_areas(desk: Desk) -> None:
    topics = named(["A1 x", "A2 y", "A3 z"]) + named(["B1 x", "B2 y"], area="Analysis")
    decisions = decide(desk, topics, quota=3)
    assert kept(desk) == {"A1 x", "B1 x", "A2 y"}
    assert [decisions[name] for name in ("A3 z", "B2 y")] == ["over quota", "over quota"]


def test_later_rounds_and_larger_quotas_displace_nothing(desk: Desk) -> None:
    first = named([f"t{n} u{n}" for n in range(6)])
    decide(desk, first, quota=4)
    before = {row["row_key"] for row in desk.rows("taxonomy")}
    decide(desk, first + named([f"v{n} w{n}" for n in range(6)], area="Aa", round_=2), quota=9)
    after = {row["row_key"] for row in desk.rows("taxonomy")}
    assert (len(before), len(after)) == (4, 9)
    assert before < after


def test_merged_topics_use_up_no_quota(desk: Desk) -> None:
    decide(desk, named(["p q", "q p", "Emerging trends", "r s", "t u"]), quota=2)
    assert kept(desk) == {"p q", "r s"}


def test_extra_topics_come_on_top_and_win(desk: Desk) -> None:
    wish = {"subject": "Mathematics", "area": "Analysis", "topic": "u t"}
    decisions = decide(desk, named(["p q", "r s", "t u"]), quota=2, extra=[wish])
    assert kept(desk) == {"p q", "r s", "u t"}
    assert decisions["t u"] == "same words"


def test_topic_ids_are_readable_and_depend_on_the_words_alone(desk: Desk) -> None:
    decide(desk, named(["Galois theory of Schrödinger operators", "C++", "C"]))
    ids = {row["topic"]: row["row_key"] for row in desk.rows("taxonomy")}
    assert ids["Galois theory of Schrödinger operators"].startswith("mathematics/galois-operators-schrodinger-theory-")
    decide(desk, named(["C", "Operators of Schrödinger: Galois theory"]))
    again = {row["topic"]: row["row_key"] for row in desk.rows("taxonomy")}
    assert again["Operators of Schrödinger: Galois theory"] == ids["Galois theory of Schrödinger operators"]


def test_the_papers_number_of_topics_is_quick(desk: Desk) -> None:
    words = ["theory", "operators", "groups", "spaces", "and", "models", "fields", "equations"]
    many = [f"{words[n % 7]} w{n % 97} {words[n % 5]} v{n}" for n in range(750)]
    decide(desk, named(many), quota=574)
    assert len(desk.rows("taxonomy")) == 574


# -- problems ------------------------------------------------------------------------------------------------

TAXONOMY = (
    "row_key VARCHAR, subject VARCHAR, area VARCHAR, branch VARCHAR, topic VARCHAR, aliases VARCHAR[], kind VARCHAR"
)


def test_drafts_differ_and_more_of_them_change_none(desk: Desk) -> None:
    topic = {"row_key": "m/t", "subject": "M", "area": "A", "topic": "T", "kind": "formal"}
    text = topic | {"row_key": "h/t", "subject": "H", "kind": "humanities"}
    desk.table("taxonomy", TAXONOMY, [topic, text])
    desk.table("previous", PREVIOUS)
    desk.table("kept", KEPT)
    sizes = {"subjects": [], "problems": None, "first_wave": 0.85, "expected_yield": 0.75, "round": 1}
    few = by(desk.run("chimera/problems_rows.sql", problems_per_topic=3, **sizes))
    many = by(desk.run("chimera/problems_rows.sql", problems_per_topic=14, **sizes))
    assert len(few) == 6 and len(many) == 28
    assert all(many[key] == row for key, row in few.items())
    assert len({(row["topic_id"], row["focus"], row["slot"]) for row in many.values()}) == 28
    assert len({row["focus"] for row in many.values() if row["topic_id"] == "m/t"}) == 12
    assert few["m/t/1"]["focus"] != few["h/t/1"]["focus"]


DRAFT_ROWS = """row_key VARCHAR, topic_id VARCHAR, subject VARCHAR, area VARCHAR, topic VARCHAR, slot INTEGER,
    focus VARCHAR"""
DRAFTS = f"""{DRAFT_ROWS},
    wave INTEGER, question VARCHAR, reference_answer VARCHAR, answer_kind VARCHAR, original_solution VARCHAR,
    author_model VARCHAR"""


def draft(number: int, question: str | None = None, answer: str = "42", **more: Any) -> Row:
    return {
        "row_key": f"m/t/{number}", "topic_id": "m/t", "subject": "Mathematics", "area": "Algebra", "topic": "T",
        "slot": number, "focus": "f", "wave": 1,
        "question": question or f"Find the invariant number {number} of the group.",
        "reference_answer": answer, "answer_kind": "number", "original_solution": "because", "author_model": "author-1",
    } | more  # fmt: skip


def test_problems_table(desk: Desk) -> None:
    columns = f"{DRAFT_ROWS}, {ANSWERS}"
    base = {"row_key": "m/t/1", "topic_id": "m/t", "slot": 1}
    answer = {"question": 'Say "x"', "solution": "s", "answer": "7", "answer_kind": "number"}
    ok = base | {"sample": 1, "outcome": "ok", "answer": answer, "model": "m1"}
    bad = base | {"row_key": "m/t/2", "sample": 1, "outcome": "truncated"}
    desk.table("answers", columns, [ok, ok | {"sample": 2}, bad])
    rows = by(desk.run("chimera/problems.sql"))
    assert sorted(rows) == ["m/t/1", "m/t/1-2"]
    one = rows["m/t/1"]
    assert (one["question"], one["reference_answer"], one["original_solution"]) == ('Say "x"', "7", "s")


CONVERSIONS = f"{DRAFTS}, converted_from VARCHAR, flaw VARCHAR, part INTEGER, why_not VARCHAR"


def screen(desk: Desk, *drafts: Row, converted: Sequence[Row] = ()) -> dict[str, Row]:
    desk.table("problems", DRAFTS, drafts)
    desk.table("conversions", CONVERSIONS, converted)
    desk.make("chimera/screened.sql", near_problem=0.5)
    desk.make("chimera/candidates.sql")
    return by(desk.rows("screened"))


def test_of_the_same_problem_the_one_of_the_earlier_wave_stays(desk: Desk) -> None:
    """Its row key may sort after a later one's: what was verified and kept once must not go."""
    long = "Let G be a group of order twelve acting on the cube; find how many orbits it has"
    rows = screen(
        desk,
        draft(1, long + " on edges.", wave=2),
        draft(2, long + " on edges.", wave=1),
        draft(3, long + " on its faces.", answer="7", wave=3),
        draft(4, long + " on faces.", answer="7", wave=2),
    )
    assert {key: row["reason"] for key, row in rows.items()} == {
        "m/t/1": "same problem", "m/t/2": "ok", "m/t/3": "near duplicate", "m/t/4": "ok",
    }  # fmt: skip
    assert [rows["m/t/1"]["duplicate_of"], rows["m/t/3"]["duplicate_of"]] == ["m/t/2", "m/t/4"]


def test_screening_keeps_every_draft_with_its_reason(desk: Desk) -> None:
    long = "Let G be a group of order twelve acting on the cube; find how many orbits it has"
    rows = screen(
        desk,
        draft(1, long + " on edges."),
        draft(2, long.upper() + ", ON EDGES!"),
        draft(3, long + " on its edges."),
        draft(4, long + " on its edges.", answer="43"),
        draft(5, "Prove that G is simple."),
        draft(6, long + " on its edges.", area="Analysis", answer="44"),
    )
    assert [rows[f"m/t/{n}"]["reason"] for n in (1, 2, 3, 4, 5, 6)] == [
        "ok", "same problem", "near duplicate", "ok", "proof", "ok",
    ], "of two answers to one question the verifiers have to say which is right"  # fmt: skip
    assert rows["m/t/3"]["duplicate_of"] == "m/t/1"
    assert [row["row_key"] for row in desk.rows("candidates")] == ["m/t/1", "m/t/4", "m/t/6"]
    assert "reason" not in desk.rows("candidates")[0]


def test_alike_wording_with_another_answer_is_another_problem(desk: Desk) -> None:
    text = "Let G be a group of order {} acting on the cube; find how many orbits it has on edges"
    rows = screen(desk, draft(1, text.format(12), "1"), draft(2, text.format(12) + " here", "2"))
    assert {row["reason"] for row in rows.values()} == {"ok"}


def test_alike_wording_with_other_numbers_is_another_problem_whatever_the_answer(desk: Desk) -> None:
    text = "Let G be a group of order {} acting on the cube; find how many orbits it has on edges"
    rows = screen(desk, draft(1, text.format(12)), draft(2, text.format(24)), draft(3, text.format(12) + ", please"))
    assert [rows[f"m/t/{n}"]["reason"] for n in (1, 2, 3)] == ["ok", "ok", "near duplicate"]


def test_a_duplicate_of_a_bad_draft_is_judged_by_itself(desk: Desk) -> None:
    rows = screen(desk, draft(1, "Prove that G is finite."), draft(2, "prove that G is finite"))
    assert {row["reason"] for row in rows.values()} == {"proof"}


# -- verification --------------------------------------------------------------------------------------------

VERDICT_ROWS = (
    "row_key VARCHAR, subject VARCHAR, topic VARCHAR, question VARCHAR, proposed_answer VARCHAR, answer_kind VARCHAR"
)


def verdict(key: str, **more: Any) -> Row:
    flags = {"on_topic": True, "self_contained": True, "single_answer": True, "answer_correct": True}
    answer = {"working": "w", "own_answer": "42", **flags, "verdict": "keep", "reason": "fits"}
    answer |= {name: more.pop(name) for name in list(more) if name in answer}
    row = {"row_key": key, "proposed_answer": "42", "answer_kind": "number", "sample": 1, "outcome": "ok", "model": "v"}
    return row | more | {"answer": answer}


def vote(desk: Desk, *rows: Row) -> dict[str, Row]:
    desk.table("answers", f"{VERDICT_ROWS}, {ANSWERS}", rows)
    return by(desk.run("chimera/verdict.sql"))


@pytest.mark.parametrize(
    ("said", "keeps"),
    [
        ({}, True),
        ({"verdict": "reject"}, False),
        ({"on_topic": False}, False),  # keep, but against its own findings
        ({"self_contained": False}, False),
        ({"single_answer": False}, False),
        ({"answer_correct": False}, False),
        ({"own_answer": "42.0"}, True),
        ({"own_answer": "43"}, False),  # says correct, computed another number
        ({"own_answer": "forty-two"}, True),  # rules cannot tell: its word counts
        ({"own_answer": "43", "answer_kind": "text"}, True),
    ],
)
def test_a_vote_must_agree_with_itself(desk: Desk, said: Row, keeps: bool) -> None:
    [row] = vote(desk, verdict("p", **said)).values()
    assert row["kept"] is keeps


def test_all_votes_must_keep_and_the_rejecting_reason_stands(desk: Desk) -> None:
    rows = vote(
        desk,
        verdict("p", sample=1),
        verdict("p", sample=2, verdict="reject", answer_correct=False, own_answer="43", reason="off by one"),
        verdict("q", sample=1),
        verdict("q", sample=2) | {"outcome": "expired", "answer": None},
        verdict("r") | {"outcome": "refused", "answer": None},
    )
    assert (rows["p"]["kept"], rows["p"]["votes"], rows["p"]["keeps"]) == (False, 2, 1)
    assert rows["p"]["reason"] == "own result differs: 43; off by one"
    assert (rows["q"]["kept"], rows["q"]["votes"], rows["q"]["reason"]) == (True, 1, "fits")
    assert "r" not in rows, "what has no answer is not verified"


NO = {"objection": "problem"}
REFERENCE_CHECKS = """row_key VARCHAR, contested BOOLEAN, reference VARCHAR, reason VARCHAR, final_answers VARCHAR[],
    arbiter_answer VARCHAR"""


def cascade(desk: Desk, a: Mapping[int, bool], b: Mapping[int, bool]) -> None:
    desk.table("candidates", DRAFTS, [draft(n) for n in range(1, 6)])
    columns = "row_key VARCHAR, kept BOOLEAN, objection VARCHAR, own_answer VARCHAR, reason VARCHAR"
    for name, kept_ in (("verdict_a", a), ("verdict_b", b)):
        said = {"own_answer": "42", "reason": name}
        rows = [said | {"row_key": f"m/t/{n}", "kept": keep} | ({} if keep else NO) for n, keep in kept_.items()]
        desk.table(name, columns, rows)


def test_only_survivors_reach_the_second_verifier(desk: Desk) -> None:
    cascade(desk, {1: True, 2: False, 3: True}, {})
    assert [row["row_key"] for row in desk.run("chimera/verdict_b_rows.sql", audit_share=0)] == ["m/t/1", "m/t/3"]
    assert len(desk.run("chimera/verdict_b_rows.sql", audit_share=1.0)) == 3
    shares = [len(desk.run("chimera/verdict_b_rows.sql", audit_share=n / 10)) for n in range(11)]
    assert shares == sorted(shares)


def test_verdict_rows_hide_the_writers_solution(desk: Desk) -> None:
    cascade(desk, {1: True}, {})
    for row in (desk.run("chimera/verdict_a_rows.sql")[0], desk.run("chimera/verdict_b_rows.sql", audit_share=0)[0]):
        assert set(row) == {"row_key", "subject", "topic", "question", "proposed_answer", "answer_kind"}


def test_verified_needs_both_and_audited_rejects_stay_out(desk: Desk) -> None:
    cascade(desk, {1: True, 2: False, 3: True, 4: True}, {1: True, 2: True, 3: False})
    assert [row["row_key"] for row in desk.run("chimera/verified.sql")] == ["m/t/1"]
    desk.table("reference_checks", REFERENCE_CHECKS)
    listed = desk.run("queries/disagreements.sql")
    assert {row["row_key"]: row["verdicts"] for row in listed} == {
        "m/t/2": "a rejects, b keeps",
        "m/t/3": "a keeps, b rejects",
    }


# -- traces and labels ---------------------------------------------------------------------------------------

VERIFIED = DRAFTS + ", verifier_a_answer VARCHAR, verifier_b_answer VARCHAR, contested BOOLEAN"
SOLUTIONS = (
    "row_key VARCHAR, problem_key VARCHAR, sample INTEGER, text VARCHAR, reasoning VARCHAR, solver_model VARCHAR"
)
ARBITRATION = "row_key VARCHAR, own_answer VARCHAR, match VARCHAR, solvable BOOLEAN"
JUDGEMENTS = "row_key VARCHAR, same BOOLEAN, votes BIGINT, yes_votes BIGINT, reason VARCHAR, judge_model VARCHAR"
WORK = "First we note a fact, then another, and after a long chain of steps the result appears.\n"


def trace(number: int, final: str | None, *, sample: int = 1, text: str | None = None, **more: Any) -> Row:
    problem = f"m/t/{number}"
    key = problem if sample == 1 else f"{problem}-{sample}"
    said = text if text is not None else WORK + (rf"\boxed{{{final}}}" if final is not None else "and so on")
    return {"row_key": key, "problem_key": problem, "sample": sample, "text": said, "solver_model": "s"} | more


CASES: list[tuple[Row, Row, str, bool | None, bool | None, str]] = [
    # problem, trace, match, judged same, correctness, decided by
    (draft(1), trace(1, "42"), "yes", None, True, "rule"),
    (draft(2), trace(2, "43"), "no", True, False, "rule"),  # two numbers: no judge is asked or heard
    (draft(3, answer_kind="text", answer="Abel"), trace(3, "N. H. Abel"), "unsure", True, True, "judge"),
    (draft(4, answer_kind="text", answer="Abel"), trace(4, "Galois"), "unsure", False, False, "judge"),
    (draft(5, answer_kind="expression", answer="2"), trace(5, "3"), "no", True, False, "rule"),
    (draft(6, answer_kind="text", answer="Abel"), trace(6, "N. Abel"), "unsure", None, None, "undecided"),
    (draft(7), trace(7, None), "none", True, False, "no final answer"),
    (draft(8), trace(8, "42", text=r"\boxed{42}"), "none", True, False, "no working"),
    (draft(9), trace(9, "", text=":"), "none", True, False, "no working"),
    (draft(10), trace(10, " "), "none", True, False, "no final answer"),
]


def fill(desk: Desk, cases: Sequence[tuple[Row, Row, str, bool | None, bool | None, str]] = CASES) -> None:
    desk.table("verified", VERIFIED, list({case[0]["row_key"]: case[0] for case in cases}.values()))
    desk.table("solutions", SOLUTIONS, [case[1] for case in cases])
    judged = [
        {"row_key": case[1]["row_key"], "same": case[3], "reason": "judge said"}
        for case in cases
        if case[3] is not None
    ]
    desk.table("judgements", JUDGEMENTS, judged)
    desk.table("taxonomy", "row_key VARCHAR, subject VARCHAR")
    decided(desk)


def decided(desk: Desk) -> None:
    """From traces and judgements to labels and references, where the arbiter confirms every reference."""
    desk.make("chimera/checks.sql")
    desk.make("chimera/labels.sql")
    asked = desk.run("chimera/arbitration_rows.sql")
    desk.table("arbitration", ARBITRATION, [{"row_key": row["row_key"], "match": "yes"} for row in asked])
    desk.table("arbitration_judgements", "row_key VARCHAR, same BOOLEAN")
    desk.make("chimera/reference_checks.sql")


def test_checks_and_who_is_judged(desk: Desk) -> None:
    fill(desk)
    checks = by(desk.rows("checks"))
    assert [checks[case[1]["row_key"]]["match"] for case in CASES] == [case[2] for case in CASES]
    asked_ = by(desk.run("chimera/judgements_rows.sql"))
    assert set(asked_) == {"m/t/3", "m/t/4", "m/t/6"}
    assert asked_["m/t/3"]["candidate_answer"] == "N. H. Abel"


def test_labels(desk: Desk) -> None:
    fill(desk)
    rows = by(desk.run("chimera/dataset.sql", held_out_share=0))
    found = [(rows[case[1]["row_key"]]["correctness"], rows[case[1]["row_key"]]["decided_by"]) for case in CASES]
    assert found == [(label, how) for *_, label, how in CASES]


def test_dataset_columns_and_a_problem_without_trace(desk: Desk) -> None:
    fill(desk, CASES[:1])
    desk.table("solutions", SOLUTIONS)
    decided(desk)
    [row] = desk.run("chimera/dataset.sql", held_out_share=0)
    assert list(row)[:8] == [
        "index",
        "subject",
        "topic",
        "question",
        "answer",
        "original_solution",
        "solution",
        "correctness",
    ]
    assert (row["row_key"], row["solution"], row["correctness"], row["decided_by"]) == ("m/t/1", None, None, "no trace")


def test_the_trace_keeps_its_thinking(desk: Desk) -> None:
    fill(desk, [(draft(1), trace(1, "42", reasoning="\nhm\n"), "yes", None, True, "rule")])
    [row] = desk.run("chimera/dataset.sql", held_out_share=0)
    assert row["solution"].startswith("<think>\nhm\n</think>\n\nFirst we note")


def dataset(desk: Desk) -> list[Row]:
    """Its rows by index: the engine puts them in order, not the query."""
    return sorted(desk.run("chimera/dataset.sql", held_out_share=0), key=lambda row: row["index"])


def test_index_is_stable_whatever_the_order_of_the_tables(desk: Desk) -> None:
    cases = [*CASES, (draft(1), trace(1, "41", sample=2), "no", None, False, "rule")]
    fill(desk, cases)
    first = dataset(desk)
    desk.table("verified", VERIFIED, [case[0] for case in reversed(CASES)])
    desk.table("solutions", SOLUTIONS, [case[1] for case in reversed(cases)])
    assert dataset(desk) == first
    assert [row["index"] for row in first] == list(range(len(cases)))
    assert [row["row_key"] for row in first[:3]] == ["m/t/1", "m/t/1-2", "m/t/2"]
    by(first)


def test_solutions_rows_are_bare_and_samples_get_keys_of_their_own(desk: Desk) -> None:
    desk.table("verified", VERIFIED, [draft(1)])
    [row] = desk.run("chimera/solutions_rows.sql")
    assert set(row) == {"row_key", "question"}
    base = {"row_key": "m/t/1", "question": "q", "outcome": "ok", "text": "t", "model": "s"}
    answers = [base | {"sample": 1}, base | {"sample": 2, "reasoning": "r"}, base | {"sample": 3, "outcome": "error"}]
    desk.table("answers", f"row_key VARCHAR, question VARCHAR, {ANSWERS}", answers)
    assert {row["row_key"]: row["problem_key"] for row in desk.run("chimera/solutions.sql")} == {
        "m/t/1": "m/t/1",
        "m/t/1-2": "m/t/1",
    }


@pytest.mark.parametrize(
    ("votes", "same"),
    [
        ([("42", True)], True),
        ([("42", False)], False),
        ([("none", True)], False),
        ([(" ", True)], False),
        ([("42", True), ("42", False)], False),
        ([("42", True), ("42", True)], True),
    ],
)
def test_judgements(desk: Desk, votes: list[tuple[str, bool]], same: bool) -> None:
    columns = f"row_key VARCHAR, question VARCHAR, reference_answer VARCHAR, candidate_answer VARCHAR, {ANSWERS}"
    rows = [
        {"row_key": "p", "sample": n, "outcome": "ok", "answer": {"extracted": said, "reason": f"r{n}", "same": yes}}
        for n, (said, yes) in enumerate(votes, 1)
    ]
    desk.table("answers", columns, [*rows, {"row_key": "q", "sample": 1, "outcome": "invalid"}])
    [row] = desk.run("chimera/judgements.sql")
    assert (row["same"], row["votes"]) == (same, len(votes))


# -- named queries -------------------------------------------------------------------------------------------


def test_funnel_and_coverage(desk: Desk) -> None:
    decide(desk, [*named(["p q", "q p", "r s"]), *named(["old x"], name="History", area="S")])
    ids = {row["topic"]: row["row_key"] for row in desk.rows("taxonomy")}
    drafts = [
        draft(n, topic_id=ids["p q"], answer=str(answer), question="Prove that G is finite." if n == 4 else None)
        for n, answer in ((1, 42), (2, 42), (3, 7), (4, 1))
    ]
    screen(desk, *drafts)
    keeps = [{"row_key": f"m/t/{n}", "kept": n != 3} for n in (1, 2, 3)]
    for name in ("verdict_a", "verdict_b"):
        rows = [row if row["kept"] else row | NO for row in keeps]
        desk.table(name, "row_key VARCHAR, kept BOOLEAN, objection VARCHAR, own_answer VARCHAR", rows)
    desk.make("chimera/verified.sql")
    desk.table("solutions", SOLUTIONS, [trace(1, "42"), trace(2, "1")])
    desk.table("judgements", JUDGEMENTS)
    decided(desk)
    desk.make("chimera/dataset.sql", held_out_share=0)
    funnel = {(row["subject"], row["what"]): (row["rows"], row["part"]) for row in desk.run("queries/funnel.sql")}
    assert funnel["Mathematics", "topics named"] == (3, None)
    assert funnel["Mathematics", "topics kept"] == (2, 0.667)
    assert funnel["all", "topics kept"] == (3, 0.75)
    assert funnel["Mathematics", "problems drafted"] == (4, None)
    assert funnel["Mathematics", "passed the free checks, rewritten drafts too"] == (3, 0.75)
    assert funnel["all", "kept by both verifiers, or contested"] == (2, 1.0)
    assert funnel["all", "with a reference that is verified"] == (2, 1.0)
    assert funnel["all", "with a correct trace"] == (1, 0.5)
    coverage = by(desk.run("queries/coverage.sql"), "subject")
    assert list(coverage) == ["all", "History", "Mathematics"]
    maths = coverage["Mathematics"]
    assert (maths["topics"], maths["topics_without_problem"], maths["drafts"], maths["problems"]) == (2, 1, 4, 2)
    assert (maths["with_correct_trace"], maths["most_per_topic"], maths["solved_part"]) == (1, 2, 0.5)
    assert coverage["History"]["drafts"] == 0


COSTS = """stage VARCHAR, provider VARCHAR, model VARCHAR, outcome VARCHAR, requests BIGINT, input_tokens BIGINT,
    cached_tokens BIGINT, output_tokens BIGINT, usd DECIMAL(24, 12)"""
STAGES = """stage VARCHAR, place INTEGER, rows BIGINT, usd_spent DECIMAL(24, 12), usd_suspected DECIMAL(24, 12),
    quoted_low DECIMAL(24, 12), quoted_likely DECIMAL(24, 12), quoted_high DECIMAL(24, 12), rows_kept BIGINT,
    usd_per_kept_row DOUBLE"""


def stage_row(stage: str, place: int, spent: float = 0, **more: Any) -> Row:
    return {"stage": stage, "place": place, "usd_spent": spent, "usd_suspected": 0} | more


def quote_row(low: float, likely: float, high: float) -> Row:
    return {"quoted_low": low, "quoted_likely": likely, "quoted_high": high}


def test_costs(desk: Desk) -> None:
    base = {"stage": "b", "provider": "p", "model": "m", "input_tokens": 10, "cached_tokens": 1, "output_tokens": 5}
    rows = [
        base | {"outcome": "ok", "requests": 4, "usd": 2},
        base | {"outcome": "truncated", "requests": 1, "usd": 1},
        base | {"stage": "a", "outcome": "error", "requests": 1, "usd": 0},
    ]
    desk.table("costs", COSTS, rows)
    stages = [
        stage_row("b", 1, 3, rows=4, rows_kept=3, usd_per_kept_row=1.0, **quote_row(2, 2.5, 4)),
        stage_row("a", 2, usd_suspected=0.25, **quote_row(1, 1, 1)),
        stage_row("joined", 3, rows=2),
        stage_row("later", 4, **quote_row(5, 6, 7)),
    ]
    desk.table("stages", STAGES, stages)
    found = by(desk.run("queries/costs.sql"), "stage")
    assert list(found) == ["b", "a", "later", "all"]  # as the manifest has them
    b, last = found["b"], found["all"]
    assert (b["requests"], b["ok"], b["usd"], b["usd_for_nothing"]) == (5, 4, 3, 1)
    assert b["usd_per_1000_ok"] == 750
    assert (b["quoted_low"], b["quoted_likely"], b["quoted_high"], b["usd_suspected"]) == (2, 2.5, 4, 0)
    assert (b["rows_kept"], b["usd_per_kept_row"]) == (3, 1.0)
    assert (found["a"]["usd_per_1000_ok"], found["a"]["usd_suspected"], found["a"]["rows_kept"]) == (None, 0.25, None)
    assert (found["later"]["requests"], found["later"]["usd"], found["later"]["quoted_likely"]) == (0, 0, 6)
    assert (last["requests"], last["usd"], last["quoted_likely"], last["usd_suspected"]) == (6, 3, 9.5, 0.25)
    assert (last["rows_kept"], last["usd_per_kept_row"]) == (2, 1.5)  # of the last table


def test_the_costs_of_two_models_show_their_stage_once(desk: Desk) -> None:
    base = {"stage": "a", "provider": "p", "outcome": "ok", "requests": 1, "input_tokens": 10, "output_tokens": 5}
    desk.table("costs", COSTS, [base | {"model": "n", "usd": 2}, base | {"model": "m", "usd": 1}])
    worth = {"rows": 2, "rows_kept": 2, "usd_per_kept_row": 1.5}
    desk.table("stages", STAGES, [stage_row("a", 1, 3, usd_suspected=1, **worth, **quote_row(1, 2, 3))])
    first, second, last = desk.run("queries/costs.sql")
    assert (first["model"], first["usd"], first["quoted_likely"], first["rows_kept"]) == ("m", 1, 2, 2)
    assert (second["model"], second["usd"], second["quoted_likely"], second["rows_kept"]) == ("n", 2, None, None)
    assert (last["usd"], last["quoted_likely"], last["usd_suspected"], last["usd_per_kept_row"]) == (3, 2, 1, 1.5)


def test_costs_of_nothing_are_one_row(desk: Desk) -> None:
    desk.table("costs", COSTS)
    desk.table("stages", STAGES)
    [row] = desk.run("queries/costs.sql")
    assert [row[name] for name in ("stage", "requests", "ok", "usd", "usd_for_nothing")] == ["all", 0, 0, 0, 0]
    assert (row["quoted_likely"], row["rows_kept"], row["usd_per_kept_row"]) == (None, None, None)


# -- where the money went

OUTCOMES = """stage VARCHAR, row_key VARCHAR, sample INTEGER, request_id VARCHAR, outcome VARCHAR, shard VARCHAR,
    attempt INTEGER, input_tokens BIGINT, output_tokens BIGINT, usd DECIMAL(24, 12), paid_by VARCHAR, realm VARCHAR,
    kept BOOLEAN, looked_in VARCHAR"""


def charge(stage: str, key: str | None, outcome: str = "ok", usd: float = 1, **more: Any) -> Row:
    """One row of ``outcomes``: 10 tokens in, 20 out."""
    where = {"request_id": f"{stage}/{key}", "shard": "s", "attempt": 1, "realm": "host", "sample": 1}
    tokens = {"input_tokens": 10, "output_tokens": 20}
    return {"stage": stage, "row_key": key, "outcome": outcome, "usd": usd, "paid_by": stage, **where, **tokens} | more


def wasted(desk: Desk, *rows: Row) -> dict[Any, Row]:
    desk.table("outcomes", OUTCOMES, rows)
    return {(row["stage"], row["reason"]): row for row in desk.run("queries/waste.sql")}


def test_waste_by_outcome_and_by_what_was_rejected(desk: Desk) -> None:
    there, gone = {"kept": True, "looked_in": "end"}, {"kept": False, "looked_in": "end"}
    found = wasted(
        desk,
        charge("a", "1", usd=6, **there),
        charge("a", "2", usd=2, **gone),
        charge("a", "3", "truncated", usd=1.5, **there),  # asked again with success: paid for nothing all the same
        charge("a", "3", attempt=2, usd=0.5, **there),
        charge("b", "1", "error", usd=0),
        charge("b", "2", usd=5),  # what nobody can follow counts as kept
    )
    assert list(found) == [("a", "rejected later"), ("a", "truncated"), ("b", "error"), ("all", None)]
    assert [(row["requests"], row["usd"], row["part"]) for row in found.values()] == [
        (1, 2, 0.2),
        (1, 1.5, 0.15),
        (1, 0, 0),
        (3, 3.5, 0.2333),
    ]
    assert found["a", "rejected later"]["looked_in"] == "end"
    assert found["a", "truncated"]["looked_in"] is None
    assert (found["all", None]["input_tokens"], found["all", None]["output_tokens"]) == (30, 60)


def test_a_shared_request_is_wasted_only_with_all_its_rows(desk: Desk) -> None:
    one = {"request_id": "r", "looked_in": "end"}
    kept, gone = charge("a", "1", kept=True, **one), charge("a", "2", kept=False, **one)
    assert set(wasted(desk, kept, gone)) == {("all", None)}
    again = wasted(desk, gone, gone | {"row_key": "3"})
    assert again["a", "rejected later"]["usd"] == 1
    other = wasted(desk, gone, gone | {"stage": "b", "row_key": "9"})
    assert set(other) == {("a", "rejected later"), ("all", None)}  # whoever asks for it, one stage paid
    hosts = wasted(desk, gone, gone | {"realm": "elsewhere"})
    assert hosts["a", "rejected later"]["usd"] == 2  # the same lines at two hosts are paid at both


def test_answers_to_rows_that_were_edited_away_are_waste(desk: Desk) -> None:
    found = wasted(desk, charge("a", None, sample=None, usd=3, request_id="r"))
    assert found["a", "no longer asked"]["usd"] == 3


def test_nothing_is_wasted_of_nothing(desk: Desk) -> None:
    [row] = wasted(desk).values()
    assert (row["stage"], row["requests"], row["usd"], row["part"]) == ("all", 0, 0, None)


VERDICTS = """row_key VARCHAR, kept BOOLEAN, on_topic BOOLEAN, self_contained BOOLEAN, single_answer BOOLEAN,
    answer_correct BOOLEAN, own_match VARCHAR"""


def judged(key: str, *, kept: bool = False, **flaws: Any) -> Row:
    sound = dict.fromkeys(("on_topic", "self_contained", "single_answer", "answer_correct"), True)
    return {"row_key": key, "kept": kept, "own_match": "yes"} | sound | flaws


A_REJECTS = {
    "topic": {"on_topic": False, "answer_correct": False},
    "alone": {"self_contained": False},
    "many": {"single_answer": False},
    "wrong": {"answer_correct": False},
    "own": {"own_match": "no"},
    "word": {},
}


def spent_by_fate(desk: Desk, *charges: Row) -> dict[str, Row]:
    drafts = [*A_REJECTS, "proof", "b", "early", "late", "right", "bad", "doubt", "bare", "moot"]
    desk.table("problems", "row_key VARCHAR", [{"row_key": key} for key in drafts])
    screened = [{"row_key": key, "reason": "proof" if key == "proof" else "ok"} for key in drafts]
    desk.table("screened", "row_key VARCHAR, reason VARCHAR", screened)
    made = [{"row_key": "proof/converted-1", "part": 1}, {"row_key": "early/converted", "part": 0}]
    desk.table("conversions", "row_key VARCHAR, part INTEGER", made)
    ends = ["right", "bad", "doubt", "bare", "moot"]
    a = [judged(key, **flaws) for key, flaws in A_REJECTS.items()]
    a += [judged(key, kept=True) for key in ("b", "late", *ends)]
    desk.table("verdict_a", VERDICTS, a)
    b = [judged("b", single_answer=False), judged("wrong", kept=True), *(judged(key, kept=True) for key in ends)]
    desk.table("verdict_b", VERDICTS, b)
    desk.table("verified", "row_key VARCHAR", [{"row_key": key} for key in ends])
    traces = [{"row_key": key, "problem_key": "right"} for key in ("right", "right-2")]
    desk.table("solutions", "row_key VARCHAR, problem_key VARCHAR", [*traces, {"row_key": "bad", "problem_key": "bad"}])
    columns = "row_key VARCHAR, problem_key VARCHAR, solution VARCHAR, correctness BOOLEAN, reference VARCHAR"
    labels = [("right", "right", "t", False), ("right-2", "right", "t", True), ("bad", "bad", "t", False)]
    labels += [("doubt", "doubt", "t", None), ("bare", "bare", None, None), ("alone", "moot", "t", False)]
    labels = [(*row, "disputed" if row[1] == "moot" else "verified") for row in labels]
    desk.table(
        "dataset",
        columns,
        [
            dict(zip(columns.replace(" VARCHAR", "").replace(" BOOLEAN", "").split(", "), r, strict=True))
            for r in labels
        ],
    )
    desk.table("outcomes", OUTCOMES, charges)
    return by(desk.run("queries/rejected.sql"), "fate")


FATES = {
    "topic": "rejected by a: off topic",
    "alone": "rejected by a: not self-contained",
    "many": "rejected by a: no single answer",
    "wrong": "rejected by a: wrong answer",  # what b thinks of an audited one does not matter
    "own": "rejected by a: another own result",
    "word": "rejected by a: said discard",
    "proof": "screened out: proof",
    "b": "rejected by b: no single answer",
    "early": "no verdict of a",
    "late": "no verdict of b",
    "right": "kept, with a correct trace",
    "bad": "kept, no correct trace",
    "doubt": "kept, nobody could tell",
    "bare": "kept, no trace",
    "proof/converted-1": "no verdict of a",  # a problem of its own
    "moot": "kept, reference disputed",
    "gone": "no usable draft",
}


@pytest.mark.parametrize(("key", "fate"), FATES.items())
def test_the_fate_of_a_problem_has_its_price(desk: Desk, key: str, fate: str) -> None:
    outcome = "refused" if key == "gone" else "ok"
    found = spent_by_fate(desk, charge("problems", key, outcome, usd=2))
    assert list(found) == [fate, "all"]
    assert (found[fate]["problems"], found[fate]["requests"], found[fate]["usd"]) == (1, 1, 2)


def test_every_dollar_of_a_problem_is_with_its_fate(desk: Desk) -> None:
    found = spent_by_fate(
        desk,
        charge("problems", "right", "truncated", usd=1),
        charge("problems", "right", attempt=2, usd=1),
        charge("verdict_a", "right", usd=2),
        charge("verdict_b", "right", usd=4),
        charge("solutions", "right", usd=8),
        charge("solutions", "right", usd=8, sample=2, request_id="r2"),
        charge("judgements", "right-2", usd=8),
        charge("arbitration", "right", usd=4),
        charge("arbitration_judgements", "right", usd=4),
        charge("verdict_a", "wrong", usd=32),
        charge("verdict_b", "wrong", usd=64),
        charge("topics", "maths/r1-1", usd=128),
        charge("verdict_a", "unknown", usd=256),
        charge("conversions", "proof", usd=1024),
        charge("verdict_a", "proof/converted-1", usd=2048),
        charge("problems", None, sample=None, usd=512, request_id="old"),
    )
    assert {fate: row["usd"] for fate, row in found.items()} == {
        "no longer asked": 512,
        "no longer drafted": 256,
        "not of one problem: topics": 128,
        "rejected by a: wrong answer": 96,
        "kept, with a correct trace": 40,
        "screened out: proof": 1024,  # with what the editor cost
        "no verdict of a": 2048,
        "all": 4104,
    }
    right, last = found["kept, with a correct trace"], found["all"]
    assert (right["problems"], right["requests"], right["output_tokens"], right["usd_per_problem"]) == (1, 9, 180, 40)
    assert (last["requests"], last["input_tokens"], last["part"]) == (16, 160, 1.0)
    assert right["part"] == round(40 / 4104, 4)


def test_a_request_that_rows_share_is_split(desk: Desk) -> None:
    one = charge("verdict_a", "right", usd=3, request_id="r")
    found = spent_by_fate(desk, one, one | {"row_key": "wrong"})
    assert {fate: row["usd"] for fate, row in found.items()} == {
        "kept, with a correct trace": 1.5,
        "rejected by a: wrong answer": 1.5,
        "all": 3,
    }
    assert found["all"]["requests"] == 1


# -- agreement of the verifiers


def agreement(desk: Desk, *pairs: tuple[str, bool, bool | None, int]) -> dict[Any, Row]:
    """(subject, a keeps, b keeps or None where it was not asked, how many such)."""
    rows = [(s, a, b) for s, a, b, times in pairs for _ in range(times)]
    desk.table(
        "candidates",
        "row_key VARCHAR, subject VARCHAR",
        [{"row_key": f"{n}", "subject": r[0]} for n, r in enumerate(rows)],
    )
    for name, place in (("verdict_a", 1), ("verdict_b", 2)):
        kept_ = [({"row_key": f"{n}", "kept": r[place]}, r[place]) for n, r in enumerate(rows) if r[place] is not None]
        verdicts = [row if keeps else row | NO for row, keeps in kept_]
        desk.table(name, "row_key VARCHAR, kept BOOLEAN, objection VARCHAR", verdicts)
    desk.table("reference_checks", REFERENCE_CHECKS)
    return by(desk.run("queries/agreement.sql"), "subject")


def test_agreement_weighs_the_audited_rejects(desk: Desk) -> None:
    """Of 100: a keeps 60, b keeps 54 of them. Of the 40 others b saw 4 and keeps 1, so it would keep 10."""
    row = agreement(
        desk,
        ("M", True, True, 54),
        ("M", True, False, 6),
        ("M", False, True, 1),
        ("M", False, False, 3),
        ("M", False, None, 36),
    )["all"]
    assert (row["kept_by_a"], row["rejected_by_a"], row["pairs"], row["audited"], row["weight"]) == (60, 40, 64, 4, 10)
    assert [row[name] for name in ("both_keep", "a_keeps_b_rejects", "a_rejects_b_keeps", "both_reject")] == [
        54,
        6,
        1,
        3,
    ]
    assert row["agreement"] == 0.84  # 54 + 30
    chance = 0.6 * 0.64 + 0.4 * 0.36
    assert row["kappa"] == pytest.approx((0.84 - chance) / (1 - chance), abs=1e-4)
    error = (0.6**2 * 0.9 * 0.1 / 60 + 0.4**2 * 0.25 * 0.75 / 4) ** 0.5
    assert row["standard_error"] == pytest.approx(error, abs=1e-4)


def test_without_an_audit_only_the_kept_part_is_known(desk: Desk) -> None:
    row = agreement(desk, ("M", True, True, 5), ("M", False, None, 2))["all"]
    assert (row["pairs"], row["audited"], row["weight"]) == (5, 0, None)
    assert (row["agreement"], row["kappa"], row["standard_error"]) == (None, None, None)


def test_agreement_by_subject(desk: Desk) -> None:
    found = agreement(desk, ("M", True, True, 4), ("P", False, False, 1), ("P", False, None, 1), ("P", True, False, 2))
    assert list(found) == ["all", "M", "P"]
    assert (found["M"]["agreement"], found["M"]["rejected_by_a"], found["M"]["weight"]) == (1, 0, None)
    assert found["M"]["kappa"] is None  # both keep everything: agreement says nothing beyond chance
    assert (found["P"]["agreement"], found["P"]["audited"], found["P"]["weight"]) == (0.5, 1, 2)
    assert found["all"]["agreement"] == 0.75


def test_what_b_has_not_answered_yet_is_no_pair(desk: Desk) -> None:
    row = agreement(desk, ("M", True, True, 3), ("M", True, None, 7), ("M", False, False, 1))["all"]
    assert (row["kept_by_a"], row["pairs"], row["agreement"]) == (10, 4, 1.0)
    assert agreement(desk) == {}, "of no verdicts nothing is said"


def test_outcomes(desk: Desk) -> None:
    columns = """stage VARCHAR, row_key VARCHAR, sample INTEGER, request_id VARCHAR, outcome VARCHAR, attempt INTEGER,
        model VARCHAR, code VARCHAR, message VARCHAR"""
    ok = {"stage": "a", "outcome": "ok", "attempt": 1}
    rows = [
        *(ok | {"row_key": f"r{n}"} for n in range(3)),
        ok | {"row_key": "z", "outcome": "error", "code": "500", "message": "late", "attempt": 2},
        ok | {"row_key": "y", "outcome": "error", "code": "500", "message": "early"},
    ]
    desk.table("outcomes", columns, rows)
    first, second = desk.run("queries/outcomes.sql")
    assert (first["outcome"], first["requests"], first["part"], first["example"]) == ("ok", 3, 0.6, None)
    assert (second["code"], second["requests"], second["attempts"]) == ("500", 2, 2)
    assert (second["example"], second["message"]) == ("y", "early")


# -- the second pipeline -------------------------------------------------------------------------------------


def test_reviews(desk: Desk) -> None:
    rows = by(desk.run("reviews/classified_rows.sql"))
    assert len(rows) == 8
    answer = {"sentiment": "mixed", "aspects": ["lid", "speed"], "evidence": "stiff"}
    answers = [row | {"sample": 1, "outcome": "ok", "answer": answer} for row in rows.values()]
    answers[0] |= {"outcome": "refused", "answer": None}
    desk.table("answers", f"row_key VARCHAR, product VARCHAR, review VARCHAR, {ANSWERS}", answers)
    classified = by(desk.make("reviews/classified.sql"))
    assert len(classified) == 7 and classified["review-1"]["aspects"] == ["lid", "speed"]
    products = by(desk.run("reviews/summaries_rows.sql", min_reviews=3))
    assert {key: row["review_count"] for key, row in products.items()} == {"kestrel-kettle": 3}
    assert products["kestrel-kettle"]["reviews"].splitlines()[1] == f"[mixed] {rows['review-2']['review']}"
    summary = {"headline": "h", "praised": ["speed"], "criticised": []}
    desk.table(
        "answers",
        f"row_key VARCHAR, product VARCHAR, review_count BIGINT, reviews VARCHAR, {ANSWERS}",
        [row | {"sample": 1, "outcome": "ok", "answer": summary} for row in products.values()],
    )
    [row] = desk.run("reviews/summaries.sql")
    assert (row["praised"], row["criticised"], row["review_count"]) == (["speed"], [], 3)
