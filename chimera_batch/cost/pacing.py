"""How long a turnaround of a provider takes: as it promises, and as past batches of this store took. Pure. Floor 3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.records import hours_of

_ALIKE = 3.0  # times as many requests, or as few: a batch of like size
_ENOUGH = 3  # batches of like size that say more than all of them do


@dataclass(frozen=True, slots=True)
class Expected:
    """When a batch is expected back, in seconds since 1970, and what that rests on; None where nothing does."""

    at: float | None
    basis: str


def promised_hours(window: str) -> float:
    """Hours of a window such as ``24h``; synchronous calls have none."""
    return hours_of(window)


def typical_hours(facts: Facts, realm: str, model: str, window: str) -> float | None:
    """Median hours from submission to landing of the model's batches in this realm; None if none has landed yet."""
    took = sorted(_hours(facts, realm, model, window))
    return median(took) if took else None


def _hours(facts: Facts, realm: str, model: str, window: str) -> Iterator[float]:
    for _, seconds in _history(facts, realm, model, window):
        yield seconds / 3600


class Forecasts:
    """When batches under way are expected back, going by past ones of their host, model and window at one moment."""

    def __init__(self, facts: Facts, now: float) -> None:
        self._now = now
        self._history = cache(lambda realm, model, window: list(_history(facts, realm, model, window)))

    def of(self, shard: Shard, attempt: Attempt) -> Expected | None:
        """None for what no provider has as a batch: it was not created yet, or its calls are answered at once."""
        if attempt.submitted_at is None or not attempt.is_open or shard.synchronous:
            return None
        history = self._history(shard.realm, shard.model, shard.window)
        seconds, basis = forecast(history, attempt.requests, self._now - attempt.submitted_at)
        return Expected(None if seconds is None else attempt.submitted_at + seconds, basis)


def forecast(history: Sequence[tuple[int, float]], requests: int, elapsed: float) -> tuple[float | None, str]:
    """Seconds that a batch takes as a whole, and what that rests on; None where the past says nothing.

    ``history``: (requests, seconds) of past batches. Of those of like size, if there are a few, else of all, the median
    of what took longer than this one has been under way: one that is late is not expected back in the past.
    """
    if not history:
        return None, "no history"
    alike = [took for count, took in history if count <= requests * _ALIKE and requests <= count * _ALIKE]
    enough = len(alike) >= _ENOUGH
    chosen = alike if enough else [took for _, took in history]
    past = f"{len(chosen):,} past batch{'es' if len(chosen) > 1 else ''}{' of like size' if enough else ''}"
    longer = [took for took in chosen if took > elapsed]
    if not longer:
        return None, f"later than {'all of ' if len(chosen) > 1 else ''}{past}"
    return median(longer), f"median of {past}" if len(longer) == len(chosen) else f"the slower ones of {past}"


def _history(facts: Facts, realm: str, model: str, window: str) -> Iterator[tuple[int, float]]:
    """(requests, seconds from submission to landing) of a model's past batches that nobody stopped."""
    for shard in facts.in_realm(realm):
        if shard.model != model or shard.window != window:
            continue
        for attempt in shard.attempts:
            if attempt.landed_at is not None and attempt.submitted_at is not None and not attempt.cancel_asked:
                yield attempt.requests, attempt.landed_at - attempt.submitted_at
