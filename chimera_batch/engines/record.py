"""What a folder remembers of the engine that was started from it, so that the next run finds what a killed one left.

The record is written before the process exists and again when its id is known. What was started in between is found by
its mark.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_NAME = "server.json"


@dataclass(frozen=True, slots=True)
class Record:
    """One start of an engine. The leader's process id is also the id of its process group."""

    mark: str  # what its processes carry in their environment
    boot: str  # the kernel and process namespace in which the ids below mean something
    port: int
    model: str
    digest: str  # of its command line, its environment and its version: what differs is another engine
    owner: str  # who started it, as settings.owner() says
    pid: int = 0  # of the leader; 0: it was about to be started
    start: str = ""  # of the leader, in ticks since the boot
    ready: bool = False  # it has been healthy


_TYPES = {field.name: {"str": str, "int": int, "bool": bool}[str(field.type)] for field in fields(Record)}


def save(folder: Path, record: Record) -> None:
    """Put the record in the place of the last one, durably."""
    new = folder / f"{_NAME}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / _NAME)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(folder: Path) -> Record | None:
    """The record of a folder; None where there is none, or none that can be read."""
    try:
        said: Any = json.loads((folder / _NAME).read_bytes())
        values = {name: said[name] for name in _TYPES}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = all(type(value) is _TYPES[name] for name, value in values.items())
    return Record(**values) if fits else None


def forget(folder: Path) -> None:
    """Remove the record: its engine is stopped."""
    (folder / _NAME).unlink(missing_ok=True)
