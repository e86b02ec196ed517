"""Texts woven of constant pieces and what is filled in: the same as each put together by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.requests import weaving

VALUES = st.binary(max_size=5)


@st.composite
def woven(draw: st.DrawFn) -> tuple[list[bytes | int], list[list[bytes]], int]:
    """Pieces with up to three kinds of holes, each any number of times, and what fills them."""
    kinds, count = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    pieces: list[bytes | int] = draw(st.lists(VALUES | st.integers(0, kinds - 1) if kinds else VALUES, max_size=6))
    return pieces, [draw(st.lists(VALUES, min_size=count, max_size=count)) for _ in range(kinds)], count


@given(woven())
def test_a_block_is_its_texts_one_after_the_other(told: tuple[list[bytes | int], list[list[bytes]], int]) -> None:
    pieces, filled, count = told
    texts = [
        b"".join(filled[piece][place] if isinstance(piece, int) else piece for piece in pieces)
        for place in range(count)
    ]
    assert weaving.block(pieces, filled, count) == (b"".join(texts), list(map(len, texts)))
    assert list(map(b"".join, weaving.woven(pieces, filled, count))) == texts


def test_splitting_finds_what_is_filled_in_with_its_quotes_or_without() -> None:
    data = b'{"id":"hole0x000001","text":"hole0x000000"}'
    assert weaving.split(data, "hole0x", whole=True) == [b'{"id":', 1, b',"text":', 0, b"}"]
    assert weaving.split(data, "hole0x", whole=False) == [b'{"id":"', 1, b'","text":"', 0, b'"}']
