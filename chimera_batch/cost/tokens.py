"""How many tokens a text is for a model, offline, and how far that number can be trusted. Floor 1.

The vocabularies and factors are data (``tokens.toml``).
"""

from __future__ import annotations

import gc
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache, cached_property
from operator import add
from pathlib import Path
from typing import Any, cast
from unicodedata import normalize


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts for one model.

    ``basis`` is what a person is shown: "o200k, exact" or "o200k × 1.6, approximate (−7 to +31 %)". ``error`` is the
    same for arithmetic: what the model's own count was found to be, as a part of ours, at least and at most.
    """

    vocabulary: str
    basis: str
    factor: Fraction | None = None  # None: the vocabulary is the model's own
    error: tuple[Fraction, Fraction] | None = None  # None: exact, or nobody has measured it

    @property
    def exact(self) -> bool:
        return self.factor is None

    def count(self, text: str) -> int:
        """Tokens of ``text`` alone; literals of special tokens count as the text they are. Rounded up if approximate.

        ``text`` must be encodable as UTF-8 (ValueError).
        """
        return self.counts([text])[0]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """``count`` of each text. Other threads go on meanwhile: the work is done outside of Python."""
        try:
            counted = _count_with(self.vocabulary)(texts)
        except (TypeError, UnicodeEncodeError):  # how the bindings refuse a lone surrogate
            raise ValueError("the text holds a lone surrogate") from None
        if self.factor is None:
            return counted
        over, under = self.factor.as_integer_ratio()
        return [-(-tokens * over // under) for tokens in counted]  # rounded up, in whole numbers

    def bound(self, text: str) -> int:
        """Never less than the model's own count: the count itself if exact, else UTF-8 bytes.

        A byte-level vocabulary, as all current ones are, spends at least one byte on a token. Some normalize the text
        first, which can make it longer: U+FDFA is 3 bytes, and 33 in the form NFKC.
        """
        return self.count(text) if self.exact else _bytes(text)

    def bounds(self, texts: Sequence[str], counted: list[int]) -> list[int]:
        """``bound`` of each text; ``counted`` are their counts."""
        return counted if self.exact else list(map(_bytes, texts))


class PromptCounter:
    """Tokens of one stage's prompts: what all of them have in common is counted once.

    ``schema``: the response schema (JSON text), which hosts put into the prompt in a form of their own, so it is
    approximate. ``overhead``: tokens of the chat format.
    """

    def __init__(self, counter: Counter, fixed: Sequence[str], schema: str, overhead: int) -> None:
        self.counter = counter
        self._fixed, self._schema, self._overhead = fixed, schema, overhead

    @cached_property
    def _common(self) -> tuple[int, int]:
        """What every prompt has, when the first one is counted: a vocabulary takes half a second to load."""
        expected = sum(map(self.counter.count, [*self._fixed, self._schema]))
        most = sum(map(self.counter.bound, self._fixed)) + schema_bound(self._schema)
        return self._overhead + expected, self._overhead + most

    def count(self, texts: Sequence[Sequence[str]], prompts: int) -> list[tuple[int, int]]:
        """(tokens to expect, tokens at most) of each prompt; ``texts``: of each message that varies, one a prompt."""
        expected, most = ([common] * prompts for common in self._common)
        for column in texts:
            counted = self.counter.counts(column)
            expected = list(map(add, expected, counted))
            most = list(map(add, most, self.counter.bounds(column, counted)))
        return list(zip(expected, most, strict=True))


def overhead(messages: int) -> int:
    """Tokens that the chat format adds to the messages' own texts."""
    said = _table()["overhead"]
    return int(said["per_message"]) * messages + int(said["per_request"])


def schema_bound(schema: str) -> int:
    """At most so many tokens of prompt come of a response schema (JSON text), in whatever form the host puts it."""
    return len(schema.encode()) + int(_table()["overhead"]["per_schema"]) if schema else 0


@cache
def counter(model: str) -> Counter:
    """The counter for a model's name as providers write it; an unknown name gets the approximate one."""
    name = model.lower().removeprefix("ft:").rpartition("/")[2]
    row = next(row for row in _table()["model"] if any(fnmatchcase(name, pattern) for pattern in row["patterns"]))
    if "factor" not in row:
        return Counter(row["vocabulary"], f"{row['name']}, exact")
    factor, error = Fraction(row["factor"]), None
    said = "error unknown"
    if "measured" in row:
        low, high = (Fraction(ratio) / factor for ratio in row["measured"])
        error = low, high
        said = f"{_percent(low)} to {_percent(high)} %" + ("" if row["verified"] else ", not verified")
    return Counter(row["vocabulary"], f"{row['name']} × {row['factor']}, approximate ({said})", factor, error)


def _percent(part: Fraction) -> str:
    return f"{round((part - 1) * 100):+}".replace("-", "−").replace("+0", "0")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _bytes(text: str) -> int:
    """The most bytes that a byte-level vocabulary can make of a text."""
    if text.isascii():
        return len(text)
    return max(len(text.encode()), len(normalize("NFKC", text).encode()))


@cache
def _count_with(vocabulary: str) -> Callable[[Sequence[str]], list[int]]:
    """What counts many texts in the thread that asks, letting go of Python's lock.

    toktok makes no ids and takes a third to a half of the time; a vocabulary that it lacks is quicktok's. Both are
    imported here, since they load megabytes.
    """
    from toktok import batch_count, truncate  # type: ignore[import-untyped]  # noqa: PLC0415 - see above; it has no types

    try:
        batch_count([], vocabulary, threads=1)
    except KeyError:
        return _count_ids(vocabulary)

    def count(texts: Sequence[str]) -> list[int]:
        if len(texts) == 1:  # a batch takes 30 µs to begin; a cut behind everything tells the same of one text
            return [int(truncate(texts[0], sys.maxsize, vocabulary)[1])]
        return cast("list[int]", batch_count(texts, vocabulary, threads=1))

    return count


def _count_ids(vocabulary: str) -> Callable[[Sequence[str]], list[int]]:
    import quicktok  # type: ignore[import-untyped]  # noqa: PLC0415 - see above; it has no types

    encode = quicktok.get_encoding(vocabulary).encode_batch

    def count(texts: Sequence[str]) -> list[int]:
        _, ends = encode(texts, 1)
        return cast("list[int]", (ends[1:] - ends[:-1]).tolist())

    return count


def forget() -> None:
    """Let go of the vocabularies, some 45 MB each; who counts again loads his own again, in half a second.

    The libraries keep what they loaded for as long as they are imported.
    """
    _count_with.cache_clear()
    for library in ("toktok", "quicktok"):
        sys.modules.pop(library, None)
    gc.collect()  # a module and its functions know each other
