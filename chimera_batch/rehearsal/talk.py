"""What the server asks a mind and what a mind says: the whole contract between HTTP and the answer generators.

``chimera_batch.rehearsal.minds.answer(ask: Ask) -> Said`` implements it. An answer depends on ``key``, the messages,
the schema, ``attempt`` and ``settings`` alone, never on a clock, a batch or the order of execution, so that a killed
and resumed run ends with the same bytes as an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as a mind sees it, whichever dialect it came in."""

    profile: str  # "openai", "anthropic", …: the host that the request was sent to
    model: str
    system: str  # all system and developer text, joined by a blank line
    user: str  # all user text, joined by a blank line
    schema_name: str | None
    schema: dict[str, Any] | None  # the response's JSON schema; None asks for free text
    key: str  # 32 hex digits: the request's identity across attempts and batches
    attempt: int  # 1 for the first execution of this key
    max_output_tokens: int  # reasoning included; the server cuts what is longer
    settings: Mapping[str, Any] = field(default_factory=dict)  # "seed" (int) and the rates of planted faults


@dataclass(frozen=True, slots=True)
class Said:
    """An answer before it is put into a provider's shape."""

    text: str  # JSON text where a schema was given
    reasoning: str | None
    output_tokens: int  # reasoning included; all of them are billed
    reasoning_tokens: int
    refused: bool = False
    planted: str | None = None  # the fault that was planted on purpose; goes to planted.jsonl, never over the wire
