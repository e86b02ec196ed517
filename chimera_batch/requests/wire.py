"""Between the bytes a shard keeps and the bytes a provider is sent.

A shard keeps whole wire lines whose custom id is the request id alone. An attempt sends the open ones among them, each
custom id led by the attempt's nonce, some with a raised output ceiling. The result is a pure function of (shard,
nonce, open ids, ceilings), so the exact bytes of any attempt can be made again; their SHA-256 stands in the intent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import zstandard

from chimera_batch.endpoints.base import Endpoint
from chimera_batch.endpoints.bodies import with_tier
from chimera_batch.requests.render import encode

ID_LENGTH = 32
NONCE_LENGTH = 8
_LEAD = b'{"custom_id":"'
_ID_END = len(_LEAD) + ID_LENGTH
_CUSTOM_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{32})")
_ZSTD_LEVEL = 3
_AHEAD = 3  # pieces that wait for their digest, at most
_CHUNK = 1 << 19  # bytes read at a time: with half as many, threads would ask for Python twice as often
_PIECE = 1 << 16  # bytes of lines taken at once
_FRAME = 1 << 18  # bytes compressed by themselves: what a processor's cache holds

WithCeiling = Callable[[dict[str, Any], int], dict[str, Any]]
Edit = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Wire:
    """What was written for one attempt. ``bytes`` as sent."""

    sha256: str
    requests: int
    bytes: int


def request_id(line: bytes) -> str:
    """The id that leads a shard line."""
    return line[len(_LEAD) : _ID_END].decode("ascii")


def sent_id(line: bytes) -> str:
    """The request id of a line as an attempt sends it, behind the nonce."""
    return line[_ID_END - ID_LENGTH + NONCE_LENGTH + 1 :][:ID_LENGTH].decode("ascii")


def split_custom_id(custom_id: str) -> tuple[str, str] | None:
    """(nonce, request id) of a custom id as we send them; None for anything else."""
    match = _CUSTOM_ID.fullmatch(custom_id)
    return (match[1], match[2]) if match else None


class Piece(NamedTuple):
    """Consecutive lines of a file, each with its end: so many bytes of them, at least one line."""

    first: int  # the number of the first of them, from 1
    offset: int  # the byte at which it begins
    lines: list[bytes]


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their end, split at the newline byte alone (never at U+2028 or U+0085)."""
    rest = b""
    for chunk in chunks:
        first, newline, tail = chunk.partition(b"\n")
        if not newline:
            rest += chunk
            continue
        yield rest + first
        *whole, rest = tail.split(b"\n")
        yield from whole
    if rest:
        yield rest


def read_chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes; ``.zst`` files decompressed. Memory stays at one chunk."""
    with path.open("rb") as file:
        source = (
            zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) if path.suffix == ".zst" else file
        )
        while chunk := source.read(_CHUNK):
            yield chunk


def read_lines(path: Path) -> Iterator[bytes]:
    return split_lines(read_chunks(path))


def read_pieces(path: Path, size: int = _PIECE) -> Iterator[Piece]:
    """A file's lines many at a time, split at the newline byte alone: three times as fast as one after the other."""
    number, offset = 1, 0
    with path.open("rb", buffering=2 * size) as file:
        while lines := file.readlines(size):
            yield Piece(number, offset, lines)
            number, offset = number + len(lines), file.tell()


def compress(source: Iterable[bytes | memoryview], path: Path, *, level: int = _ZSTD_LEVEL) -> int:
    """Write byte pieces as one ``.zst`` file; returns the number of bytes before compression."""
    total = 0
    with path.open("wb") as file, zstandard.ZstdCompressor(level=level).stream_writer(file) as out:
        for piece in source:
            total += len(piece)
            out.write(piece)
    return total


def pack(path: Path, packed: Path, *, level: int) -> str:
    """Write a file as ``.zst``, in frames: a quarter less time than one frame for all of it. Its SHA-256, in hex."""
    buffer, frame = memoryview(bytearray(_FRAME)), zstandard.ZstdCompressor(level=level).compress
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file, packed.open("wb") as out:
        while (count := file.readinto(buffer)) or not out.tell():  # of an empty file one frame, too
            digest.update(buffer[:count])
            out.write(frame(buffer[:count]))
    return digest.hexdigest()


