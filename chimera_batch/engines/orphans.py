"""What a runner that was killed left behind: found, judged, reused or ended. Never by name.

A process is ours if it was started under this boot and carries the mark of the record, or is the very leader that the
record names, or is in the group of that leader while the leader still leads it. An engine's workers
(``VLLM::EngineCore``) outlive a killed leader and hold the GPU's memory; they carry the mark too, since it is in the
environment that they inherit.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import Literal

from chimera_batch.engines import kernel
from chimera_batch.engines.kernel import Seen
from chimera_batch.engines.record import Record

Fate = Literal["reuse", "await", "end", "nothing"]
_GRACE = 10.0  # seconds between asking a process to end and ending it
_LAST = 10.0  # seconds for a killed process to be gone: one in a driver call may take its time


def is_ours(seen: Seen, record: Record, mark: str | None, leader: Seen | None) -> bool:
    """Whether a process of this boot belongs to the engine of a record. ``leader``: who has the recorded id now."""
    if mark is not None:
        return mark == record.mark
    leads = leader is not None and record.pid == leader.pid and record.start == leader.start
    return leads and seen.group == record.pid


def fate(record: Record | None, boot: str, wanted: tuple[str, str], left: Iterable[Seen]) -> Fate:
    """What to do about the processes that are ``left`` of a record; ``wanted``: model and digest of what is needed.

    ``reuse``: the very engine, and it has been healthy; ``await``: the very engine, still starting; ``end``: another
    one, or workers without a leader.
    """
    pids = {one.pid for one in left}
    if record is None or record.boot != boot or not pids:
        return "nothing"
    if record.pid not in pids or (record.model, record.digest) != wanted:
        return "end"
    return "reuse" if record.ready else "await"


def left_of(record: Record | None, boot: str) -> tuple[Seen, ...]:
    """The processes of a recorded engine that still run on this machine."""
    if record is None or record.boot != boot:
        return ()
    leader = kernel.look(record.pid) if record.pid else None
    return tuple(one for one in kernel.everybody() if is_ours(one, record, kernel.mark_of(one.pid), leader))


def end(record: Record, boot: str, say: Callable[[str], None], grace: float = _GRACE) -> bool:
    """End what is left of a recorded engine: asked first, then killed. Whether all of it is gone."""
    left = left_of(record, boot)
    if not left:
        return True
    say(f"ending {len(left)} processes of the engine that served {record.model} (group {record.pid or '?'})")
    for one in left:
        kernel.signal_exactly(one, signal.SIGTERM)
    if kernel.wait_until_gone(left, grace) and not left_of(record, boot):
        return True
    for one in (left := left_of(record, boot)):
        kernel.signal_exactly(one, signal.SIGKILL)
    return kernel.wait_until_gone(left, _LAST) and not left_of(record, boot)
