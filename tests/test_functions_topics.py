"""Topics that are alike without having the same words, and topics that are none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.screen_topic import screen_topic
from chimera_batch.functions.topic_blocks import abbreviations, lists, plain, topic_blocks
from chimera_batch.functions.topic_fuzz import ABBREVIATION, PART, SPELLING, topic_fuzz

ALIKE = [
    ("Elliptic curves over finite fields", "Finite field, elliptic curve over", SPELLING),
    ("Modelling of colour vision", "Color vision, modeling of", SPELLING),
    ("Optimisation of catalogues", "Catalog optimization", SPELLING),
    ("Analyses of variance", "Analyses of variances", SPELLING),
    ("Mass spectrometry and proteomics", "Proteomics and mass spectrometry", SPELLING),
    ("NMR of proteins", "Nuclear magnetic resonance of proteins", ABBREVIATION),
    ("GNNs", "Graph neural networks", ABBREVIATION),
    ("MOFs in catalysis", "Metal–organic frameworks in catalysis", ABBREVIATION),
    ("Sparsest cuts and CCCs", "Sparsest cuts and circuit complexity classes", ABBREVIATION),
    ("Quality of life, QoL, in oncology", "QoL in oncology", PART),
    ("COMs and the theatre", "Comedies of manners and the theatre", ABBREVIATION),
    # the paper's two
    ("Covalent inhibitors and PROTACs", "Covalent inhibitors and targeted degradation (PROTACs)", PART),
    ("Programming languages and compilers", "Quantum programming languages and compilers", PART),
]


@pytest.mark.parametrize(("one", "other", "value"), ALIKE)
def test_what_is_alike_and_how(one: str, other: str, value: float) -> None:
    assert topic_fuzz(one, other) == topic_fuzz(other, one) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Organic chemistry", "Inorganic chemistry"),
        ("Adsorption isotherms", "Absorption isotherms"),
        ("Homology theory", "Homotopy theory"),
        ("Prokaryotic ribosomes", "Eukaryotic ribosomes"),
        ("Hypothermia", "Hyperthermia"),
    ],
)
def test_letters_alone_prove_nothing(one: str, other: str) -> None:
    assert 0.8 < topic_fuzz(one, other) < ABBREVIATION


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Set theory", "Set theory of the real line and its forcing axioms"),
        ("Graphs", "Graph colourings"),
        ("", "a"),
        ("?", "?"),
    ],
)
def test_a_word_in_common_is_not_enough(one: str, other: str) -> None:
    assert topic_fuzz(one, other) < 0.85


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("varieties", "variety"), ("branches", "branch"), ("axes", "ax"), ("groups", "group"), ("physics", "physics"),
        ("analysis", "analysis"), ("calculus", "calculus"), ("class", "class"), ("behaviour", "behavior"),
        ("modelled", "modeled"), ("optimised", "optimized"), ("theatre", "theater"), ("hour", "hour"), ("gas", "gas"),
    ],
)  # fmt: skip
def test_one_spelling_for_all(word: str, expected: str) -> None:
    assert plain(word) == expected


@given(st.from_regex(r"[a-z]{1,14}", fullmatch=True))
def test_a_plain_word_is_a_word(word: str) -> None:
    assert re.fullmatch(r"[a-z]+", plain(word))
    assert topic_fuzz(f"{word} theory", f"Theory of {word}") == SPELLING


def test_abbreviations_are_words_with_capitals_inside_a_text_that_has_not_only_these() -> None:
    assert abbreviations("PROTACs, NMR and mRNA of Proteins") == {"protac", "nmr", "mrna"}
    assert abbreviations("THEORY OF GROUPS") == set()
    assert abbreviations("DNA") == {"dna"}


def test_blocks_find_what_may_be_the_same() -> None:
    assert topic_blocks("Nuclear magnetic resonance of proteins")["words"] == [
        "magnetic", "nuclear", "protein", "resonance",
    ]  # fmt: skip
    assert {"nmr", "nmrp", "mr"} <= set(topic_blocks("Nuclear magnetic resonance of proteins")["initials"])
    assert topic_blocks("—") == {"words": [], "initials": []}
    assert len(topic_blocks("word " * 5000)["words"]) == 1


@given(st.text(max_size=60), st.text(max_size=60))
def test_likeness_is_symmetric_and_in_range(one: str, other: str) -> None:
    assert 0 <= topic_fuzz(one, other) == topic_fuzz(other, one) <= 1


@given(st.permutations(["graph", "theory", "random", "walks", "markov"]), st.sampled_from(["and", "of", ","]))
def test_order_is_no_difference(words: list[str], joint: str) -> None:
    assert topic_fuzz(f" {joint} ".join(words), "graph markov random theory walks") == SPELLING


# -- what is no topic


@pytest.mark.parametrize(
    "topic",
    [
        "Algebra", "Analysis", "algebra.", "Advanced algebra", "Foundations of analysis", "Introduction to topology",
        "Modern physics", "Algebra and number theory", "Physics, chemistry and biology", "Mathematics",
        "Pure mathematics",
        "History of mathematics", "Convex bodies", "Bodies, convex",
    ],
)  # fmt: skip
def test_what_is_too_general(topic: str) -> None:
    assert screen_topic(topic, "Mathematics", "Geometry\nConvex bodies") == "too general"


@pytest.mark.parametrize(
    "topic",
    [
        "Emerging directions", "Physics education research and outreach", "Selected advanced topics",
        "Recent developments",
        "Emerging directions in quantum optics", "Open problems in optics", "Applications",
        "Advanced methods", "12", "—", "",
        "Careers of physicists", "x" * 401,
    ],
)  # fmt: skip
def test_what_is_no_topic(topic: str) -> None:
    assert screen_topic(topic, "Physics", "") == "no topic"


@pytest.mark.parametrize(
    "topic",
    [
        "p-adic Hodge theory and Fontaine modules", "Open mapping theorem", "General position arguments",
        "General relativity",
        "Special functions", "Boundary value problems", "Open quantum systems", "Homological algebra", "K-theory",
        "Programming languages and compilers", "Mass spectrometry and proteomics", "C++", "Vitamin A", "数论",
        "Word problems", "Recent hominin fossils", "Applied voltage pulses",
    ],
)  # fmt: skip
def test_what_is_a_topic(topic: str) -> None:
    assert screen_topic(topic, "Mathematics", "Number theory\nProgramming languages\nCompilers") == "ok"


def test_history_says_something_in_history_alone() -> None:
    assert screen_topic("History of chemistry", "History", "Ancient history") == "ok"
    assert screen_topic("History of chemistry", "Chemistry", "") == "too general"
    assert screen_topic("Modern history", "History", "") == "too general"


@pytest.mark.parametrize("head", lists()["vague_heads"])
def test_every_vague_head_with_every_noun(head: str) -> None:
    for noun in lists()["vague_nouns"]:
        assert screen_topic(f"{head.title()} {noun}", "Physics", "") == "no topic"
        assert screen_topic(f"{head.title()} research {noun} in optics", "Physics", "") == "no topic"


@given(st.sampled_from(lists()["fields"]), st.sampled_from(lists()["qualifiers"]))
def test_no_qualifier_makes_a_field_a_topic(field: str, qualifier: str) -> None:
    assert screen_topic(field, "Alchemy", "") == "too general"
    assert screen_topic(f"{qualifier.title()} of {field}", "Alchemy", "") in {"too general", "no topic"}
    assert screen_topic(f"{field} of {field} vortices", "Alchemy", "") == "ok"


@given(st.text(max_size=80), st.text(max_size=20), st.text(max_size=40))
def test_any_text_is_told(topic: str, subject: str, names: str) -> None:
    assert screen_topic(topic, subject, names) in {"ok", "too general", "no topic"}
