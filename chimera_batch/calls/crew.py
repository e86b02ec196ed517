"""Threads that take one job after the other, so that a call begins the moment another one has ended. Floor 2."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

J = TypeVar("J")


class Crew(Generic[J]):
    """Up to ``size`` threads that do ``work``. As many jobs again wait for them, so that whoever hands them out may do
    something else for a while.

    Once a job has failed and ``size`` of them were begun, no further one begins. The threads do not keep the process
    alive. ``give`` and ``rests`` belong to one thread.
    """

    def __init__(self, size: int, work: Callable[[J], None]) -> None:
        self.failures: list[Exception] = []
        self._size, self._work = size, work
        self._jobs: queue.Queue[J | None] = queue.Queue(size)
        self._threads = self._given = self._begun = self._over = 0
        self._stopped = False
        self._turn = threading.Condition()

    @property
    def broken(self) -> bool:
        """Whether further jobs would not be begun."""
        return self._stopped or (bool(self.failures) and self._begun >= self._size)

    def give(self, job: J, timeout: float) -> bool:
        """Hand a job out; False when there was no room for it for so many seconds."""
        try:
            self._jobs.put(job, timeout=timeout)
        except queue.Full:
            return False
        self._given += 1
        if self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._take, name=f"call-{self._threads}", daemon=True).start()
        return True

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    def rests(self, timeout: float) -> bool:
        """Whether all that was given is over; waits for it up to so many seconds."""
        with self._turn:
            return self._turn.wait_for(lambda: self._over == self._given, timeout)

    def dismiss(self) -> None:
        """Let the threads end, each once its job is over. Nothing may be given afterwards."""
        self.stop()
        with suppress(queue.Full):  # then they are at work still, and end with the process
            for _ in range(self._threads):
                self._jobs.put_nowait(None)

    def _take(self) -> None:
        while (job := self._jobs.get()) is not None:
            with self._turn:
                begins = not self.broken
                self._begun += begins
            if begins:
                self._do(job)
            with self._turn:
                self._over += 1
                self._turn.notify_all()

    def _do(self, job: J) -> None:
        try:
            self._work(job)
        except Exception as error:  # noqa: BLE001 - whoever hands out the jobs raises it
            self.failures.append(error)
