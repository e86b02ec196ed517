"""What a run does at the moment, as told to whoever looks: one step at a time, with how far it is. Floor 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Step = Literal["rendering", "sending", "asking", "waiting", "reading", "joining"]


@dataclass(frozen=True, slots=True)
class Doing:
    """One part of a step. ``about``: a stage, or the shard of a batch; ``total`` None: nobody knows.

    Requests are counted, but of ``sending`` the shards. ``note``: what the provider calls a batch's state.
    ``expected_at`` (seconds since 1970) and ``expected_basis``: when a batch is expected back, and what that rests on.
    """

    step: Step
    about: str
    done: int = 0
    total: int | None = None
    note: str = ""
    expected_at: float | None = None
    expected_basis: str | None = None


Watcher = Callable[[Sequence[Doing]], None]
"""Told all parts of the step that goes on; what was told before is over. Called from the thread that works."""


def nobody(_parts: Sequence[Doing]) -> None:
    """Nobody looks."""
