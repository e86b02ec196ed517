"""The time of one machine, divided among the requests that it works on. Pure but for the clock; floor 2.

While requests are under way every slice of time is divided equally among them, so all shares add up to the time that
the machine was busy, to the nanosecond. What a slice leaves over (less than a nanosecond for each request) goes into
the next one; what a request took that came to nothing is divided among those that did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class MachineTime:
    """Shares of one machine's time. Safe to use from several threads. ``clock`` counts nanoseconds and never goes back.

    Time is busy from the first ``begin`` until as many requests have ended: starting the engine belongs to those that
    waited for it.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = 0
        self._at = 0  # until when time is divided
        self._each = 0  # what a request would have got that was there all the time
        self._left = 0  # not divided yet

    def begin(self) -> int:
        """A request begins; give the ticket back to ``end`` or ``waste``."""
        with self._lock:
            self._divide()
            self._under_way += 1
            return self._each

    def end(self, ticket: int) -> int:
        """Its share, in nanoseconds."""
        with self._lock:
            self._divide()
            share = self._each - ticket
            self._under_way -= 1
            if not self._under_way:  # nobody is left to take it
                share, self._left = share + self._left, 0
            return share

    def waste(self, ticket: int) -> None:
        """It ends without an answer: others carry its share, those under way or else the next ones."""
        with self._lock:
            self._divide()
            self._left += self._each - ticket
            self._under_way -= 1

    def _divide(self) -> None:
        now = self._clock()
        if self._under_way:
            each, self._left = divmod(now - self._at + self._left, self._under_way)
            self._each += each
        self._at = now
