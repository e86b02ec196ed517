"""What the kernel says of processes: who carries our mark, who belongs to which group, who still runs.

Read from /proc. Where there is none (macOS) nothing can be told of processes that are not our own children, and so none
of them is ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
MARK = "CHIMERA_ENGINE"
"""The variable in the environment of every process of an engine; its value is new at every start."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One process that has not ended. ``start``: ticks since the boot, which tell it from a later one of its id."""

    pid: int
    group: int
    start: str


def look(pid: int) -> Seen | None:
    """A process as it is now; None if it is gone, has ended, or is not to be seen."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    if len(fields) < 20 or (fields[0] in {"Z", "X"} and int(fields[17]) <= 1):
        return None  # a zombie with threads is dying still: its memory, ports and GPU are not free, nobody can reap it
    return Seen(pid, int(fields[2]), fields[19])


def everybody() -> Iterator[Seen]:
    """All processes that are to be seen."""
    for entry in _PROC.glob("[1-9]*"):
        if entry.name.isdigit() and (seen := look(int(entry.name))):
            yield seen


def mark_of(pid: int) -> str | None:
    """The mark that a process was started with; None: it has none, or is not ours to look into."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    named = f"{MARK}=".encode()
    found = next((entry for entry in environment.split(b"\0") if entry.startswith(named)), None)
    return found[len(named) :].decode("ascii", "replace") if found else None


def listening(port: int) -> frozenset[str]:
    """The sockets that listen at a port of this machine, as descriptors name them; none where that is not seen."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in (_PROC / "net" / table).read_text("ascii", "replace").splitlines()[1:]]
            found |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    return frozenset(found)


def holds(pid: int, sockets: Set[str]) -> bool:
    """Whether one of a process's descriptors is one of these; also where they are not to be seen."""
    try:
        handles = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return True
    for handle in handles:
        with suppress(OSError):  # closed meanwhile
            if str(handle.readlink()) in sockets:
                return True
    return False


def can_look() -> bool:
    """Whether this system shows its processes."""
    return look(os.getpid()) is not None


def signal_exactly(seen: Seen, number: signal.Signals) -> None:
    """Send a signal to that very process, never to a later one that got its id. Gone is fine."""
    try:
        handle = os.pidfd_open(seen.pid)
    except ProcessLookupError:
        return
    except OSError:  # an old kernel, or a container that forbids it: look again and be quick
        handle = None
    try:
        now = look(seen.pid)  # while the handle is held, what is seen is what gets the signal
        if now is not None and now.start == seen.start:
            signal.pidfd_send_signal(handle, number) if handle is not None else os.kill(seen.pid, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        if handle is not None:
            os.close(handle)


def wait_until_gone(processes: Iterable[Seen], seconds: float) -> bool:
    """Whether all of these processes end within so many seconds."""
    left, until = tuple(processes), time.monotonic() + seconds
    while left := tuple(one for one in left if (now := look(one.pid)) and now.start == one.start):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
