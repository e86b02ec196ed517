"""Requests into shards within a provider's limits. Pure and streaming: it holds counters, never requests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Limits:
    """Per file. ``max_tokens``: prompt tokens, so that one shard alone can never exceed the host's enqueued tokens."""

    max_requests: int
    max_bytes: int
    max_tokens: int | None = None
    distinct_counts: bool = False  # every shard of a stage gets another number of rows
    first: int | None = None  # the canary: the first shard holds at most this many requests


class Cutter:
    """Assigns requests, one after the other, to numbered shards."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._shard = 0
        self._requests = self._bytes = self._tokens = 0

    def split(self, sizes: Sequence[int], tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The next requests, of ``sizes`` bytes on the wire and ``tokens`` of prompt each, as (number of the shard from
        0, how many of them it takes). They may be given in any portions: the cuts are the same.

        A single request larger than a limit gets a shard of its own (the linter has refused those that the provider
        would refuse).
        """
        ends, spent = list(accumulate(sizes, initial=0)), list(accumulate(tokens, initial=0))
        at = 0
        while at < len(sizes):
            count = self._fitting(ends, spent, at)
            if not count and self._requests:
                self._shard += 1
                self._requests = self._bytes = self._tokens = 0
                continue
            count = max(1, count)
            yield self._shard, count
            self._requests += count
            self._bytes += ends[at + count] - ends[at]
            self._tokens += spent[at + count] - spent[at]
            at += count

    def _fitting(self, ends: Sequence[int], spent: Sequence[int], at: int) -> int:
        """How many requests from ``at`` on the current shard still takes, given the running sums of all."""
        limits = self._limits
        last = min(len(ends) - 1, at + self._most() - self._requests)
        last = min(last, bisect_right(ends, ends[at] + limits.max_bytes - self._bytes) - 1)
        if limits.max_tokens is not None:
            last = min(last, bisect_right(spent, spent[at] + limits.max_tokens - self._tokens) - 1)
        return max(0, last - at)

    def _most(self) -> int:
        """The most rows that the current shard may hold."""
        if self._shard == 0 and self._limits.first is not None:
            return min(self._limits.first, self._limits.max_requests)
        # Counting down from the limit keeps full shards apart; a last, partly filled one differs unless it happens to
        # be exactly as long as another, which the look-up then treats as ambiguous.
        step = self._shard if self._limits.distinct_counts else 0
        return max(1, self._limits.max_requests - step)
