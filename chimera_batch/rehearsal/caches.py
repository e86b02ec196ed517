"""Prompt caches at their best effort: a prefix is written when first seen; later it is read, or written again."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from chimera_batch.rehearsal import prefixes
from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.knobs import number, section
from chimera_batch.rehearsal.prefixes import Mark
from chimera_batch.rehearsal.terms import Touched


class Shelf:
    """The prefixes written so far where they are shared: in one batch, or by all synchronous calls of a server."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str, bytes]] = set()
        self._lock = threading.Lock()

    def longest(self, profile: str, model: str, marks: Sequence[Mark]) -> int:
        """Tokens of the longest of these prefixes that is held, or 0; from now on all of them are."""
        places = [(profile, model, mark.digest) for mark in marks]
        with self._lock:
            found = [mark.tokens for mark, place in zip(marks, places, strict=True) if place in self._held]
            self._held.update(places)
        return max(found, default=0)


class Caches:
    """``settings["caches"]``; without it nothing is cached here. Raises BadSetting."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        told = section(settings, "caches")
        self.on = told is not None
        self._seed = settings.get("seed", 0)
        if told is not None:
            self._hit = number(told["hit"], "caches.hit", most=1)
            self._least = int(number(told["min_tokens"], "caches.min_tokens", least=1))

    def marks(self, body: Mapping[str, Any], *, anthropic: bool) -> list[Mark]:
        """The prefixes of a request that are long enough, shortest first."""
        return (prefixes.of_messages if anthropic else prefixes.of_openai)(body, self._least)

    def touch(self, held: int, marks: Sequence[Mark], key: str, attempt: int) -> Touched:
        """What one request reads and writes, when a prefix of ``held`` tokens was written before."""
        hit = held and uniforms(self._seed, "cache", key, attempt)[0] < self._hit
        read = at = held if hit else 0
        short = long = 0
        for mark in marks:
            added, at = max(0, mark.tokens - at), max(at, mark.tokens)
            short, long = (short, long + added) if mark.long else (short + added, long)
        return Touched(read, short, long)
