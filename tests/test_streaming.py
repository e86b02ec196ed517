"""Python values as Parquet: exact for any text and number, in step between two threads, and nothing left behind."""

from __future__ import annotations

import gc
import math
import struct
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import InputError
from chimera_batch.warehouse import QUICK, Warehouse, arrow
from chimera_batch.warehouse.belt import Belt, BrokenBeltError
from chimera_batch.warehouse.connection import Inline

COLUMNS = {
    "word": ("few", "VARCHAR"),
    "said": ("text", "VARCHAR"),
    "count": ("integer", "BIGINT"),
    "fine": ("integer", "BOOLEAN"),
    "usd": ("decimal:15", "DECIMAL(24,12)"),
    "vector": ("floats", "FLOAT[]"),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VECTORS = st.one_of(st.none(), st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5))
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), TEXTS),
        st.one_of(st.none(), TEXTS),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.booleans(),
        st.integers(0, 10**18),
        VECTORS,
    ),
    max_size=12,
)
Values = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with Warehouse(tmp_path_factory.mktemp("spill"), threads=1) as one:
        yield one


def write(warehouse: Warehouse, path: Path, batches: Iterator[Values]) -> int:
    return warehouse.stream(COLUMNS, map(columns, batches), QUICK.target(path, {"who": "a test"}))


def columns(rows: Values) -> list[Any]:
    return list(zip(*rows, strict=True))


def read(warehouse: Warehouse, path: Path) -> Values:
    warehouse.view("written", [path])
    return list(warehouse.rows(Inline("SELECT * FROM written"), {}))


