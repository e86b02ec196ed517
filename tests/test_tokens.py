"""Token counts: pinned against known encodings, and honest about what they rest on."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost import tokens

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@pytest.mark.parametrize(
    ("model", "basis"),
    [
        ("gpt-4o-mini", "o200k, exact"),
        ("gpt-4.1", "o200k, exact"),
        ("gpt-5.6-luna", "o200k, exact"),
        ("gpt-6.1-sol", "o200k, exact"),
        ("o3", "o200k, exact"),
        ("o4-mini", "o200k, exact"),
        ("openai/gpt-oss-120b", "o200k, exact"),
        ("ft:gpt-4o-mini:acme::abc", "o200k, exact"),
        ("text-embedding-3-small", "cl100k, exact"),
        ("gpt-4", "cl100k, exact"),
        ("gpt-4-turbo", "cl100k, exact"),
        ("gpt-3.5-turbo", "cl100k, exact"),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", "qwen3, exact"),
        ("Qwen2.5-7B-Instruct", "qwen3, exact"),
        ("Qwen3.5-397B-A17B", "o200k × 1.6, approximate (error unknown)"),
        ("claude-haiku-5.5", "o200k × 1.6, approximate (−7 to +31 %, not verified)"),
        ("claude-sonnet-5-20260401", "o200k × 1.6, approximate (−7 to +31 %, not verified)"),
        ("claude-opus-5-4", "o200k × 1.6, approximate (−7 to +31 %, not verified)"),
        ("us.anthropic.claude-opus-5-v1:0", "o200k × 1.6, approximate (−7 to +31 %, not verified)"),
        ("claude-opus-4-7", "o200k × 1.6, approximate (−7 to +31 %)"),
        ("claude-opus-4.8", "o200k × 1.6, approximate (−7 to +31 %)"),
        ("claude-haiku-4-5-20251001", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("claude-sonnet-4.6", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("claude-opus-4", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("claude-sonnet-4-20250514", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("claude-3-5-haiku-latest", "o200k × 1.3, approximate (−17 to +23 %)"),
        ("GLM-5.3", "o200k × 1.6, approximate (error unknown)"),
        ("gpt-7-imaginary", "o200k × 1.6, approximate (error unknown)"),
        ("", "o200k × 1.6, approximate (error unknown)"),
    ],
)
def test_basis_by_model(model: str, basis: str) -> None:
    counter = tokens.counter(model)
    assert counter.basis == basis
    assert counter.exact == basis.endswith("exact")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vocabulary", "text", "ids"),
    [
        ("o200k_base", "hello world", [24912, 2375]),
        ("cl100k_base", "hello world", [15339, 1917]),
        ("qwen3", "hello world", [14990, 1879]),
    ],
)
def test_vocabularies_are_the_published_ones(vocabulary: str, text: str, ids: list[int]) -> None:
    import quicktok

    assert quicktok.get_encoding(vocabulary).encode_ordinary(text) == ids
    assert tokens.Counter(vocabulary, "").count(text) == len(ids)


@pytest.mark.parametrize(
    ("model", "text", "count"),
    [
        ("gpt-6.1-sol", "", 0),
        ("gpt-6.1-sol", "hello world", 2),
        ("gpt-6.1-sol", "<|endoftext|>", 7),  # a literal is text, not one special token
        ("claude-opus-5.5", "", 0),
        ("claude-opus-5.5", "hello world", 4),  # 2 × 1.6 = 3.2, up
        ("claude-opus-5.5", "hello world" * 5, 16),  # no float dust: 10 × 1.6 is 16, not 17
    ],
)
def test_counts(model: str, text: str, count: int) -> None:
    assert tokens.counter(model).count(text) == count


@given(TEXTS)
def test_count_is_the_number_of_ids(text: str) -> None:
    import quicktok  # which counts no o200k here: two programs agree

    ids = quicktok.get_encoding("o200k_base").encode_ordinary(text)
    assert tokens.counter("gpt-6-luna").count(text) == len(ids)
    assert tokens.counter("claude-haiku-5.5").count(text) == ceil(len(ids) * 16 / 10)
    assert quicktok.get_encoding("o200k_base").decode(ids) == text


@given(TEXTS, st.sampled_from(["gpt-6-luna", "text-embedding-3-large", "Qwen3-8B", "claude-haiku-5.5", "other"]))
def test_bound_holds(text: str, model: str) -> None:
    counter = tokens.counter(model)
    size = len(text.encode())
    if counter.exact:
        assert counter.bound(text) == counter.count(text) <= size
    else:
        assert counter.bound(text) == max(size, len(unicodedata.normalize("NFKC", text).encode()))


def test_the_bound_holds_for_a_vocabulary_that_normalizes_first() -> None:
    assert tokens.counter("claude-haiku-5.5").bound("\ufdfa") == 33
    assert tokens.counter("claude-haiku-5.5").bound("e\u0301") == 3
    assert tokens.counter("claude-haiku-5.5").bound("plain") == 5


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-8", "claude-haiku-5-5"])
def test_the_error_that_is_shown_is_the_one_that_was_found(model: str) -> None:
    counter = tokens.counter(model)
    assert counter.error is not None
    assert counter.factor is not None
    low, high = counter.error
    assert 0 < low < 1 < high, "the factor lies inside of what was measured"
    shown = [int(n.replace("−", "-")) for n in re.findall(r"[−+]\d+", counter.basis)]
    assert shown == [round((low - 1) * 100), round((high - 1) * 100)]


def test_exact_and_unknown_counters_state_no_error() -> None:
    assert tokens.counter("gpt-6-luna").error is None
    assert tokens.counter("kimi-k3").error is None


@pytest.mark.parametrize("model", ["gpt-6-luna", "claude-haiku-5.5"])
def test_lone_surrogates_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        tokens.counter(model).count("a\ud800b")
    with pytest.raises(ValueError, match="surrogate"):
        tokens.counter(model).bound("a\ud800b")


def test_overhead_grows_with_messages() -> None:
    assert [tokens.overhead(n) for n in (0, 1, 2)] == [3, 7, 11]


def test_counters_are_shared() -> None:
    assert tokens.counter("gpt-6-luna") is tokens.counter("gpt-6-luna")


def test_importing_does_not_load_a_vocabulary() -> None:
    code = (
        "import sys, chimera_batch.cost.tokens as t; t.counter('gpt-6-luna');"
        "sys.exit(any(m in sys.modules for m in ('toktok', 'quicktok', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.lists(TEXTS, min_size=2, max_size=6))
def test_one_text_counts_as_it_does_among_others(texts: list[str]) -> None:
    for model in ("gpt-6-luna", "text-embedding-3-small", "qwen3-8b"):
        counter = tokens.counter(model)
        assert counter.counts(texts) == [counter.count(text) for text in texts]
