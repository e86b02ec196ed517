"""What a run does not pay. Prices are round, so that every dollar can be checked by eye."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from chimera_batch.cost import measured
from chimera_batch.cost.chain import chain
from chimera_batch.cost.measured import Took
from chimera_batch.cost.prices import load
from chimera_batch.cost.savings import Saving, savings
from chimera_batch.cost.stagefacts import StageFacts
from chimera_batch.cost.tally import Tally, Terms
from chimera_batch.pipeline.stage import Assume
from chimera_batch.records import Usage

PRICE = load(None, ["acme/m=2,10,1,5"]).price("acme", "m", date(2026, 11, 21))
TERMS = Terms(PRICE, batch=True, output_tokens=200)  # a request of 1,000 tokens: 0.002 dollars, 0.004 at once


def facts(name: str, requests: int, **more: Any) -> StageFacts:
    tally = Tally(TERMS)
    for _ in range(requests):
        tally.add(1000, 1000, 4000)
    known = {"provider": "acme", "model": "m", "terms": TERMS, "ceiling": 4000, "tally": tally, "wanted": requests}
    return StageFacts(name, "ask", **{**known, **more})


def found(*stages: StageFacts) -> list[tuple[str, str, Decimal | None]]:
    """Without the saving of batches, which every stage has."""
    listed = [(one.stage, one.saving, one.usd) for one in savings(chain(stages))]
    return [one for one in listed if not one[1].startswith("batch instead")]


def test_a_batch_costs_half() -> None:
    (only,) = savings(chain([facts("a", 100)]))
    assert only == Saving("a", "batch instead of synchronous price", Decimal("0.2"), "window: now")
    assert only.document == {"stage": "a", "saving": only.saving, "usd": 0.2, "switch": "window: now"}


def test_what_flex_saves_is_not_called_a_batch() -> None:
    tally = Tally(replace(TERMS, synchronous=True))
    tally.add(1000, 1000, 4000)
    (only,) = savings(chain([facts("a", 1, terms=tally.terms, tally=tally)]))
    assert only == Saving("a", "flex instead of synchronous price", Decimal("0.002"), "window: now")


def test_at_the_synchronous_price_nothing_is_saved() -> None:
    terms = Terms(PRICE, batch=False, output_tokens=200, synchronous=True)
    tally = Tally(terms)
    tally.add(1000, 1000, 4000)
    assert list(savings(chain([facts("a", 1, terms=terms, tally=tally)]))) == []


def test_answers_that_are_there_are_named_without_an_amount() -> None:
    assert found(facts("a", 0, wanted=70)) == [("a", "70 answers are there already", None)]


def test_equal_questions_are_asked_once() -> None:
    assert found(facts("a", 100, asked=130)) == [("a", "30 equal questions are asked once", Decimal("0.06"))]


@pytest.mark.parametrize(
    ("below", "fewer"),
    [
        (facts("b", 60), 40),  # the stage above is the last one that asks
        (facts("b", 60, assume=Assume(rows_per=("a", 1.0))), 40),
        (facts("b", 100), 0),
        (facts("b", 170), 0),  # several rows of each
    ],
)
def test_rows_that_were_settled_above_are_not_asked_about(below: StageFacts, fewer: int) -> None:
    listed = found(facts("a", 100), below)
    if fewer:
        text = f"{fewer} rows of a are settled before they are asked about here"
        assert listed == [("b", text, fewer * Decimal("0.002"))]
    else:
        assert listed == []


def test_a_cache_that_paid() -> None:
    rates = load(None, ["acme/m=2,10,1,5"]).price("acme", "m", date(2026, 11, 21))
    took = Took(1000, [Usage(1000, cached_tokens=800, output_tokens=200)], truncated=False, ok=True)
    price = replace(rates, batch=replace(rates.batch, cached_input=Decimal("0.1")))
    known = measured.measure([took] * 40, price, batch=True, random=True)
    ((stage, text, usd),) = found(facts("a", 100, measured=known))
    assert (stage, text) == ("a", "the prompt cache, as measured")
    assert usd == pytest.approx(Decimal(100) * 800 * Decimal("0.9") / 10**6)


def test_a_cache_that_did_not_pay_is_no_saving() -> None:
    took = Took(1000, [Usage(1000, output_tokens=200)], truncated=False, ok=True)
    assert found(facts("a", 100, measured=measured.measure([took] * 40, PRICE, batch=True, random=True))) == []


def test_the_cheapest_model_against_the_dearest() -> None:
    routes = (("cheap", Decimal("0.002")), ("middle", Decimal("0.003")), ("dear", Decimal("0.005")))
    text = "cheap instead of dear, $0.002000 instead of $0.005000 a request"
    assert found(facts("a", 100, routes=routes)) == [("a", text, Decimal("0.3"))]
    assert found(facts("a", 100, routes=routes[::-1])) == []  # the first one was asked for, and it is the dearest


def test_waves_name_what_ends_them() -> None:
    assert found(facts("a", 100, after="verified")) == [("a", "waves end when verified has enough", None)]
