"""A status document on one screen, for ``run``, ``advance`` and ``status``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chimera_batch.cli import showing
from chimera_batch.cli.showing import dollars
from chimera_batch.cli.spans import expected

_LISTED = 3  # attempts with suspected dollars that are named
_SHORTER = "bills are below quotes because a rehearsal's answers are shorter than the manifest assumes of real ones"
_HEADING = ("stage", "wanted", "answered", "in flight", "to send", "given up", "rows", "spent", "quoted")


def summary(status: Mapping[str, Any]) -> None:
    """Print where every stage stands and what it cost."""
    side = " · rehearsal" if status["rehearsal"] else ""
    showing.line(f"run {status['run']}{side} · {status['state']} · store {status['store']}")
    showing.table(list(_rows(status)), total=True)
    for text in _notes(status):
        showing.line(text)
    if status["rehearsal"]:
        showing.line(showing.REHEARSAL)
        if any(_outside(stage) == "below" and not _measured(stage) for stage in status["stages"]):
            showing.line(_SHORTER)


def _rows(status: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield _HEADING
    total = dict.fromkeys(("wanted", "answered", "in_flight", "to_send", "given_up"), 0)
    for stage in status["stages"]:
        rows = "-" if stage["rows"] is None else f"{stage['rows']:,}"
        if stage["kind"] == "sql":
            yield (stage["stage"], *("-",) * 5, rows, "-", "-")
            continue
        counts = {**stage, "to_send": stage["packed"] + stage["retryable"] + stage["not_asked"]}
        for name in total:
            total[name] += counts[name]
        spent, quoted = dollars(stage["usd_spent"]), _likely([stage])
        yield (stage["stage"], *(f"{counts[name]:,}" for name in total), rows, spent, quoted)
    asking = [stage for stage in status["stages"] if stage["kind"] == "ask"]
    spent = dollars(status["usd_spent"])
    yield ("total", *(f"{count:,}" for count in total.values()), "", spent, _likely(asking))


def _likely(stages: Sequence[Mapping[str, Any]]) -> str:
    """What stages were said to cost; a dash where one of them never was."""
    quotes = [stage["quoted"] for stage in stages]
    return dollars(sum(quote["likely"] for quote in quotes)) if quotes and all(quotes) else "-"


def _notes(status: Mapping[str, Any]) -> Iterator[str]:
    budget = "no budget set" if status["budget"] is None else f"budget {dollars(status['budget'])}"
    reserved = f", {dollars(status['usd_reserved'])} reserved" if status["usd_reserved"] else ""
    yield f"spent {dollars(status['usd_spent'])}{reserved}, {budget}"
    if status["budget_day"] is not None:
        yield f"today {dollars(status['usd_today'])} of {dollars(status['budget_day'])} spent, reserved or suspected"
    if status["usd_suspected"]:
        yield f"suspected {dollars(status['usd_suspected'])}: possibly charged, never delivered{_suspects(status)}"
    for stage in status["stages"]:
        yield from (f"{stage['stage']}: {_fell(switch)}" for switch in stage["switches"])
    yield from map(_bill, (stage for stage in status["stages"] if stage["usd_spent"]))
    for stage in status["stages"]:
        bad = {name: count for name, count in stage["outcomes"].items() if name != "ok"}
        if bad:
            yield f"{stage['stage']}: {', '.join(f'{count:,} {name}' for name, count in bad.items())}"
        yield from (f"{stage['stage']}: {reason}" for reason in stage["reasons"])
        if stage["orphaned"]:
            yield f"{stage['stage']}: {stage['orphaned']:,} answers to rows that are no longer asked for"
    if status["halted"] and status["state"] != "done":
        yield "cancelled: nothing more is sent until somebody types the next line; what was finished is kept"
    yield from status["notes"]
    yield from (f"needs you: {need}" for need in status["needs"])


def _fell(switch: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(switch["at"], UTC)
    return f"fell back from {switch['from']} to {switch['to']} at {at:%Y-%m-%d %H:%M} UTC ({switch['reason']})"


def _bill(stage: Mapping[str, Any]) -> str:
    """What a stage cost beside what it was said to cost, by kept row, and what of it bought no usable answer."""
    spent, quote, side = stage["usd_spent"], stage["quoted"], _outside(stage)
    # less than somebody assumed is no cause for alarm; less than was measured is
    alarm = side == "above" or (side and _measured(stage))
    text = f"{'! ' if alarm else ''}{stage['stage']}: {dollars(spent)}"
    if quote:
        span = f"{dollars(quote['low'])} to {dollars(quote['high'])} ({quote['basis']})"
        text += f", {side} the quoted {span}" if side else f" of a quoted {span}"
    if stage["usd_per_kept_row"] is not None:
        text += f"; {dollars(stage['usd_per_kept_row'])} a kept row"
    wasted = sorted(stage["wasted"].items(), key=lambda item: -item[1]["usd"])
    lost = ", ".join(f"{dollars(one['usd'])} on {one['requests']:,} {name}" for name, one in wasted)
    return text + (f"; wasted: {lost}" if lost else "")


def _outside(stage: Mapping[str, Any]) -> str:
    """On which side of its quote a stage ended, if outside: too much shows at any time, too little at its end."""
    spent, quote = stage["usd_spent"], stage["quoted"]
    if quote and spent > quote["high"]:
        return "above"
    over = stage["rows"] is not None and stage["answered"] + stage["given_up"] == stage["wanted"]
    return "below" if quote and over and spent < quote["low"] else ""


def _measured(stage: Mapping[str, Any]) -> bool:
    """Whether the quote rests on answers, and not on what the manifest assumes of them."""
    return bool(stage["quoted"]["basis"].startswith(("pilot", "measured")))


def _suspects(status: Mapping[str, Any]) -> str:
    """Which attempts the suspected dollars belong to, the dearest first."""
    found = [b for stage in status["stages"] for b in stage["batches"] if b["usd_suspected"]]
    found.sort(key=lambda batch: -batch["usd_suspected"])
    names = [f"{batch['shard']} {batch['id'] or 'attempt ' + str(batch['attempt'])}" for batch in found[:_LISTED]]
    more = [f"{len(found) - _LISTED:,} more"] if len(found) > _LISTED else []
    return f" ({', '.join(names + more)})" if names else ""


def batches(status: Mapping[str, Any]) -> None:
    """Print the batches that a provider has not finished."""
    now = time.time()
    heading = ("stage", "shard", "attempt", "provider", "batch", "state", "done", "expected back")
    rows = [
        (
            stage["stage"],
            batch["shard"],
            str(batch["attempt"]),
            batch["provider"],
            batch["id"] or "-",
            batch["state"] or "-",
            f"{batch['done']:,} of {batch['requests']:,}",
            expected(batch["expected_at"], batch["expected_basis"], now),
        )
        for stage in status["stages"]
        for batch in stage["batches"]
        if not batch["outcomes"] and not batch["reason"]
    ]
    if rows:
        showing.line()
        showing.table([heading, *rows])


def over_budget(status: Mapping[str, Any]) -> None:
    """Print what a budget left undone, if that is what stopped the run."""
    if status["over_budget"]:
        showing.line(f"over budget: {status['over_budget']['message']}")


def what_next(lines: Sequence[str]) -> None:
    """Print what to type, one command a line."""
    for number, text in enumerate(lines):
        showing.line(f"{'next:' if number == 0 else '     '}  {text}")
