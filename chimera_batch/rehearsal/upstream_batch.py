"""Batches that an upstream answers: every request asked once, each answer on disk before the next step counts on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import orjson

from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.batches import Batch, Verdict
from chimera_batch.rehearsal.clerk import Clerk, Done, Errand
from chimera_batch.rehearsal.execute import Execution, Stopped
from chimera_batch.rehearsal.state import Roll
from chimera_batch.rehearsal.upstream import Given, Gone, Upstream

_SHOWN: Final = 1.0  # seconds between two records of how far a batch is


class Batches(Protocol):
    """Whoever keeps the records: the works."""

    def get(self, ident: str) -> Batch | None: ...

    def change(self, ident: str, change: Callable[[Batch], Batch]) -> Batch: ...

    def requests(self, ident: str) -> Path: ...


class Kept:
    """The answers of one batch as they came, in a file that survives a restart. In memory: where each of them lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._roll = Roll(path)
        self._places: dict[str, int] = {}
        self._read = 0  # bytes of the file that ``_places`` knows
        self._lock = threading.Lock()

    def __contains__(self, custom_id: str) -> bool:
        return self._place(custom_id) is not None

    def __len__(self) -> int:
        self._place("")
        return len(self._places)

    def add(self, custom_id: str, given: Given) -> None:
        """Durable on return."""
        told = {"custom_id": custom_id, "status": given.status, "body": given.body}
        self._roll.append(orjson.dumps(told) + b"\n")

    def get(self, custom_id: str) -> Given | None:
        place = self._place(custom_id)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            told = orjson.loads(file.readline())
        return Given(told["status"], told["body"])

    def _place(self, custom_id: str) -> int | None:
        with self._lock:
            with self.path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # being written
                    self._places[orjson.loads(line)["custom_id"]] = self._read
                    self._read += len(line)
            return self._places.get(custom_id)


class Ahead:
    """One batch's way through the upstream, before its result files are written."""

    def __init__(self, above: Upstream, kept: Kept, clerk: Clerk) -> None:
        self._above, self._kept, self._clerk = above, kept, clerk

    def run(self, errands: Iterator[Errand], go: Callable[[], bool], told: Callable[[int], None]) -> int:
        """Ask in order, many at once, what is not answered yet, as long as ``go``; how many rows have an answer now.

        ``told`` hears that number as it grows. Raises Gone when the server goes down.
        """
        reached, under_way = 0, set[Future[None]]()
        with ThreadPoolExecutor(self._above.link.at_once, thread_name_prefix="upstream") as pool:
            for errand in errands:
                if errand.custom_id not in self._kept:
                    if not go():
                        break
                    under_way.add(pool.submit(self._one, errand))
                reached += 1
                if len(under_way) >= self._above.link.at_once:
                    under_way = _settled(under_way, FIRST_COMPLETED)
                    told(reached - len(under_way))
            _settled(under_way, ALL_COMPLETED)
        return reached

    def do(self, errand: Errand) -> Done:
        """The answer that ``run`` brought, priced. Raises Refused with the upstream's own words."""
        given = self._kept.get(errand.custom_id)
        if given is None:
            raise Refused(500, "The upstream was not asked.")
        return self._clerk.passed(errand, given)

    def _one(self, errand: Errand) -> None:
        try:
            given = self._above.ask(errand.endpoint, errand.body)
        except Refused as refused:
            given = Given(refused.status, {"error": {"message": refused.message}})
        self._kept.add(errand.custom_id, given)


def _settled(futures: set[Future[None]], when: str) -> set[Future[None]]:
    """Those that go on. Raises what one of the others raised."""
    finished, rest = wait(futures, return_when=when)
    for future in finished:
        future.result()
    return rest


def answered(execution: Execution, clerk: Clerk, batches: Batches) -> Execution:
    """The same execution with the upstream's answers, all of which are in its draft of answers by now.

    A batch that is cancelled meanwhile ends with the requests that were begun. Raises Stopped.
    """
    if clerk.above is None:
        return execution
    ident, verdict = execution.batch.id, execution.verdict
    ahead, shown = Ahead(clerk.above, Kept(execution.drafts.answers), clerk), -_SHOWN

    def go() -> bool:
        batch = batches.get(ident)
        cancelled = batch is not None and batch.cancelled is not None and verdict.how != "cancelled"
        return execution.alive() and not cancelled

    def told(number: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SHOWN:
            shown = time.monotonic()
            batches.change(ident, lambda b: replace(b, answered=number))

    told(0)
    try:
        reached = ahead.run(execution.errands(batches.requests(ident)), go, told)
    except Gone as error:
        raise Stopped from error
    if not execution.alive():
        raise Stopped
    if reached < verdict.finished:
        verdict = Verdict("cancelled", reached)
    batch = batches.change(ident, lambda b: replace(b, answered=reached, verdict=verdict))
    return replace(execution, batch=batch, verdict=verdict, do=ahead.do)
