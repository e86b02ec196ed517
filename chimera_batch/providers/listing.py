"""Reading a provider's list of batches, newest first, without trusting its order or its cursors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from chimera_batch.errors import ProviderDown

Page = Callable[[str | None], Mapping[str, Any]]
"""One page of the list after an id (None: the first)."""


def seconds(value: object) -> float | None:
    """A time as hosts write it (a number, digits, RFC 3339) in seconds since the epoch; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        at = float(value)
    except OverflowError:
        return None
    except ValueError:
        return _rfc3339(str(value))
    return at if math.isfinite(at) else None


def _rfc3339(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def behind(headers: Mapping[str, str], now: float) -> float:
    """Seconds that the host is behind our clock, by the ``Date`` of its reply; 0 where it is not, or says nothing."""
    try:
        return max(0.0, now - parsedate_to_datetime(headers["date"]).timestamp())
    except (KeyError, ValueError):
        return 0.0


def since(page: Page, cutoff: float, host: str, *, exact: bool = False) -> Iterator[dict[str, Any]]:
    """Every listed object created at or after ``cutoff``; one without a readable time is kept.

    ``exact``: the caller knows its own by a mark, so what was read is given whatever its time: where two clocks differ
    by days, the time says nothing, and what was just made stands on the first page.

    Raises ProviderDown when the cursor goes round in a circle: an incomplete list must not pass for "not there".
    """
    seen: set[str] = set()
    after: str | None = None
    while True:
        answer = page(after)
        items = [item for item in answer.get("data") or [] if isinstance(item, dict) and item.get("id")]
        fresh = [item for item in items if str(item["id"]) not in seen]
        if items and not fresh:
            raise ProviderDown(f"{host}: the list of batches repeats itself after {after}", hint="wait and run again")
        seen.update(str(item["id"]) for item in fresh)
        times = [seconds(item.get("created_at")) for item in fresh]
        yield from (item for item, at in zip(fresh, times, strict=True) if exact or at is None or at >= cutoff)
        if not items or answer.get("has_more") is False or _all_older(times, cutoff):
            return
        after = str(answer.get("last_id") or items[-1]["id"])


def _all_older(times: list[float | None], cutoff: float) -> bool:
    """Whether nothing newer can follow: this whole page is older, and it visibly runs from new to old."""
    known = [at for at in times if at is not None]
    return len(known) == len(times) and bool(known) and known[0] > known[-1] and max(known) < cutoff
