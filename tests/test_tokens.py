"""Token counts: pinned against known encodings, and honest about what they rest on."""

from __future__ import annotations

import subprocess
import sys
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import tokens

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
        ("Qwen3.5-397B-A17B", "o200k × 1.6, approximate"),
        ("claude-haiku-5.5", "o200k × 1.6, approximate"),
        ("us.anthropic.claude-opus-5-v1:0", "o200k × 1.6, approximate"),
        ("GLM-5.3", "o200k × 1.6, approximate"),
        ("gpt-7-imaginary", "o200k × 1.6, approximate"),
        ("", "o200k × 1.6, approximate"),
    ],
)
def test_basis_by_model(model: str, basis: str) -> None:
    counter = tokens.counter(model)
    assert counter.basis == basis
    assert counter.exact == basis.endswith("exact")


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
    import quicktok

    ids = quicktok.get_encoding("o200k_base").encode_ordinary(text)
    assert tokens.counter("gpt-6-luna").count(text) == len(ids)
    assert tokens.counter("claude-haiku-5.5").count(text) == ceil(len(ids) * 16 / 10)
    assert quicktok.get_encoding("o200k_base").decode(ids) == text


@given(TEXTS, st.sampled_from(["gpt-6-luna", "text-embedding-3-large", "Qwen3-8B", "claude-haiku-5.5", "other"]))
def test_bound_holds(text: str, model: str) -> None:
    counter = tokens.counter(model)
    if counter.exact:
        assert counter.bound(text) == counter.count(text)
    else:
        assert counter.bound(text) == len(text.encode())
    assert counter.bound(text) <= len(text.encode())


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
        "import sys, chimera_batch.tokens as t; t.counter('gpt-6-luna');"
        "sys.exit(any(m in sys.modules for m in ('quicktok', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
