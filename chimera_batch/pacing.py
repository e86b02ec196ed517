"""How long a turnaround of a provider takes: as it promises, and as past batches of this store took. Pure.  Floor 3."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from chimera_batch.facts import Facts
from chimera_batch.records import hours_of


def promised_hours(window: str) -> float:
    """Hours of a window such as ``24h``; synchronous calls have none."""
    return hours_of(window)


def typical_hours(facts: Facts, realm: str, model: str, window: str) -> float | None:
    """Median hours from submission to landing of the model's batches in this realm; None if none has landed yet."""
    took = sorted(_hours(facts, realm, model, window))
    return median(took) if took else None


def _hours(facts: Facts, realm: str, model: str, window: str) -> Iterator[float]:
    for shard in facts.in_realm(realm):
        if shard.model != model or shard.window != window:
            continue
        for attempt in shard.attempts:
            if attempt.landed_at is not None and attempt.submitted_at is not None:
                yield (attempt.landed_at - attempt.submitted_at) / 3600
