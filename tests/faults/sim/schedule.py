"""What goes wrong, and when: a list of faults drawn from a seed, to be printed, played again and made shorter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

HOSTS = ("north", "south")


@dataclass(frozen=True, slots=True)
class Fault:
    """The ``nth`` time that ``spot`` is reached (counted from 0, over the whole week) this happens there.

    ``spot``: ``store.VERB``, ``HOST.VERB`` of a call, or ``HOST.batch`` of a batch that comes to be. ``share``: of the
    rows or of the time, where the kind has a use for it; ``salt`` tells which rows.
    """

    spot: str
    nth: int
    kind: str
    share: float = 0.0
    salt: int = 0

    def __str__(self) -> str:
        more = f" ({self.share:.0%})" if self.share else ""
        return f"{self.spot} #{self.nth}: {self.kind}{more}"


@dataclass(frozen=True, slots=True)
class Sort:
    """Faults of one sort: where they can be, about how often a week passes there, how often one is drawn."""

    spots: tuple[str, ...]
    kinds: tuple[str, ...]
    passes: int  # of a spot in a week, roughly: ``nth`` is drawn below it
    most: float  # drawn in one week


def _at(*verbs: str) -> tuple[str, ...]:
    return tuple(f"{host}.{verb}" for host in HOSTS for verb in verbs)


ROWS = (
    "rows_dropped",
    "rows_twice",
    "rows_twice_and_other",
    "rows_foreign",
    "rows_of_nobody",
    "rows_half",
    "rows_utf8",
    "rows_nul",
    "rows_line_separator",
    "rows_huge",
    "rows_shuffled",
    "rows_error_500",
    "rows_error_429",
    "rows_no_response",
    "rows_status_0",
    "rows_quota",
    "rows_truncated",
    "rows_invalid",
    "rows_no_usage",
    "rows_empty",
)
BATCHES = (
    "batch_expired",
    "batch_expired_without_files",
    "batch_cancelled",
    "batch_refused_lines",
    "batch_refused",
    "batch_queue_full",
    "batch_counts_lie",
    "batch_empty_ids",
    "batch_all_fail",
    "batch_unknown_word",
    "batch_finalizing",
    "batch_files_late",
    "batch_one_file_late",
    "batch_never_ends",
    "batch_listed_late",
    "batch_listed_very_late",
    "batch_clock_ahead",
    "batch_clock_behind",
    "batch_flaps",
)
_EVERYWHERE = (*_at("upload", "create", "find", "state", "fetch", "discard", "ask", "cancel"), "store.create")
SORTS: Mapping[str, Sort] = {
    "rows": Sort(_at("batch"), ROWS, 8, 8),
    "batches": Sort(_at("batch"), BATCHES, 8, 6),
    "create": Sort(_at("create"), ("lost", "lost_after", "lost_late", "down", "refused", "account"), 8, 4),
    "reads": Sort(_at("state"), ("down", "gone", "account"), 150, 3),
    "files": Sort(_at("fetch"), ("down", "cut", "cut", "gone"), 9, 3),
    "uploads": Sort(_at("upload"), ("down", "down_after", "account"), 8, 2),
    "lists": Sort(_at("find", "find_uploads"), ("down", "loops"), 3, 2),
    "cleaning": Sort(_at("discard", "cancel"), ("down",), 8, 1),
    "calls": Sort(_at("ask"), ("lost", "lost_after", "down", "account", "refused", "truncated", "broken"), 16, 5),
    "store": Sort(("store.create",), ("down", "down_after", "credentials"), 180, 2),
    "store reads": Sort(("store.read", "store.fetch", "store.list"), ("down",), 900, 1),
    "lag": Sort(("store.list",), ("lags",), 100, 1),
    "kills": Sort(_EVERYWHERE, ("kill", "kill_after"), 9, 3),
    "store kills": Sort(("store.create",), ("kill", "kill_after"), 180, 2),
    "pauses": Sort(_EVERYWHERE, ("pause",), 9, 1.6),
}


def draw(seed: int) -> list[Fault]:
    """The faults of one week. Some weeks have few, so that one fault's own consequences show."""
    dice = random.Random(f"schedule {seed}")
    share = dice.choice((0.4, 1.0, 1.0))
    return sorted(_faults(dice, share), key=lambda fault: (fault.spot, fault.nth, fault.kind))


def _faults(dice: random.Random, share: float) -> Iterator[Fault]:
    for sort in SORTS.values():
        for _ in range(round(dice.uniform(0, sort.most) * share)):
            nth = int(sort.passes * dice.random() ** 2)  # the first passes are made in every week
            rows = round(dice.choice((0.1, 0.4, 1.0)) * dice.uniform(0.5, 1), 3)
            yield Fault(dice.choice(sort.spots), nth, dice.choice(sort.kinds), rows, dice.randrange(1 << 30))


def shrink(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool]) -> list[Fault]:
    """The faults that are needed for a week to fail: halves are left out first, then one after the other."""
    left, size = list(faults), max(1, len(faults) // 2)
    while True:
        before, start = len(left), 0
        while start < len(left):
            fewer = left[:start] + left[start + size :]
            if fails(fewer):
                left = fewer
            else:
                start += size
        if size == 1 and len(left) == before:
            return left
        size = max(1, size // 2)
