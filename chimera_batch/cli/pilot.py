"""``pilot``: a random sample first, and what it says of the rest."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import asked, showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.showing import dollars

DEFAULT = 100


@click.command()
@manifest_argument
@click.option("--stage", metavar="STAGE", help="Which stage; default: the first that has something to send.")
@click.option(
    "-n", "requests", type=int, default=DEFAULT, show_default=True, help="Requests in the sample, 30 or more."
)
@click.option("--yes", is_flag=True, help="Send the sample without asking; the budget still holds.")
@rehearsable
@click.pass_obj
def pilot(said: Said, *, manifest: Path, stage: str | None, requests: int, yes: bool) -> None:
    """Send a random sample of one stage and measure it.

    Its answers count: the run asks only the rest. Without --yes the price of the sample is shown and asked about first.
    """
    from chimera_batch import api

    confirm = None if yes or said.rehearse else asked.confirm(said)
    found = api.pilot(manifest, stage, requests, said.options(), confirm=confirm)
    if said.as_json:
        showing.document(found)
    else:
        show(found)
        showing.line(f"next:  chimera-batch run {manifest}{' --rehearse' if said.rehearse else ''}")


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
