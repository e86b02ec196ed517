"""The price table: rows from the shipped file, from a project's own file and from the command line.

An unknown model is an error, never 0; a price is zero only where somebody wrote "0". Floor 1.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from chimera_batch.cost.money import Price, Rates
from chimera_batch.cost.pricerows import GPU, from_row, no_strangers
from chimera_batch.errors import InputError

__all__ = ["Price", "PriceBook", "Rates", "from_row", "load"]

_OPTION = "--price"
SHIPPED = Path(__file__).with_name("prices.toml")
_EXAMPLE = """\
[[price]]
provider = "{provider}"
model = "{model}"
input = "…"
output = "…"
batch_multiplier = "…"  # "0.5" for half price; leave the line out if there is no discount
as_of = {on}
"""
_HOURLY_HINT = """\
put a row into prices.local.toml and name that file in the manifest (prices: prices.local.toml). usd_per_hour is that of
the whole machine, "0" if it is paid for; the tokens per second of all requests together are for the estimate, the bill
is measured:

[[price]]
provider = "{provider}"
model = "{model}"
usd_per_hour = "0"
input_tokens_per_second = "2000"
output_tokens_per_second = "200"
"""
_DATED = re.compile(r"(.+)-(?:\d{4}-\d{2}-\d{2}|\d{8})")


class PriceBook:
    """All rows. ``as_of`` is the oldest date on which one of them was checked, None if none says."""

    def __init__(self, rows: Iterable[Price], machines: Set[str] = frozenset()) -> None:
        """``machines``: providers that are engines of one's own, whose price only their owner knows."""
        self.rows: tuple[Price, ...] = tuple(rows)
        self._machines = machines
        self.as_of: date | None = min((row.as_of for row in self.rows if row.as_of), default=None)

    def price(self, provider: str, model: str, on: date) -> Price:
        """The row in force on a date. An exact name wins over a dated alias of another row.

        Before the first record of a model its earliest row is used, and warns. Raises InputError for an unknown model.
        """
        for name in _names(model):
            rows = [row for row in self.rows if row.provider == provider and name in row.names]
            if rows:
                rows.sort(key=_since)
                return next((row for row in reversed(rows) if _since(row) <= on), rows[0])
        raise self._unknown(provider, model, on)

    def expect(self, asked: Iterable[tuple[str, str]]) -> None:
        """Refuse a ``--price`` of a model that is not among those asked, (provider, model) each. Raises InputError.

        A slip of the pen would otherwise leave the shipped price in force, and nobody would see it.
        """
        models = sorted(set(asked))
        for row in self.rows:
            if row.source == _OPTION and not any(
                row.provider == host and _names(model).keys() & row.names for host, model in models
            ):
                known = [f"{host}/{model}" for host, model in models]
                named = f"{row.provider}/{min(row.names, key=len)}"
                close = difflib.get_close_matches(named, known, n=1)
                raise InputError(
                    f"no stage asks {named}, so a price of it changes nothing",
                    where=_OPTION,
                    hint=f"--price {close[0]}=…" if close else f"--price of one of {', '.join(known)}",
                )

    def _unknown(self, provider: str, model: str, on: date) -> InputError:
        known = sorted({name for row in self.rows if row.provider == provider for name in row.names})
        close = difflib.get_close_matches(model, known, n=1, cutoff=0.8)
        near = f"; did you mean {close[0]}?" if close else ""
        if provider in self._machines:
            return InputError(
                f"no price is known for {provider}/{model}{near}: what an hour of the machine costs",
                hint=_HOURLY_HINT.format(provider=provider, model=model),
            )
        return InputError(
            f"no price is known for {provider}/{model}{near}",
            hint="put a row into prices.local.toml, USD per million tokens, and name that file in the manifest "
            "(prices: prices.local.toml):\n\n" + _EXAMPLE.format(provider=provider, model=model, on=on),
        )


def load(overrides: Path | None = None, extra: Sequence[str] = (), machines: Set[str] = frozenset()) -> PriceBook:
    """The shipped table, overridden model by model by a file of the same form, and that by ``--price`` strings.

    Raises InputError for a row that cannot be used, with file and line.
    """
    rows = _read(SHIPPED)
    for newer in (_read(overrides) if overrides else [], [_from_option(text) for text in extra]):
        rows = _override(rows, newer)
    return PriceBook(rows, machines)


def _names(model: str) -> dict[str, None]:
    """What a row may call a model: its name, then that without a date."""
    dated = _DATED.fullmatch(model)
    return dict.fromkeys((model, dated[1]) if dated else (model,))


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
    no_strangers(table, frozenset(("price",)), str(path))
    rows = table.get("price", [])
    starts = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*price\s*\]\]", line)]
    if not isinstance(rows, list) or len(starts) != len(rows):
        raise InputError('every price row starts with the line "[[price]]"', where=str(path))
    places = [f"{path}:{line}" for line in starts]
    found = [from_row(raw, place) for raw, place in zip(rows, places, strict=True)]
    _no_twins(found, places)
    return found


def _no_twins(rows: Iterable[Price], places: Iterable[str]) -> None:
    """Refuse two prices of one model from the same day on: which of them holds would be an accident of their order."""
    seen: dict[tuple[str, str, date], str] = {}
    for row, place in zip(rows, places, strict=True):
        for name in sorted(row.names):
            first = seen.setdefault((row.provider, name, _since(row)), place)
            if first != place:
                raise InputError(
                    f"a second price of {row.provider}/{name} from the same day on; the first is at {first}",
                    where=place,
                    hint="keep one of them, or give the later one its effective_from",
                )


def _from_option(text: str) -> Price:
    """``--price``: standard rates, and batch rates if they differ; or what an hour costs and what it gets done."""
    names: tuple[str, ...] = ("provider", "model", "input", "output", "batch_input", "batch_output")
    match = re.fullmatch(r"([^/=]+)/([^=]+)=([^,=]+),([^,=]+)(?:,([^,=]+),([^,=]+))?", text)
    if hours := re.fullmatch(r"([^/=]+)/([^=]+)=([^,=@]+)/h@([^,=]+),([^,=]+)", text):
        match, names = hours, ("provider", "model", *GPU)
    if match is None:
        raise InputError(
            f"this price cannot be read: {text}",
            where=_OPTION,
            hint="--price provider/model=INPUT,OUTPUT[,BATCH_INPUT,BATCH_OUTPUT]  in USD per million tokens, or "
            "provider/model=USD/h@INPUT_TOKENS_PER_SECOND,OUTPUT_TOKENS_PER_SECOND",
        )
    raw = {name: part for name, part in zip(names, match.groups(), strict=True) if part is not None}
    return from_row({**raw, "source": _OPTION}, _OPTION)
