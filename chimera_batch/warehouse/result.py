"""A query's rows and the forms in which people take them away: files, and frames of the libraries of notebooks.

Those libraries are not required: where one is missing, the line that installs it is the error.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import orjson

from chimera_batch.errors import InputError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_INTEGER_BITS = 64  # more than that no JSON reader is sure to keep


class Framed(Protocol):
    """What DuckDB's relations give."""

    def to_arrow_table(self) -> pyarrow.Table: ...
    def df(self) -> pandas.DataFrame: ...
    def pl(self) -> polars.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Result:
    """Iterate it or call one method: the rows can be taken once, but ``to_parquet`` and the frames ask again.

    Frames hold all rows in memory, and stay when the tables are closed.
    """

    columns: tuple[str, ...]  # distinct
    types: tuple[str, ...]  # DuckDB's names
    iterator: Iterator[tuple[Any, ...]]
    _parquet: Callable[[Path], int] = field(repr=False)
    _relation: Callable[[], Framed] = field(repr=False)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.iterator

    def objects(self) -> Iterator[dict[str, Any]]:
        """Each row as an object that any JSON writer takes."""
        for row in self.iterator:
            yield {name: json_value(value) for name, value in zip(self.columns, row, strict=True)}

    def to_json(self, stream: TextIO) -> int:
        """Write a list of objects, one per line; returns the rows."""
        count = 0
        stream.write("[")
        for count, item in enumerate(self.objects(), 1):
            stream.write(",\n" if count > 1 else "\n")
            stream.write(orjson.dumps(item).decode())
        stream.write("\n]\n" if count else "]\n")
        return count

    def to_csv(self, stream: TextIO) -> int:
        """Write CSV with a head line, safe to open in a spreadsheet; returns the rows."""
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([csv_cell(name) for name in self.columns])
        count = 0
        for row in self.iterator:
            writer.writerow([csv_cell(value) for value in row])
            count += 1
        return count

    def to_parquet(self, path: Path) -> int:
        """Run the query into a Parquet file; returns the rows. Replaces a file that is there."""
        return self._parquet(path)

    def arrow(self) -> pyarrow.Table:
        """All rows as an Arrow table. Raises InputError where pyarrow is not installed."""
        return self._framed("pyarrow").to_arrow_table()

    def pandas(self) -> pandas.DataFrame:
        """All rows as a pandas frame; numbers with NULLs become floats, as pandas does it. InputError as ``arrow``."""
        return self._framed("pandas").df()

    def polars(self) -> polars.DataFrame:
        """All rows as a Polars frame. InputError as ``arrow``."""
        return self._framed("polars", "pyarrow").pl()

    def _framed(self, *libraries: str) -> Framed:
        if missing := [name for name in libraries if find_spec(name) is None]:
            raise InputError(f"not installed: {', '.join(missing)}", hint="pip install 'chimera-batch[notebook]'")
        return self._relation()


def json_value(value: Any) -> Any:  # noqa: PLR0911 - one line per type
    """A value as JSON has it: dates as ISO 8601, bytes as hex, NaN and infinities as null, the rest as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -(1 << _INTEGER_BITS - 1) <= value < 1 << _INTEGER_BITS else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return (
            json_value(int(value) if value == value.to_integral_value() else float(value))
            if value.is_finite()
            else None
        )
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(json_value(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [json_value(item) for item in value]
    return str(value)


_FORMULA = re.compile(r"[\s\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def text_cell(value: Any) -> str:
    """A value as one cell of a table: NULL is empty, nested values are JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")  # never 0E-12
    plain = json_value(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


def csv_cell(value: Any) -> str:
    """A cell that no spreadsheet runs as a formula: text that starts like one gets a leading apostrophe.

    Spreadsheets pass over blanks in front of it, and read the full-width signs of East Asian keyboards.
    """
    cell = text_cell(value)
    if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return "-inf" if value == -math.inf else "'" + cell
    return cell
