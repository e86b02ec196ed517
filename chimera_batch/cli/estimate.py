"""``estimate``: the price before a cent is spent."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.showing import dollars
from chimera_batch.cli.spans import span

SMALL = 0.1  # of the likely total: what more than this costs to hurry is not suggested
_GUESSES = ("low", "likely", "high", "synchronous")


@click.command()
@manifest_argument
@click.option("--ceiling", is_flag=True, help="Show the most that it can cost instead of the range.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV, amounts in dollars.")
@click.option("--explain", is_flag=True, help="List what is saved, and against what.")
@rehearsable
@click.pass_obj
def estimate(said: Said, /, *, manifest: Path, ceiling: bool, as_csv: bool, explain: bool) -> None:
    """What the run would still cost.

    Requests, tokens and dollars per stage, with what each figure rests on. Sends and writes nothing.
    """
    from chimera_batch import api

    found = api.plan(manifest, said.options())
    if said.as_json:
        showing.document(found)
        return
    if as_csv:
        _csv(found)
        return
    show(found, ceiling=ceiling)
    if explain:
        for text in explained(found["savings"]):
            showing.line(text)


def show(found: Mapping[str, Any], *, ceiling: bool = False) -> None:
    """Print an estimate: the table, what it rests on, and every warning."""
    from chimera_batch.cost.estimate import table

    rows = table(found)
    hidden = _GUESSES if ceiling else ()
    keep = [n for n, name in enumerate(rows[0]) if name not in hidden]
    showing.table([[row[n] for n in keep] for row in rows], total=True)
    for text in _notes(found):
        showing.line(text)


def _csv(found: Mapping[str, Any]) -> None:
    """One line a stage, every amount a plain number."""
    import csv

    from chimera_batch.warehouse.result import csv_cell

    out = csv.writer(sys.stdout, lineterminator="\n")
    counts = ("requests", "input_tokens", "output_tokens")
    usd = ("low", "likely", "high", "ceiling")
    out.writerow(("stage", "provider", "model", *counts, *(f"usd_{name}" for name in usd), "sync_usd", "basis"))
    for stage in found["stages"]:
        names, amounts = (stage[n] for n in ("stage", "provider", "model", *counts)), (stage["usd"][n] for n in usd)
        out.writerow(map(csv_cell, (*names, *amounts, stage["sync_usd"], stage["basis"])))


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    total, budget = found["total"], found["budget"]
    yield f"likely {dollars(total['likely'])} ({dollars(total['low'])} to {dollars(total['high'])}), " + (
        f"at most {dollars(most(found))}; asked one by one: {dollars(found['sync_total'])}"
    )
    yield _waiting(found)
    if hours := sum(stage["machine_hours"] or 0 for stage in found["stages"]):
        yield f"beside that, machines of your own work about {span(hours * 3600)}, at the speeds of their price rows"
    for entry in found["now"]:
        if entry["usd_extra"] <= SMALL * total["likely"]:
            yield f"window: now for {entry['stage']} would save {_nights(entry['turnarounds_saved'])} and cost " + (
                f"{dollars(entry['usd_extra'])} more"
            )
    day = f", {dollars(found['budget_day'])} a day" if found["budget_day"] is not None else ""
    if budget is not None:
        yield f"budget {dollars(budget)}, of which {dollars(found['budget_left'])} is left{day}"
    else:
        yield f"no budget is set{day and ' but a cap of the day: ' + day[2:]}"
    if found["prices_as_of"]:
        yield f"prices as of {found['prices_as_of']}"
    for warning in found["warnings"]:
        yield f"warning: {warning}"


def most(found: Mapping[str, Any]) -> float:
    """The most that can still be spent: the ceiling, or what the budget leaves if that is less."""
    left = found["budget_left"]
    return float(found["total"]["ceiling"] if left is None else min(found["total"]["ceiling"], left))


def _waiting(found: Mapping[str, Any]) -> str:
    """How long it takes, in turnarounds of a provider and in hours."""
    turns, hours = found["turnarounds"], found["hours"]
    to = f" to {turns['max']}" if turns["max"] > turns["likely"] else ""
    usual = f"about {hours['likely']:,.1f} h as batches took so far, " if hours["likely"] else ""
    return f"turnarounds (nights), one after the other: {turns['likely']}{to}; {usual}at most {hours['max']:,.0f} h"


def _nights(turnarounds: int) -> str:
    return "a turnaround" if turnarounds == 1 else f"{turnarounds} turnarounds"


def explained(saved: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The savings as lines for people."""
    for entry in saved:
        amount = "" if entry["usd"] is None else f": {dollars(entry['usd'])}"
        yield f"saved in {entry['stage']}: {entry['saving']}{amount}   (off with: {entry['switch']})"
    yield "only what failed is asked again, equal questions are asked once per store, and waves stop at their target"
