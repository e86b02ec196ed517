"""How Python behaves while threads hand large amounts of work to each other: ``with in_step: …``, by any of them.

A thread whose work was done outside of Python is let in again at once: by default it waits 5 ms for one that runs
Python, which is as long as a batch of rows takes. And no cycles of garbage are looked for: rows, columns and lines make
none, and looking at them is a tenth of the work.
"""

from __future__ import annotations

import gc
import sys
from threading import Lock

_TURN = 0.0001  # seconds: how long a thread waits for Python each time that it needs it


class _InStep:
    """May be entered many times, by several threads: it ends with the last of them."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._before = sys.getswitchinterval(), gc.isenabled()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = sys.getswitchinterval(), gc.isenabled()
                sys.setswitchinterval(_TURN)
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                turn, collects = self._before
                sys.setswitchinterval(turn)
                if collects:
                    gc.enable()


in_step = _InStep()
