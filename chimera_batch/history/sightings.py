"""Which looks at a batch are worth an event. Pure.

What a provider says of a batch may change at every look: words that alternate, counts that go up and down, a batch that
is over and is not. A long night must not fill the journal with that, and nobody must take a batch for over that was
seen to go on.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from chimera_batch.history.facts import Attempt

EVERY = 300.0
"""Seconds between two records of a batch's count."""
STEPS = 100
"""Records of a batch's rising count at the most, however long it works."""
WORDS = 20
"""Words for one batch that are each written down when they are first heard."""
LONGEST = 3600.0
"""Seconds after which what was told before is written down again at the latest, if it is what the provider says now."""
_DOUBLED = 4  # times until the pause is that long


class Look(NamedTuple):
    """What a provider says of a batch. ``over``: it has ended, and its results are not (all) there yet."""

    status: str
    done: int
    over: bool = False


def news(attempt: Attempt, look: Look, at: float) -> bool:
    """Whether a reader of the journal needs to know of a look (at ``at``, seconds since 1970)."""
    if attempt.over and not look.over:
        return True  # it goes on after all: nobody may believe any more that it stayed over
    idle = inf if attempt.seen_at is None else at - attempt.seen_at
    again = repeats(attempt, look)
    if (look.status, look.over) != (attempt.status, attempt.over):
        return not again or idle >= _pause(attempt.repeats)
    since = attempt.done if again else attempt.most
    moved = abs(look.done - since) * STEPS >= attempt.requests or since != look.done == attempt.requests
    return look.done != since and moved and idle >= max(EVERY, _pause(attempt.repeats) if again else 0)


def repeats(attempt: Attempt, look: Look) -> bool:
    """Whether a look says only what was said before: an old word again, or a count that was passed already."""
    if (look.status, look.over) == (attempt.status, attempt.over):
        return not attempt.most < look.done <= attempt.requests
    return look.status in attempt.words or len(attempt.words) >= WORDS


def note(attempt: Attempt, look: Look, at: float) -> None:
    """Write a look down in the facts."""
    attempt.repeats += repeats(attempt, look)
    attempt.words.add(look.status)
    attempt.most = max(attempt.most, min(look.done, attempt.requests))
    attempt.status, attempt.done, attempt.over, attempt.seen_at = look.status, look.done, look.over, at


def _pause(repeats: int) -> float:
    """Seconds for which what was said before waits: none at first, then 5 minutes, 15, 35, an hour."""
    return min(LONGEST, EVERY * ((1 << min(repeats, _DOUBLED)) - 1))
