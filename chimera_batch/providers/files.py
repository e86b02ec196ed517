"""Bytes to disk: downloads that end whole or not at all, in pieces, never as one value in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2

from chimera_batch.endpoints.usage import count
from chimera_batch.providers import faults
from chimera_batch.providers.calling import TRIES, Caller, delay
from chimera_batch.providers.faults import Fault

_MOST_TRIES = 200  # a connection that drops after every few bytes is a fault, however often it can be resumed

Open = Callable[[int], AbstractContextManager[httpx2.Response]]
"""Opens the stream from an offset on; a host that ignores the offset answers 200 and starts over."""


@dataclass(slots=True)
class _Part:
    """A download under way. ``resumable``: the bytes on disk are the body's own, so an offset means something."""

    path: Path
    resumable: bool = True

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)


def count_rows(path: Path) -> tuple[int, bool]:
    """(rows, whole): lines that are not blank, split at the newline byte alone; and whether the end is a whole line.

    A file without a final newline is whole when its last line parses: Anthropic's always end that way.
    """
    rows, last = 0, b""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                rows, last = rows + 1, line
    if not last or last.endswith(b"\n"):
        return rows, True
    try:
        faults.json_object(last.strip())
    except ValueError:
        return rows - 1, False
    return rows, True


def write_all(pieces: Iterator[bytes], file: BinaryIO) -> None:
    for piece in pieces:
        file.write(piece)
    file.flush()
    os.fsync(file.fileno())


def download(caller: Caller, doing: str, opening: Open, target: Path, size: int | None) -> Path:
    """One file into ``target``: complete, or no file at all.

    ``size`` is what the host says the file holds, None where it does not say. A connection that drops is resumed where
    the server takes ranges and started over where it does not. Raises ProviderDown when it never comes whole,
    ProviderRefused when it is not there.
    """
    part = _Part(target.with_name(target.name + ".part"))
    part.restart()
    best, stalled, fault = 0, 0, Fault("the download ended early")
    for _ in range(_MOST_TRIES):
        got = caller.attempt(lambda: _more(opening, part))
        if _is_whole(part, size, dropped=isinstance(got, Fault)):
            part.path.replace(target)
            return target
        fault = got or Fault(f"the download ended early: {part.size} bytes of {size or 'unknown'}")
        if fault.status == 416:  # asked for bytes behind the end: what is on disk is not what the server has
            part.restart()
        elif not fault.passing:
            break
        stalled, best = (0, part.size) if part.size > best else (stalled + 1, best)
        if stalled >= TRIES:
            break
        caller.sleep(delay(stalled, fault.retry_after))
    part.restart()
    raise faults.as_error(fault, f"{caller.host}: {doing}")


def _is_whole(part: _Part, size: int | None, *, dropped: bool) -> bool:
    """By the size where it is known (a clean end with more than was told is no truncation); else by the last line."""
    if dropped:
        return size is not None and part.size == size
    return part.size >= size if size is not None else count_rows(part.path)[1]


def download_rows(caller: Caller, doing: str, opening: Open, target: Path, rows: int | None) -> Path:
    """One file of which only the number of rows is known, started over until they are all there.

    After some tries what did come over a cleanly closed connection is taken as it is: the caller reconciles ids.
    Raises ProviderDown or ProviderRefused when there is nothing to take.
    """
    part = _Part(target.with_name(target.name + ".part"), resumable=False)
    best, fault = -1, Fault("no rows came")
    for tried in range(TRIES):
        got = caller.attempt(lambda: _more(opening, part))
        if got is None:
            found, whole = count_rows(part.path)
            if found > best:
                part.path.replace(target)
                best = found
            if whole and found >= (rows or 0):
                return target
        else:
            fault = got
            if not fault.passing and fault.status != 404:  # 404s come and go on real batches
                break
        if tried < TRIES - 1:
            caller.sleep(delay(tried, fault.retry_after))
    part.restart()
    if best > 0 or (best == 0 and not rows):
        return target
    raise faults.as_error(fault, f"{caller.host}: {doing}")


def _more(opening: Open, part: _Part) -> None:
    """Append the rest, or write all of it anew when the server sends all of it."""
    if not part.resumable:
        part.restart()
    at = part.size
    with opening(at) as response:
        follows = response.status_code == 206 and at > 0 and _starts_at(response, at)
        if response.status_code == 206 and not follows:
            part.restart()
            raise ValueError(f"asked for bytes from {at}, got {response.headers.get('content-range')!r}")
        # What is written is decoded; an offset into it means nothing to a server that compresses.
        part.resumable = response.headers.get("content-encoding", "identity") == "identity"
        with part.path.open("ab" if follows else "wb") as file:
            write_all(response.iter_bytes(), file)  # as they come: whatever waits for a full piece is lost in a drop


def _starts_at(response: httpx2.Response, at: int) -> bool:
    unit, _, span = response.headers.get("content-range", "").partition(" ")
    first = span.partition("-")[0]
    return unit == "bytes" and first.isdigit() and count(first) == at
