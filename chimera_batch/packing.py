"""Requests into shards within a provider's limits. Pure and streaming: it holds counters, never requests."""

from __future__ import annotations

from dataclasses import dataclass


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
        self._shard = -1
        self._requests = self._bytes = self._tokens = 0

    def add(self, size: int, tokens: int) -> int:
        """The number of the shard, from 0, that takes a request of ``size`` bytes on the wire and ``tokens`` of prompt.

        A single request larger than a limit gets a shard of its own (the linter has refused those that the provider
        would refuse).
        """
        if self._shard < 0 or (self._requests and self._is_full_for(size, tokens)):
            self._shard += 1
            self._requests = self._bytes = self._tokens = 0
        self._requests += 1
        self._bytes += size
        self._tokens += tokens
        return self._shard

    def _is_full_for(self, size: int, tokens: int) -> bool:
        limits = self._limits
        return (
            self._requests >= self._most()
            or self._bytes + size > limits.max_bytes
            or (limits.max_tokens is not None and self._tokens + tokens > limits.max_tokens)
        )

    def _most(self) -> int:
        """The most rows that the current shard may hold."""
        if self._shard == 0 and self._limits.first is not None:
            return min(self._limits.first, self._limits.max_requests)
        # Counting down from the limit keeps full shards apart; a last, partly filled one differs unless it happens to
        # be exactly as long as another, which the look-up then treats as ambiguous.
        step = self._shard if self._limits.distinct_counts else 0
        return max(1, self._limits.max_requests - step)
