"""One row of a price table, as people write it or as a claim keeps it, checked and made into a ``Price``. Floor 1."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from chimera_batch.cost.money import GpuTime, Price, Rates, Tier
from chimera_batch.errors import InputError

RATES = ("input", "cached_input", "cache_write", "cache_write_long", "output")
GPU = ("usd_per_hour", "input_tokens_per_second", "output_tokens_per_second")
_BATCH = tuple(f"batch_{name}" for name in RATES)
_TOKEN_KEYS = (*RATES, *_BATCH, "batch_multiplier", "tier")
_TIER_KEYS = frozenset(("above_input_tokens", *RATES, *_BATCH))
_DATES = ("effective_from", "retire_on", "as_of")
_KEYS = frozenset(("provider", "model", "aliases", "source", *_DATES, *_TOKEN_KEYS, *GPU))


def from_row(raw: dict[str, Any], where: str) -> Price:
    """A price from a table's row or from one that ``Price.as_row`` wrote. Raises InputError for a row that is none."""
    _check_row(raw, where)
    multiplier = _number(raw, "batch_multiplier", where) if "batch_multiplier" in raw else None
    gpu = _gpu_time(raw, where) if _is_gpu(raw) else None
    standard = gpu.rates() if gpu else _rates(raw, "", where)
    batch = standard if gpu else _batch(raw, multiplier, where)  # an hour costs the same whoever waits
    price = Price(
        provider=raw["provider"],
        model=raw["model"],
        names=frozenset((raw["model"], *raw.get("aliases", ()))),
        standard=standard,
        batch=batch or standard,
        batch_known=batch is not None,
        gpu=gpu,
        effective_from=raw.get("effective_from"),
        retire_on=raw.get("retire_on"),
        source=raw.get("source"),
        as_of=raw.get("as_of"),
    )
    return _with_tiers(price, raw, multiplier, where) if "tier" in raw else price


def no_strangers(raw: dict[str, Any], keys: frozenset[str], where: str) -> None:
    """Raises InputError for the first key that is not one of ``keys``."""
    for name in raw:
        if name not in keys:
            close = difflib.get_close_matches(name, keys, n=1)
            raise InputError(f"unknown key {name}" + (f"; did you mean {close[0]}?" if close else ""), where=where)


def _is_gpu(raw: dict[str, Any]) -> bool:
    return any(name in raw for name in GPU)


def _check_row(raw: dict[str, Any], where: str) -> None:
    """Everything about a row but its numbers."""
    mixed = [name for name in _TOKEN_KEYS if name in raw] if _is_gpu(raw) else []
    if mixed:
        raise InputError(f"a row is priced by the hour or by the token, not both: {', '.join(mixed)}", where=where)
    required = ("provider", "model", *(GPU if _is_gpu(raw) else ("input", "output")))
    missing = [name for name in required if name not in raw]
    if missing:
        raise InputError(f"the price row lacks {', '.join(missing)}", where=where)
    no_strangers(raw, _KEYS, where)
    aliases = raw.get("aliases", [])
    texts = (raw["provider"], raw["model"], raw.get("source", ""), *(aliases if isinstance(aliases, list) else (None,)))
    if not all(isinstance(text, str) for text in texts):
        raise InputError("provider, model and source must be texts, aliases a list of texts", where=where)
    for name in _DATES:
        if name in raw and type(raw[name]) is not date:
            raise InputError(f"{name} must be a date without quotes, like 2026-11-21", where=where)


def _gpu_time(raw: dict[str, Any], where: str) -> GpuTime:
    dollars, read, written = (_number(raw, name, where) for name in GPU)
    if not read or not written:
        raise InputError("tokens per second must be above 0", where=where)
    return GpuTime(dollars, read, written)


def _with_tiers(price: Price, raw: dict[str, Any], multiplier: Decimal | None, where: str) -> Price:
    tables = raw["tier"] if isinstance(raw["tier"], list) else [raw["tier"]]
    tiers = [_tier(price, raw, table, multiplier, f"{where} (tier)") for table in tables]
    tiers.sort(key=lambda tier: tier.above_input_tokens)
    if len({tier.above_input_tokens for tier in tiers}) < len(tiers):
        raise InputError("two tiers have the same above_input_tokens", where=f"{where} (tier)")
    return replace(price, tiers=tuple(tiers))


def _tier(price: Price, raw: dict[str, Any], tier: Any, multiplier: Decimal | None, where: str) -> Tier:
    if not isinstance(tier, dict) or type(tier.get("above_input_tokens")) is not int:
        raise InputError("tier must be { above_input_tokens = 272000, input = …, output = … }", where=where)
    no_strangers(tier, _TIER_KEYS, where)
    lacking = [name for name in RATES if name in raw and name not in tier]
    batch = None if lacking else _batch(tier, multiplier, where)
    if lacking or (price.batch_known and batch is None):
        raise InputError(f"the tier must price {', '.join(lacking) or 'batches'} too, as its row does", where=where)
    standard = _rates(tier, "", where)
    return Tier(tier["above_input_tokens"], standard, batch or standard)


def _batch(raw: dict[str, Any], multiplier: Decimal | None, where: str) -> Rates | None:
    """Batch rates of a row or a tier: written ones first, then the multiplier; None where there is neither."""
    written = {name: raw[f"batch_{name}"] for name in RATES if f"batch_{name}" in raw}
    if multiplier is not None:
        scaled = {name: _number(raw, name, where) * multiplier for name in RATES if name in raw}
        return _rates({**scaled, **written}, "batch_", where)
    if not written:
        return None
    lacking = [f"batch_{name}" for name in ("input", "cache_write", "output") if name in raw and name not in written]
    if lacking:
        raise InputError(f"the price row has batch rates but lacks {', '.join(lacking)}", where=where)
    return _rates(written, "batch_", where)


def _rates(raw: dict[str, Any], prefix: str, where: str) -> Rates:
    """Rates with the absent ones filled in: a kind of input without its own price costs what input costs."""
    given = {name: _number(raw, name, where, prefix) for name in RATES if name in raw}
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
        kind = "price" if name not in GPU[1:] else "number"
        raise InputError(f'{prefix}{name} must be a {kind} like "0.25", not {value!r}', where=where)
    return number
