"""How long answers are: heavy-tailed lengths in place of the minds' own, so that a bill looks like a reasoning model's.

The text stays as it is; what a length has beyond it counts as hidden reasoning. A part of every draw belongs to the
request, the rest to the attempt: a problem that took long takes long when it is asked again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from chimera_batch.rehearsal.chance import NORMAL, normal, uniforms
from chimera_batch.rehearsal.knobs import DEFAULTS, BadSetting, known, number

_USUAL = DEFAULTS["lengths"]
_LONG: float = _USUAL["mixture"]["long"]
_BETWEEN: float = _USUAL["mixture"]["between"]


_NONE = 1e-9  # a spread this small changes no whole token, and its square is no number to divide by


@dataclass(frozen=True, slots=True)
class Law:
    """The distribution of one kind of answers. ``mean`` and ``cv`` hold for whole draws, whatever ``within`` is."""

    mean: float
    cv: float  # standard deviation over mean
    tail: str
    within: float  # share of the log-variance that every attempt draws anew

    def draw(self, seed: object, key: str, attempt: int) -> int:
        """Output tokens of one attempt at a request; the same for every ceiling."""
        own, now = uniforms(seed, "length", key), uniforms(seed, "length", key, attempt)
        z = math.sqrt(1 - self.within) * normal(own[0]) + math.sqrt(self.within) * normal(now[0])
        value = _TAILS[self.tail](self, z, own[1]) if self.cv > _NONE else self.mean
        return max(1, round(value))


class Lengths:
    """The laws of ``settings["lengths"]``. Raises BadSetting."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = settings.get("lengths") or {}
        if not isinstance(given, Mapping):
            raise BadSetting(f"lengths must be a table, not {given!r}")
        self._seed = settings.get("seed", 0)
        shared = {name: value for name, value in given.items() if not isinstance(value, Mapping)}
        known(shared, {"tail", "within"}, "lengths, beside its tables,")
        self._common = {name: _USUAL[name] for name in ("tail", "within")} | shared
        self._told = {str(name): value for name, value in given.items() if isinstance(value, Mapping)}
        self._laws: dict[tuple[str, str], Law | None] = {}
        for name, law in self._told.items():
            known(law, [field.name for field in fields(Law)], f"lengths.{name}")
            self._law(*name.split("@", 1)) if "@" in name else self._law(name, "")

    def tokens(self, name: str, model: str, key: str, attempt: int) -> int | None:
        """The length of an answer to the schema ``name``; None where no law is set for it."""
        if not self._told:
            return None
        law = self._law(name, model)
        return None if law is None else law.draw(self._seed, key, attempt)

    def _law(self, name: str, model: str) -> Law | None:
        place = (name, model)
        if place not in self._laws:
            self._laws[place] = self._made(name, model)
        return self._laws[place]

    def _made(self, name: str, model: str) -> Law | None:
        """The tables that fit, the more specific over the less, value by value."""
        fitting = [one for one in ("default", model, name, f"{name}@{model}") if one in self._told]
        if not fitting:
            return None
        where, merged = f"lengths.{fitting[-1]}", dict(self._common)
        for one in fitting:
            merged |= self._told[one]
        return _checked(merged, where)


def _checked(told: Mapping[str, Any], where: str) -> Law:
    if lacking := [name for name in ("mean", "cv") if name not in told]:
        raise BadSetting(f"{where} lacks {' and '.join(lacking)}")
    if told["tail"] not in _TAILS:
        raise BadSetting(f"{where}.tail must be one of {', '.join(_TAILS)}, not {told['tail']!r}")
    law = Law(
        number(told["mean"], f"{where}.mean", least=1),
        number(told["cv"], f"{where}.cv"),
        told["tail"],
        number(told["within"], f"{where}.within", most=1),
    )
    if law.tail == "mixture" and law.cv:
        number(law.cv, f"{where}.cv of a mixture", most=0.99 * math.sqrt((1 - _LONG) / (_LONG * _BETWEEN)))
    return law


def _lognormal(law: Law, z: float, which: float) -> float:
    return _around(law.mean, law.cv, z)


def _pareto(law: Law, z: float, which: float) -> float:
    """Pareto's law from a least length on; its shape follows from cv and is above 2 for every one."""
    shape = 1 + math.sqrt(1 + 1 / law.cv**2)
    least = law.mean * (shape - 1) / shape
    return least * math.exp(-math.log(max(NORMAL.cdf(-z), 1e-12)) / shape)


def _mixture(law: Law, z: float, which: float) -> float:
    """Two lognormals, of short answers and a few long ones; which of them a request falls on is its own."""
    apart = math.sqrt(_BETWEEN) * law.cv
    more = apart / (math.sqrt(_LONG * (1 - _LONG)) - apart * _LONG)  # how much longer the long ones are, less 1
    short = law.mean / (1 + _LONG * more)
    inner = math.sqrt((1 + law.cv**2) / (1 + _BETWEEN * law.cv**2) - 1)
    return _around(short * (1 + more) if which < _LONG else short, inner, z)


def _around(mean: float, cv: float, z: float) -> float:
    sigma = math.sqrt(math.log1p(cv * cv))
    return mean * math.exp(sigma * z - sigma * sigma / 2)


_TAILS: dict[str, Callable[[Law, float, float], float]] = {
    "lognormal": _lognormal,
    "pareto": _pareto,
    "mixture": _mixture,
}
