"""The thread that looks at one life of an engine and ends it when it is stuck. What it decides is in ``watchdog``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from chimera_batch.engines.probing import metrics
from chimera_batch.engines.process import Process
from chimera_batch.engines.watchdog import Beat, Gauges, Progress, read

_LONGEST_PAUSE = 15.0  # seconds between two looks
_FRESH = 1.0  # seconds that a look at its health is good for
_MANY = 10  # preemptions that are worth a word; then ten times as many


class Watch:
    """One healthy engine under watch. ``stalled``: it got stuck and was ended."""

    def __init__(self, process: Process, gauges: Gauges, stall_s: float, say: Callable[[str], None]) -> None:
        self.process, self.stalled = process, False
        self._gauges, self._limit, self._say = gauges, stall_s, say
        self._count = threading.Lock()
        self._asked = self._finished = 0
        self._warned = _MANY
        self._seen = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="engine-watch", daemon=True)
        self._thread.start()

    @property
    def answered(self) -> bool:
        """Whether a reply came in this life."""
        return self._finished > 0

    @property
    def fresh(self) -> bool:
        """Whether it was seen healthy a moment ago."""
        return time.monotonic() - self._seen < _FRESH

    def seen(self) -> None:
        """It is healthy now, or was a moment ago."""
        self._seen = self._seen if self.fresh else time.monotonic()

    def asked(self) -> None:
        """A request is about to be sent."""
        with self._count:
            self._asked += 1

    def finished(self) -> None:
        """A reply came."""
        with self._count:
            self._finished += 1

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _look_on(self) -> None:
        progress = Progress(time.monotonic())
        while not self._over.wait(min(_LONGEST_PAUSE, self._limit / 5)) and self.process.alive():
            progress = progress.after(self._beat())
            if progress.stalled(time.monotonic(), self._limit) and not self._over.is_set():
                self._say(f"the engine holds requests and has not moved for {self._limit:g} s: it is started again")
                self.stalled = True
                self.process.kill()
                return

    def _beat(self) -> Beat:
        page = metrics(self.process.record.port)
        said = read(page, self._gauges) if page is not None else {}
        waiting = self._asked > self._finished
        busy = said["holds"] > 0 if "holds" in said else waiting
        if said.get("preempted", 0) >= self._warned:
            self._warned *= 10
            self._say(f"{said['preempted']:.0f} requests were computed again for want of KV cache: lower max_num_seqs")
        return Beat(time.monotonic(), self._finished, said.get("tokens"), busy)
