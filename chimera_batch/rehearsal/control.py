"""The paths under ``/_rehearsal/``: for tests and people, never for a client of a provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.rehearsal.desk import Desk
from chimera_batch.rehearsal.guests import Guests
from chimera_batch.rehearsal.web import Reply, Request


def answer(desk: Desk, seen: Sequence[dict[str, Any]], guests: Guests, request: Request) -> Reply:
    """Raises Refused: 404 for an unknown path, 400 for an unknown fault."""
    asked = request.method, request.path.removeprefix("/_rehearsal/")
    if asked == ("POST", "faults"):
        return _order(desk, request)
    if asked == ("DELETE", "faults"):
        desk.faults.clear()
        return Reply(body=[])
    if asked == ("POST", "join"):
        return Reply(body={"joined": guests.join(_pid(request))})
    if asked == ("POST", "leave"):
        return Reply(body={"closing": guests.leave(_pid(request))})
    told: dict[tuple[str, str], Callable[[], Any]] = {
        ("GET", "health"): lambda: _health(desk),
        ("GET", "state"): desk.told,
        ("GET", "requests"): lambda: list(seen),
        ("GET", "double-payments"): lambda: double_payments(desk.bill.roll),
        ("GET", "faults"): desk.faults.waiting,
    }
    if asked not in told:
        raise Refused(404, f"Nothing at {request.path}.")
    return Reply(body=told[asked]())


def _health(desk: Desk) -> dict[str, Any]:
    return {"ok": True, "pid": os.getpid(), "state": str(desk.state.resolve()), "speed": desk.options.speed}


def _pid(request: Request) -> int:
    pid = request.json().get("pid")
    if type(pid) is not int or pid < 1:
        raise Refused(400, "pid must be the id of a process.")
    return pid


def _order(desk: Desk, request: Request) -> Reply:
    try:
        given = orjson.loads(b"".join(request.chunks))
        desk.faults.add([given] if isinstance(given, dict) else given)
    except (ValueError, AttributeError, TypeError) as error:
        raise Refused(400, f"This is not a list of faults: {error}") from error
    return Reply(body=desk.faults.waiting())
