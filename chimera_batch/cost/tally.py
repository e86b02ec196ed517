"""Money before it is spent: spans from low to ceiling, and a tally of requests, each priced by itself. Floor 2.

``low`` and ``high`` take 0.6 and 1.6 times the assumed output, and 0.8 and 1.25 times an unmeasured share kept;
``ceiling`` takes every request at its input bound and output ceiling, with nothing filtered out and every
further asking that the retry rules allow for billed answers (truncated ones, those that do not fit the schema).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from chimera_batch.cost.prices import Price
from chimera_batch.records import Usage

_LOW, _HIGH = 6, 16  # tenths of the assumed output: the length of reasoning cannot be guessed better without a pilot
_FEWER, _MORE = Decimal("0.8"), Decimal("1.25")
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Span:
    """One quantity, four times: low ≤ likely ≤ high ≤ ceiling. Never negative."""

    low: Decimal
    likely: Decimal
    high: Decimal
    ceiling: Decimal

    @classmethod
    def exactly(cls, amount: int | Decimal) -> Span:
        return cls(*(Decimal(amount),) * 4)

    @classmethod
    def share(cls, kept: float) -> Span:
        """A share kept. One is taken as certain; the ceiling of any other is that nothing is lost."""
        likely = Decimal(str(kept))
        if likely == 1:
            return cls.exactly(1)
        high = likely * _MORE if likely > 1 else min(_ONE, likely * _MORE)
        return cls(likely * _FEWER, likely, high, max(_ONE, high))

    def parts(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        return self.low, self.likely, self.high, self.ceiling

    def __add__(self, other: Span) -> Span:
        return Span(*(a + b for a, b in zip(self.parts(), other.parts(), strict=True)))

    def __mul__(self, other: Span) -> Span:
        return Span(*(a * b for a, b in zip(self.parts(), other.parts(), strict=True)))

    def whole(self, less: int = 0) -> Span:
        """Counts of things: ``less`` taken away, not below zero, rounded up."""
        return Span(*(max(Decimal(0), a - less).to_integral_value(ROUND_CEILING) for a in self.parts()))


NOTHING = Span.exactly(0)


@dataclass(frozen=True, slots=True)
class Terms:
    """How every request of a stage is priced. ``output_tokens``: assumed per request; None: taken at the ceiling."""

    price: Price
    batch: bool  # priced at the batch rates
    output_tokens: int | None = None
    cache: bool = False  # requests ask for the long-lived prompt cache, whose writes cost more
    reasks: tuple[float, ...] = ()  # by how much the output ceiling grew, for each further asking that may be billed
    synchronous: bool = False  # no batch to wait for; where it is priced as one (flex) the host may charge full rates


@dataclass(frozen=True, slots=True)
class Work:
    """Requests that are still to be sent and what they cost. Tokens are the likely ones."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Span = NOTHING
    sync_usd: Decimal = Decimal(0)  # the likely cost at the synchronous price

    def __add__(self, other: Work) -> Work:
        return Work(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd,
            self.sync_usd + other.sync_usd,
        )


@dataclass(slots=True)
class _Sums:
    """Tokens of all requests that pay the same rates, so that adding them up cannot cross a tier."""

    input: int = 0
    none: int = 0
    low: int = 0
    likely: int = 0
    high: int = 0


class Tally:
    """Adds up a stage's unsent requests, each priced by its own tier. A hundred thousand take well under a second."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.requests = 0
        self.cut = 0  # requests among them whose answer was cut, and which are asked for a longer one
        self.ceiling_tokens = 0  # output ceilings added up
        self._sums: dict[tuple[int, bool], _Sums] = {}  # by the price's tier, and whether an answer was cut
        self._most = Decimal(0)

    def add(self, input_tokens: int, input_bound: int, ceiling: int | None, tried: int = 0, requests: int = 1) -> None:
        """One request: its counted input, an upper bound of that, its output ceiling (None or 0: it has no output).

        ``tried``: the lower ceiling that its answer was cut at: the next one is longer than that. ``requests``: so many
        that are alike in all of these, so that each costs the same.
        """
        ceiling, price = ceiling or 0, self.terms.price
        sums = self._sums.setdefault((price.tier(input_tokens), bool(tried)), _Sums())
        low, likely, high = self._output(ceiling, min(tried, ceiling))
        sums.input += input_tokens * requests
        sums.low += low * requests
        sums.likely += likely * requests
        sums.high += high * requests
        self.requests += requests
        self.cut += requests if tried else 0
        self.ceiling_tokens += ceiling * requests
        bound = max(input_tokens, input_bound)
        batch = self.terms.batch and not self.terms.synchronous
        for factor in (1.0, *(self.terms.reasks if ceiling else ())):
            self._most += requests * price.most(bound, int(ceiling * factor), batch=batch, cache=self.terms.cache)

    def _output(self, ceiling: int, tried: int) -> tuple[int, int, int]:
        """Output tokens of one request: low, likely, high."""
        if tried:
            return tried, (tried + ceiling) // 2, ceiling
        assumed = self.terms.output_tokens
        if assumed is None:
            return ceiling, ceiling, ceiling
        likely = min(assumed, ceiling)
        return likely * _LOW // 10, likely, min(ceiling, -(-likely * _HIGH // 10))

    def work(self, *, only_cut: bool = False) -> Work:
        """All requests added so far, or only those whose answer was cut (their ceiling is then that of all)."""
        batch, cut = self.terms.batch, True if only_cut else None
        low, likely, high = (self._cost(name, batch=batch, cut=cut) for name in ("low", "likely", "high"))
        sums = [one for (_, was_cut), one in self._sums.items() if was_cut or not only_cut]
        return Work(
            requests=self.cut if only_cut else self.requests,
            input_tokens=sum(one.input for one in sums),
            output_tokens=sum(one.likely for one in sums),
            usd=Span(low, likely, high, max(high, self._most)),
            sync_usd=self._cost("likely", batch=False, cut=cut),
        )

    def counted(self, *, batch: bool) -> Decimal:
        """What the input costs as it was counted, of all requests but those whose answer was cut; in dollars."""
        return self._cost("none", batch=batch, cut=False)

    def _cost(
        self, output: Literal["none", "low", "likely", "high"], *, batch: bool, cut: bool | None = None
    ) -> Decimal:
        parts = (
            self.terms.price.rates(tier=tier, batch=batch).cost(
                Usage(sums.input, output_tokens=getattr(sums, output)),
            )
            for (tier, was_cut), sums in self._sums.items()
            if cut in {None, was_cut}
        )
        return sum(parts, Decimal(0))


def assumed(terms: Terms, requests: Span, input_tokens: int, ceiling: int | None) -> Work:
    """Requests that do not exist yet: so many, each with so much input (bound: 1.6 times that)."""
    one = Tally(terms)
    one.add(input_tokens, -(-input_tokens * _HIGH // 10), ceiling)
    each, count = one.work(), requests.whole()
    likely = int(count.likely)
    return Work(
        requests=likely,
        input_tokens=each.input_tokens * likely,
        output_tokens=each.output_tokens * likely,
        usd=each.usd * count,
        sync_usd=each.sync_usd * likely,
    )
