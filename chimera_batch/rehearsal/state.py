"""The state folder's primitives: files that appear whole, ids that look like the providers', rolls that only grow."""

from __future__ import annotations

import os
import secrets
import string
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_BASE62 = string.digits + string.ascii_letters


def write_json(path: Path, value: Any) -> None:
    """``value`` at ``path``, whole or not at all, durable on return."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with draft.open("wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def sweep(folder: Path) -> None:
    """Remove drafts that a crash left behind; only the owner of the state folder may call this."""
    for draft in folder.glob(".*"):
        draft.unlink()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a roll; a last one that is still being written is left out. Changes nothing."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)


def base62(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


class Roll:
    """A JSONL file that is only appended to, in blocks that belong to one batch each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.touch()
        self._cut_torn_line()

    def append(self, lines: bytes) -> None:
        """All of ``lines`` in one write, durable on return."""
        if not lines:
            return
        with self._lock, self.path.open("ab", buffering=0) as file:
            before, rest = file.seek(0, os.SEEK_END), memoryview(lines)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)  # half a line would spoil the next one
                raise

    def complete(self, batch: str, lines: bytes) -> bytes:
        """Append what is missing of ``lines``, the whole block of ``batch``, after a crash during its append."""
        here = sum(1 for line in self if line.get("batch") == batch)
        missing = b"".join(lines.splitlines(keepends=True)[here:])
        self.append(missing)
        return missing

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return read(self.path)

    def _cut_torn_line(self) -> None:
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end > 0:
                start = max(0, end - 65536)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            if end != size:
                file.truncate(end)
