"""What the rehearsal charges: arithmetic of its own over the price table, so that a mistake in ours shows."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "cost" / "prices.toml"
_MILLION = Decimal(1_000_000)
_RATES = ("input", "cached_input", "output", "cache_write", "cache_write_long")
_LIKE = {"cached_input": "input", "cache_write": "input", "cache_write_long": "cache_write"}
"""What a kind of token costs that has no price of its own."""
_DATED = re.compile(r"(.+)-(?:\d{4}-\d{2}-\d{2}|\d{8})")


@dataclass(frozen=True, slots=True)
class Charge:
    """USD per million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal
    write: Decimal  # to the prompt cache, at its short or only time to live
    write_long: Decimal

    def usd(self, fresh: int, cached: int, output: int, write: int = 0, write_long: int = 0) -> Decimal:
        """Exact dollars of one request; ``fresh`` is input that was neither read from the cache nor written to it."""
        prompt = fresh * self.input + cached * self.cached + write * self.write + write_long * self.write_long
        return (prompt + output * self.output) / _MILLION


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
        if "usd_per_hour" in row:
            return _hourly(row)
        tier = row.get("tier") or []
        # A tier prices a request by itself; the row's batch rates are not for it, only the multiplier is.
        passed = [t for t in ([tier] if isinstance(tier, Mapping) else tier) if input_tokens > _above(t)]
        use = max(passed, key=_above, default=row)
        return Charge(*(_rate(use, name, times, sync=sync) for name in _RATES))

    def writes(self, profile: str, model: str) -> bool:
        """Whether this host charges more for what it writes to its prompt cache, and therefore reports it."""
        usual = self.charge(profile, model, 0, sync=True)
        return usual.write > usual.input

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
    return Tariff(_read(SHIPPED), _read(Path(extra)) if isinstance(extra, str) else extra)


def _rate(row: Mapping[str, Any], name: str, times: object, *, sync: bool) -> Decimal:
    if not sync and f"batch_{name}" in row:
        return _decimal(row[f"batch_{name}"])
    unwritten = not sync and times is None and "batch_input" in row
    if name in _LIKE and (unwritten or name not in row):
        return _rate(row, _LIKE[name], times, sync=sync)
    return _decimal(row[name]) * (Decimal(1) if times is None else _decimal(times))


def _above(tier: Mapping[str, Any]) -> int:
    return int(tier["above_input_tokens"])


def _hourly(row: Mapping[str, Any]) -> Charge:
    """A machine's hour over the tokens that it gets done, up to the twelfth place: batch or not, cached or not."""
    with localcontext(prec=60):
        second = _decimal(row["usd_per_hour"]) * _MILLION / 3600
        read, written = (
            (second / _decimal(row[f"{kind}_tokens_per_second"])).quantize(Decimal("1e-12"), ROUND_CEILING)
            for kind in ("input", "output")
        )
    return Charge(read, read, written, read, read)


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
