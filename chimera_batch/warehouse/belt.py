"""A belt between a thread that makes things and one that takes them, with room for so many bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class BrokenBeltError(Exception):
    """There is no next thing, because its making failed."""


class Belt(Generic[T]):
    """Things in the order in which they were put on. ``most``: bytes that may lie on it; one thing always may."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._things: deque[tuple[T, int]] = deque()
        self._ended = self._broken = self._left = False
        self._changed = Condition()

    def put(self, thing: T, size: int) -> bool:
        """Put it on as soon as there is room; False when nobody takes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or not self._held or self._held + size <= self._most)
            if self._left:
                return False
            self._things.append((thing, size))
            self._held += size
            self._changed.notify_all()
            return True

    def end(self, *, broken: bool = False) -> None:
        """Nothing follows. ``broken``: something should have, so who takes gets a BrokenBeltError at the end."""
        with self._changed:
            self._ended, self._broken = True, broken
            self._changed.notify_all()

    def leave(self) -> None:
        """Nothing will be taken any more."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def take(self) -> Iterator[T]:
        """What lies on it, until the end. Raises BrokenBeltError."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._things or self._ended)
                if self._broken:
                    raise BrokenBeltError
                if not self._things:
                    return
                thing, size = self._things.popleft()
                self._held -= size
                self._changed.notify_all()
            yield thing
