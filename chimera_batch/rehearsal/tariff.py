"""What the rehearsal charges: arithmetic of its own over the price table, so that a mistake in ours shows."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "prices.toml"
_MILLION = Decimal(1_000_000)
_DATED = re.compile(r"(.+)-(?:\d{4}-\d{2}-\d{2}|\d{8})")


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
    """The price of a model at a host. Overrides, a person's own rows, win over ``rows``."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], overrides: Iterable[Mapping[str, Any]] = ()) -> None:
        self._layers = (list(overrides), list(rows))
        self._found: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    def knows(self, profile: str, model: str) -> bool:
        return self._row(profile, model) is not None

    def charge(self, profile: str, model: str, input_tokens: int, *, sync: bool) -> Charge:
        """The rates for one request of that many input tokens. Raises KeyError for an unknown model."""
        row = self._row(profile, model)
        if row is None:
            raise KeyError(model)
        times = None if sync else row.get("batch_multiplier")
        tier = row.get("tier") or {}
        # A tier prices a request by itself; the row's batch rates are not for it, only the multiplier is.
        use = tier if tier and input_tokens > int(tier["above_input_tokens"]) else row
        rates = [_rate(use, name, times, sync=sync) for name in ("input", "cached_input", "output")]
        return Charge(*rates)

    def _row(self, profile: str, model: str) -> Mapping[str, Any] | None:
        place = (profile, model)
        if place not in self._found:
            self._found[place] = self._look(profile, model)
        return self._found[place]

    def _look(self, profile: str, model: str) -> Mapping[str, Any] | None:
        dated = _DATED.fullmatch(model)
        # A host without prices of its own (a proxy, a renamed profile) charges what the model costs elsewhere.
        for host in (profile, None):
            for layer in self._layers:
                for name in (model, dated[1]) if dated else (model,):
                    rows = [r for r in layer if name in _names(r) and host in {None, r["provider"]}]
                    if rows:
                        rows.sort(key=_since)
                        return next((row for row in reversed(rows) if _since(row) <= _today()), rows[0])
        return None


def load(settings: Mapping[str, Any]) -> Tariff:
    """The shipped table under ``settings["prices"]`` (a list of rows, or the path of a TOML file)."""
    extra = settings.get("prices") or []
    return Tariff(_read(SHIPPED) if SHIPPED.exists() else [], _read(Path(extra)) if isinstance(extra, str) else extra)


def _rate(row: Mapping[str, Any], name: str, times: object, *, sync: bool) -> Decimal:
    if not sync and f"batch_{name}" in row:
        return _decimal(row[f"batch_{name}"])
    if name == "cached_input" and (name not in row or (not sync and times is None and "batch_input" in row)):
        return _rate(row, "input", times, sync=sync)  # without a price of its own it costs what input costs
    return _decimal(row[name]) * (Decimal(1) if times is None else _decimal(times))


def _read(path: Path) -> list[Mapping[str, Any]]:
    return list(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal).get("price", []))


def _names(row: Mapping[str, Any]) -> set[str]:
    return {str(row["model"]), *row.get("aliases", ())}


def _since(row: Mapping[str, Any]) -> str:
    return str(row.get("effective_from", ""))


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))
