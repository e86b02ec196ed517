"""The terms on which one request was executed, as its usage shows them and its bill counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Touched:
    """Input tokens that the prompt cache had to do with; the rest of the input is fresh."""

    read: int = 0
    write: int = 0  # at the short or only time to live
    write_long: int = 0

    @property
    def written(self) -> int:
        return self.write + self.write_long

    def fresh(self, input_tokens: int) -> int:
        return input_tokens - self.read - self.written


@dataclass(frozen=True, slots=True)
class Terms:
    """``tier`` in the dialect's own word: default, flex; standard, batch."""

    tier: str
    touched: Touched = Touched()
