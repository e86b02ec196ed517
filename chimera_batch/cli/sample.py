"""What a pilot's sample said, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chimera_batch.cli import showing
from chimera_batch.cli.showing import dollars


def show(found: Mapping[str, Any]) -> None:
    """Print what a sample said."""
    side = " · rehearsal" if found["rehearsal"] else ""
    head = f"{found['stage']} · {found['provider']}/{found['model']} · {found['basis']} of {found['wanted']:,} requests"
    showing.line(head + side)
    if found["n"]:
        showing.table([("", "mean", "95 %", ""), *_rows(found)])
    for text in _notes(found):
        showing.line(text)


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    tokens, cut, usd, kept = (found[name] for name in ("output_tokens", "truncated", "usd_per_request", "kept"))
    more = f"p50 {tokens['p50']:,}  p95 {tokens['p95']:,}  max {tokens['max']:,}"
    yield "output tokens", f"{tokens['mean']:,.0f}", f"{tokens['low']:,.0f} to {tokens['high']:,.0f}", more
    yield (
        "input tokens",
        f"{found['input_tokens']['mean']:,.0f}",
        "",
        f"counted {found['input_tokens']['counted']:,.0f}",
    )
    yield "truncated", f"{cut['mean']:.1%}", f"{cut['low']:.1%} to {cut['high']:.1%}", f"{cut['requests']:,} requests"
    yield "a request", dollars(usd["mean"]), f"{dollars(usd['low'])} to {dollars(usd['high'])}", ""
    if kept is None:
        return
    if kept["low"] is None:
        yield "rows a request", f"{kept['mean']:,.2f}", "", f"{kept['rows']:,} rows"
    else:
        yield "kept", f"{kept['mean']:.1%}", f"{kept['low']:.1%} to {kept['high']:.1%}", f"{kept['rows']:,} rows"
    if found["usd_per_kept_row"] is not None:
        yield "a kept row", dollars(found["usd_per_kept_row"]), "", ""


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    rest, usd = found["rest"], found["rest"]["usd"]
    yield f"spent on this stage so far: {dollars(found['usd_spent'])}"
    if rest["requests"]:
        span = f"{dollars(usd['low'])} to {dollars(usd['high'])}"
        yield f"the rest: {rest['requests']:,} requests, likely {dollars(usd['likely'])} ({span}), at most " + (
            f"{dollars(usd['ceiling'])} ({rest['basis']})"
        )
