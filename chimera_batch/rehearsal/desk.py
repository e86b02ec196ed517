"""Everything that lives in one state folder, opened together."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from chimera_batch.rehearsal import batches, tariff
from chimera_batch.rehearsal.asks import key_of
from chimera_batch.rehearsal.bill import Bill
from chimera_batch.rehearsal.caches import Shelf
from chimera_batch.rehearsal.clerk import Clerk, Errand, Mind, find_mind
from chimera_batch.rehearsal.faults import Fault, Faults, checked
from chimera_batch.rehearsal.files import Files
from chimera_batch.rehearsal.flex import Flex
from chimera_batch.rehearsal.knobs import BadSetting
from chimera_batch.rehearsal.pace import Pace
from chimera_batch.rehearsal.state import Roll, sweep
from chimera_batch.rehearsal.upstream import Link, Upstream
from chimera_batch.rehearsal.web import Request
from chimera_batch.rehearsal.works import Tools, Works


class Taken(Exception):
    """Another server has this state folder."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a server is started."""

    state: Path
    speed: float = 1200.0
    seed: int = 0
    settings: Mapping[str, Any] | None = None
    mind: Mind | None = None  # None: the one that is installed
    upstream: Link | None = None  # who answers in its place


class Desk:
    """The open state folder: one server's at a time. Raises Taken and BadSetting."""

    def __init__(self, options: Options) -> None:
        state = options.state
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.options = options
        self.settings: dict[str, Any] = {"seed": options.seed, **(options.settings or {})}
        above = Upstream(options.upstream) if options.upstream else None
        self.clerk = Clerk(options.mind or find_mind(), tariff.load(self.settings), self.settings, above)
        self._flex = Flex(self.settings)
        first = _faults(self.settings)
        self._held = _hold(state / "lock")  # from here on nothing but the disk can be wrong
        sweep(state)
        self.files = Files(state / "files")
        self.faults = Faults(state / "faults.json", first)
        self.bill = Bill(state / "billing.jsonl")
        self.planted = Roll(state / "planted.jsonl")
        self._shelf = Shelf()
        tools = Tools(self.files, self.clerk, self.bill, self.planted, self.faults, self.settings)
        self.works = Works(state / "batches", tools, _pace(options, self.settings))
        self._one_key = threading.Lock()
        self.works.start()

    def close(self) -> None:
        if self.clerk.above is not None:
            self.clerk.above.close()  # or the works would wait for hours
        self.works.stop()
        self._held.close()

    def ask(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        """A synchronous call: executed and billed before the reply. Raises Refused.

        An ``Idempotency-Key`` header is its custom id on the bill; it does not keep a call from being executed again.
        """
        custom_id = request.headers.get("idempotency-key", "")
        key = key_of(custom_id, body)
        given = self.clerk.above and self.clerk.above.ask(request.path, body)  # many at once, before the one key
        with self._one_key:  # one after the other, so that equal questions get successive attempts
            attempt = self.bill.next_attempt(key)
            errand = Errand(
                profile=request.profile,
                endpoint=request.path,
                custom_id=custom_id,
                body=body,
                attempt=attempt,
                key=key,
                now=int(time.time()),
                version=request.headers.get("anthropic-version", ""),
                shelf=self._shelf,
            )
            if errand.flex:
                self._flex.admit(key)
            done = self.clerk.passed(errand, given) if given else self.clerk.do(errand)
            self.bill.add(orjson.dumps(done.line | {"delivered": not request.lost}) + b"\n")
            if done.planted:
                kept = {name: done.line[name] for name in ("request_id", "custom_id", "batch", "attempt", "model")}
                self.planted.append(orjson.dumps(kept | {"planted": done.planted}) + b"\n")
        return done.body

    def told(self) -> dict[str, Any]:
        """The whole state, for tests and curious people."""
        now = time.time()
        requests, usd = self.bill.total()
        rows = [
            {
                "id": batch.id,
                "n": batch.n,
                "profile": batch.profile,
                "endpoint": batch.endpoint,
                "model": batch.model,
                "status": batches.status(batch, now),
                "total": batch.total,
                "faults": list(batch.faults),
                "metadata": batch.metadata,
                "created": batch.created,
            }
            for batch in self.works.all()
        ]
        files = self.files.all(purpose=None)
        return {"batches": rows, "files": files, "faults": self.faults.waiting(), "billed": requests, "usd": str(usd)}


def _pace(options: Options, settings: Mapping[str, Any]) -> Pace:
    low, high = settings.get("work_seconds", Pace().work)
    return Pace(options.speed, options.seed, work=(float(low), float(high)))


def _faults(settings: Mapping[str, Any]) -> list[Fault]:
    """What a new state folder begins with."""
    try:
        return [checked(fault) for fault in settings.get("faults", ())]
    except (ValueError, TypeError, AttributeError) as error:
        raise BadSetting(f"faults must be a list of faults: {error}") from error


def _hold(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Taken(str(path.parent)) from error
    return file
