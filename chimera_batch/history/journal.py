"""One numbered journal per store: event *n* is created or it is not, and the loser reads on and decides again.

Everything that needs an order (claims, reservations, receipts) goes through here, so two machines on one prefix see
the same history and can never both win the same claim. Every ``SEGMENT`` events are also kept in one object, so that
a reader needs a few reads and a short tail instead of thousands; what is kept grows with the events and no faster.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from chimera_batch.errors import ChimeraError, InputError, MissingObject, StoreConflict
from chimera_batch.stores.base import Store

Event = dict[str, Any]
"""A JSON object: ``n``, ``at`` (seconds since the epoch), ``by`` (owner), ``token``, ``type`` and the payload."""

FORMAT_KEY = "format.json"
FORMAT = {"format": "chimera-batch store", "version": 1}
SEGMENT = 256  # events
_YEAR_10000 = 253_402_300_800  # in seconds since the epoch: no calendar of Python goes on


def event_key(number: int) -> str:
    return f"journal/{number:012d}.json"


def segment_key(last: int) -> str:
    """Where the ``SEGMENT`` events that end with number ``last`` lie together."""
    return f"segments/{last:012d}.jsonl"


class Journal:
    """Reads and appends events. ``clock`` gives seconds since the epoch; ``owner`` names this process."""

    def __init__(self, store: Store, *, owner: str, clock: Callable[[], float]) -> None:
        self.store = store
        self.owner = owner
        self.clock = clock
        self.position = 0
        self._lines: list[bytes] = []  # events of the segment that is not full yet, one JSON line each
        self._whole = False  # looked once for events behind a missing one

    def open(self) -> None:
        """Create the store's format record, or check the one that is there.

        Raises InputError for a store of another or a newer format.
        """
        self.store.create(FORMAT_KEY, json.dumps(FORMAT).encode())
        self.check()

    def check(self) -> bool:
        """Whether this is a store yet; raises InputError when it is one that this version cannot read."""
        try:
            found = json.loads(self.store.read(FORMAT_KEY))
            version = int(found["version"]) if found["format"] == FORMAT["format"] else None
        except MissingObject:
            return False
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            version = None
        if version is None:
            raise InputError(
                "format.json there is not that of a chimera-batch store",
                where=self.store.url,
                hint="choose an empty folder or prefix: --store DIR",
            )
        if version > 1:
            raise InputError(
                f"the store has format version {version}; this version of chimera-batch reads version 1",
                where=self.store.url,
                hint="pip install --upgrade chimera-batch",
            )
        return True

    def refresh(self) -> Iterator[Event]:
        """Events not seen yet, in order. Raises StoreConflict where the journal was edited or an event is missing."""
        while True:
            if self.position % SEGMENT == 0:
                yield from self._segments()
            try:
                line = self.store.read(event_key(self.position + 1))
            except MissingObject:
                if self._whole or not self._goes_on():
                    self._whole = True
                    return
                continue
            yield self._take(line)

    def append(self, payload: Mapping[str, Any]) -> Event | None:
        """Write the next event; None when somebody else wrote that number first (refresh, then decide again)."""
        number = self.position + 1
        event: Event = {"n": number, "at": self.clock(), "by": self.owner, "token": secrets.token_hex(8), **payload}
        line = json.dumps(event, separators=(",", ":"), sort_keys=False).encode()
        if not self.store.create(event_key(number), line):
            return None
        lines = [*self._lines, line]
        self._take(line)
        if number % SEGMENT == 0 and len(lines) == SEGMENT:
            with suppress(ChimeraError):  # a shortcut for readers; the event stands, and its fold must not be lost
                self.store.create(segment_key(number), b"\n".join(lines) + b"\n")
        return event

    def _segments(self) -> Iterator[Event]:
        """The whole segments that follow, one read each; a missing one is read event by event instead."""
        for key in self.store.list("segments/", after=segment_key(self.position)):
            if key != segment_key(self.position + SEGMENT):
                return
            try:
                lines = self.store.read(key).splitlines()
            except MissingObject:  # deleted: a listing may still name it
                return
            for line in lines:
                yield self._take(line)

    def _goes_on(self) -> bool:
        """Whether the event that was missing just now is there after all, since later ones are."""
        missing = event_key(self.position + 1)
        if next(iter(self.store.list("journal/", after=missing)), None) is None:
            return False
        if not self.store.exists(missing):
            raise self._damaged("later events are there, but this one is missing")
        return True

    def _take(self, line: bytes) -> Event:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # the latter: nested more deeply than Python follows
            raise self._damaged("this event is no JSON") from None
        if not isinstance(event, dict) or not _is_event(event):
            raise self._damaged("this is no event")
        if event.get("n") != self.position + 1:
            raise self._damaged(f"event {event.get('n')!r} stands where event {self.position + 1} belongs")
        self.position += 1
        self._lines.append(line)
        if self.position % SEGMENT == 0:
            self._lines = []
        return event

    def _damaged(self, what: str) -> StoreConflict:
        return StoreConflict(
            what,
            where=f"{self.store.url}/{event_key(self.position + 1)}",
            hint="the journal was edited or copied in part; restore the store from its backup",
        )


def _is_event(found: Mapping[str, Any]) -> bool:
    """Whether it has what every event has, in the kinds that those are read as."""
    at = found.get("at")
    named = all(isinstance(found.get(name), str) for name in ("type", "by", "token"))
    return named and isinstance(at, int | float) and 0 <= at < _YEAR_10000
