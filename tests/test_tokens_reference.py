"""Our counts against OpenAI's own tokenizer, text by text, and the benchmark that times both.

The comparisons need the ``slow`` extra (tiktoken, and bpe-openai for its vocabularies) and are CI's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import tokens as bench
from chimera_batch.cost import tokens

MODELS = {"o200k_base": "gpt-6-luna", "cl100k_base": "text-embedding-3-small"}


@cache
def reference(vocabulary: str) -> bench.Count:
    found = bench.reference(vocabulary)
    return found or pytest.skip("pip install -e '.[slow]': tiktoken and bpe-openai")


# two of the letters that Unicode 17 added: toktok and quicktok know them, tiktoken's tables are Unicode 16's
NEW = ["\U000323b0:A", "\u088f's"]


def same(text: str) -> None:
    for vocabulary, model in MODELS.items():
        assert tokens.counter(model).count(text) == reference(vocabulary)([text])[0], (vocabulary, text)


@pytest.mark.slow
def test_every_text_of_the_corpus() -> None:
    kinds = bench.corpus(21)
    assert bench.differences(kinds, tokens.counter("gpt-6-luna").counts, reference("o200k_base")) == 0
    some = {kind: texts[::7] for kind, texts in kinds.items()}
    assert bench.differences(some, tokens.counter("text-embedding-3-small").counts, reference("cl100k_base")) == 0


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=120))  # Cn: unassigned, or newly assigned
def test_any_unicode(text: str) -> None:
    same(text)


# what the splitting rules look at: letters of every case, marks, digits, blanks, line ends, apostrophes, slashes
PIECES = ["a", "Z", "É", "ǅ", "ʰ", "中", "\u0301", "\u200d", "1", "٣", "½", " ", "\t", "\u00a0", "\u3000", "\n", "\r"]
PIECES += [
    "\r\n",
    "'s",
    "'LL",
    "’t",
    "/",
    "//",
    "!",
    "<|endoftext|>",
    "\x00",
    "\x85",
    "🏳️‍🌈",
    "\U000e0041",
    "\U0010ffff",
]


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_mixture_of_what_the_splitting_rules_look_at(text: str) -> None:
    same(text)


@pytest.mark.slow
@pytest.mark.parametrize("text", NEW)
def test_letters_that_only_one_of_the_two_knows_are_a_token_apart(text: str) -> None:
    """OpenAI does not say which Unicode it splits by."""
    assert abs(tokens.counter("gpt-6-luna").count(text) - reference("o200k_base")([text])[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a" * 30_000, " " * 30_000, "\n" * 9_999, "ab" * 9_999, "中" * 5_000, "=" * 9_999])
def test_long_runs(text: str) -> None:
    same(text)


# --- the corpus ---


def test_the_corpus_is_the_same_each_time_and_has_every_kind() -> None:
    kinds = bench.corpus(0.3)
    assert kinds == bench.corpus(0.3)
    assert list(kinds) == ["code", "LaTeX", "Chinese", "emoji", "control characters", "JSON"]
    for texts in kinds.values():
        sizes = [len(text.encode()) for text in texts]
        assert sum(sizes) >= 50_000
        assert min(sizes) >= bench.SIZE
        assert len(set(texts)) == len(texts), "a cache of texts would be timed instead"


@pytest.mark.parametrize(
    ("kind", "marks"),
    [
        ("code", ["def ", "return", "    "]),
        ("LaTeX", [r"\frac{", r"\mathbb{R}", r"\begin{align}"]),
        ("Chinese", ["我们", "，"]),
        ("emoji", ["👩‍🔬", "🏳️‍🌈", "👍🏽"]),
        ("control characters", ["\x00", "\x1b", "\x85", "\u202e", "\ufeff"]),
        ("JSON", ['"custom_id"', "\\n", "\\u"]),
    ],
)
def test_each_kind_holds_what_its_name_says(kind: str, marks: list[str]) -> None:
    texts = "".join(bench.corpus(0.6)[kind])
    assert [mark for mark in marks if mark not in texts] == []


def test_no_text_is_half_a_character() -> None:
    for texts in bench.corpus(0.3).values():
        for text in texts:
            text.encode()


# --- the benchmark ---


def run(monkeypatch: pytest.MonkeyPatch, theirs: bench.Count | None, *, least: float) -> int:
    monkeypatch.setattr("sys.argv", ["bench.tokens", "--megabytes", "0.2", "--rounds", "1"])
    monkeypatch.setattr(bench, "reference", lambda: theirs)
    monkeypatch.setattr(bench, "LEAST", least)
    return bench.main()


@pytest.mark.parametrize(("least", "code"), [(0.0, 0), (1e9, 1)])
def test_it_fails_below_the_speed_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], least: float, code: int
) -> None:
    assert run(monkeypatch, None, least=least) == code
    out = capsys.readouterr().out
    assert "not compared" in out
    assert "| all of it | 0.2 |" in out


def test_it_compares_every_text_and_prints_the_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tokens.counter("gpt-5").counts, least=0.0) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in lines[1:]] == [*bench.KINDS, "all of it"]
    assert all(line.count("|") == 8 and " / " in line for line in lines[1:])


def test_one_wrong_count_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bad = bench.corpus(0.2)["emoji"][-1]
    counts = tokens.counter("gpt-6-luna").counts

    def off_by_one(texts: Sequence[str]) -> list[int]:
        return [count + (text == bad) for text, count in zip(texts, counts(texts), strict=True)]

    assert run(monkeypatch, off_by_one, least=0.0) == 1
    assert ", 1 differ" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [bench.core_seconds, bench.clock_seconds])
def test_every_text_is_counted_once(seconds: Callable[[bench.Count, list[str]], float]) -> None:
    seen: list[str] = []

    def count(texts: Sequence[str]) -> list[int]:
        assert len(texts) <= bench.BATCH
        seen.extend(texts)
        return [0] * len(texts)

    texts = [str(n) for n in range(2 * bench.BATCH + 101)]
    assert seconds(count, texts) >= 0
    assert sorted(seen, key=int) == texts


def test_the_best_of_several_rounds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    core, clock = iter([4.0, 2.0, 8.0]), iter([1.0, 4.0, 0.5])
    monkeypatch.setattr(bench, "core_seconds", lambda *_: next(core))
    monkeypatch.setattr(bench, "clock_seconds", lambda *_: next(clock))
    assert bench.speeds(lambda texts: [0] * len(texts), ["x" * 1_000_000] * 4, 3) == (2.0, 8.0)
