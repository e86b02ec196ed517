"""What a problem's quantities can be: how each is drawn, written into the text, found there and read back."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol


class Param(Protocol):
    """``read(show(draw(rng)))`` gives the drawn value back, and ``show`` matches ``pattern`` in full."""

    @property
    def pattern(self) -> str: ...
    @property
    def blank(self) -> str:
        """What an ambiguous statement says in place of the value; empty for a number, where the next word decides."""
        ...

    def draw(self, rng: random.Random) -> object: ...
    def show(self, value: object) -> str: ...
    def read(self, text: str) -> object: ...
    def holds(self, value: Any) -> bool:
        """Whether ``draw`` could have drawn it."""
        ...


@dataclass(frozen=True)
class Int:
    """A whole number from ``lo`` to ``hi``, both included, in steps."""

    lo: int
    hi: int
    step: int = 1
    pattern: str = r"-?\d+"
    blank: str = ""

    def draw(self, rng: random.Random) -> int:
        return rng.randrange(self.lo, self.hi + 1, self.step)

    def show(self, value: object) -> str:
        return str(value)

    def read(self, text: str) -> int:
        return int(text)

    def holds(self, value: Any) -> bool:
        return value in range(self.lo, self.hi + 1, self.step)


@dataclass(frozen=True)
class Dec:
    """A number with a fixed count of decimal places, kept as an exact Fraction."""

    lo: str
    hi: str
    places: int
    blank: str = ""

    @property
    def pattern(self) -> str:
        return rf"-?\d+\.\d{{{self.places}}}"

    def draw(self, rng: random.Random) -> Fraction:
        scale = 10**self.places
        return Fraction(rng.randint(int(Decimal(self.lo) * scale), int(Decimal(self.hi) * scale)), scale)

    def show(self, value: object) -> str:
        assert isinstance(value, Fraction)  # noqa: S101 - the draw of this very class
        digits = str(abs(int(value * 10**self.places))).rjust(self.places + 1, "0")
        return f"{'-' if value < 0 else ''}{digits[: -self.places]}.{digits[-self.places :]}"

    def read(self, text: str) -> Fraction:
        return Fraction(text)

    def holds(self, value: Any) -> bool:
        return bool(Fraction(self.lo) <= value <= Fraction(self.hi))


@dataclass(frozen=True)
class Pick:
    """One of some words."""

    options: tuple[str, ...]
    blank: str = "a certain one"

    @property
    def pattern(self) -> str:
        return "|".join(re.escape(option) for option in sorted(self.options, key=len, reverse=True))

    def draw(self, rng: random.Random) -> str:
        return rng.choice(self.options)

    def show(self, value: object) -> str:
        return str(value)

    def read(self, text: str) -> str:
        return text

    def holds(self, value: Any) -> bool:
        return value in self.options


@dataclass(frozen=True)
class Ints:
    """A list of ``n`` whole numbers, each from ``lo`` to ``hi``."""

    n: int
    lo: int
    hi: int
    pattern: str = r"\d+(?:, \d+)+"
    blank: str = "several numbers that were not recorded"

    def draw(self, rng: random.Random) -> tuple[int, ...]:
        return tuple(rng.randint(self.lo, self.hi) for _ in range(self.n))

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)  # noqa: S101 - the draw of this very class
        return ", ".join(map(str, value))

    def read(self, text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(", ")))

    def holds(self, value: Any) -> bool:
        return len(value) == self.n and all(self.lo <= one <= self.hi for one in value)


@dataclass(frozen=True)
class Letters:
    """A string over an alphabet, between ``lo`` and ``hi`` letters long."""

    alphabet: str
    lo: int
    hi: int
    blank: str = "a sequence that is not given"

    @property
    def pattern(self) -> str:
        return f"[{self.alphabet}]+"

    def draw(self, rng: random.Random) -> str:
        return "".join(rng.choices(self.alphabet, k=rng.randint(self.lo, self.hi)))

    def show(self, value: object) -> str:
        return str(value)

    def read(self, text: str) -> str:
        return text

    def holds(self, value: Any) -> bool:
        return self.lo <= len(value) <= self.hi
