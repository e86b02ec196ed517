"""What the answers of a stage took, and the price of the rest that follows from it. Pure. Floor 2.

A request is measured with all its askings: truncated, invalid and failed calls that were billed are part of what it
cost. Of the rest the input is counted, request by request; what a request cost beyond its counted input is what is
carried over from the sample, so a difference between prompts is no error of the estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from chimera_batch.cost import caching, sampling
from chimera_batch.cost.money import Price
from chimera_batch.cost.sampling import Sample
from chimera_batch.cost.tally import Span, Tally, Work
from chimera_batch.records import Usage

_FEWER, _MORE = Decimal("0.8"), Decimal("1.25")  # what is allowed for answers that are no random sample
BASES = ("pilot of", "measured on")
"""How the basis of a measured price begins: on a random sample, on whatever came."""


@dataclass(frozen=True, slots=True)
class Took:
    """One request that was heard of: its input as counted, and the usage of each asking that was billed."""

    counted: int
    usages: Sequence[Usage]
    truncated: bool  # an asking ended at its output ceiling
    ok: bool
    pending: tuple[int, int] | None = None  # asked once more: the ceiling that it was cut at or 0, and the next one


@dataclass(frozen=True, slots=True)
class Measured:
    """Settled requests of one stage. Dollars are at today's rates of the stage's window."""

    random: bool  # a random sample of the stage
    usd: Sample  # a request
    beyond: Sample  # a request less its counted input
    sync_usd: float  # mean of a request at the synchronous price
    sync_beyond: float
    output: Sample  # tokens of a request
    lengths: tuple[int, ...]  # output tokens of every request, sorted
    input_tokens: float  # mean, as billed
    counted: float  # mean, as we counted it
    truncated: int
    ok: int
    cache_saving: float  # mean dollars of a request that reading from the prompt cache saved, less what writing cost

    @property
    def n(self) -> int:
        return self.usd.n

    @property
    def basis(self) -> str:
        return f"{BASES[0] if self.random else BASES[1]} {self.n:,}"


def measure(took: Iterable[Took], price: Price, *, batch: bool, random: bool) -> Measured:
    """Sum up; needs the figures of one sample in memory, not those of a stage."""
    found = list(took)
    usual = Sample.of(_output(one) for one in found if one.pending is None).mean
    found = [_finished(one, round(usual)) for one in found]
    paid, sync = ([_usd(one, price, batch=kind) for one in found] for kind in (batch, False))
    prompts = [Usage(one.counted) for one in found]
    input_usd, sync_input = ([float(price.cost(prompt, batch=kind)) for prompt in prompts] for kind in (batch, False))
    outputs = [_output(one) for one in found]
    return Measured(
        random=random,
        usd=Sample.of(paid),
        beyond=Sample.of(a - b for a, b in zip(paid, input_usd, strict=True)),
        sync_usd=Sample.of(sync).mean,
        sync_beyond=Sample.of(a - b for a, b in zip(sync, sync_input, strict=True)).mean,
        output=Sample.of(outputs),
        lengths=tuple(sorted(outputs)),
        input_tokens=Sample.of(sum(usage.input_tokens for usage in one.usages) for one in found).mean,
        counted=Sample.of(one.counted for one in found).mean,
        cache_saving=Sample.of(_saved(one, price, batch=batch) for one in found).mean,
        truncated=sum(one.truncated for one in found),
        ok=sum(one.ok for one in found),
    )


def _output(one: Took) -> int:
    return sum(usage.output_tokens for usage in one.usages)


def _finished(one: Took, usual: int) -> Took:
    """With the asking that is still to come: leaving it out would leave out just those that take long."""
    if one.pending is None:
        return one
    tried, room = one.pending
    expected = Usage(one.counted, output_tokens=(tried + room) // 2 if tried else min(usual, room))
    return replace(one, usages=[*one.usages, expected], pending=None)


def _usd(one: Took, price: Price, *, batch: bool) -> float:
    return float(sum((price.cost(usage, batch=batch) for usage in one.usages), Decimal(0)))


def _saved(took: Took, price: Price, *, batch: bool) -> float:
    rates = price.rates(tier=0, batch=batch)
    return float(sum((caching.saving(usage, rates) for usage in took.usages), Decimal(0)))


def work(tally: Tally, measured: Measured) -> Work:
    """What the tally's requests will cost if they are like the measured ones."""
    plain, longer, fresh = tally.work(), tally.work(only_cut=True), tally.requests - tally.cut
    counted, sync = tally.counted(batch=tally.terms.batch), tally.counted(batch=False)
    rest = [counted + _dollars(part) for part in sampling.total(measured.beyond, fresh)]
    usd = [one + other for one, other in zip(rest, longer.usd.parts()[:3], strict=True)]
    return Work(
        requests=tally.requests,
        input_tokens=round(plain.input_tokens * _ratio(measured)),
        output_tokens=round(measured.output.mean * fresh) + longer.output_tokens,
        usd=_span(usd, plain.usd.ceiling, measured),
        sync_usd=max(Decimal(0), sync + longer.sync_usd + _dollars(measured.sync_beyond * fresh)),
    )


def expected(measured: Measured, requests: Span, ceiling: Decimal) -> Work:
    """Requests that do not exist yet, like the measured ones. ``ceiling``: the most that one of them can cost."""
    count = requests.whole()
    likely = int(count.likely)
    counts = (int(count.low), likely, int(count.high))
    usd = [_dollars(sampling.total(measured.usd, number)[place]) for place, number in enumerate(counts)]
    return Work(
        requests=likely,
        input_tokens=round(measured.input_tokens * likely),
        output_tokens=round(measured.output.mean * likely),
        usd=_span(usd, ceiling * count.ceiling, measured),
        sync_usd=_dollars(measured.sync_usd * likely),
    )


def _span(usd: Sequence[Decimal], ceiling: Decimal, measured: Measured) -> Span:
    """In order, never negative; wider where the answers are no random sample, never above the ceiling."""
    fewer, more = (Decimal(1), Decimal(1)) if measured.random else (_FEWER, _MORE)
    low, likely, high = usd
    low, likely, high = (min(max(part, Decimal(0)), ceiling) for part in (low * fewer, likely, high * more))
    return Span(low, likely, high, ceiling)


def _ratio(measured: Measured) -> float:
    """Billed input over counted input: schema, chat format, a tokenizer that is not the model's, re-asking."""
    return measured.input_tokens / measured.counted if measured.counted else 1.0


def _dollars(usd: float) -> Decimal:
    return Decimal(repr(round(usd, 12)))
