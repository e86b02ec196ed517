"""Settings that are tables, checked when the server starts: a misspelt one would rehearse something else unnoticed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("defaults.toml").read_text("utf-8"))


class BadSetting(ValueError):
    """A setting of the rehearsal that means nothing; the text says which, and what it may be."""


def section(settings: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """``settings[name]`` over its defaults; None where it is not set. Raises BadSetting."""
    given = settings.get(name)
    if given is None:
        return None
    usual = DEFAULTS[name]
    known(given, usual, name)
    return {**usual, **given}


def known(given: object, names: Iterable[str], where: str) -> None:
    """Raises BadSetting unless ``given`` is a table of nothing but ``names``."""
    if not isinstance(given, Mapping):
        raise BadSetting(f"{where} must be a table, not {given!r}")
    if odd := sorted(map(str, set(given) - set(names))):
        raise BadSetting(f"{where} has no {', '.join(odd)}; it may have {', '.join(sorted(names))}")


def number(value: object, where: str, least: float = 0.0, most: float = math.inf) -> float:
    """``value`` as a finite number within its bounds, both included. Raises BadSetting."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or value == math.inf:
        bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
        raise BadSetting(f"{where} must be a number {bounds}, not {value!r}")
    return float(value)
