"""Putting a Parquet file in order with little memory.

DuckDB 2.0's own ORDER BY runs out of memory over text larger than the limit, whatever it spills. So a big file is cut
into slices of the wanted order, each small enough to sort, and they are joined again. Which way is taken depends on the
rows alone, so the same rows give the same bytes on every machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from chimera_batch.warehouse.connection import Connection
from chimera_batch.warehouse.memory import alone, within
from chimera_batch.warehouse.scan import literal, quote

SLICE = 128_000_000
"""Bytes of text that are sorted at once, at most. Half of it takes a third less time, but every slice costs one reading
of the file: up to ``_FEW`` slices are that small."""

_FEW = 12
_SORTING = "256MB"  # sorting takes what it is given, so it is given little first
_CHUNK = 2048  # rows that DuckDB handles at once
_GROUP = 4_000_000  # bytes of text in a row group of rows that were put in order, on average
_WIDEST = 16_000_000  # and at most; one with more is cut


def _groups(rows: int, size: int = 8_000_000) -> str:
    """Small row groups, for a reader holds whole groups in memory, per thread: with groups of 64 MB joins of rows of
    60 kB fail or crawl under a limit of 512 MB; with 8 MB they run in half of it."""
    return f"ROW_GROUP_SIZE {rows}, ROW_GROUP_SIZE_BYTES {size}"


_ZSTD = "FORMAT parquet, COMPRESSION zstd"
_SNAPPY = "FORMAT parquet, COMPRESSION snappy"


@dataclass(frozen=True, slots=True)
class Form:
    """How a Parquet file is written.

    ``groups``: how its row groups are cut. ``little``: with so little memory at first, and with all of it only if need
    be.

    COPY fills whatever memory it is given with rows that wait to be written, so what only streams gets little.
    ``alone``: by one thread. Two of them with so little memory wait for each other and spill: twice or three times the
    CPU of one, and no sooner done.
    ``steady``: the query reads nothing but files whose bytes are fixed. What it makes in the wanted order is then left
    as it is, although its row groups are cut where the query's chunks end, and not by the rows alone.
    """

    options: str
    groups: str = _groups(10 * _CHUNK)
    little: tuple[str, ...] = ()
    synced: bool = True
    steady: bool = False
    alone: bool = False

    def target(self, path: Path, metadata: Mapping[str, str], groups: str = "") -> str:
        """What stands behind COPY's query. ``metadata`` becomes the file's key-value metadata; ``groups``: in place of
        the form's own."""
        pairs = ", ".join(f"{quote(key)}: {literal(value)}" for key, value in metadata.items())
        options = f"{self.options}, {groups or self.groups}"
        return f"TO {literal(str(path))} ({options}{f', KV_METADATA {{{pairs}}}' if pairs else ''})"


KEPT = Form(_ZSTD)
STEADY = Form(_ZSTD, steady=True)
QUICK = Form(f"{_ZSTD}, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 100", little=("96MB",))
"""For large objects that one step writes and a few read: two fifths less work for a tenth more bytes. No dictionary is
begun for texts of which hardly two are alike, nor a filter made of it."""
SCRATCH = Form(_SNAPPY, _groups(5 * _CHUNK), little=("96MB",), synced=False, alone=True)
"""For files that are read a few times and thrown away."""
NARROW = Form(_SNAPPY, _groups(5 * _CHUNK), little=("64MB", "80MB", "96MB"), synced=False)
"""The same for ids and numbers of many requests, with nothing of their texts: a million are grouped and joined in the
first, ten million in one of the others, spilling."""
ROWS = Form(_SNAPPY, _groups(5 * _CHUNK), little=("224MB",), synced=False, alone=True)
"""The same for what a person's query makes: sorting a hundred thousand rows of 1.5 kB takes as much."""

Into = Callable[[str], str]
"""How row groups are cut ("": as usual) → COPY's target."""


def is_ordered(connection: Connection, path: Path, order: str) -> bool:
    """Whether a Parquet file too large to sort at once is in the order of the SQL ``order``, a single column."""
    size = f"SELECT sum(total_uncompressed_size) FROM parquet_metadata({literal(str(path))})"  # noqa: S608 - ours
    if _first(connection, size)[0] <= SLICE:
        return False
    beside = f"SELECT {order} >= lag({order}) OVER () AS rises FROM read_parquet({literal(str(path))})"  # noqa: S608 - ours
    return not _first(connection, f"SELECT count(*) FROM ({beside} OFFSET 1) WHERE rises IS NOT true")[0]  # noqa: S608 - ours


