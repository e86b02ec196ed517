"""The price table: rows from the shipped file, from a project's own file and from the command line.

An unknown model is an error, never 0; a price is zero only where somebody wrote "0". Floor 1.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from chimera_batch.errors import InputError
from chimera_batch.money import Price, Rates

__all__ = ["Price", "PriceBook", "Rates", "from_row", "load"]

SHIPPED = Path(__file__).with_name("prices.toml")
_RATES = ("input", "cached_input", "cache_write", "cache_write_long", "output")
_BATCH = tuple(f"batch_{name}" for name in _RATES)
_TIER_KEYS = frozenset(("above_input_tokens", *_RATES, *_BATCH))
_REQUIRED = ("provider", "model", "input", "output")
_DATES = ("effective_from", "retire_on", "as_of")
_KEYS = frozenset((*_REQUIRED, *_RATES, *_BATCH, *_DATES, "batch_multiplier", "aliases", "tier", "source"))
_EXAMPLE = """\
[[price]]
provider = "{provider}"
model = "{model}"
input = "…"
output = "…"
batch_multiplier = "…"  # "0.5" for half price; leave the line out if there is no discount
as_of = {on}
"""
_DATED = re.compile(r"(.+)-(?:\d{4}-\d{2}-\d{2}|\d{8})")


class PriceBook:
    """All rows. ``as_of`` is the oldest date on which one of them was checked, None if none says."""

    def __init__(self, rows: Iterable[Price]) -> None:
        self.rows: tuple[Price, ...] = tuple(rows)
        self.as_of: date | None = min((row.as_of for row in self.rows if row.as_of), default=None)

    def price(self, provider: str, model: str, on: date) -> Price:
        """The row in force on a date. An exact name wins over a dated alias of another row.

        Before the first record of a model its earliest row is used, and warns. Raises InputError for an unknown model.
        """
        dated = _DATED.fullmatch(model)
        for name in (model, dated[1]) if dated else (model,):
            rows = [row for row in self.rows if row.provider == provider and name in row.names]
            if rows:
                rows.sort(key=_since)
                return next((row for row in reversed(rows) if _since(row) <= on), rows[0])
        raise self._unknown(provider, model, on)

    def _unknown(self, provider: str, model: str, on: date) -> InputError:
        known = sorted({name for row in self.rows if row.provider == provider for name in row.names})
        close = difflib.get_close_matches(model, known, n=1, cutoff=0.8)
        near = f"; did you mean {close[0]}?" if close else ""
        return InputError(
            f"no price is known for {provider}/{model}{near}",
            hint="put a row into prices.local.toml, USD per million tokens, and name that file in the manifest "
            "(prices: prices.local.toml):\n\n" + _EXAMPLE.format(provider=provider, model=model, on=on),
        )


def load(overrides: Path | None = None, extra: Sequence[str] = ()) -> PriceBook:
    """The shipped table, overridden model by model by a file of the same form, and that by ``--price`` strings.

    Raises InputError for a row that cannot be used, with file and line.
    """
    rows = _read(SHIPPED)
    for newer in (_read(overrides) if overrides else [], [_from_option(text) for text in extra]):
        rows = _override(rows, newer)
    return PriceBook(rows)


def _since(row: Price) -> date:
    return row.effective_from or date.min


def _override(rows: list[Price], newer: list[Price]) -> list[Price]:
    """A newer row replaces every older row of the same model under any of its names.

    It keeps their names, and their retirement date: that is a fact about the model, not about its price.
    """
    kept, merged = rows, []
    for row in newer:
        same = [old for old in rows if old.provider == row.provider and old.names & row.names]
        kept = [old for old in kept if old not in same]
        retire_on = row.retire_on or next((old.retire_on for old in same if old.retire_on), None)
        merged.append(replace(row, names=row.names.union(*(old.names for old in same)), retire_on=retire_on))
    return [*kept, *merged]


def _read(path: Path) -> list[Price]:
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text, parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the price table cannot be read: {error}", where=str(path)) from error
    _no_strangers(table, frozenset(("price",)), str(path))
    rows = table.get("price", [])
    starts = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*price\s*\]\]", line)]
    if not isinstance(rows, list) or len(starts) != len(rows):
        raise InputError('every price row starts with the line "[[price]]"', where=str(path))
    return [_row(raw, f"{path}:{line}") for raw, line in zip(rows, starts, strict=True)]


def _from_option(text: str) -> Price:
    """``--price``: standard rates, and batch rates if they differ."""
    match = re.fullmatch(r"([^/=]+)/([^=]+)=([^,=]+),([^,=]+)(?:,([^,=]+),([^,=]+))?", text)
    if match is None:
        raise InputError(
            f"this price cannot be read: {text}",
            where="--price",
            hint="--price provider/model=INPUT,OUTPUT[,BATCH_INPUT,BATCH_OUTPUT]  in USD per million tokens",
        )
    names = ("provider", "model", "input", "output", "batch_input", "batch_output")
    raw = {name: part for name, part in zip(names, match.groups(), strict=True) if part is not None}
    return _row({**raw, "source": "--price"}, "--price")


def from_row(raw: dict[str, Any], where: str) -> Price:
    """A price from a row as ``Price.as_row`` writes it. Raises InputError for a row that is none."""
    return _row(raw, where)


def _row(raw: dict[str, Any], where: str) -> Price:
    _check_row(raw, where)
    multiplier = _number(raw, "batch_multiplier", where) if "batch_multiplier" in raw else None
    standard, batch = _rates(raw, "", where), _batch(raw, multiplier, where)
    price = Price(
        provider=raw["provider"],
        model=raw["model"],
        names=frozenset((raw["model"], *raw.get("aliases", ()))),
        standard=standard,
        batch=batch or standard,
        batch_known=batch is not None,
        source=raw.get("source"),
        **{name: raw.get(name) for name in _DATES},
    )
    return _with_tier(price, raw, multiplier, where) if "tier" in raw else price


def _check_row(raw: dict[str, Any], where: str) -> None:
    """Everything about a row but its numbers."""
    missing = [name for name in _REQUIRED if name not in raw]
    if missing:
        raise InputError(f"the price row lacks {', '.join(missing)}", where=where)
    _no_strangers(raw, _KEYS, where)
    aliases = raw.get("aliases", [])
    texts = (raw["provider"], raw["model"], raw.get("source", ""), *(aliases if isinstance(aliases, list) else (None,)))
    if not all(isinstance(text, str) for text in texts):
        raise InputError("provider, model and source must be texts, aliases a list of texts", where=where)
    for name in _DATES:
        if name in raw and type(raw[name]) is not date:
            raise InputError(f"{name} must be a date without quotes, like 2026-11-21", where=where)


def _with_tier(price: Price, raw: dict[str, Any], multiplier: Decimal | None, where: str) -> Price:
    tier, where = raw["tier"], f"{where} (tier)"
    if not isinstance(tier, dict) or type(tier.get("above_input_tokens")) is not int:
        raise InputError("tier must be { above_input_tokens = 272000, input = …, output = … }", where=where)
    _no_strangers(tier, _TIER_KEYS, where)
    lacking = [name for name in _RATES if name in raw and name not in tier]
    batch = None if lacking else _batch(tier, multiplier, where)
    if lacking or (price.batch_known and batch is None):
        raise InputError(f"the tier must price {', '.join(lacking) or 'batches'} too, as its row does", where=where)
    standard = _rates(tier, "", where)
    above = tier["above_input_tokens"]
    return replace(price, above_input_tokens=above, tier_standard=standard, tier_batch=batch or standard)


def _batch(raw: dict[str, Any], multiplier: Decimal | None, where: str) -> Rates | None:
    """Batch rates of a row or a tier: written ones first, then the multiplier; None where there is neither."""
    written = {name: raw[f"batch_{name}"] for name in _RATES if f"batch_{name}" in raw}
    if multiplier is not None:
        scaled = {name: _number(raw, name, where) * multiplier for name in _RATES if name in raw}
        return _rates({**scaled, **written}, "batch_", where)
    if not written:
        return None
    lacking = [f"batch_{name}" for name in ("input", "cache_write", "output") if name in raw and name not in written]
    if lacking:
        raise InputError(f"the price row has batch rates but lacks {', '.join(lacking)}", where=where)
    return _rates(written, "batch_", where)


def _rates(raw: dict[str, Any], prefix: str, where: str) -> Rates:
    """Rates with the absent ones filled in: a kind of input without its own price costs what input costs."""
    given = {name: _number(raw, name, where, prefix) for name in _RATES if name in raw}
    write = given.get("cache_write", given["input"])
    fallback = {"cached_input": given["input"], "cache_write": write, "cache_write_long": write}
    return Rates(**{**fallback, **given})


def _number(raw: dict[str, Any], name: str, where: str, prefix: str = "") -> Decimal:
    value = raw[name]
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number < 0:
        raise InputError(f'{prefix}{name} must be a price like "0.25", not {value!r}', where=where)
    return number


def _no_strangers(raw: dict[str, Any], keys: frozenset[str], where: str) -> None:
    for name in raw:
        if name not in keys:
            close = difflib.get_close_matches(name, keys, n=1)
            raise InputError(f"unknown key {name}" + (f"; did you mean {close[0]}?" if close else ""), where=where)
