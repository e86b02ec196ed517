"""Errors, sorted by what the person does next.

    ChimeraError                      1   unexpected, or a bug to report
    ├── InputError                    2   edit and run again
    ├── OverBudget                    3   raise the budget or stop here
    ├── NeedsDecision                 4   decide: adopt, resend, retry, --yes
    ├── NotFinished                   5   wait and run again
    └── ProviderError                 1   something a provider said
        ├── ProviderDown              5   wait and run again: transport, 429, 5xx after the retries
        │   └── EngineFailed         2|5   our own engine: edit what it was given, or run again
        ├── ProviderRefused           2   a definite 4xx: nothing was created
        ├── AccountRefused            4   key, billing, quota: every request would fail
        └── MaybeCreated              -   create's fate is unknown: look it up, never resend blindly

Every error carries a message (what, where) and a hint (the line to type next). Floor 0.
"""

from __future__ import annotations

from typing import Any, Literal


class ChimeraError(Exception):
    """Base of all errors that this package raises on purpose.

    ``where`` is "file:line", a row key or a store key; ``hint`` is what to do, ideally a line that can be pasted.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.document: dict[str, Any] | None = None  # the status at that moment, where a run stopped short

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InputError(ChimeraError):
    """The manifest, a file beside it, an option or the store is not usable as it is."""

    exit_code = 2


class OverBudget(ChimeraError):
    """Sending more could pass the budget; what was sent stays valid."""

    exit_code = 3


class NeedsDecision(ChimeraError):
    """Only a person may choose: an ambiguous batch, a broken stage, an unconfirmed price."""

    exit_code = 4


class NotFinished(ChimeraError):
    """A provider is still working."""

    exit_code = 5


class StoreDown(NotFinished):
    """The store does not answer for now; nothing is wrong with what it holds."""


class StoreConflict(ChimeraError):
    """An object that must not exist yet exists with other bytes."""


class MissingObject(ChimeraError):
    """An object that a fact names is not in the store."""


class ProviderError(ChimeraError):
    """Base of what can come back from a provider, translated in one place per SDK."""


class ProviderDown(ProviderError):
    """Transport failure, 408, 409, 429 or 5xx that outlasted the retries. ``retry_after`` in seconds, if told.

    ``lost``: it was sent and no usable reply came back, so what it asked for may have been done, and charged.
    ``full``: the host's queue is full; it takes more when something of ours has left it.
    """

    exit_code = 5
    full = False

    def __init__(
        self, message: str, *, retry_after: float | None = None, hint: str | None = None, lost: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.lost = lost


EngineWhy = Literal["no_gpu", "out_of_memory", "crash", "stalled", "not_installed"]


class EngineFailed(ProviderDown):
    """An engine of our own does not start, or does not stay up after its restarts. ``why`` is what fallback rules ask.

    Nothing that it was asked is lost money: what it did not answer is simply unanswered. The message holds the engine's
    own last words and its log file. A crash or a stall may pass (exit 5); the others need another manifest or machine.
    """

    def __init__(self, message: str, *, why: EngineWhy, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.why: EngineWhy = why
        self.exit_code = 5 if why in {"crash", "stalled"} else 2


class ProviderRefused(ProviderError):
    """A definite refusal (4xx): the request had no effect. ``status`` is the HTTP status."""

    exit_code = 2

    def __init__(self, message: str, *, status: int, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class AccountRefused(ProviderError):
    """Key, permission, billing or quota: every request of this account would be refused."""

    exit_code = 4


class MaybeCreated(ProviderError):
    """The reply to create was lost; the batch may or may not exist."""