def write_in_order(connection: Connection, raw: Path, order: str, into: Into, usual: str) -> int:
    """Copy the file ``raw`` in the order of the SQL ``order`` ``into`` a target; returns the rows.

    Slices lie beside ``raw`` while it lasts. ``connection`` must be free for temporary tables; ``usual``: its limit.
    """
    source = f"read_parquet({literal(str(raw))}, file_row_number = true)"
    size, rows = _first(connection, f"SELECT sum(strlen(COLUMNS(*)::VARCHAR)), count(*) FROM {source}")  # noqa: S608 - ours
    if size <= SLICE or rows < 2:
        ordered = f"SELECT * EXCLUDE (file_row_number) FROM {source} ORDER BY {order}, file_row_number"  # noqa: S608 - ours
        return _first(connection, f"COPY ({ordered}) {into('')}")[0]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __places AS SELECT file_row_number AS __row,"  # noqa: S608 - ours
        f" row_number() OVER (ORDER BY {order}, file_row_number) - 1 AS __place FROM {source}"
    )
    step, group = steps(size, rows)
    folder = raw.with_name(raw.name + ".slices")
    folder.mkdir()
    try:
        slices = _slices(partial(_cut, connection, _slice(source, group), usual), folder, rows, step)
        with alone(connection):  # two threads need a third more CPU and as long
            listed = within(connection, _SORTING, lambda: ", ".join(literal(str(path)) for path in slices), usual)
        groups = _first(connection, f"SELECT sum(num_row_groups) FROM parquet_file_metadata([{listed}])")[0]  # noqa: S608 - ours
        even = groups == -(-rows // group)
        cut = _groups(group, 2 * _WIDEST) if even else ""
        with nullcontext() if even else alone(connection):
            return _first(connection, f"COPY (FROM read_parquet([{listed}])) {into(cut)}")[0]
    finally:
        connection.execute("DROP TABLE __places")
        shutil.rmtree(folder)


def _slice(source: str, group: int) -> str:
    """The statement that copies the rows from $begin to $end of the wanted order to $path."""
    return (
        f"COPY (SELECT * EXCLUDE (file_row_number, __row, __place) FROM {source}"  # noqa: S608 - ours
        " JOIN (FROM __places WHERE __place >= $begin AND __place < $end) ON file_row_number = __row"
        f" ORDER BY __place) TO $path ({_SNAPPY}, {_groups(group, _WIDEST)})"
    )


def steps(size: int, rows: int) -> tuple[int, int]:
    """Rows of a slice, and of a row group, for so many bytes of text in so many rows.

    A slice is whole row groups, all of one size: then two threads compress each as it was read. Where they differ, as
    bytes cut them too, two would cut them anew, now here and now there, and the same rows give other bytes each time.
    """
    step = max(1, rows * max(SLICE // 2, min(SLICE, size // _FEW)) // size)
    group = _CHUNK * max(1, min(10, step // _CHUNK, _GROUP * rows // size // _CHUNK))
    return (step - step % group if step >= group else step), group


def _slices(cut: Callable[[int, int, Path], None], folder: Path, rows: int, step: int) -> Iterator[Path]:
    begin = number = 0
    while begin < rows:
        path = folder / f"{number:06}.parquet"
        try:
            cut(begin, begin + step, path)
        except duckdb.OutOfMemoryException:  # a stretch of rows far above the average
            if step == 1:
                raise
            step = max(1, step // 4)
            continue
        yield path
        begin, number = begin + step, number + 1


def _cut(connection: Connection, copy: str, usual: str, begin: int, end: int, path: Path) -> None:
    """One slice into a file."""
    told = {"begin": begin, "end": end, "path": str(path)}
    try:
        connection.execute(copy, told)
    except duckdb.OutOfMemoryException:  # rows of 60 kB are sorted 2,048 at a time
        within(connection, usual, lambda: connection.execute(copy, told), _SORTING)


def _first(connection: Connection, sql: str) -> tuple[int, ...]:
    """The first row, as whole numbers; several sums of one row are added up in front of the last."""
    row = connection.execute(sql).fetchone() or (0,)
    numbers = [int(cell or 0) for cell in row]
    return (sum(numbers[:-1]), numbers[-1]) if len(numbers) > 1 else (numbers[0],)
