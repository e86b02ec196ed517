"""Fingerprints of wording, and what is particular about a problem."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.functions.minhash import minhash
from chimera_batch.functions.ngram_jaccard import ngram_jaccard
from chimera_batch.functions.particulars import particulars
from chimera_batch.functions.text_key import text_key

PINNED = [1082633410035868880, 2503569491949822375, 7606725047230195770]
texts = st.text(max_size=200)
numbers = st.lists(st.integers(0, 59), min_size=3, max_size=60)


def agree(one: str, other: str, size: int) -> float:
    pairs = zip(minhash(one, 3, size), minhash(other, 3, size), strict=True)
    return sum(a == b for a, b in pairs) / size


@given(numbers, st.integers(0, 60), st.integers(0, 60))
def test_the_share_of_equal_places_estimates_the_overlap(words: list[int], cut: int, put: int) -> None:
    size = 512
    one = " ".join(f"w{n}" for n in words)
    other = " ".join(f"w{n}" for n in [*words[: min(cut, len(words))], put, *words[min(cut, len(words)) + 1 :]])
    overlap = ngram_jaccard(one, other, 3)
    error = math.sqrt(overlap * (1 - overlap) / size)
    assert abs(agree(one, other, size) - overlap) <= 5 * error + 1e-9


@given(texts, st.integers(-2, 5), st.integers(-2, 40))
def test_no_text_raises_and_equal_wording_has_one_fingerprint(text: str, n: int, size: int) -> None:
    found = minhash(text, n, size)
    assert len(found) == (max(size, 0) if text_key(text) and n > 0 else 0)
    assert found == minhash(text_key(text), n, size) == minhash(f" {text} ", n, size)
    assert all(0 <= number < 2**63 for number in found)


def test_a_fingerprint_is_the_same_everywhere() -> None:
    """Tables must not change with a machine or a version."""
    assert minhash("Find the order of the group.", 3, 3) == PINNED


def test_longer_fingerprints_begin_like_shorter_ones_and_have_a_bound() -> None:
    assert minhash("a b c d e", 2, 64)[:16] == minhash("a b c d e", 2, 16)
    assert len(minhash("a b c", 2, 10**9)) == 1024


def test_a_text_of_any_length_takes_the_same_memory() -> None:
    long = " ".join(map(str, range(5000)))
    halves = [minhash(" ".join(map(str, range(*part))), 1, 32) for part in ((0, 2500), (2500, 5000))]
    assert minhash(long, 1, 32) == [min(pair) for pair in zip(*halves, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected", "names"),
    [
        ("It costs 1,000 or 0.50 and 007.", ["1000", "0.5", "7"], []),
        ("From (0, 0) to (13, 4).", ["0", "0", "13", "4"], []),
        ("Take $10{,}000$ of 3.00 and 2.", ["10000", "3", "2"], []),
        ('The word “Mother” and the word "brother".', [], ["brother", "mother"]),
        ("Given H2O and the poems of Moby Dick. Take it.", ["2"], ["dick", "h2o", "moby"]),
        ("By Cayley and by Cayley", [], ["cayley"]),
        ("Let G act. Find X in $\\Gamma$.", [], []),
        ("", [], []),
    ],
)
def test_particulars(text: str, expected: list[str], names: list[str]) -> None:
    assert particulars(text) == {"numbers": expected, "names": names}


@given(texts)
def test_particulars_of_any_text(text: str) -> None:
    found = particulars(text)
    assert all(number[0].isdecimal() for number in found["numbers"]) and found["names"] == sorted(set(found["names"]))
