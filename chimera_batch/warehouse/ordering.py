"""Putting a Parquet file in order with little memory.

DuckDB 2.0's own ORDER BY runs out of memory over text larger than the limit, whatever it spills. So a big file is cut
into slices of the wanted order, each small enough to sort, and they are joined again. Which way is taken depends on the
rows alone, so the same rows give the same bytes on every machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from chimera_batch.warehouse.connection import Connection
from chimera_batch.warehouse.memory import alone, within
from chimera_batch.warehouse.scan import literal, quote

SLICE = 128_000_000
"""Bytes of text that are sorted at once; every slice costs one reading of the file."""

_SORTING = "256MB"
_GROUPS = "ROW_GROUP_SIZE 20480, ROW_GROUP_SIZE_BYTES '8MB'"
OPTIONS = f"FORMAT parquet, COMPRESSION zstd, {_GROUPS}"
"""How Parquet is written. Small row groups, for a reader holds whole groups in memory, per thread: with groups of 64 MB
joins of rows of 60 kB fail or crawl under a limit of 512 MB; with 8 MB they run in half of it."""

_SCRATCH = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 10240, ROW_GROUP_SIZE_BYTES '8MB'"


@dataclass(frozen=True, slots=True)
class Form:
    """How a Parquet file is written. ``little``: with so little memory at first, and with all of it only if need be.

    COPY fills whatever memory it is given with rows that wait to be written, so what only streams gets little.
    ``alone``: by one thread. Two of them with so little memory wait for each other and spill: twice or three times the
    CPU of one, and no sooner done.
    ``steady``: the query reads nothing but files whose bytes are fixed. What it makes in the wanted order is then left
    as it is, although its row groups are cut where the query's chunks end, and not by the rows alone.
    """

    options: str
    little: tuple[str, ...] = ()
    synced: bool = True
    steady: bool = False
    alone: bool = False

    def target(self, path: Path, metadata: Mapping[str, str]) -> str:
        """What stands behind COPY's query. ``metadata`` becomes the file's key-value metadata."""
        pairs = ", ".join(f"{quote(key)}: {literal(value)}" for key, value in metadata.items())
        return f"TO {literal(str(path))} ({self.options}{f', KV_METADATA {{{pairs}}}' if pairs else ''})"


KEPT = Form(OPTIONS)
STEADY = Form(OPTIONS, steady=True)
QUICK = Form(f"{OPTIONS}, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 100", little=("96MB",))
"""For large objects that one step writes and a few read: two fifths less work for a tenth more bytes. No dictionary is
begun for texts of which hardly two are alike, nor a filter made of it."""
SCRATCH = Form(_SCRATCH, little=("96MB",), synced=False, alone=True)
"""For files that are read a few times and thrown away."""
NARROW = Form(_SCRATCH, little=("64MB", "80MB", "96MB"), synced=False)
"""The same for ids and numbers of many requests, with nothing of their texts: a million are grouped and joined in the
first, ten million in one of the others, spilling."""
ROWS = Form(_SCRATCH, little=("224MB",), synced=False, alone=True)
"""The same for what a person's query makes: sorting a hundred thousand rows of 1.5 kB takes as much."""


_SORTED = (
    "SELECT * EXCLUDE (file_row_number, __row, __place) FROM {source}"
    " JOIN (FROM __places WHERE __place >= {begin} AND __place < {end}) ON file_row_number = __row ORDER BY __place"
)
_AS_THEY_ARE = (
    "SELECT * EXCLUDE (file_row_number) FROM {source} WHERE file_row_number >= {begin} AND file_row_number < {end}"
)


def is_ordered(connection: Connection, path: Path, order: str) -> bool:
    """Whether a Parquet file too large to sort at once is in the order of the SQL ``order``, a single column."""
    size = f"SELECT sum(total_uncompressed_size) FROM parquet_metadata({literal(str(path))})"  # noqa: S608 - ours
    if _first(connection, size)[0] <= SLICE:
        return False
    beside = f"SELECT {order} >= lag({order}) OVER () AS rises FROM read_parquet({literal(str(path))})"  # noqa: S608 - ours
    return not _first(connection, f"SELECT count(*) FROM ({beside} OFFSET 1) WHERE rises IS NOT true")[0]  # noqa: S608 - ours


def write_in_order(connection: Connection, raw: Path, order: str, into: str, usual: str) -> int:
    """Copy the file ``raw`` in the order of the SQL ``order`` into COPY's target ``into``; returns the rows.

    Slices lie beside ``raw`` while it lasts. One thread cuts them: two need a third more CPU and as long. All threads
    join them, which is compressing. ``connection`` must be free for temporary tables; ``usual``: its limit.
    """
    source = f"read_parquet({literal(str(raw))}, file_row_number = true)"
    size, rows = _first(connection, f"SELECT sum(strlen(COLUMNS(*)::VARCHAR)), count(*) FROM {source}")  # noqa: S608 - ours
    if size <= SLICE or rows < 2:
        ordered = f"SELECT * EXCLUDE (file_row_number) FROM {source} ORDER BY {order}, file_row_number"  # noqa: S608 - ours
        return _first(connection, f"COPY ({ordered}) {into}")[0]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __places AS SELECT file_row_number AS __row,"  # noqa: S608 - ours
        f" row_number() OVER (ORDER BY {order}, file_row_number) - 1 AS __place FROM {source}"
    )
    folder = raw.with_name(raw.name + ".slices")
    folder.mkdir()
    astray = _first(connection, "SELECT count(*) FROM __places WHERE __row <> __place")[0]
    # Cut alike either way: the same rows give the same bytes, in whatever order they came.
    pick = _SORTED if astray else _AS_THEY_ARE
    try:
        cut = partial(_cut, connection, pick.replace("{source}", source), usual)
        with alone(connection):
            slices = _slices(cut, folder, rows, -(-rows * SLICE // size))
        listed = ", ".join(literal(str(path)) for path in slices)
        return _first(connection, f"COPY (SELECT * FROM read_parquet([{listed}])) {into}")[0]  # noqa: S608 - ours
    finally:
        connection.execute("DROP TABLE __places")
        shutil.rmtree(folder)


def _slices(cut: Callable[[int, int, Path], None], folder: Path, rows: int, step: int) -> list[Path]:
    found: list[Path] = []
    begin = 0
    while begin < rows:
        path = folder / f"{len(found):06}.parquet"
        try:
            cut(begin, begin + step, path)
        except duckdb.OutOfMemoryException:  # a stretch of rows far above the average
            if step == 1:
                raise
            step = max(1, step // 4)
            continue
        found.append(path)
        begin += step
    return found


def _cut(connection: Connection, pick: str, usual: str, begin: int, end: int, path: Path) -> None:
    """One slice into a file: sorting takes what it is given, so it is given twice the slice first."""
    stretch = pick.replace("{begin}", str(begin)).replace("{end}", str(end))

    def copy() -> None:
        connection.execute(f"COPY ({stretch}) TO {literal(str(path))} ({_SCRATCH})")

    try:
        within(connection, _SORTING, copy, usual)
    except duckdb.OutOfMemoryException:  # rows of 60 kB are sorted 2,048 at a time
        copy()


def _first(connection: Connection, sql: str) -> tuple[int, ...]:
    """The first row, as whole numbers; several sums of one row are added up in front of the last."""
    row = connection.execute(sql).fetchone() or (0,)
    numbers = [int(cell or 0) for cell in row]
    return (sum(numbers[:-1]), numbers[-1]) if len(numbers) > 1 else (numbers[0],)
