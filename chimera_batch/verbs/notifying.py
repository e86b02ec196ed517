"""Tells a person that a run is done, stuck or over budget: by webhook, by command, or both; once until that changes.

What was told is a fact in the journal, so that ``advance`` under cron does not say every five minutes that it is stuck.
A message that cannot be delivered is one line of progress and never the end of a run.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal

import orjson

from chimera_batch import settings
from chimera_batch.context import Context
from chimera_batch.cost.money import dollars
from chimera_batch.errors import ChimeraError, InputError, NotFinished, OverBudget
from chimera_batch.steps.fingerprints import digest

Event = Literal["done", "stuck", "budget"]

_TRIES = 3
_SECONDS = 15.0  # for one delivery
_JSON = {"Content-Type": "application/json"}


@contextmanager
def telling(ctx: Context) -> Iterator[None]:
    """Tell how what happens inside ends: at its end that the run is done, or by its error what stopped it.

    Of a run that was to go as far as some stage nothing is told there: it is not done, and nobody is needed.
    """
    if ctx.project.notify is None:
        yield
        return
    try:
        yield
    except Exception as error:
        event = event_of(error)
        if event:
            _tell(ctx, event, _words(error), getattr(error, "hint", None))
        raise
    if ctx.to_the_end:
        _tell(ctx, "done", "every table is made", None)


def event_of(error: Exception) -> Event | None:
    """Which event an error is; None where nothing is wrong that waiting would not mend."""
    if isinstance(error, OverBudget):
        return "budget"
    if isinstance(error, ChimeraError) and error.exit_code == NotFinished.exit_code:
        return None  # it goes on by itself, or when the same command is typed again
    return "stuck"


def _words(error: Exception) -> str:
    """An error of ours in its own words; of any other only its kind, for its text may hold anything."""
    return str(error) if isinstance(error, ChimeraError) else f"unexpected {type(error).__name__}"


def document(ctx: Context, event: Event, reason: str, hint: str | None) -> dict[str, Any]:
    """What is sent: ``text`` is the line that chat programs show; amounts are USD as text."""
    spent, budget = ctx.facts.spent(ctx.run), ctx.budget_usd
    of = "" if budget is None else f" of {dollars(budget)}"
    what = {"done": "is done", "stuck": "needs you", "budget": "is over its budget"}[event]
    rehearsal = "REHEARSAL: " if ctx.rehearse else ""
    return {
        "text": f"{rehearsal}{ctx.run} {what} ({dollars(spent)}{of} spent): {reason}",
        "run": ctx.run,
        "event": event,
        "reason": reason,
        "hint": hint,
        "usd_spent": _plain(spent),
        "budget": None if budget is None else _plain(budget),
        "manifest": str(ctx.project.path),
        "rehearsal": ctx.rehearse,
    }


def _tell(ctx: Context, event: Event, reason: str, hint: str | None) -> None:
    """Deliver, unless the same was told last; what reached nobody is told again next time."""
    notify = ctx.project.notify
    said = document(ctx, event, reason, hint)
    mark = digest([said[name] for name in ("event", "reason", "usd_spent")])
    if notify is None or event not in notify.on or ctx.facts.told.get(ctx.run) == mark:
        return
    body = orjson.dumps(said)
    ways: list[tuple[str, Callable[[], None]]] = []
    if (name := notify.url_env) is not None:
        ways.append((f"the webhook in {name}", lambda: _post(ctx, name, body)))
    if words := notify.command:
        ways.append((f"the command {words[0]}", lambda: _run(words, body)))
    failed = [f"{way} was not told ({event}): {why}" for way, send in ways if (why := _failure(send))]
    for line in failed:
        ctx.say(line)
    if len(failed) < len(ways):
        try:
            ctx.ledger.told(ctx.run, mark)
        except ChimeraError as error:  # how the run ended is what counts; at the worst it is told twice
            ctx.say(f"that it was told ({event}) could not be written down: {error}")


def _failure(send: Callable[[], None]) -> str | None:
    try:
        send()
    except (InputError, OSError, subprocess.SubprocessError) as error:
        return error.message if isinstance(error, InputError) else str(error)
    return None


def _post(ctx: Context, name: str, body: bytes) -> None:
    """POST to a webhook. Its address is a secret: it stands in no message, and no redirection is followed."""
    import httpx2  # noqa: PLC0415 - only here, and slow to import

    url, said = settings.webhook(name), ""
    for attempt in range(_TRIES):
        if attempt:
            ctx.sleep(2.0**attempt)
        try:
            status = _within(_SECONDS, lambda: _status(url, body))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            said = type(error).__name__
            continue
        if 200 <= status < 300:
            return
        said = f"HTTP {status}"
        if status < 500 and status != 429:
            break
    raise ConnectionError(said)


def _status(url: str, body: bytes) -> int:
    """What the receiver answers; the text that it adds is not read, as it may have no end."""
    import httpx2  # noqa: PLC0415 - see _post

    with httpx2.stream("POST", url, content=body, headers=_JSON, timeout=_SECONDS, follow_redirects=False) as reply:
        return int(reply.status_code)


def _within(seconds: float, act: Callable[[], int]) -> int:
    """What ``act`` returns or raises. Raises TimeoutError after so many seconds: a receiver that drips its answer byte
    by byte never meets the time-out of a single read. The thread that waits for it ends with the process."""
    done: Future[int] = Future()

    def work() -> None:
        try:
            done.set_result(act())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=work, name="webhook", daemon=True).start()
    return done.result(seconds)


def _run(words: tuple[str, ...], body: bytes) -> None:
    """Run a person's command, without a shell, with the document on its standard input.

    What it prints goes nowhere: a pipe would be waited for as long as a process that it left behind holds it.
    """
    nowhere = subprocess.DEVNULL
    done = subprocess.run(words, input=body, stdout=nowhere, stderr=nowhere, timeout=_SECONDS, check=False)  # noqa: S603
    if done.returncode:
        raise ChildProcessError(f"it ended with {done.returncode}")


def _plain(usd: Decimal) -> str:
    return format(usd.normalize() if usd else Decimal(0), "f")
