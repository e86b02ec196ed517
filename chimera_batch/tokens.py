"""How many tokens a text is for a model, offline, and how far that number can be trusted. Floor 1.

The vocabularies and factors are data (``tokens.toml``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts for one model. ``basis`` is what a person is shown: "o200k, exact" or "o200k × 1.6, approximate"."""

    vocabulary: str
    basis: str
    factor: Fraction | None = None  # None: the vocabulary is the model's own

    @property
    def exact(self) -> bool:
        return self.factor is None

    def count(self, text: str) -> int:
        """Tokens of ``text`` alone; literals of special tokens count as the text they are. Rounded up if approximate.

        ``text`` must be encodable as UTF-8 (ValueError).
        """
        try:
            tokens = _count(self.vocabulary)(text)
        except TypeError:  # how the binding refuses a lone surrogate
            raise ValueError("the text holds a lone surrogate") from None
        return tokens if self.factor is None else ceil(tokens * self.factor)

    def bound(self, text: str) -> int:
        """Never less than the model's own count: the count itself if exact, else UTF-8 bytes.

        A byte-level vocabulary, as all current ones are, spends at least one byte on a token.
        """
        return self.count(text) if self.exact else len(text.encode())


def overhead(messages: int) -> int:
    """Tokens that the chat format adds to the messages' own texts."""
    said = _table()["overhead"]
    return int(said["per_message"]) * messages + int(said["per_request"])


@cache
def counter(model: str) -> Counter:
    """The counter for a model's name as providers write it; an unknown name gets the approximate one."""
    name = model.lower().removeprefix("ft:").rpartition("/")[2]
    row = next(row for row in _table()["model"] if any(fnmatchcase(name, pattern) for pattern in row["patterns"]))
    if "factor" not in row:
        return Counter(row["vocabulary"], f"{row['name']}, exact")
    return Counter(row["vocabulary"], f"{row['name']} × {row['factor']}, approximate", Fraction(row["factor"]))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def _count(vocabulary: str) -> Callable[[str], int]:
    # Here and not above: it loads numpy and a vocabulary of megabytes. The package has no types.
    import quicktok  # type: ignore[import-untyped]  # noqa: PLC0415

    count: Callable[[str], int] = quicktok.get_encoding(vocabulary).count
    return count
