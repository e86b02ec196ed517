"""How a Ray job stands, read from its folder, and what follows from that. Floor 2.

The folder is the job: ``job.json`` makes it one, each driver has a number with its log and its part, ``end.json`` ends
it. So anybody who sees the folder can carry the job on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chimera_batch.engines.ray_job import read
from chimera_batch.providers.base import Engine

Step = Literal["over", "wait", "start", "restart", "give_up"]
_HOPELESS = {"no_gpu", "not_installed", "out_of_memory"}  # the same driver would fail the same way


@dataclass(frozen=True, slots=True)
class Standing:
    """What a job's folder says now."""

    ended: str | None = None  # the word of end.json
    drivers: int = 0  # how many were started
    alive: bool | None = None  # whether the last one runs; None: on a machine that we cannot look into
    silent: float = 0.0  # seconds since the last sign of life
    born: bool = False  # the last driver's engine has answered or generated something
    barren: int = 0  # drivers in a row, the last one included, that ended without a single answer
    why: str | None = None  # what the last driver died of


def next_step(now: Standing, engine: Engine) -> Step:
    """What to do about a job.

    ``restart``: a driver that is stuck is ended first. A driver that answered something before it died is followed by
    another one for as long as that goes on; one and ``engine.restarts`` more in a row without any answer are enough.
    """
    if now.ended is not None:
        return "over"
    if not now.drivers:
        return "start"
    enough = now.barren > engine.restarts
    if now.alive is False:
        hopeless = now.why in _HOPELESS and now.barren > 0
        return "give_up" if enough or hopeless else "start"
    if now.silent <= (engine.stall_s if now.born else engine.start_s + engine.stall_s):
        return "wait"
    return "give_up" if enough else "restart"


def numbers(folder: Path) -> list[int]:
    """The drivers of a job, in the order in which they were started."""
    found = (re.fullmatch(r"driver-(\d+)\.log", path.name) for path in folder.glob("driver-*.log"))
    return sorted(int(match[1]) for match in found if match)


def log_of(folder: Path, number: int) -> Path:
    return folder / f"driver-{number}.log"


def parts(folder: Path) -> list[Path]:
    """The drivers' results, in the order of the drivers."""
    return [path for number in numbers(folder) if (path := folder / f"part-{number}.jsonl").exists()]


def barren(folder: Path, known: list[int]) -> int:
    """How many of the last drivers have not a single answer to show."""
    count = 0
    for number in reversed(known):
        part = folder / f"part-{number}.jsonl"
        if part.exists() and part.stat().st_size:
            break
        count += 1
    return count


def life(folder: Path, known: list[int]) -> tuple[float, bool]:
    """(when the last driver last showed a sign of life, in seconds since the epoch; whether its engine did).

    Signs are files' times: of a block, or of a beat that an engine leaves while it generates.
    """
    if not known:
        return 0.0, False
    began = log_of(folder, known[-1]).with_suffix(".started")
    since = _time(began) or _time(log_of(folder, known[-1])) or 0.0
    part = folder / f"part-{known[-1]}.jsonl"
    signs = [when for path in folder.glob("beat-*") if (when := _time(path)) and when >= since]
    if part.exists() and part.stat().st_size and (block := _time(part)):
        signs.append(block)
    return max([since, *signs]), bool(signs)


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def standing(folder: Path, *, alive: bool | None, why: str | None, now: float) -> Standing:
    """The folder's facts together; ``now`` in seconds since the epoch."""
    known = numbers(folder)
    last, born = life(folder, known)
    ended = read(folder / "end.json").get("status")
    return Standing(
        ended=str(ended) if ended else None,
        drivers=len(known),
        alive=alive,
        silent=max(0.0, now - last),
        born=born,
        barren=barren(folder, known),
        why=why,
    )


def results(folder: Path) -> Iterator[bytes]:
    """Every whole line of every part, the first of each id: what a killed driver was writing is asked again."""
    seen: set[bytes] = set()
    for part in parts(folder):
        with part.open("rb") as lines:
            for line in lines:
                head = line[:200].partition(b'"custom_id": "')[2].partition(b'"')[0]
                if line.endswith(b"\n") and head not in seen:
                    seen.add(head)
                    yield line
