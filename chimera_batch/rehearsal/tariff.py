"""What the rehearsal charges: arithmetic of its own over the price table, so that a mistake in ours shows."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "prices.toml"
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Charge:
    """USD per million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def usd(self, fresh: int, cached: int, output: int) -> Decimal:
        """Exact dollars of one request; ``fresh`` is input that did not come from the cache."""
        return (fresh * self.input + cached * self.cached + output * self.output) / _MILLION


class Tariff:
    """The price of a model at a host. ``rows`` later in order win over earlier ones (a person's overrides)."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows = list(rows)
        self._found: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    def knows(self, profile: str, model: str) -> bool:
        return self._row(profile, model) is not None

    def charge(self, profile: str, model: str, input_tokens: int, *, sync: bool) -> Charge:
        """The rates for one request of that many input tokens. Raises KeyError for an unknown model."""
        row = self._row(profile, model)
        if row is None:
            raise KeyError(model)
        times = Decimal(1) if sync else _decimal(row.get("batch_multiplier", 1))
        base = _decimal(row["input"])
        rates = {
            "input": base,
            "cached_input": _decimal(row.get("cached_input", base)),
            "output": _decimal(row.get("output", 0)),
        }
        for name, rate in rates.items():
            own = None if sync else row.get(f"batch_{name}")
            rates[name] = rate * times if own is None else _decimal(own)
        if "tier_above" in row and input_tokens > int(row["tier_above"]):
            rates = _tiered(rates, row, times)
        return Charge(rates["input"], rates["cached_input"], rates["output"])

    def _row(self, profile: str, model: str) -> Mapping[str, Any] | None:
        place = (profile, model)
        if place not in self._found:
            here = [row for row in self._rows if _fits(row, model)]
            # A host that has no prices of its own (a proxy, a renamed profile) charges what the model costs elsewhere.
            rows = [row for row in here if row["provider"] == profile] or here
            self._found[place] = max(rows, key=_since) if rows else None
        return self._found[place]


def load(settings: Mapping[str, Any]) -> Tariff:
    """The shipped table, then the rows of ``settings["prices"]`` (a list of rows, or the path of a TOML file)."""
    rows: list[Mapping[str, Any]] = _read(SHIPPED) if SHIPPED.exists() else []
    extra = settings.get("prices") or []
    return Tariff([*_ranked(rows, 0), *_ranked(_read(Path(extra)) if isinstance(extra, str) else extra, 1)])


def _read(path: Path) -> list[Mapping[str, Any]]:
    table = tomllib.loads(path.read_text("utf-8"))
    return list(table.get("price", []))


def _ranked(rows: Iterable[Mapping[str, Any]], rank: int) -> list[dict[str, Any]]:
    return [dict(row) | {"_rank": rank} for row in rows]


def _fits(row: Mapping[str, Any], model: str) -> bool:
    return bool(fnmatchcase(model, str(row["model"]))) and str(row.get("effective_from", "")) <= _today()


def _since(row: Mapping[str, Any]) -> tuple[int, bool, str]:
    return int(row.get("_rank", 0)), "*" not in str(row["model"]), str(row.get("effective_from", ""))


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _tiered(rates: dict[str, Decimal], row: Mapping[str, Any], times: Decimal) -> dict[str, Decimal]:
    return {
        name: _decimal(row[f"tier_{name}"]) * times if f"tier_{name}" in row else rate for name, rate in rates.items()
    }


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))
