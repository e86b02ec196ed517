"""A short fingerprint of a text's wording: two texts agree in as many places as their word sequences overlap."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zlib import crc32

from chimera_batch.functions.text_key import text_key

if TYPE_CHECKING:
    import numpy

_MOST = 1024  # places
_AT_ONCE = 1024  # sequences: a text of any length takes the same memory


def minhash(text: str, n: int, size: int) -> list[int]:
    """``size`` numbers; the share of places in which two texts agree estimates ``ngram_jaccard(one, other, n)``.

    A text of fewer than n words is one sequence; one without words has no fingerprint: an empty list. The same on every
    machine and in every version (Broder 1997, with one mixing function per place).
    """
    words = text_key(text).split()
    if not words or n < 1 or size < 1:
        return []
    grams = {" ".join(words[at : at + n]) for at in range(max(len(words) - n + 1, 1))}
    hashes = sorted(crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams)
    found: list[int] = _least(hashes, _seeds(min(size, _MOST))).tolist()
    return found


@cache
def _seeds(size: int) -> numpy.ndarray:
    import numpy  # noqa: PLC0415 - for who asks

    return _mixed(numpy.arange(1, size + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15))


def _least(hashes: list[int], seeds: numpy.ndarray) -> numpy.ndarray:
    import numpy  # noqa: PLC0415 - for who asks

    least = numpy.full(len(seeds), 2**64 - 1, dtype=numpy.uint64)
    for at in range(0, len(hashes), _AT_ONCE):
        some = numpy.array(hashes[at : at + _AT_ONCE], dtype=numpy.uint64)
        numpy.minimum(least, _mixed(some[:, None] ^ seeds).min(axis=0), out=least)
    return least >> numpy.uint64(1)  # a BIGINT has a sign


def _mixed(bits: numpy.ndarray) -> numpy.ndarray:
    """Stafford's finaliser, as in SplitMix64: every bit of the result hangs on every bit that goes in."""
    import numpy  # noqa: PLC0415 - for who asks

    bits = (bits ^ (bits >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    mixed: numpy.ndarray = bits ^ (bits >> numpy.uint64(31))
    return mixed
