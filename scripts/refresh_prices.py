"""Print price rows for chimera_batch/prices.toml from the data inside the genai-prices package; a person reviews them.

For developers, not installed with the package and not run by anything:

    pip install genai-prices
    python scripts/refresh_prices.py --as-of 2026-11-09                # every row of prices.toml that came from there
    python scripts/refresh_prices.py --as-of 2026-11-09 openai/gpt-6-luna

What a row of ours adds to theirs (aliases, retire_on) is carried over. Nothing is written; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PRICES = Path(__file__).resolve().parent.parent / "chimera_batch" / "prices.toml"
SOURCE = "genai-prices"

FIELDS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "output": "output_mtok",
}
CONTEXT = {"processing": "batch"}  # spelt wrongly, the package silently answers with the standard price


def find(provider_id: str, model: str) -> Any:
    """The package's record of a model; exits when there is none."""
    for provider in import_module("genai_prices.data").providers:
        if provider.id == provider_id:
            for record in provider.models:
                if record.is_match(model.lower()) or record.id.lower() == model.lower():
                    return record
    sys.exit(f"{SOURCE} has no {provider_id}/{model}")


def rates(prices: Any, tier: int | None) -> dict[str, Decimal]:
    """Our field names with the rate below all tiers, or in the tier that starts at ``tier`` tokens."""
    found: dict[str, Decimal] = {}
    for ours, theirs in FIELDS.items():
        value = prices.__dict__.get(theirs)
        if value is None:
            continue
        steps = {step.start: step.price for step in getattr(value, "tiers", ())}
        found[ours] = getattr(value, "base", value) if tier is None else steps[tier]
    return found


def thresholds(prices: Any) -> list[int]:
    return sorted({s.start for theirs in FIELDS.values() for s in getattr(prices.__dict__.get(theirs), "tiers", ())})


def batch_prices(record: Any, on: datetime) -> Any | None:
    """The record's own batch variant, without what it would inherit from the standard price."""
    for variant in record.price_variants or ():
        if variant.when == CONTEXT and (variant.constraint is None or variant.constraint.active(on)):
            return variant.prices
    return None


def columns(standard: dict[str, Decimal], batch: dict[str, Decimal], multiplier: Decimal | None) -> dict[str, Decimal]:
    """The rates to write down: every standard one, and each batch one that the multiplier does not give."""
    written = dict(standard)
    for name, value in standard.items():
        # A batch price list that is silent about cached tokens gives no cache discount: they cost what input costs.
        rate = batch.get(name, batch.get("input"))
        if rate is not None and rate != value * (multiplier or 0):
            written[f"batch_{name}"] = rate
    return written


def plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def since(record: Any, on: datetime) -> date | None:
    """The latest start date among the prices in force: from then on the whole row holds."""
    conditions = [*(record.prices if isinstance(record.prices, list) else ()), *(record.price_variants or ())]
    starts = [getattr(c.constraint, "start_date", None) for c in conditions if getattr(c, "when", CONTEXT) == CONTEXT]
    return max((start for start in starts if start and start <= on.date()), default=None)


def row(provider: str, model: str, as_of: date, kept: dict[str, Any]) -> str:
    """One ``[[price]]`` table as text."""
    record, on = find(provider, model), datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    standard, batch = record.get_prices(on), batch_prices(record, on)
    base = rates(standard, None)
    halves = rates(batch, None) if batch else {}
    multiplier = halves["input"] / base["input"] if halves else None
    lines = ["[[price]]", f'provider = "{provider}"', f'model = "{model}"']
    if "aliases" in kept:
        lines.append(f"aliases = [{', '.join(chr(34) + alias + chr(34) for alias in kept['aliases'])}]")
    lines.append(f"effective_from = {since(record, on) or kept.get('effective_from', as_of)}")
    lines += [f'{name} = "{plain(value)}"' for name, value in columns(base, halves, multiplier).items()]
    if multiplier is not None:
        lines.append(f'batch_multiplier = "{plain(multiplier)}"')
    for start in thresholds(standard)[:1]:
        tier = columns(rates(standard, start), rates(batch, start) if batch else {}, multiplier)
        inside = "".join(f', {name} = "{plain(value)}"' for name, value in tier.items())
        lines.append(f"tier = {{ above_input_tokens = {start}{inside} }}")
    if "retire_on" in kept:
        lines.append(f"retire_on = {kept['retire_on']}")
    lines += [f'source = "{SOURCE} {version(SOURCE)}"', f"as_of = {as_of}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="PROVIDER/MODEL")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True, help="when the package's data was checked")
    options = parser.parse_args()
    ours = {
        f"{kept['provider']}/{kept['model']}": kept
        for kept in tomllib.loads(PRICES.read_text("utf-8")).get("price", [])
    }
    wanted = options.models or [name for name, kept in ours.items() if kept["source"].startswith(SOURCE)]
    for name in wanted:
        provider, _, model = name.partition("/")
        print(row(provider, model, options.as_of, ours.get(name, {})))  # noqa: T201  printing is what it does


if __name__ == "__main__":
    main()
