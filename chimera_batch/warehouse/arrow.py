"""Rows made in Python, handed to DuckDB a batch of columns at a time through Arrow's C stream interface.

DuckDB reads the columns where they lie. The interface is three C structs and needs no Arrow library (arrow.apache.org,
"C data interface", "C stream interface").
"""

from __future__ import annotations

import ctypes
import itertools
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chimera_batch.warehouse.numbers import numpy as np

Buffer = Any
"""Whatever lends its memory: bytes, array, numpy. None: a buffer that Arrow lets one leave out."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one batch. ``buffers`` in Arrow's order, validity first."""

    length: int
    nulls: int
    buffers: tuple[Buffer, ...]
    inner: Column | None = None  # the values of a dictionary, or the items of lists
    lists: bool = False

    @property
    def bytes(self) -> int:
        """Of its text, in which all that may be large lies."""
        return sum(len(buffer) for buffer in self.buffers if type(buffer) is bytes)


# -- columns


def column(kind: str, values: Sequence[Any]) -> Column:
    """Values as a column of one kind; None is NULL.

    Raises UnicodeEncodeError for a lone surrogate, OverflowError for a number that is too large.
    """
    return _MAKERS[kind.partition(":")[0]](values)


def _integers(values: Sequence[int | None]) -> Column:
    if None not in values:
        return Column(len(values), 0, (None, array("q", values)))
    return Column(len(values), values.count(None), (_validity(values), array("q", [value or 0 for value in values])))


def _decimals(values: Sequence[int]) -> Column:
    """128 bits, as a lower and an upper half; the numbers themselves fit 64."""
    halves = np.empty((len(values), 2), np.int64)
    halves[:, 0] = values
    halves[:, 1] = halves[:, 0] >> 63
    return Column(len(values), 0, (None, halves))


def _texts(values: Sequence[str | None]) -> Column:
    nulls = values.count(None)
    if nulls == len(values):
        return Column(nulls, nulls, (bytes(nulls + 7 >> 3), bytes(8 * (nulls + 1)), b""))
    found: Sequence[str] = [value or "" for value in values] if nulls else values  # type: ignore[assignment]
    encoded = list(map(str.encode, found))  # one by one: small pieces stay in the processor's cache
    offsets = array("q", itertools.accumulate(map(len, encoded), initial=0))
    return Column(len(values), nulls, (_validity(values) if nulls else None, offsets, b"".join(encoded)))


def encoded(pieces: Sequence[bytes]) -> Column:
    """Text that is bytes already, and not looked at: UTF-8, or what nothing but DuckDB's JSON functions will read."""
    offsets = array("q", itertools.accumulate(map(len, pieces), initial=0))
    return Column(len(pieces), 0, (None, offsets, b"".join(pieces)))


def _few(values: Sequence[str | None]) -> Column:
    """Each different value once, and for every row the place of its own."""
    different = list(set(values))
    if len(different) == 1:
        places = array("i", bytes(4 * len(values)))
    else:
        places = array("i", map({value: place for place, value in enumerate(different)}.__getitem__, values))
    return Column(len(values), 0, (None, places), _texts(different))


def _floats(values: Sequence[Sequence[float] | None]) -> Column:
    """Lists of 32-bit numbers; one too large for 32 bits becomes infinite."""
    nulls = values.count(None)
    if nulls == len(values):
        offsets = bytes(4 * (nulls + 1))
        return Column(nulls, nulls, (bytes(nulls + 7 >> 3), offsets), Column(0, 0, (None, b"")), lists=True)
    ends = array("i", itertools.accumulate((len(value) if value else 0 for value in values), initial=0))
    items = np.fromiter(itertools.chain.from_iterable(value for value in values if value), np.float64, ends[-1])
    with np.errstate(over="ignore"):
        inner = Column(ends[-1], 0, (None, items.astype(np.float32)))
    return Column(len(values), nulls, (_validity(values) if nulls else None, ends), inner, lists=True)


def _validity(values: Sequence[object]) -> Buffer:
    """One bit a value, the first in the lowest place."""
    return np.packbits(np.fromiter((value is not None for value in values), np.bool_, len(values)), bitorder="little")


_MAKERS: Mapping[str, Callable[[Sequence[Any]], Column]] = {
    "integer": _integers,
    "decimal": _decimals,
    "text": _texts,
    "few": _few,
    "floats": _floats,
}
"""``few``: text of few different values. ``decimal:N``: whole numbers that count ``10**-N``."""


# -- the C structs: words of 64 bits each, laid out here, for ctypes takes longer with a batch than DuckDB

_ARRAY, _RELEASE_ARRAY = 10, 8  # words of the struct; which of them is its release. Behind an array's stands its key
_SCHEMA, _RELEASE_SCHEMA = 9, 7
_RELEASE_STREAM = 3
_FORMATS = {"integer": "l", "decimal": "d:38,", "text": "U", "few": "i", "floats": "+l"}
_INNER = {"few": "U", "floats": "f"}
_NULLABLE, _FAILED = 2, 5  # a flag; any number but 0 says that the reason is to be asked for

_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Fill = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_Say = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)

_alive: dict[int, object] = {}
"""What DuckDB was handed and has not released: a batch as a whole, as it takes none apart."""
_keys = itertools.count(1)


