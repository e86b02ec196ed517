"""What comes before a run: ``init``, ``check``, ``prices``, ``doctor``."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chimera_batch.cli import showing
from chimera_batch.cli.completing import MANIFEST
from chimera_batch.cli.said import Said, manifest_argument, rehearsable
from chimera_batch.cli.summary import what_next

if TYPE_CHECKING:
    from chimera_batch.cost.money import Price, Tier


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".", metavar="[DIR]")
@click.pass_obj
def init(said: Said, directory: Path) -> None:
    """Write the built-in pipeline into DIR.

    Manifests, prompts and SQL, to start from. Nothing that exists is overwritten.
    """
    from chimera_batch.commands import command
    from chimera_batch.pipeline.shipped import init as copy

    files = copy(directory)
    manifest = directory / "manifests" / "quickstart.yaml"
    again = command("run", manifest, rehearse=True)
    if said.as_json:
        showing.document({"directory": str(directory), "files": [str(path) for path in files], "next": again})
        return
    showing.line(f"{len(files)} files in {directory}: manifests, prompts, sql")
    what_next([again])


@click.command()
@manifest_argument
@rehearsable
@click.pass_obj
def check(said: Said, manifest: Path) -> None:
    """Find what is wrong, without spending.

    The manifest, its prompts, SQL and schemas, the prices, and every request that can be rendered by now.
    """
    from chimera_batch import api

    found = api.check(manifest, said.options())
    if said.as_json:
        showing.document(found)
        return
    heading = ("stage", "asked", "window", "requests", "different questions")
    rows = [
        (s["stage"], s["provider"], s["window"], f"{s['requests']:,}", f"{s['distinct']:,}") for s in found["stages"]
    ]
    if rows:
        showing.table([heading, *rows])
    for warning in found["warnings"]:
        showing.line(f"warning: {warning}")
    wait = "; stages below these wait for their inputs" if rows else ""
    showing.line(f"{found['run']}: nothing wrong was found{wait}")


@click.command()
@click.argument("model", required=False)
@click.option("--file", "own", type=click.Path(path_type=Path), metavar="FILE",
              help="A price file of your own over the shipped table, as a manifest's prices: names it.")  # fmt: skip
@click.pass_obj
def prices(said: Said, model: str | None, own: Path | None) -> None:
    """The price table with its dates.

    In USD per million tokens. MODEL is a part of a model's name, or all of it.
    """
    from chimera_batch.cost import prices as tables
    from chimera_batch.cost.tokens import counter
    from chimera_batch.errors import InputError

    book = tables.load(own, said.price)
    rows = [row for row in book.rows if model is None or any(model.lower() in n.lower() for n in _names(row))]
    if not rows:
        raise InputError(f"no model of the price table is called like {model!r}", hint="chimera-batch prices")
    if said.as_json:
        as_of = book.as_of.isoformat() if book.as_of else None
        showing.document({"currency": "USD", "per": "million tokens", "as_of": as_of, "prices": [*map(_price, rows)]})
        return
    heading = ("model", "input", "cached", "output", "batch input", "batch output", "retires", "as of")
    showing.table([heading, *(_price_row(row) for row in rows)])
    for row in rows:
        if row.gpu is not None:
            showing.line(f"{row.provider}/{row.model}: {row.gpu}")
        for tier in row.tiers:
            showing.line(
                f"{row.provider}/{row.model} above {tier.above_input_tokens:,} tokens of input: {_tier_line(row, tier)}"
            )
        if model is not None:
            showing.line(f"{row.provider}/{row.model} tokens: {counter(row.model).basis}")
    showing.line("USD per million tokens; a dash: no batch price is known, the standard one is used")


def _tier_line(row: Price, tier: Tier) -> str:
    rates = [(tier.standard, ""), (tier.batch, " in a batch")] if row.batch_known else [(tier.standard, "")]
    return ", ".join(f"{_usd(rate.input)} in and {_usd(rate.output)} out{where}" for rate, where in rates)


def _usd(rate: Decimal) -> str:
    """A price to read, in six digits: the rates of a machine by the hour have 12 places."""
    return f"{Context(prec=6).plus(rate).normalize():f}"


def _names(row: Price) -> list[str]:
    return [f"{row.provider}/{name}" for name in sorted(row.names)]


def _price_row(row: Price) -> tuple[str, ...]:
    batch = (_usd(row.batch.input), _usd(row.batch.output)) if row.batch_known else ("-", "-")
    dates = tuple(str(day) if day else "-" for day in (row.retire_on, row.as_of))
    standard = (row.standard.input, row.standard.cached_input, row.standard.output)
    return (f"{row.provider}/{row.model}", *map(_usd, standard), *batch, *dates)


def _price(row: Price) -> dict[str, Any]:
    from dataclasses import asdict

    from chimera_batch.cost.tokens import counter

    def both(part: Price | Tier) -> dict[str, Any]:
        rates = {"standard": part.standard, "batch": part.batch if row.batch_known else None}
        return {kind: each and {k: float(v) for k, v in asdict(each).items()} for kind, each in rates.items()}

    return {
        "provider": row.provider,
        "model": row.model,
        "aliases": sorted(row.names - {row.model}),
        **both(row),
        "tiers": [{"above_input_tokens": tier.above_input_tokens, **both(tier)} for tier in row.tiers],
        "tokens": counter(row.model).basis,
        "gpu": row.gpu and {name: float(number) for name, number in asdict(row.gpu).items()},
        **{name: _iso(getattr(row, name)) for name in ("effective_from", "retire_on", "as_of")},
        "source": row.source,
    }


def _iso(day: Any) -> str | None:
    return day.isoformat() if day else None


@click.command()
@click.argument("manifest", type=MANIFEST, required=False)
@rehearsable
@click.pass_context
def doctor(ctx: click.Context, manifest: Path | None) -> None:
    """What is installed, reachable and missing.

    With MANIFEST or --store the store is written to and read, with MANIFEST its providers' keys are looked for.
    Keys are named, never shown. Exit 2 if something that is needed is broken.
    """
    from chimera_batch.verbs import doctoring

    said: Said = ctx.obj
    found = doctoring.examine(manifest, said.options())
    if said.as_json:
        showing.document(found)
    else:
        heading = ("what", "state", "detail")
        showing.table([heading, *((c["name"], c["state"], c["detail"]) for c in found["checks"])])
        for checked in found["checks"]:
            if checked["hint"]:
                showing.line(f"{checked['name']}: {checked['hint']}")
        showing.line("ready" if found["ok"] else "something that is needed is broken")
    ctx.exit(0 if found["ok"] else 2)
