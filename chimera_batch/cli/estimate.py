"""``estimate``: the price before a cent is spent."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.showing import dollars

_GUESSES = ("low", "likely", "high", "synchronous")


@click.command()
@manifest_argument
@click.option("--ceiling", is_flag=True, help="Show the most that it can cost instead of the range.")
@click.option("--explain", is_flag=True, help="List what is saved, and against what.")
@rehearsable
@click.pass_obj
def estimate(said: Said, manifest: Path, ceiling: bool, explain: bool) -> None:
    """What the run would still cost.

    Requests, tokens and dollars per stage, with what each figure rests on. Sends and writes nothing.
    """
    from chimera_batch import api

    found = api.plan(manifest, said.options())
    if said.as_json:
        showing.document({**found, "savings": savings(found)} if explain else found)
        return
    show(found, ceiling=ceiling)
    if explain:
        for text in explained(savings(found)):
            showing.line(text)


def show(found: Mapping[str, Any], *, ceiling: bool = False) -> None:
    """Print an estimate: the table, what it rests on, and every warning."""
    from chimera_batch.estimate import table

    rows = table(found)
    hidden = _GUESSES if ceiling else ()
    keep = [n for n, name in enumerate(rows[0]) if name not in hidden]
    showing.table([[row[n] for n in keep] for row in rows], total=True)
    for text in _notes(found):
        showing.line(text)


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    total, nights = found["total"], found["turnarounds"]
    yield f"likely {dollars(total['likely'])}, at most {dollars(total['ceiling'])}; asked one by one: " + (
        f"{dollars(found['sync_total'])}"
    )
    likely, most = nights["likely"], nights["max"]
    yield f"turnarounds of a provider, one after the other: {likely}" + (f" to {most}" if most > likely else "")
    budget = found["budget"]
    yield (f"budget {dollars(budget)}" if budget is not None else "no budget is set") + (
        f"; prices as of {found['prices_as_of']}" if found["prices_as_of"] else ""
    )
    for warning in found["warnings"]:
        yield f"warning: {warning}"


def savings(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each stage does not cost, in dollars of the likely figure; pure."""
    saved = []
    for stage in found["stages"]:
        usd = round(stage["sync_usd"] - stage["usd"]["likely"], 6)
        if stage["basis"] == "answered":
            saved.append({"stage": stage["stage"], "saving": "answered already", "usd": None})
        elif usd > 0:
            saved.append({"stage": stage["stage"], "saving": "batch instead of synchronous price", "usd": usd})
    return saved


def explained(saved: list[dict[str, Any]]) -> Iterator[str]:
    """The savings as lines for people."""
    if not saved:
        yield "nothing is saved: no stage has a batch price below its synchronous one, and nothing is answered yet"
    for entry in saved:
        amount = "" if entry["usd"] is None else f": {dollars(entry['usd'])}"
        yield f"saved in {entry['stage']}: {entry['saving']}{amount}"
    yield "equal questions are asked once per store; cache hits are not counted on"