def rounded(units: int) -> Decimal:
    """10**-15 dollars in 12 places, half up."""
    return Decimal((units + 500) // 1000).scaleb(-12)


@given(batches=st.lists(ROWS, max_size=5))
def test_what_is_streamed_is_what_is_read(
    warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory, batches: list[Values]
) -> None:
    path = tmp_path_factory.mktemp("out") / "rows.parquet"
    wanted = [(*row[:4], rounded(row[4]), row[5]) for rows in batches for row in rows]
    assert write(warehouse, path, iter(batches)) == len(wanted)
    assert read(warehouse, path) == wanted
    assert arrow._alive == {}


def test_numbers_beyond_a_float_are_infinite(warehouse: Warehouse, tmp_path: Path) -> None:
    vector = [1e300, -1e300, 0.1]
    write(warehouse, tmp_path / "x.parquet", iter([[("a", "b", 1, True, 0, vector)]]))
    ((*_, found),) = read(warehouse, tmp_path / "x.parquet")
    assert found == [math.inf, -math.inf, struct.unpack("f", struct.pack("f", 0.1))[0]]


def test_many_batches_stay_in_order(warehouse: Warehouse, tmp_path: Path) -> None:
    """More than lies on the belt at once, so that making and writing wait for each other."""
    text = "x" * 60_000
    batches = (
        [(str(n % 7), text, place, True, n, None) for n in range(place, place + 40)] for place in range(0, 800, 40)
    )
    assert write(warehouse, tmp_path / "x.parquet", batches) == 800
    assert [row[4] for row in read(warehouse, tmp_path / "x.parquet")] == [rounded(n) for n in range(800)]


@pytest.mark.parametrize(
    "row",
    [
        ("a", "\ud800", 1, True, 0, None),
        ("\ud800", "a", 1, True, 0, None),
        ("a", "b", 2**63, True, 0, None),
        ("a", "b", 1, True, 2**63, None),
        ("a", 7, 1, True, 0, None),
        ("a", "b", "c", True, 0, None),
    ],
    ids=["lone surrogate", "lone surrogate of few", "too large", "too dear", "no text", "no number"],
)
def test_a_value_that_has_no_place_is_refused(warehouse: Warehouse, tmp_path: Path, row: tuple[Any, ...]) -> None:
    good = ("a", "b", 1, True, 0, None)
    with pytest.raises(InputError, match="cannot be stored"):
        write(warehouse, tmp_path / "x.parquet", iter([[good], [row], [good]]))
    assert arrow._alive == {}


def test_what_the_maker_raises_comes_out(warehouse: Warehouse, tmp_path: Path) -> None:
    def batches() -> Iterator[Values]:
        yield [("a", "b", 1, True, 0, None)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(warehouse, tmp_path / "x.parquet", batches())
    assert arrow._alive == {}
    assert write(warehouse, tmp_path / "x.parquet", iter([[("a", "b", 1, True, 0, None)]])) == 1


def test_a_file_that_cannot_be_written_stops_the_maker(warehouse: Warehouse, tmp_path: Path) -> None:
    made = []

    def batches() -> Iterator[Values]:
        for n in range(10_000):
            made.append(n)
            yield [("a", "x" * 1_000_000, n, True, 0, None)]

    with pytest.raises(InputError, match="cannot be stored"):
        write(warehouse, tmp_path / "no such folder" / "x.parquet", batches())
    assert len(made) < 10_000


def test_the_process_is_left_as_it_was(warehouse: Warehouse, tmp_path: Path) -> None:
    turn = sys.getswitchinterval()
    seen = []

    def batches() -> Iterator[Values]:
        seen.append((sys.getswitchinterval() < turn, gc.isenabled()))
        yield [("a", "b", 1, True, 0, None)]

    write(warehouse, tmp_path / "x.parquet", batches())
    assert seen == [(True, False)]
    assert (sys.getswitchinterval(), gc.isenabled()) == (turn, True)


def test_no_arrow_library_is_needed(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # importing it raises
    rows: Values = [("a", "b", 1, True, 0, [0.5])]
    assert write(warehouse, tmp_path / "x.parquet", iter([rows])) == 1


# -- the belt


def test_a_belt_bounds_what_lies_on_it() -> None:
    belt, most = Belt[int](100), [0]

    def make() -> None:
        for n in range(50):
            belt.put(n, 30)
            most.append(belt._held)
        belt.end()

    maker = threading.Thread(target=make)
    maker.start()
    assert list(belt.take()) == list(range(50))
    maker.join()
    assert max(most) <= 100


def test_one_thing_always_fits() -> None:
    belt = Belt[str](10)
    assert belt.put("larger than the belt", 1000)
    belt.end()
    assert list(belt.take()) == ["larger than the belt"]


def test_a_broken_belt_says_so_at_once() -> None:
    belt = Belt[int](10)
    belt.put(1, 1)
    belt.end(broken=True)
    with pytest.raises(BrokenBeltError):
        list(belt.take())


def test_nobody_waits_for_a_taker_who_left() -> None:
    belt = Belt[int](10)
    belt.put(1, 10)
    threading.Timer(0.05, belt.leave).start()
    assert belt.put(2, 10) is False


def test_two_streams_at_once_leave_the_process_as_it_was(tmp_path: Path) -> None:
    """The one that ends first must not undo what the other needs, nor the last one keep it."""
    turn, first_is_over, seen = sys.getswitchinterval(), threading.Event(), []

    def stream(name: str, batches: Iterator[Values]) -> None:
        with Warehouse(tmp_path / name, threads=1) as one:
            write(one, tmp_path / f"{name}.parquet", batches)

    def long() -> Iterator[Values]:
        yield [("a", "b", 1, True, 0, None)]
        assert first_is_over.wait(30)
        seen.append((sys.getswitchinterval() < turn, gc.isenabled()))

    other = threading.Thread(target=stream, args=("long", long()))
    other.start()
    stream("short", iter([[("a", "b", 1, True, 0, None)]]))
    first_is_over.set()
    other.join()
    assert seen == [(True, False)]
    assert (sys.getswitchinterval(), gc.isenabled()) == (turn, True)
