"""What a run would still cost, before a cent is spent: one document, and the table that people see. Pure. Floor 2.

The caller counts: for every stage whose rows query can run it fills a Tally with the requests that are still to be sent
(answered ones and those in flight cost nothing more), and describes every stage in StageFacts. Each figure comes four
times:

- ``likely``: counted input, and output as measured on a sample, else as assumed; the share kept likewise;
- ``low`` and ``high``: the 95 % interval of the sample; without one 0.6 and 1.6 times the assumed output, and 0.8 and
  1.25 times every share kept that is not one;
- ``ceiling``: every request at its input bound and output ceiling, asked again as often as the retry rules allow after
  billed answers, nothing filtered out, all rounds used up. Where rows are assumed it rests on that assumption too.

What a measured request cost holds its cache hits and everything that was asked again; assumed ones count neither. All
amounts are Decimal dollars until they are written into the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Any

from chimera_batch.cost.chain import Chain, chain
from chimera_batch.cost.money import dollars
from chimera_batch.cost.savings import savings
from chimera_batch.cost.stagefacts import StageCost, StageFacts
from chimera_batch.cost.tally import Span, Tally, Terms, Work, assumed

__all__ = [
    "Chain",
    "Money",
    "Span",
    "StageCost",
    "StageFacts",
    "Tally",
    "Terms",
    "Work",
    "assumed",
    "chain",
    "document",
    "table",
]


@dataclass(frozen=True, slots=True)
class Money:
    """The run's budget, what it has committed already (spent, reserved and suspected), and its other caps. Dollars."""

    budget: Decimal | None = None
    committed: Decimal = Decimal(0)
    day: Decimal | None = None  # of a UTC day
    stages: Mapping[str, Decimal] = field(default_factory=dict)  # what the caps of stages leave

    @property
    def left(self) -> Decimal | None:
        return None if self.budget is None else max(Decimal(0), self.budget - self.committed)


def document(
    run: str, stages: Sequence[StageFacts], money: Money, *, today: date, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """The document of ``estimate --json``. Amounts are JSON numbers in dollars, rounded to a millionth.

    Raises InputError like ``chain``.
    """
    left = money.left
    priced = chain(stages)
    total = sum((cost.work for cost in priced.costs), Work())
    prices = [
        (c.facts.terms.price, c.facts.terms.batch) for c in priced.costs if c.facts.terms and c.basis != "answered"
    ]
    said = [line for price, batch in prices for line in price.warnings(today, batch=batch)]
    over = [*_over(total.usd, left), *_capped(priced, money)]
    dates = [price.as_of for price, _ in prices if price.as_of]
    return {
        "run": run,
        "currency": "USD",
        "stages": [_stage(cost) for cost in priced.costs],
        "total": _amounts(total.usd),
        "sync_total": _amount(total.sync_usd),
        "turnarounds": {"likely": priced.waited.likely, "max": priced.waited.most},
        "hours": {"likely": _hours(priced.waited.likely_hours), "max": _hours(priced.waited.most_hours)},
        "now": list(_now(stages, priced)),
        "savings": [saving.document for saving in savings(priced)],
        "budget": None if money.budget is None else _amount(money.budget),
        "budget_left": None if left is None else _amount(left),
        "budget_day": None if money.day is None else _amount(money.day),
        "prices_as_of": min(dates).isoformat() if dates else None,
        "warnings": list(dict.fromkeys([*warnings, *said, *priced.warnings, *over])),
    }


def _hours(hours: float | None) -> float | None:
    return None if hours is None else round(hours, 2)


def _now(stages: Sequence[StageFacts], priced: Chain) -> Iterable[dict[str, Any]]:
    """What asking one stage of batches at once (``window: now``) would save in turnarounds, and cost more."""
    for cost in priced.costs:
        if not (cost.facts.terms and cost.facts.terms.batch and cost.work.requests):
            continue
        waited = chain([replace(f, waves=0, canary_from=None) if f is cost.facts else f for f in stages]).waited
        saved = priced.waited.likely - waited.likely
        if saved > 0:
            extra = cost.work.sync_usd - cost.work.usd.likely
            yield {"stage": cost.facts.stage, "turnarounds_saved": saved, "usd_extra": _amount(extra)}


def _stage(cost: StageCost) -> dict[str, Any]:
    return {
        "stage": cost.facts.stage,
        "provider": cost.facts.provider,
        "model": cost.facts.model,
        "requests": cost.work.requests,
        "in_flight": cost.facts.in_flight,
        "input_tokens": cost.work.input_tokens,
        "output_tokens": cost.work.output_tokens,
        "usd": _amounts(cost.work.usd),
        "basis": cost.basis,
        "sync_usd": _amount(cost.work.sync_usd),
        "machine_hours": _machine_hours(cost),
    }


def _machine_hours(cost: StageCost) -> float | None:
    """How long a machine of one's own is likely to work on a stage; None of a host that charges for tokens."""
    gpu = cost.facts.terms.price.gpu if cost.facts.terms else None
    if gpu is None:
        return None
    return round(float(gpu.hours(cost.work.usd.likely, cost.work.input_tokens, cost.work.output_tokens)), 4)


def _over(usd: Span, left: Decimal | None) -> Iterable[str]:
    if left is not None and usd.likely > left:
        yield f"the likely cost, {dollars(usd.likely)}, is above the {dollars(left)} that the budget leaves"
    elif left is not None and usd.high > left:
        yield f"the high estimate, {dollars(usd.high)}, is above the {dollars(left)} that the budget leaves"


def _capped(priced: Chain, money: Money) -> Iterable[str]:
    """Caps of stages that the likely cost passes, and how many days a cap of the day makes of it."""
    for cost in priced.costs:
        left, usd = money.stages.get(cost.facts.stage), cost.work.usd.likely
        if left is not None and usd > left:
            likely = f"{cost.facts.stage}: the likely cost, {dollars(usd)},"
            yield f"{likely} is above the {dollars(left)} that its cap leaves"
    total = sum((cost.work.usd.likely for cost in priced.costs), Decimal(0))
    if money.day and total > money.day:
        days = int((total / money.day).to_integral_value(ROUND_CEILING))
        yield f"at {dollars(money.day)} a day the likely cost takes {days} days at least"


def _amounts(span: Span) -> dict[str, float]:
    return dict(zip(("low", "likely", "high", "ceiling"), map(_amount, span.parts()), strict=True))


def _amount(usd: Decimal) -> float:
    return float(round(usd, 6))


COLUMNS = ("stage", "model", "requests", "input", "output", "low", "likely", "high", "ceiling", "synchronous", "basis")


def table(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The document as rows of text for a terminal: the heading first, the total last."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for stage in document["stages"]:
        counts = (f"{stage[name]:,}" for name in ("requests", "input_tokens", "output_tokens"))
        usd = (*stage["usd"].values(), stage["sync_usd"])
        rows.append(
            (stage["stage"], f"{stage['provider']}/{stage['model']}", *counts, *map(dollars, usd), stage["basis"])
        )
    counts = (f"{sum(s[name] for s in document['stages']):,}" for name in ("requests", "input_tokens", "output_tokens"))
    usd = (*document["total"].values(), document["sync_total"])
    rows.append(("total", "", *counts, *map(dollars, usd), ""))
    return rows
