"""Reading a provider's list of batches, newest first, without trusting its order or its cursors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
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

    Raises ProviderDown when the cursor goes round in a circle, or leads nowhere: an incomplete list must not pass for
    "not there". For the same reason an object without an id is kept: see ``named``.
    """
    seen: set[str] = set()
    after: str | None = None
    while True:
        answer = page(after)
        items = _objects(answer, host)
        ids = [str(item["id"]) for item in items if item.get("id")]
        if ids and seen.issuperset(ids):
            raise ProviderDown(f"{host}: the list of batches repeats itself after {after}", hint="wait and run again")
        fresh = [item for item in items if not item.get("id") or str(item["id"]) not in seen]
        seen.update(ids)
        times = [seconds(item.get("created_at")) for item in fresh]
        yield from (item for item, at in zip(fresh, times, strict=True) if exact or at is None or at >= cutoff)
        if not items or answer.get("has_more") is False or _all_older(times, cutoff):
            return
        if not ids:
            if answer.get("has_more"):
                raise ProviderDown(f"{host}: a page of the list names no batch by an id", hint="wait and run again")
            return
        after = str(answer.get("last_id") or ids[-1])


def _objects(answer: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
    data = answer.get("data") or []
    if not isinstance(data, list):
        raise ProviderDown(f"{host}: the list of batches is none, but {type(data).__name__}", hint="wait and run again")
    return [item for item in data if isinstance(item, dict)]


def named(ours: Iterable[dict[str, Any]], host: str) -> Iterator[dict[str, Any]]:
    """What was listed and may be ours, by an id that is text.

    Raises ProviderDown for any other id: it is there, so it must not pass for "not there" and be sent again, and
    nobody could ask for it by such a name.
    """
    for item in ours:
        ident = item.get("id")
        if not isinstance(ident, str) or not ident:
            said = f"{host}: what may be this attempt's is listed under an id that is none: {ident!r:.60}"
            raise ProviderDown(said, hint="wait and run again")
        yield item


def _all_older(times: list[float | None], cutoff: float) -> bool:
    """Whether nothing newer can follow: this whole page is older, and it visibly runs from new to old."""
    known = [at for at in times if at is not None]
    return len(known) == len(times) and bool(known) and known[0] > known[-1] and max(known) < cutoff
