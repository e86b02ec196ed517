"""Is an engine getting anywhere, and may it be started again? Pure: the clock is an argument.

An engine that holds requests and neither finishes one nor generates a token for ``stall_s`` is stuck: a request that
never fits its cache waits for ever, a hung GPU call never returns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chimera_batch.errors import EngineWhy

_LINE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{[^\n]*\})? (\S+)", re.MULTILINE)  # name{label="…"} value


@dataclass(frozen=True, slots=True)
class Gauges:
    """Which of an engine's ``/metrics`` say how many tokens it made and how many requests it holds."""

    tokens: str
    holds: tuple[str, ...]
    preempted: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What one look at an engine found. ``at``: seconds of a monotonic clock; None: the engine did not say."""

    at: float
    finished: int  # replies that came, by our own count
    tokens: float | None
    busy: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """The last sign of life: when, and the counts at that moment."""

    since: float
    finished: int = 0
    tokens: float | None = None

    def after(self, beat: Beat) -> Progress:
        """The progress as it stands after one more look. An idle engine owes none."""
        fresh = beat.tokens is not None and beat.tokens != self.tokens
        if fresh or beat.finished != self.finished or not beat.busy:
            return Progress(beat.at, beat.finished, self.tokens if beat.tokens is None else beat.tokens)
        return self

    def stalled(self, now: float, limit: float) -> bool:
        """Whether nothing has moved for ``limit`` seconds."""
        return now - self.since >= limit


@dataclass(frozen=True, slots=True)
class Lives:
    """How often an engine died without having answered anything since, and what of."""

    deaths: int = 0
    why: EngineWhy | None = None
    up: bool = False  # it has been healthy at least once

    def healthy(self) -> Lives:
        return replace(self, up=True)

    def died(self, why: EngineWhy, *, answered: bool) -> Lives:
        """After one more death; ``answered``: it had finished something in that life, so the count begins anew."""
        return replace(self, deaths=1 if answered else self.deaths + 1, why=why)

    def again(self, restarts: int) -> bool:
        """Whether it may be started once more. One that never came up would fail in the same way again."""
        return self.deaths == 0 or (self.up and self.deaths <= restarts and self.why != "not_installed")


def read(text: str, gauges: Gauges) -> Mapping[str, float]:
    """``tokens``, ``holds`` and ``preempted`` of a ``/metrics`` page, over all replicas; absent where not said."""
    sums: dict[str, float] = {}
    for name, value in _LINE.findall(text):
        for key, names in (("tokens", (gauges.tokens,)), ("holds", gauges.holds), ("preempted", (gauges.preempted,))):
            if name in names:
                sums[key] = sums.get(key, 0.0) + _number(value)
    return sums


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
