"""Refresh cost/prices.toml from the data inside the genai-prices package; a person reviews the difference.

For developers, not installed with the package and not run by anything:

    pip install genai-prices
    python scripts/refresh_prices.py --as-of 2026-11-09                    # shows what would change; exit 1 if anything
    python scripts/refresh_prices.py --as-of 2026-11-09 --write            # writes it
    python scripts/refresh_prices.py --as-of 2026-11-09 openai/gpt-6-luna  # this model only; a new one is added

Rows that came from elsewhere (``source``) are left alone unless they are named. What a row of ours adds to theirs
(aliases, retire_on) is carried over, and so is effective_from while no rate changes. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PRICES = Path(__file__).resolve().parent.parent / "chimera_batch" / "cost" / "prices.toml"
SOURCE = "genai-prices"

FIELDS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "output": "output_mtok",
}
CONTEXT = {"processing": "batch"}  # spelt wrongly, the package silently answers with the standard price
_NOT_RATES = ("provider", "model", "aliases", "effective_from", "retire_on", "source", "as_of")


class UnpricedError(Exception):
    """The package has no such model, or prices it in a way that a row of ours cannot say."""


@dataclass(frozen=True)
class Wanted:
    """One model to look up: where, what it is called, when, and what our row of it says by now."""

    provider: str
    model: str
    as_of: date
    kept: Mapping[str, Any]

    @property
    def on(self) -> datetime:
        return datetime.combine(self.as_of, time(), UTC)


def find(provider_id: str, model: str) -> Any:
    """The package's record of a model."""
    for provider in import_module("genai_prices.data").providers:
        if provider.id == provider_id:
            for record in provider.models:
                if record.is_match(model.lower()) or record.id.lower() == model.lower():
                    return record
    raise UnpricedError(f"{SOURCE} has no {provider_id}/{model}")


def rates(prices: Mapping[str, Any], tokens: int) -> dict[str, Decimal]:
    """Our field names with the rates of a request that has this much input."""
    found: dict[str, Decimal] = {}
    for ours, theirs in FIELDS.items():
        value = prices.get(theirs)
        if value is not None:
            passed = [step.price for step in getattr(value, "tiers", ()) if tokens > step.start]
            found[ours] = passed[-1] if passed else getattr(value, "base", value)
    return found


def thresholds(*prices: Mapping[str, Any]) -> list[int]:
    fields = [p.get(theirs) for p in prices for theirs in FIELDS.values()]
    return sorted({step.start for value in fields for step in getattr(value, "tiers", ())})


def standard_prices(record: Any, on: datetime) -> Mapping[str, Any]:
    """The prices in force. Raises UnpricedError where no row of ours can say them."""
    conditions = record.prices if isinstance(record.prices, list) else ()
    if any(hasattr(condition.constraint, "start_time") for condition in conditions):
        raise UnpricedError(f"{record.id} changes its price with the time of day")
    found: dict[str, Any] = record.get_prices(on).__dict__
    if found.get("input_mtok") is None:
        raise UnpricedError(f"{record.id} has no price per token of input")
    if found.get("requests_kcount") is not None:
        raise UnpricedError(f"{record.id} also costs something per request")
    return found


def batch_prices(record: Any, on: datetime) -> dict[str, Any]:
    """The record's own batch variants, the first that names a rate winning; without what they would inherit."""
    found: dict[str, Any] = {}
    for variant in record.price_variants or ():
        if variant.when == CONTEXT and (variant.constraint is None or variant.constraint.active(on)):
            for name, value in variant.prices.__dict__.items():
                found.setdefault(name, value)
    return {name: value for name, value in found.items() if value is not None and name in FIELDS.values()}


