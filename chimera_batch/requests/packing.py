"""Requests into shards within a provider's limits. Pure and streaming: it holds counters, never requests."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Limits:
    """Per file. ``max_tokens``: prompt tokens, so that one shard alone can never exceed the host's enqueued tokens."""

    max_requests: int
    max_bytes: int
    max_tokens: int | None = None
    distinct_counts: bool = False  # every shard of a stage gets another number of rows
    first: int | None = None  # the canary: the first shard holds at most this many requests
    min_requests: int = 1  # a host that refuses smaller files; see ``plan``


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


class Planned:
    """A cutter whose cuts are known: so many requests for each shard, in order."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = counts
        self._shard = self._taken = 0

    def split(self, sizes: Sequence[int], tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Like ``Cutter.split``."""
        left = len(sizes)
        while left:
            if self._taken == self._counts[self._shard]:
                self._shard, self._taken = self._shard + 1, 0
            count = min(left, self._counts[self._shard] - self._taken)
            yield self._shard, count
            self._taken, left = self._taken + count, left - count


def plan(sizes: Sequence[int], tokens: Sequence[int], limits: Limits) -> list[int] | None:
    """How many requests each shard takes, none fewer than ``min_requests``; None where no cut of this order does that.

    The cuts are the Cutter's where those are good; else there are as few shards as can be, of about as many requests
    each. The canary is given up before that.
    """
    counts = _greedy(sizes, tokens, limits)
    if min(counts, default=limits.min_requests) >= limits.min_requests:
        return counts
    head = counts[0] if limits.first is not None and counts[0] >= limits.min_requests else 0
    for first in (head, 0):
        rest = _even(sizes[first:], tokens[first:], replace(limits, first=None))
        if rest is not None:
            return [first, *rest] if first else rest
    return None


def _greedy(sizes: Sequence[int], tokens: Sequence[int], limits: Limits) -> list[int]:
    counts: list[int] = []
    for shard, count in Cutter(limits).split(sizes, tokens):
        counts[shard:] = [count]  # given all requests at once, a shard is one piece
    return counts


def _even(sizes: Sequence[int], tokens: Sequence[int], limits: Limits) -> list[int] | None:
    """The fewest shards within all limits, and of those cuts one that is near to even."""
    begins = _begins(sizes, tokens, limits)
    fewest = _fewest(begins, limits.min_requests)
    end, left, counts = len(sizes), fewest[-1], list[int]()
    if left < 0:
        return None
    while left:
        even = end * (left - 1) // left
        choice = (at for at in range(begins[end], end - limits.min_requests + 1) if fewest[at] == left - 1)
        begin = min(choice, key=lambda at: abs(at - even))
        counts.append(end - begin)
        end, left = begin, left - 1
    return counts[::-1]


def _begins(sizes: Sequence[int], tokens: Sequence[int], limits: Limits) -> array[int]:
    """For each end, where at the earliest a shard that ends there may begin."""
    begins, begin, size, spent = array("q", [0]), 0, 0, 0
    most = limits.max_tokens if limits.max_tokens is not None else sum(tokens)
    for end in range(1, len(sizes) + 1):
        size, spent = size + sizes[end - 1], spent + tokens[end - 1]
        while size > limits.max_bytes or spent > most or end - begin > limits.max_requests:
            size, spent, begin = size - sizes[begin], spent - tokens[begin], begin + 1
        begins.append(begin)
    return begins


def _fewest(begins: Sequence[int], least: int) -> array[int]:
    """For each number of first requests, into how few shards they can be cut; -1 where they cannot be."""
    fewest = array("q", [0])
    best: deque[int] = deque()  # ends of earlier shards, in order, each in fewer shards than all before it
    for end in range(1, len(begins)):
        if end >= least and fewest[end - least] >= 0:
            while best and fewest[best[-1]] >= fewest[end - least]:
                best.pop()
            best.append(end - least)
        while best and best[0] < begins[end]:
            best.popleft()
        fewest.append(fewest[best[0]] + 1 if best else -1)
    return fewest
