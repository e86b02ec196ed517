"""Keys and overlaps of topics and texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions import FUNCTIONS
from chimera_batch.functions.ngram_jaccard import ngram_jaccard
from chimera_batch.functions.text_key import text_key
from chimera_batch.functions.token_jaccard import token_jaccard
from chimera_batch.functions.topic_key import topic_key

WITHOUT_EXTRAS = [function for function in FUNCTIONS if not function.extra]
SAME_TOPICS = [  # the first four are reorderings from the CHIMERA paper's own list
    ("Foundation models and large language models", "Large language models and foundation models"),
    ("Mass spectrometry and proteomics", "Proteomics and mass spectrometry"),
    ("K-theory (algebraic and topological)", "Topological and algebraic K-theory"),
    ("The theory of groups", "groups: theory"),
    ("Poincaré duality", "poincare  DUALITY."),
    ("Gödel's theorems", "Gödel’s theorems"),
    ("Statistics & probability", "Probability and Statistics"),
    ("ﬁnite ﬁelds", "finite fields"),
]
OTHER_TOPICS = [
    ("Programming languages and compilers", "Quantum programming languages and compilers"),
    ("C", "C++"),
    ("C++ templates", "C# templates"),
    ("Vitamin A", "Vitamin"),
    ("Algebra", "Analysis"),
    ("数论", "代数"),
]


@pytest.mark.parametrize(("one", "other"), SAME_TOPICS)
def test_reordered_topics_share_a_key(one: str, other: str) -> None:
    assert topic_key(one) == topic_key(other)
    assert token_jaccard(one, other) == 1.0


@pytest.mark.parametrize(("one", "other"), OTHER_TOPICS)
def test_other_topics_do_not(one: str, other: str) -> None:
    assert topic_key(one) != topic_key(other)
    assert token_jaccard(one, other) < 0.8


@pytest.mark.parametrize(
    ("topic", "key"),
    [("", ""), ("—!?", ""), ("Of and for", "and for of"), ("The Art of War", "art war"), ("a_b", "a b")],
)
def test_topic_keys(topic: str, key: str) -> None:
    assert topic_key(topic) == key


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        ("Covalent inhibitors and PROTACs", "Covalent inhibitors and targeted degradation (PROTACs)", 3 / 5),
        ("Quantum programming languages and compilers", "Programming languages and compilers", 3 / 4),
        ("a b", "", 0.0),
        ("", "", 0.0),
        ("?!", "?!", 0.0),
    ],
)
def test_token_jaccard(one: str, other: str, value: float) -> None:
    assert token_jaccard(one, other) == pytest.approx(value)
    assert token_jaccard(other, one) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("  The  Cat,\nsat. ", "the cat sat"),
        ("well-posed", "well posed"),
        ("x − 3-2", "x - 3 - 2"),
        ("1,234.5 and 0.5.", "1,234.5 and 0.5"),
        ("2 + 2 = 4?", "2 + 2 = 4"),
        ("$\\frac{a}{b}$", "\\ frac a b"),
        ("∫ f ≤ ∞", "∫ f ≤ ∞"),
        ("", ""),
    ],
)
def test_text_keys_keep_order_and_operators(text: str, key: str) -> None:
    assert text_key(text) == key


def test_texts_that_differ_in_an_operator_differ() -> None:
    assert len({text_key(f"Solve x {sign} 1") for sign in "+-*/=<"}) == 6


@pytest.mark.parametrize(
    ("one", "other", "n", "value"),
    [
        ("a b c d", "a b c d", 2, 1.0),
        ("a b c d", "b c d e", 2, 2 / 4),
        ("A, b c!", "a b c", 3, 1.0),
        ("a b", "a b", 3, 0.0),
        ("a b", "a b", 0, 0.0),
        ("a b", "a b", -1, 0.0),
        ("a a a a", "a a", 2, 1.0),
        ("a b c", "c b a", 1, 1.0),
    ],
)
def test_ngram_jaccard(one: str, other: str, n: int, value: float) -> None:
    assert ngram_jaccard(one, other, n) == pytest.approx(value)


@given(st.text(), st.text(), st.integers(-1, 9))
def test_overlaps_are_symmetric_and_between_zero_and_one(one: str, other: str, n: int) -> None:
    assert 0 <= ngram_jaccard(one, other, n) == ngram_jaccard(other, one, n) <= 1
    assert 0 <= token_jaccard(one, other) == token_jaccard(other, one) <= 1


@given(st.text())
def test_a_key_is_its_own_key(text: str) -> None:
    assert topic_key(topic_key(text)) == topic_key(text)
    assert text_key(text).strip() == text_key(text)


@given(st.permutations(["graph", "theory", "random", "walks", "markov"]))
def test_any_order_of_words_is_one_topic(words: list[str]) -> None:
    assert topic_key(" and ".join(words)) == "graph markov random theory walks"


@pytest.mark.slow
@given(st.data())
def test_no_function_raises_on_any_text(data: st.DataObject) -> None:
    for function in WITHOUT_EXTRAS:
        kinds: dict[str, Any] = {"VARCHAR": st.text(), "BIGINT": st.integers(-(2**63), 2**63 - 1)}
        kinds["DOUBLE[]"] = st.lists(st.none() | st.floats())
        arguments = [data.draw(kinds[kind]) for kind in function.parameters]
        assert function.call(*arguments) == function.call(*arguments)


@pytest.mark.parametrize(
    "text",
    ["\\boxed{" * 3000, "$" * 9000, "(" * 9000, "\\text{" * 3000, "Answer:\n" * 3000, "1," * 900, "\\frac{" * 330],
)
def test_no_function_is_slow_on_hostile_text(text: str) -> None:
    for function in WITHOUT_EXTRAS:
        given = {"VARCHAR": text, "BIGINT": 8, "DOUBLE[]": [0.5]}
        function.call(*[given[kind] for kind in function.parameters])


def test_the_registry_names_each_function_once() -> None:
    assert len({function.name for function in FUNCTIONS}) == len(FUNCTIONS)
    assert all(function.call.__name__ == function.name for function in FUNCTIONS)