def whole_batch(standard: Mapping[str, Decimal], batch: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """A batch rate for every standard one. A list that is silent about a rate leaves the standard one in force, except
    that one silent about cached tokens gives no cache discount: they cost what its input costs."""
    fallback = {**standard, "cached_input": batch.get("input", standard["input"])}
    return {name: batch.get(name, fallback[name]) for name in standard} if batch else {}


def columns(standard: dict[str, Decimal], batch: dict[str, Decimal], multiplier: Decimal | None) -> dict[str, Decimal]:
    """The rates to write down: every standard one, and each batch one that the multiplier does not give."""
    different = {n: rate for n, rate in batch.items() if multiplier is None or rate != standard[n] * multiplier}
    return standard | {f"batch_{name}": rate for name, rate in different.items()}


def discount(standard: Mapping[str, Decimal], batch: Mapping[str, Decimal]) -> Decimal | None:
    """The batch price as a part of the standard one; None if there is none that is exact."""
    if not batch or not standard["input"]:
        return None
    share = (batch["input"] / standard["input"]).normalize()
    return share if share * standard["input"] == batch["input"] and len(share.as_tuple().digits) <= 4 else None


def plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def since(record: Any, on: datetime) -> date | None:
    """The latest start date among the prices in force: from then on the whole row holds."""
    conditions = [*(record.prices if isinstance(record.prices, list) else ()), *(record.price_variants or ())]
    starts = [getattr(c.constraint, "start_date", None) for c in conditions if getattr(c, "when", CONTEXT) == CONTEXT]
    return max((start for start in starts if start and start <= on.date()), default=None)


def rate_lines(record: Any, on: datetime) -> list[str]:
    """Everything about a row that is a price. Raises UnpricedError for a model that cannot be priced by the token."""
    standard, batch = standard_prices(record, on), batch_prices(record, on)

    def both(tokens: int) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        here = {"output": Decimal(0)} | rates(standard, tokens)  # an embedding has no output
        here = {name: here[name] for name in FIELDS if name in here}
        return here, whole_batch(here, rates(batch, tokens))

    base, halves = both(0)
    multiplier = discount(base, halves)
    lines = [f'{name} = "{plain(value)}"' for name, value in columns(base, halves, multiplier).items()]
    if multiplier is not None:
        lines.append(f'batch_multiplier = "{plain(multiplier)}"')
    tiers = [
        f"{{ above_input_tokens = {start}"
        + "".join(f', {name} = "{plain(v)}"' for name, v in columns(*both(start + 1), multiplier).items())
        + " }"
        for start in thresholds(standard, batch)
    ]
    if tiers:
        lines.append(f"tier = {tiers[0]}" if len(tiers) == 1 else "tier = [\n  " + ",\n  ".join(tiers) + ",\n]")
    return lines


def row(wanted: Wanted) -> str:
    """One ``[[price]]`` table as text, without a blank line in it."""
    record, kept = find(wanted.provider, wanted.model), wanted.kept
    found = rate_lines(record, wanted.on)
    old = {name: value for name, value in kept.items() if name not in _NOT_RATES}
    told = since(record, wanted.on) or kept.get("effective_from") or wanted.as_of
    if old and old != tomllib.loads("\n".join(found)) and told <= kept.get("effective_from", date.min):
        told = wanted.as_of  # changed since then, and the package does not say when
    lines = ["[[price]]", f'provider = "{wanted.provider}"', f'model = "{wanted.model}"']
    if "aliases" in kept:
        lines.append(f"aliases = [{', '.join(chr(34) + alias + chr(34) for alias in kept['aliases'])}]")
    lines += [f"effective_from = {told}", *found]
    if "retire_on" in kept:
        lines.append(f"retire_on = {kept['retire_on']}")
    lines += [f'source = "{SOURCE} {version(SOURCE)}"', f"as_of = {wanted.as_of}"]
    return "\n".join(lines) + "\n"


def refreshed(text: str, as_of: date, models: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The price table with its rows made anew, and what could not be: comments, order and other rows stay."""
    blocks = re.split(r"^(?=\[\[price\]\]$)", text, flags=re.MULTILINE)
    ours = {}
    for place, block in enumerate(blocks[1:], 1):
        (kept,) = tomllib.loads(block)["price"]
        ours[f"{kept['provider']}/{kept['model']}"] = place, kept  # of several dates, the last in the file
    complaints, added = [], []
    for name in models or [name for name, (_, kept) in ours.items() if kept.get("source", "").startswith(SOURCE)]:
        place, kept = ours.get(name, (0, {}))
        provider, _, model = name.partition("/")
        try:
            made = row(Wanted(provider, model, as_of, kept))
        except UnpricedError as error:
            complaints.append(str(error))
            continue
        if place:
            blocks[place] = made + blocks[place][len(_row_of(blocks[place])) :]
        else:
            added.append((provider, made))
    for provider, made in added:
        _insert(blocks, provider, made)
    return "".join(blocks), complaints


def _row_of(block: str) -> str:
    """A block without the blank line and the comments behind its row."""
    return block.split("\n\n", 1)[0].rstrip("\n") + "\n"


def _insert(blocks: list[str], provider: str, made: str) -> None:
    """A new row behind the last one of its provider, or at the end."""
    same = [place for place, block in enumerate(blocks) if f'\nprovider = "{provider}"\n' in block]
    last = same[-1] if same else len(blocks) - 1
    old = _row_of(blocks[last]) if last else blocks[last]
    blocks[last : last + 1] = [old + "\n", made + blocks[last][len(old) :]]


def main(argv: Sequence[str] | None = None, path: Path = PRICES) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="PROVIDER/MODEL")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True, help="when the package's data was checked")
    parser.add_argument("--write", action="store_true", help="write the file; without it only the difference is shown")
    options = parser.parse_args(argv)
    before = path.read_text("utf-8")
    after, complaints = refreshed(before, options.as_of, options.models)
    lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
    sys.stdout.writelines(difflib.unified_diff(*lines, path.name, "refreshed", n=4))
    for complaint in complaints:
        print(complaint, file=sys.stderr)  # noqa: T201  what a person is told
    if options.write and not complaints:
        path.write_text(after, "utf-8")
    return 1 if complaints or (before != after and not options.write) else 0


if __name__ == "__main__":
    sys.exit(main())
