"""How long a turnaround takes."""

from __future__ import annotations

from typing import Any

import pytest

from chimera_batch.facts import Facts
from chimera_batch.folding import apply
from chimera_batch.pacing import promised_hours, typical_hours

REALM = "openai@api"


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("7d", 168), ("30m", 0.5), ("now", 0), ("flex", 0)])
def test_a_window_in_hours(window: str, hours: float) -> None:
    assert promised_hours(window) == hours


def landed(*took: float, model: str = "m", window: str = "24h", realm: str = REALM) -> Facts:
    """A store whose batches took so many hours."""
    facts = Facts()
    for number, hours in enumerate(took):
        name = {"realm": realm, "shard": f"{model}-{number}"}
        shape = {"stage": "s", "key": "k", "members": "i", "requests": 1, "bytes": 1, "provider": "p", "model": model}
        rest = {"endpoint": "/v1/x", "window": window, "ceiling": 9, "schema": None, "cache": False, "canary": False}
        claim = {"attempt": 1, "run": "r", "stage": "s", "nonce": "n", "sha256": "x", "requests": 1, "bytes": 1}
        more = {"ids": None, "input_tokens": 1, "usd": "1", "lease_until": 9.0, "by": "me"}
        land = {"key": "a", "raw": [], "outcomes": {}, "usd": "0", "quarantined": 0, "status": "completed"}
        events: list[dict[str, Any]] = [
            {"type": "packed", **name, **shape, **rest, "at": 0.0},
            {"type": "claimed", **name, **claim, **more, "at": 0.0},
            {"type": "submitted", **name, "attempt": 1, "batch": f"b{number}", "at": 100.0},
            {"type": "landed", **name, "attempt": 1, **land, "final": True, "at": 100.0 + hours * 3600},
        ]
        for event in events:
            apply(facts, event)
    return facts


def test_the_middle_of_what_batches_took() -> None:
    assert typical_hours(landed(1, 9, 2), REALM, "m", "24h") == pytest.approx(2)
    assert typical_hours(landed(1, 2), REALM, "m", "24h") == pytest.approx(1.5)


@pytest.mark.parametrize("other", [("other@api", "m", "24h"), (REALM, "other", "24h"), (REALM, "m", "7d")])
def test_another_host_model_or_window_says_nothing(other: tuple[str, str, str]) -> None:
    assert typical_hours(landed(1), *other) is None
