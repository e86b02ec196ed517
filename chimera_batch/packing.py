"""Requests into shards within a provider's limits. Pure and streaming: it holds counters, never requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Per file. ``max_tokens``: prompt tokens, so that one shard alone can never exceed the host's enqueued tokens."""

    max_requests: int
    max_bytes: int
    max_tokens: int | None = None
    distinct_counts: bool = False  # every shard of a stage gets another number of rows
    first: int | None = None  # the canary: the first shard holds at most this many requests


@dataclass(slots=True)
class _Room:
    requests: int
    bytes: int
    tokens: int


def cut(sizes: Iterable[tuple[int, int]], limits: Limits) -> Iterator[bool]:
    """For each request ``(bytes on the wire, prompt tokens)``: does a new shard begin here?

    The first answer is always True. A single request larger than a limit gets a shard of its own (the linter has
    refused those that the provider would refuse).
    """
    room = _Room(0, 0, 0)
    shard = -1
    for size, tokens in sizes:
        full = (
            room.requests >= _most(limits, shard)
            or room.bytes + size > limits.max_bytes
            or (limits.max_tokens is not None and room.tokens + tokens > limits.max_tokens)
        )
        begins = shard < 0 or (full and room.requests > 0)
        if begins:
            shard += 1
            room = _Room(0, 0, 0)
        room.requests += 1
        room.bytes += size
        room.tokens += tokens
        yield begins


def _most(limits: Limits, shard: int) -> int:
    """The most rows that shard number ``shard`` may hold."""
    if shard == 0 and limits.first is not None:
        return limits.first
    # Counting down from the limit keeps full shards apart; a last, partly filled one differs unless it happens to be
    # exactly as long as another, which the look-up then treats as ambiguous.
    step = max(0, shard) if limits.distinct_counts else 0
    return max(1, limits.max_requests - step)