def _word(address: int, place: int) -> ctypes.c_int64:
    return ctypes.c_int64.from_address(address + 8 * place)


def _let_go(address: int) -> None:
    _alive.pop(_word(address, _RELEASE_ARRAY + 1).value, None)
    _word(address, _RELEASE_ARRAY).value = 0


def _forget(place: int) -> Callable[[int], None]:
    """The release of a struct that holds nothing of its own."""

    def forget(address: int) -> None:
        _word(address, place).value = 0

    return forget


_calls = _Release(_let_go), _Release(_forget(_RELEASE_SCHEMA)), _Release(_forget(_RELEASE_STREAM))
_release_array, _release_schema, _release_stream = (ctypes.cast(call, ctypes.c_void_p).value or 0 for call in _calls)


def _address(buffer: Buffer) -> int:
    if buffer is None:
        return 0
    if isinstance(buffer, bytes):
        return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value or 0
    return int(buffer.buffer_info()[0] if isinstance(buffer, array) else buffer.ctypes.data)


def _batch(columns: Sequence[Column]) -> array[int]:
    """The array struct that holds these columns. Alive until it is released."""
    every = [*columns, *(one.inner for one in columns if one.inner)]
    count, inside = len(every), itertools.count(len(columns))
    words = array("q", bytes(8 * (_ARRAY + 4) * count))  # the structs, room for three buffers each, each one's address
    start = words.buffer_info()[0]
    buffers, places = start + 8 * _ARRAY * count, start + 8 * (_ARRAY + 3) * count
    for n, one in enumerate(every):
        inner = next(inside) if one.inner else 0
        items, values = (places + 8 * inner, 0) if one.lists else (0, inner and start + 8 * _ARRAY * inner)
        head = (one.length, one.nulls, 0, len(one.buffers), int(one.lists), buffers + 24 * n, items, values)
        words[_ARRAY * n : _ARRAY * (n + 1)] = array("q", (*head, _release_array, 0))
        at = _ARRAY * count + 3 * n
        words[at : at + len(one.buffers)] = array("q", map(_address, one.buffers))
        words[(_ARRAY + 3) * count + n] = start + 8 * _ARRAY * n
    key, whole = next(_keys), array("q", [0])  # its one buffer, the validity of rows: they are never NULL
    _alive[key] = (columns, words, whole)
    head = (columns[0].length, 0, 0, 1, len(columns), whole.buffer_info()[0], places, 0)
    return array("q", (*head, _release_array, key))


class Batches:
    """What DuckDB scans: batches of columns, each taken when it is asked for; read once. ``kinds``: column -> its kind.

    An error in the taking ends the scan with an error.
    """

    def __init__(self, kinds: Mapping[str, str], batches: Iterator[Sequence[Column]]) -> None:
        self._batches = batches
        self._said = ctypes.create_string_buffer(b"the rows could not be made")
        self._calls = _Fill(self._get_schema), _Fill(self._get_next), _Say(lambda _: ctypes.addressof(self._said))
        calls = (ctypes.cast(call, ctypes.c_void_p).value or 0 for call in self._calls)
        self._stream = array("q", (*calls, _release_stream, 0))
        self._texts: list[Any] = []  # names and formats, which the schema points at
        self._held: list[array[int]] = []
        self._schema = self._struct("", "+s", [self._column(*one) for one in kinds.items()], None)

    def __arrow_c_schema__(self) -> object:
        self._held.append(copy := self._schema[:])
        return _capsule(copy, b"arrow_schema")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return _capsule(self._stream, b"arrow_array_stream")

    def _column(self, name: str, kind: str) -> array[int]:
        base, _, places = kind.partition(":")
        inner = self._struct("item", _INNER[base], [], None) if base in _INNER else None
        items = [inner] if inner is not None and base == "floats" else []
        return self._struct(name, _FORMATS[base] + places, items, inner if base == "few" else None)

    def _struct(
        self, name: str, form: str, children: Sequence[array[int]], dictionary: array[int] | None
    ) -> array[int]:
        texts = [ctypes.create_string_buffer(text.encode()) for text in (form, name)]
        places = array("q", [child.buffer_info()[0] for child in children] or [0])
        inner = dictionary.buffer_info()[0] if dictionary is not None else 0
        head = (*map(ctypes.addressof, texts), 0, _NULLABLE, len(children), places.buffer_info()[0], inner)
        struct = array("q", (*head, _release_schema, 0))
        self._texts += texts
        self._held += [places, struct]
        return struct

    def _get_schema(self, _: int, into: int) -> int:
        ctypes.memmove(into, self._schema.buffer_info()[0], 8 * _SCHEMA)
        return 0

    def _get_next(self, _: int, into: int) -> int:
        try:
            columns = next(self._batches, None)
        except BaseException:  # noqa: BLE001 - nothing may pass through C; whoever makes the rows raises it too
            return _FAILED
        struct = array("q", bytes(8 * _ARRAY)) if columns is None else _batch(columns)  # a released array is the end
        ctypes.memmove(into, struct.buffer_info()[0], 8 * _ARRAY)
        return 0


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _capsule(struct: array[int], name: bytes) -> object:
    return _new_capsule(struct.buffer_info()[0], name, None)
