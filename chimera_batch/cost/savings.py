"""What a run does not pay, and against what: the lines of ``estimate --explain``. Pure. Floor 2.

Amounts are likely dollars of what is still to be sent. Each entry names the line of the manifest that switches it off;
what is measured in whole runs, side by side, is in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chimera_batch.cost.chain import Chain
from chimera_batch.cost.stagefacts import StageCost


@dataclass(frozen=True, slots=True)
class Saving:
    """``usd``: likely dollars, None where it cannot be told before. ``switch``: what turns it off."""

    stage: str
    saving: str
    usd: Decimal | None
    switch: str

    @property
    def document(self) -> dict[str, Any]:
        usd = None if self.usd is None else float(round(self.usd, 6))
        return {"stage": self.stage, "saving": self.saving, "usd": usd, "switch": self.switch}


def savings(priced: Chain) -> Iterator[Saving]:
    """Every saving of every stage, in the manifest's order."""
    above: list[StageCost] = []
    for cost in priced.costs:
        if cost.basis == "answered":
            yield Saving(cost.facts.stage, f"{cost.facts.wanted:,} answers are there already", None, "another store")
        else:
            yield from _of_stage(cost, above)
        above.append(cost)


def _of_stage(cost: StageCost, above: Sequence[StageCost]) -> Iterator[Saving]:
    facts, work = cost.facts, cost.work
    if work.sync_usd > work.usd.likely:
        saved = work.sync_usd - work.usd.likely
        how = "flex" if facts.terms and facts.terms.synchronous else "batch"
        yield Saving(facts.stage, f"{how} instead of synchronous price", saved, "window: now")
    equal = facts.asked - facts.wanted
    if equal > 0:
        yield Saving(facts.stage, f"{equal:,} equal questions are asked once", equal * _each(cost), "samples: N")
    yield from _left_out(cost, above)
    yield from _cached(cost)
    yield from _routed(cost)
    if facts.after is not None:
        text = f"waves end when {facts.after} has enough"
        yield Saving(facts.stage, text, None, "rounds: {max: 1}")


def _each(cost: StageCost) -> Decimal:
    """Likely dollars of one request."""
    return cost.work.usd.likely / cost.work.requests if cost.work.requests else Decimal(0)


def _left_out(cost: StageCost, above: Sequence[StageCost]) -> Iterator[Saving]:
    """Rows of the ask stage above that free checks or earlier verdicts keep away from this one."""
    name = (cost.facts.assume.rows_per or (None,))[0]
    before = next((one for one in reversed(above) if name in {None, one.facts.stage}), None)
    if before is None or not cost.work.requests:
        return
    fewer = before.requests.likely * before.facts.samples - cost.requests.likely
    if fewer > 0:
        text = f"{int(fewer):,} rows of {before.facts.stage} are settled before they are asked about here"
        yield Saving(cost.facts.stage, text, fewer * _each(cost), f"the rows query of {cost.facts.stage}")


def _cached(cost: StageCost) -> Iterator[Saving]:
    measured = cost.facts.measured
    if measured is not None and measured.cache_saving > 0:
        usd = Decimal(repr(round(measured.cache_saving, 12))) * cost.work.requests
        yield Saving(cost.facts.stage, "the prompt cache, as measured", usd, "cache: false")


def _routed(cost: StageCost) -> Iterator[Saving]:
    """Against the dearest model that the manifest allows for the stage."""
    if len(cost.facts.routes) < 2:
        return
    (chosen, usd), *others = cost.facts.routes
    dearest, most = max(others, key=lambda other: other[1])
    if most > usd:
        text = f"{chosen} instead of {dearest}, ${usd:.6f} instead of ${most:.6f} a request"
        yield Saving(cost.facts.stage, text, (most - usd) * cost.work.requests, "route: first")
