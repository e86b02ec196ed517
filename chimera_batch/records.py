"""The nouns that every room shares: frozen, without behaviour beyond what they say about themselves.

``Usage`` and ``Reply`` are tuples, because one of each is made for every result line: a frozen dataclass takes ten
times as long.

Floor 0: imports nothing of the project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Outcome = Literal["ok", "truncated", "refused", "invalid", "error", "expired", "cancelled", "missing"]
"""What became of one request in one attempt. ``invalid``: the answer does not fit the stage's schema."""

_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Caching = bool | Literal["auto"]
"""Whether a request marks its beginning for the provider's prompt cache; ``auto``: while what is measured pays."""

Phase = Literal["working", "ended", "rejected"]
"""``rejected``: the provider refused the file as a whole; nothing was executed and nothing is billed."""


class Usage(NamedTuple):
    """Tokens of one answer, in one convention for all providers.

    ``input_tokens`` is the total, cache reads and cache writes included (Anthropic's own field excludes them);
    ``output_tokens`` includes reasoning.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0  # at the provider's short or only TTL
    cache_write_long_tokens: int = 0  # Anthropic 1 h, OpenAI 12 h
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Reply(NamedTuple):
    """One decoded result line: whose it is and what became of it, before the schema check."""

    custom_id: str
    outcome: Outcome
    text: str | None = None
    reasoning: str | None = None
    embedding: tuple[float, ...] | None = None
    finish: str | None = None  # the provider's own stop reason
    model: str | None = None  # as the provider returned it
    usage: Usage | None = None
    code: str | None = None  # the provider's error code, or the HTTP status as text
    message: str | None = None
    transient: bool = False  # an error that may pass by itself: 408, 429, 5xx, time-outs, overload
    account: bool = False  # hits every row (quota, billing, key): stop and tell the person
    tier: str | None = None  # the service tier that the provider says it used, in its own word
    machine_ns: int | None = None  # nanoseconds of a machine of one's own: its share of the time that it was busy


@dataclass(frozen=True, slots=True)
class Intent:
    """One sending of a shard's open requests, decided before the provider is asked."""

    shard: str
    attempt: int  # 1 for the first sending
    nonce: str  # 8 hex digits, in front of every custom id of this attempt
    sha256: str  # of the exact bytes sent, hex
    requests: int
    bytes: int
    endpoint: str  # "/v1/chat/completions", "/v1/messages", …
    model: str
    window: str  # "24h", or "now" or "flex" for synchronous calls
    run: str
    at: float  # seconds since the epoch, when the intent was written

    @property
    def file_name(self) -> str:
        """The name under which the file is uploaded; unique, so that an orphaned upload can be found."""
        return f"chimera-{self.shard}-{self.attempt}-{self.nonce}.jsonl"

    @property
    def metadata(self) -> dict[str, str]:
        """What an OpenAI-style host keeps beside the batch, so that a lost reply can be looked up."""
        return {
            "chimera_run": self.run[:512],
            "chimera_shard": self.shard,
            "chimera_attempt": str(self.attempt),
            "chimera_nonce": self.nonce,
            "chimera_sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of a provider's whole-file validation."""

    code: str | None
    line: int | None  # 1-based line of the sent file
    message: str


@dataclass(frozen=True, slots=True)
class BatchState:
    """What the provider says of a batch now. Never decides what is read: files are read whenever they exist."""

    id: str
    status: str  # the provider's own word, shown to people
    phase: Phase
    done: int = 0
    total: int | None = None
    files: tuple[str, ...] = ()  # handles that fetch() understands; output first, then errors
    problems: tuple[Problem, ...] = ()
    usage: Usage | None = None  # the provider's own total, where it gives one
    created_at: float | None = None  # seconds since the epoch, the provider's clock
    nonce: str | None = None  # from the batch's metadata, where the provider keeps it


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """How one stage asks one model: everything about a request body except the messages.

    All of it but ``max_output_tokens`` and ``cache`` shapes the answer and is part of the request id.
    """

    provider: str  # profile name
    endpoint: str  # path, "/v1/chat/completions"
    model: str
    max_output_tokens: int
    effort: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    schema_name: str | None = None  # ≤ 64 of a-zA-Z0-9_-
    schema: str | None = None  # canonical JSON text of the response schema
    cache: Caching = False  # mark the shared prefix (system message) for the provider's prompt cache
    extra: str = "{}"  # canonical JSON text: further body fields, from the manifest


def hours_of(window: str) -> float:
    """Hours of a window such as ``24h``; synchronous calls have none."""
    match = re.fullmatch(r"(\d+)([mhd])", window)
    return int(match[1]) * _HOURS[match[2]] if match else 0.0


def synchronous(window: str) -> bool:
    """Whether a window means single calls that answer at once, and no batch: ``now`` and ``flex``."""
    return window in {"now", "flex"}


def batch_priced(window: str) -> bool:
    """Whether a window is billed at the batch rates: every batch, and ``flex``."""
    return window != "now"