def nonced(line: bytes, nonce: str) -> bytes:
    """A shard line as an attempt sends it."""
    return b"%b%b-%b" % (_LEAD, nonce.encode("ascii"), line[len(_LEAD) :])


@dataclass(frozen=True, slots=True)
class Letter:
    """What an attempt sends of a shard: the ids with their output ceilings, behind one nonce."""

    nonce: str
    ceilings: Mapping[str, int]
    raised: frozenset[str] = frozenset()  # ids whose ceiling differs from the one in the shard's bytes
    edit: Edit | None = None  # what else of every line differs from the shard's bytes

    def sends_all(self, requests: int) -> bool:
        """Whether it is all of a shard of so many requests, as it is."""
        return len(self.ceilings) == requests and not self.raised and self.edit is None

    @classmethod
    def of(cls, nonce: str, ceilings: Mapping[str, int], own: int, edit: Edit | None = None) -> Letter:
        """``own``: the output ceiling in the shard's bytes."""
        alike = set(ceilings.values()) <= {own}  # as nearly always; a tenth of the time
        raised = () if alike else (identity for identity, most in ceilings.items() if most != own)
        return cls(nonce, ceilings, frozenset(raised), edit)


def tier_of(window: str) -> str | None:
    """The service tier that a window asks for by name."""
    return "flex" if window == "flex" else None


def edit_of(endpoint: Endpoint, window: str, marks: tuple[bool, bool]) -> Edit | None:
    """What an attempt changes of every line of a shard: its service tier, and its cache marks.

    ``marks``: whether the shard's own bytes carry them, and whether the attempt's should.
    """
    tier, (has, wants) = tier_of(window), marks
    remark = endpoint.marks_cache and has != wants
    if tier is None and not remark:
        return None

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        marked = endpoint.with_cache(line, on=wants) if remark else line
        return with_tier(marked, tier) if tier else marked

    return edit


def _changed(line: bytes, identity: str, letter: Letter, with_ceiling: WithCeiling) -> bytes:
    value: dict[str, Any] = orjson.loads(line)
    if identity in letter.raised:
        value = with_ceiling(value, letter.ceilings[identity])
    return encode(value if letter.edit is None else letter.edit(value))


def build_whole(shard: Path, out: Path, nonce: str) -> Wire:
    """Write the wire file of an attempt that sends all of a shard as it is. No line is looked at by itself."""
    digest, requests, size = hashlib.sha256(), 0, 0
    led = b"%b%b-" % (_LEAD, nonce.encode("ascii"))
    done: list[Future[None]] = []
    with out.open("wb") as file, ThreadPoolExecutor(1) as beside:

        def emit(sent: bytes) -> None:
            digest.update(sent)
            file.write(sent)

        for data in _whole_lines(read_chunks(shard)):
            sent, count = _led(data, led)
            done = [*done[-_AHEAD:], beside.submit(emit, sent)]  # half of the work
            requests += count
            size += len(sent)
            done[0].result()
        for last in done:
            last.result()
    return Wire(digest.hexdigest(), requests, size)


def _led(data: bytes, led: bytes) -> tuple[bytes, int]:
    """Whole lines with another beginning each, and how many they are: six times as fast as replacing in all of it."""
    lines, at, lead, find = memoryview(data), 0, len(_LEAD), data.find
    parts: list[bytes | memoryview] = []
    while at < len(data):
        end = find(b"\n", at) + 1
        parts += led, lines[at + lead : end]  # JSON has no line break of its own
        at = end
    return b"".join(parts), len(parts) // 2


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end with a line."""
    rest = b""
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = b""
        rest += chunk[end:]


def build(shard: Path, out: Path, letter: Letter, with_ceiling: WithCeiling) -> Wire:
    """Write the wire file of an attempt: the lines of its ids, in the shard's order."""
    digest, requests, size = hashlib.sha256(), 0, 0
    with out.open("wb") as file:
        for line in read_lines(shard):
            identity = request_id(line)
            if identity not in letter.ceilings:
                continue
            if identity in letter.raised or letter.edit is not None:
                line = _changed(line, identity, letter, with_ceiling)  # noqa: PLW2901 - the same line, other ceiling or marks
            sent = nonced(line, letter.nonce) + b"\n"
            file.write(sent)
            digest.update(sent)
            requests += 1
            size += len(sent)
    return Wire(digest.hexdigest(), requests, size)
