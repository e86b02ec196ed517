"""``status --watch``: the same screen again and again, or a line for each change, until the run is at its end."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said
from chimera_batch.cli.showing import dollars

SECONDS = 3.0  # between two looks
QUIET = 60.0  # seconds without a change and with nothing in flight, after which nobody works on the run

DONE, OVER_BUDGET, DECIDE, UNFINISHED = 0, 3, 4, 5  # the exit codes of `run`


def watch(path: Path, said: Said, show: Callable[[Mapping[str, Any]], None]) -> int:
    """Look until the run is at its end; the exit code that `run` has there. ``show`` prints the screen."""
    shown: Mapping[str, Any] = {}
    redraws = showing.to_terminal() and not said.as_json
    for found in _looks(path, said):
        if redraws:
            click.clear()
            show(found)
        elif not said.as_json and found != shown:
            showing.line(line_of(found, datetime.now(UTC)))
        sys.stdout.flush()
        shown = found
    if said.as_json:
        showing.document(shown)
    elif not redraws:
        show(shown)
    return code_of(shown)


def code_of(status: Mapping[str, Any]) -> int:
    """What `run` would end with: 0 done, 3 over budget, 4 a person must decide, 5 not finished."""
    if status["state"] in {"done", "stuck"}:
        return DONE if status["state"] == "done" else DECIDE
    if any(stage["in_flight"] for stage in status["stages"]):
        return UNFINISHED
    if status["halted"]:
        return DECIDE
    return OVER_BUDGET if status["over_budget"] else UNFINISHED


def line_of(status: Mapping[str, Any], now: datetime) -> str:
    """One line for a log: when, how far, what it cost."""
    asking = [stage for stage in status["stages"] if stage["wanted"]]
    stages = [
        f"{stage['stage']} {stage['answered']:,} of {stage['wanted']:,}"
        + (f" ({stage['in_flight']:,} in flight)" if stage["in_flight"] else "")
        for stage in asking
    ]
    far = ", ".join(stages) or "nothing asked yet"
    return f"{now:%H:%M:%S} UTC  {status['run']} {status['state']}: {far}; spent {dollars(status['usd_spent'])}"


def _looks(path: Path, said: Said) -> Iterator[dict[str, Any]]:
    """The status now, and again until the run is at its end, or nobody moves it any more.

    A cancel or a budget that stood there at the first look is no end yet: a ``run`` typed beside it goes on from there.
    """
    from chimera_batch import api

    before: dict[str, Any] | None = None
    since, moved = time.monotonic(), False
    while True:
        found = api.status(path, said.options())
        yield found
        facts = _facts(found)
        if facts != before:
            moved = before is not None
            before, since = facts, time.monotonic()
        moving = any(stage["in_flight"] for stage in found["stages"])
        at_end = found["state"] in {"done", "stuck"} or (moved and code_of(found) != UNFINISHED)
        if at_end or (not moving and time.monotonic() - since >= QUIET):
            return
        time.sleep(SECONDS)


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """What only the run's moving changes: a hint counts the minutes to midnight."""
    over = found["over_budget"]
    return {**found, "over_budget": over and over["message"]}
