"""Rendered lines on this machine's disk until they are packed, compressed in blocks of about a megabyte.

A block that a shard takes as a whole goes into it as it is: nothing is compressed twice. Compressing is done beside the
rendering, by another thread. Floor 2.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

LEVEL = 1  # of zstd: level 3 takes a third more time for a tenth less bytes
_AHEAD = 2  # blocks being compressed, at most


@dataclass(frozen=True, slots=True)
class Block:
    """Where some lines are: their places, their sizes in bytes (4 bytes each), and a zstd frame of all of them."""

    first: int  # place of the first line
    last: int
    count: int
    at: int
    size: int  # of the frame


class BlockWriter:
    """Writes lines by rising places; a context manager. ``blocks`` is what it wrote, once it is closed.

    ``beside`` is the one thread that compresses. It may be given what else leaves Python alone: on two cores, two
    threads beside the one that renders are in each other's way, and a tenth slower.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self.beside = ThreadPoolExecutor(1)
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)  # of that one thread
        self._begun: deque[Future[None]] = deque()
        self._blocks: list[Block] = []
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            while self._begun and kind is None:
                self._begun.popleft().result()
        finally:
            self.beside.shutdown(cancel_futures=True)
            self._file.close()

    def add(self, places: Sequence[int], lines: Sequence[bytes]) -> None:
        """One block: lines that end with a newline, and their places, which rise from block to block."""
        self.add_joined(places, b"".join(lines), list(map(len, lines)))

    def add_joined(self, places: Sequence[int], block: bytes, sizes: Sequence[int]) -> None:
        """The same for lines that are one already. ``sizes``: of each of them."""
        index = array("I", places).tobytes() + array("I", sizes).tobytes()
        self._begun.append(self.beside.submit(self._write, places[0], places[-1], index, block))
        while len(self._begun) > _AHEAD:
            self._begun.popleft().result()

    @property
    def blocks(self) -> Blocks:
        return Blocks(self._path, self._blocks)

    def _write(self, first: int, last: int, index: bytes, block: bytes) -> None:
        """In the one thread of the pool, so in the order of the calls. It asks for Python as seldom as can be."""
        frame = self._compressor.compress(block)
        self._file.write(index + frame)
        self._blocks.append(Block(first, last, len(index) // 8, self._at, len(frame)))
        self._at += len(index) + len(frame)


class Blocks:
    """The lines of a BlockWriter by their places."""

    def __init__(self, path: Path, blocks: Sequence[Block]) -> None:
        self._path = path
        self._blocks = blocks
        self._firsts = [block.first for block in blocks]

    def moved(self, folder: Path) -> Blocks:
        """The same with the file in another folder of the same disk."""
        return Blocks(self._path.rename(folder / self._path.name), self._blocks)

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def sizes(self, places: Sequence[int]) -> list[int] | None:
        """Bytes of lines, their newlines included; None if one of them is not here. Quick for rising places."""
        found: list[int] = []
        try:
            for block, wanted in self._runs(places):
                own, sizes = self._index(block)
                whole = own.tolist() == list(wanted)
                found += sizes if whole else map(dict(zip(own, sizes, strict=True)).__getitem__, wanted)
        except KeyError:
            return None
        return found

    def copy(self, places: Sequence[int], out: BinaryIO) -> int:
        """Append lines to a ``.zst`` file in the order of ``places``, all of which must be here; returns their bytes.

        The places may come in any order, but only rising ones are quick.
        """
        total = 0
        for block, wanted in self._runs(places):
            own, sizes = self._index(block)
            if own.tolist() == list(wanted):
                out.write(self._read(block.at + block.count * 8, block.size))
                total += sum(sizes)
            else:
                lines = dict(zip(own, self._lines(block, sizes), strict=True))
                picked = [lines[place] for place in wanted]
                out.write(compressed(picked))
                total += sum(map(len, picked))
        return total

    def _index(self, block: Block) -> tuple[array[int], array[int]]:
        """Places and sizes of a block's lines."""
        data = array("I", self._read(block.at, block.count * 8))
        return data[: block.count], data[block.count :]

    def _lines(self, block: Block, sizes: Sequence[int]) -> list[bytes]:
        data = zstandard.ZstdDecompressor().decompress(self._read(block.at + block.count * 8, block.size))
        ends = list(accumulate(sizes))
        return [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def _runs(self, places: Sequence[int]) -> Iterator[tuple[Block, Sequence[int]]]:
        """Stretches of rising places between the first and the last of one block, which may have gaps."""
        at = 0
        while at < len(places):
            block = self._block(places[at])
            if block is None:
                raise KeyError(places[at])
            run = places[at : at + block.last - places[at] + 1]
            if run[-1] - run[0] != len(run) - 1 or list(run) != list(range(run[0], run[-1] + 1)):
                run = list(_rising(run, block.last))
            yield block, run
            at += len(run)

    def _block(self, place: int) -> Block | None:
        number = bisect_right(self._firsts, place) - 1
        return self._blocks[number] if number >= 0 and place <= self._blocks[number].last else None

    def _read(self, at: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(size)


def _rising(places: Sequence[int], last: int) -> Iterator[int]:
    """Places from the first on, as long as they rise and are not behind ``last``."""
    before = -1
    for place in places:
        if not before < place <= last:
            return
        yield place
        before = place


def compressed(lines: Sequence[bytes]) -> bytes:
    """Lines as one zstd frame."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(lines))
