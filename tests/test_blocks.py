"""Blocks of lines: whatever is asked for comes out, in the order asked, and a whole block comes out as it went in."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.requests import wire
from chimera_batch.requests.blocks import Blocks, BlockWriter, compressed


def line(place: int) -> bytes:
    return b"%d %b\n" % (place, b"x" * (place % 7))


def written(folder: Path, blocks: list[list[int]]) -> Blocks:
    with BlockWriter(folder / "lines.blocks") as writer:
        for places in blocks:
            writer.add(places, [line(place) for place in places])
    return writer.blocks


def copied(folder: Path, blocks: Blocks, places: list[int]) -> list[bytes]:
    path = folder / "out.zst"
    with path.open("wb") as out:
        size = blocks.copy(places, out)
    assert size == sum(len(line(place)) for place in places)
    return [data + b"\n" for data in wire.read_lines(path)]


Told = tuple[list[list[int]], list[int]]

PLACES = st.lists(st.integers(0, 60), unique=True, min_size=1).map(sorted)


@st.composite
def cut_up(draw: st.DrawFn) -> Told:
    """Rising places in blocks, and some of them in any order."""
    places = draw(PLACES)
    cuts = sorted({0, len(places), *draw(st.lists(st.integers(0, len(places)), max_size=6))})
    blocks = [places[begin:end] for begin, end in pairwise(cuts)]
    some = draw(st.lists(st.sampled_from(places), unique=True))
    return blocks, sorted(some) if draw(st.booleans()) else some


@given(cut_up())
def test_any_lines_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, told: tuple[list[list[int]], list[int]]
) -> None:
    blocks, wanted = told
    folder = tmp_path_factory.mktemp("blocks")
    kept = written(folder, blocks)
    assert copied(folder, kept, wanted) == [line(place) for place in wanted]
    assert kept.sizes(wanted) == [len(line(place)) for place in wanted]
    every = [place for places in blocks for place in places]
    assert copied(folder, kept, every) == [line(place) for place in every]


@given(PLACES, st.integers(-1, 70))
def test_a_line_that_is_not_there(tmp_path_factory: pytest.TempPathFactory, places: list[int], other: int) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    kept = written(folder, [places[:3], places[3:]] if len(places) > 3 else [places])
    wanted = sorted({*places, other} - {-1})
    assert kept.sizes(wanted) == ([len(line(place)) for place in wanted] if set(wanted) <= set(places) else None)


def test_whole_blocks_are_not_compressed_again(tmp_path: Path) -> None:
    kept = written(tmp_path, [[0, 1, 2], [3, 4], [5, 6, 7]])
    with (tmp_path / "out.zst").open("wb") as out:
        kept.copy([0, 1, 2, 4, 5, 6, 7], out)
    frames = [compressed([line(place) for place in places]) for places in ([0, 1, 2], [4], [5, 6, 7])]
    assert (tmp_path / "out.zst").read_bytes() == b"".join(frames)


def test_a_block_is_whole_only_if_all_of_it_is_wanted_in_its_order(tmp_path: Path) -> None:
    """As many lines as the block has, beginning and ending like it, but another one among them."""
    kept = written(tmp_path, [[100, 101, 102], [5000]])
    for wanted in ([100, 5000, 102], [102, 101, 100], [100, 102, 101]):
        assert copied(tmp_path, kept, wanted) == [line(place) for place in wanted]


def test_nothing_at_all(tmp_path: Path) -> None:
    kept = written(tmp_path, [])
    assert kept.sizes([]) == []
    assert kept.sizes([0]) is None
    assert copied(tmp_path, kept, []) == []


def test_what_fails_while_writing_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), BlockWriter(tmp_path / "lines.blocks") as writer:
        writer.add([0], [line(0)])
        raise ZeroDivisionError
    with pytest.raises(TypeError), BlockWriter(tmp_path / "lines.blocks") as writer:
        writer.add([0], ["text"])  # type: ignore[list-item]  # what a mistake would give


def test_its_thread_does_other_work_in_turn(tmp_path: Path) -> None:
    """Tokens are counted there, behind the lines that were there first, and no longer than the writer is open."""
    with BlockWriter(tmp_path / "lines.blocks") as writer:
        path = tmp_path / "lines.blocks"
        sizes = []
        for place in range(4):
            writer.add([place], [os.urandom(100_000) + b"\n"])  # more than a file holds back
            sizes.append(writer.beside.submit(lambda: path.stat().st_size))
        told = [size.result() for size in sizes]
        assert told == sorted(set(told)) and told[0] > 0
    with pytest.raises(RuntimeError):
        writer.beside.submit(path.stat)


def test_what_fails_leaves_its_thread_nothing_to_do(tmp_path: Path) -> None:
    begun, held = Event(), Event()

    def hold() -> None:
        begun.set()
        held.wait(10)

    with pytest.raises(ZeroDivisionError), BlockWriter(tmp_path / "lines.blocks") as writer:
        writer.beside.submit(hold)
        assert begun.wait(10)
        later = [writer.beside.submit(int) for _ in range(3)]
        later[-1].add_done_callback(lambda _: held.set())  # not before all of them are cancelled
        raise ZeroDivisionError
    assert all(one.cancelled() for one in later)


def test_as_many_lines_as_a_block_has_are_not_yet_the_block(tmp_path: Path) -> None:
    """Blocks of rows that are new have gaps, where rows are that were known."""
    kept = written(tmp_path, [[0, 2], [5, 7, 9]])
    assert kept.sizes([0, 1]) is None
    assert kept.sizes([5, 6, 7]) is None
    with (tmp_path / "out.zst").open("wb") as out, pytest.raises(KeyError):
        kept.copy([0, 1], out)
    assert copied(tmp_path, kept, [0, 2, 5, 9]) == [line(place) for place in (0, 2, 5, 9)]


@given(cut_up(), st.lists(st.integers(0, 61), unique=True))
def test_only_lines_that_are_all_there_have_sizes(
    tmp_path_factory: pytest.TempPathFactory, told: Told, wanted: list[int]
) -> None:
    blocks, _ = told
    kept = written(tmp_path_factory.mktemp("blocks"), blocks)
    here = {place for places in blocks for place in places}
    for order in (wanted, sorted(wanted)):
        assert kept.sizes(order) == ([len(line(place)) for place in order] if here.issuperset(order) else None)
