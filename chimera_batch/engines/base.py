"""What a provider of our own machines asks an engine for. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Server(Protocol):
    """One engine of this machine, started when it is first needed. Safe to use from several threads."""

    def address(self, model: str) -> str:
        """The base URL (``http://127.0.0.1:PORT/v1``) of a healthy server of ``model``.

        Starts it, restarts it if it died or got stuck, changes the model, or finds one that a killed runner left.
        Waits up to ``Engine.start_s`` seconds. Raises EngineFailed where none can be had.
        """
        ...

    def about(self) -> Mapping[str, str]:
        """What answered: ``engine``, its ``version`` and ``flags`` as one text. Recorded with each answer."""
        ...

    def finished(self) -> None:
        """A reply came: progress, for the watchdog."""
        ...

    def close(self) -> None:
        """Stop the engine. It may not be used afterwards."""
        ...
