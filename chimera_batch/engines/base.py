"""What a provider of our own machines asks an engine for. Floor 2."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chimera_batch.engines.watchdog import Gauges
from chimera_batch.providers.base import Engine


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


@dataclass(frozen=True, slots=True)
class Launch:
    """How one model is served: what differs from kind to kind. ``server.Managed`` does the rest."""

    argv: tuple[str, ...]  # without the port: --port N is added
    environment: tuple[tuple[str, str], ...]  # added to the machine's
    about: tuple[tuple[str, str], ...]  # what Server.about() says
    gauges: Gauges  # how its progress is read from /metrics

    @property
    def digest(self) -> str:
        """What names this engine among others: its command, its environment, its version."""
        told = repr((self.argv, self.environment, self.about))
        return hashlib.sha256(told.encode()).hexdigest()[:32]


Plan = Callable[[Engine, str], Launch]
"""From an engine's data and a model's name to its launch. Raises EngineFailed (not_installed) or InputError."""
