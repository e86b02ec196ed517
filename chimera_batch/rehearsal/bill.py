"""What was executed, and what it cost: ``billing.jsonl``, one line per request that consumed tokens.

A row that the endpoint refused, or that expired or was cancelled before its turn, is not executed, not billed and does
not count as an attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from chimera_batch.rehearsal.state import Roll


class Bill:
    """The roll of executed requests, and how often each key was executed."""

    def __init__(self, path: Path) -> None:
        self.roll = Roll(path)
        self._times: Counter[str] = Counter(str(line["request_id"]) for line in self.roll)
        self._lock = Lock()

    def next_attempt(self, key: str) -> int:
        return self._times.get(key, 0) + 1

    def add(self, lines: bytes) -> None:
        """Append a block of lines and count its keys."""
        self.roll.append(lines)
        self._count(lines)

    def complete(self, batch: str, lines: bytes) -> None:
        """Like ``add`` for a batch of which a crash may have appended a part."""
        self._count(self.roll.complete(batch, lines))

    def _count(self, lines: bytes) -> None:
        with self._lock:
            self._times.update(str(orjson.loads(line)["request_id"]) for line in lines.splitlines())

    def total(self) -> tuple[int, Decimal]:
        """Requests executed and dollars charged so far."""
        requests, usd = 0, Decimal(0)
        for line in self.roll:
            requests, usd = requests + 1, usd + Decimal(line["usd"])
        return requests, usd


def double_payments(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines of requests that were executed again after a usable answer had been delivered; [] is what we want."""
    had: set[str] = set()
    twice = []
    for line in lines:
        key = str(line["request_id"])
        if key in had:
            twice.append(dict(line))
        if line["delivered"] and line["usable"]:
            had.add(key)
    return twice
