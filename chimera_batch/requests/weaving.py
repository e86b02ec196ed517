"""Many texts that differ only in what is filled in between the same pieces. Pure.

Pieces are constant bytes and, in between, numbers of what is filled in there; ``filled`` is what that is, for each of
the numbers one value a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

Pieces = Sequence[bytes | int]
Filled = Sequence[Sequence[bytes]]


def split(data: bytes, mark: str, *, whole: bool) -> list[bytes | int]:
    """The pieces of a text in which ``mark`` and six digits stand for what is filled in; if ``whole``, in quotes."""
    quote = b'"' if whole else b""
    pieces = re.split(quote + mark.encode() + rb"(\d{6})" + quote, data)
    return [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)]


def woven(pieces: Pieces, filled: Filled, count: int) -> Iterator[tuple[bytes, ...]]:
    """The pieces of each of ``count`` texts."""
    if not pieces:
        return iter([()] * count)
    columns = [filled[piece] if isinstance(piece, int) else repeat(piece, count) for piece in pieces]
    return zip(*columns, strict=True)


def block(pieces: Pieces, filled: Filled, count: int) -> tuple[bytes, list[int]]:
    """All texts in one, and their sizes: a tenth of the time that it takes to make each of them and join those."""
    fixed = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    varying = [map(len, filled[piece]) for piece in pieces if isinstance(piece, int)]
    sizes = list(map(sum, zip(repeat(fixed, count), *varying, strict=True)))
    return b"".join(chain.from_iterable(woven(pieces, filled, count))), sizes
