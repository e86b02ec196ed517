"""A family of problems: one statement with quantities in it, and the computation that answers it.

The statement is written once, as a format string. The text and the parser of the text both come from it, so a reader of
the question alone can solve it again: ``family.solve(family.parse(question))``.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

from chimera_batch.rehearsal.minds.params import Param

Kind = Literal["integer", "fraction", "decimal", "text"]
Params = dict[str, Any]

VERBS = ("Find", "Determine", "Compute", "Calculate", "What is")
INTRODUCTIONS = (
    "A graduate seminar on “{}” opens with the following exercise.",
    "The question below came up in a reading group on “{}”.",
    "While revising a chapter on “{}”, an author needs one exact figure.",
    "Consider this computation, taken from lecture notes on “{}”.",
    "A referee of a manuscript on “{}” wants to confirm a single value.",
    "In a qualifying examination on “{}”, candidates were given the data below.",
    "A data appendix to a survey of “{}” records the following.",
    "The following task belongs to a problem set on “{}”.",
    "For a worked example in a textbook on “{}”, the setting is kept concrete.",
    "Two researchers in the field of “{}” disagree about one number and go back to the data.",
)
_CLOSINGS: Mapping[Kind, tuple[str, ...]] = {
    "integer": ("Give the answer as an integer.", "The answer is a whole number.", "State one exact integer."),
    "fraction": ("Give the exact value as a fraction in lowest terms.", "An exact rational number is expected."),
    "decimal": ("Round to {places} decimal places.", "State the result to {places} decimal places."),
    "text": ("State the answer exactly.", "The answer is a single word or sequence."),
}
_BEFORE_NOUN = re.compile(r"\x00(?= (?!and |or |to |in |on |by |with |for |of )[^\W\d_])")


@dataclass(frozen=True)
class Family:
    """``setup`` states the data, ``quantity`` ("the number of …") names what is asked for; both are format strings."""

    subject: str
    name: str
    setup: str
    quantity: str
    params: Mapping[str, Param]
    value: Callable[..., int | float | Fraction | str]
    method: str  # one sentence: how it is solved
    kind: Kind = "integer"
    places: int = 0  # of a decimal answer
    unit: str = ""

    def make(self, rng: random.Random, topic: str) -> tuple[str, Params]:
        """A sound question of this family that names the topic, and its parameters."""
        params = self.draw(rng)
        return self.question(params, topic, rng), params

    def draw(self, rng: random.Random) -> Params:
        """Parameters with a fair answer: not on the edge of its rounding, no bare 0, 1 or 2, and not among the data."""
        while True:
            params = {name: param.draw(rng) for name, param in self.params.items()}
            if self._fair(params):
                return params

    def _fair(self, params: Params) -> bool:
        if self.kind == "decimal":
            scaled = float(self.value(**params)) * 10**self.places
            if abs(abs(scaled) % 1 - 0.5) < 1e-4:
                return False
        answer = self.solve(params).split(" ")[0]
        stated = f"{self.setup} {self.quantity}".format_map(self.shown(params))
        return len(answer.strip("012")) > 0 and not re.search(rf"(?<![\w.]){re.escape(answer)}(?![\w])", stated)

    def solve(self, params: Params) -> str:
        """The one right answer, rounded as the question asks, with its unit."""
        value = self.value(**params)
        if self.kind != "decimal":
            return str(value)
        shown = f"{float(value):.{self.places}f}"
        if float(shown) == 0:
            shown = shown.lstrip("-")
        return f"{shown} {self.unit}".rstrip()

    def parse(self, question: str) -> Params | None:
        """The parameters that a question of this family states; None if one of them is missing."""
        found = self._pattern.search(question)
        return {name: self.params[name].read(text) for name, text in found.groupdict().items()} if found else None

    def holds(self, params: Params) -> bool:
        """Whether every parameter is one that ``draw`` could have drawn."""
        return all(self.params[name].holds(value) for name, value in params.items())

    def shown(self, params: Params) -> dict[str, str]:
        """The parameters as the text writes them."""
        return {name: self.params[name].show(value) for name, value in params.items()}

    def question(self, params: Params, topic: str, rng: random.Random, *, omit: str | None = None) -> str:
        """The full text; ``omit`` names a parameter that is left unsaid."""
        verb = rng.choice(VERBS)
        opening = rng.choice(INTRODUCTIONS).replace("{}", topic)
        return f"{opening} {self.asked(params, verb, omit=omit)} {self._closing(rng)}"

    def asked(self, params: Params, verb: str, *, omit: str | None = None) -> str:
        """The data and what is asked for, without a word before or after."""
        shown = self.shown(params)
        if omit is not None:
            shown[omit] = self.params[omit].blank or "\x00"
        asked = f"{self.setup} {verb} {self.quantity}".format_map(shown)
        asked = _BEFORE_NOUN.sub("some number of", asked).replace("\x00", "some value")
        return f"{asked}{'?' if verb == 'What is' else '.'}"

    def claim(self, params: Params) -> str:
        """The statement that the quantity has its value: what a proof problem restates."""
        return f"{self.quantity.format_map(self.shown(params))} equals {self.solve(params)}"

    def _closing(self, rng: random.Random) -> str:
        closing = rng.choice(_CLOSINGS[self.kind]).replace("{places}", str(self.places))
        return f"{closing[:-1]}, in {self.unit}." if self.unit else closing

    @cached_property
    def anchor(self) -> str:
        """The longest piece of the setup without a quantity in it: what the family is recognised by."""
        return max((literal for literal, *_ in string.Formatter().parse(self.setup)), key=len)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        seen: set[str] = set()
        pieces = []
        for literal, name, *_ in string.Formatter().parse(f"{self.setup} \x00 {self.quantity}"):
            pieces.append(re.escape(literal))
            if name:
                pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>{self.params[name].pattern})")
                seen.add(name)
        pattern = "".join(pieces).replace(re.escape("\x00"), f"(?:{'|'.join(VERBS)})")
        return re.compile(pattern + "[.?]")
