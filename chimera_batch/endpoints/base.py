"""What an endpoint promises: everything about one API path that can be known without a network.

Floor 1, pure: no SDK, no clock, no environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chimera_batch.records import Call, Message, Reply

Wire = dict[str, Any]
"""One line of a batch file as an object, ``custom_id`` first."""


class Endpoint(Protocol):
    """One API path: how its requests are written and how its answers are read."""

    @property
    def path(self) -> str:
        """As a manifest and a batch name it, e.g. ``/v1/chat/completions``."""
        ...

    @property
    def marks_cache(self) -> bool:
        """Whether a request must say that its beginning is to be cached."""
        ...

    def body(self, call: Call, messages: Sequence[Message]) -> dict[str, Any]:
        """The request body; equal arguments give equal bytes (the keys are always in the same order)."""
        ...

    def line(self, custom_id: str, body: Mapping[str, Any]) -> Wire: ...

    def ceiling(self, line: Mapping[str, Any]) -> int | None:
        """The output ceiling in tokens that a wire object carries; None where there is none."""
        ...

    def with_ceiling(self, line: Mapping[str, Any], n: int) -> Wire:
        """A copy with another output ceiling, at the same place; the argument is left alone."""
        ...

    def with_cache(self, line: Mapping[str, Any], *, on: bool) -> Wire:
        """A copy that marks its beginning for the prompt cache, or does not; alike where the host caches unasked."""
        ...

    def problems(self, line: Mapping[str, Any]) -> list[str]:
        """What the provider would refuse in this wire object, one sentence each; empty when it would pass."""
        ...

    def reply(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        """A successful (HTTP 200) response body as a Reply. Never raises for an odd body: that is an outcome."""
        ...
