"""What a run would still cost. Prices are round numbers, so that every expected dollar can be checked by eye."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.estimate import Money, Span, StageFacts, Tally, Terms, assumed, chain, document, table
from chimera_batch.cost.prices import Price, load
from chimera_batch.errors import InputError
from chimera_batch.pipeline.stage import Assume
from chimera_batch.records import Usage

TODAY = date(2026, 11, 21)

PRICES = """
[[price]]
provider = "acme"
model = "m"
input = "2"
output = "10"
batch_multiplier = "0.5"
as_of = 2026-11-01

[[price]]
provider = "acme"
model = "tiered"
input = "2"
output = "10"
batch_multiplier = "0.5"
tier = { above_input_tokens = 1000, input = "4", output = "20" }
as_of = 2026-10-01

[[price]]
provider = "acme"
model = "embed"
input = "1"
output = "0"
batch_multiplier = "0.5"

[[price]]
provider = "acme"
model = "old"
input = "1"
output = "1"
retire_on = 2026-11-01
as_of = 2026-01-01
"""


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Price]:
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    path.write_text(PRICES)
    book = load(path)
    return {name: book.price("acme", name, TODAY) for name in ("m", "tiered", "embed", "old")}


M = load(None, ["acme/m=2,10,1,5"]).price("acme", "m", TODAY)
TERMS = Terms(M, batch=True, output_tokens=1000)


def tally(requests: int, terms: Terms = TERMS, tokens: int = 1000, bound: int = 1000, ceiling: int = 4000) -> Tally:
    made = Tally(terms)
    for _ in range(requests):
        made.add(tokens, bound, ceiling)
    return made


def ask(name: str, requests: int | None = None, **more: Any) -> StageFacts:
    """A stage of one-dollar-per-million input; with ``requests``, its rows are known and none is answered."""
    known = {} if requests is None else {"tally": tally(requests), "wanted": requests}
    return StageFacts(
        name, "ask", **{"provider": "acme", "model": "m", "terms": TERMS, "ceiling": 4000, **known, **more}
    )


def sql(name: str, *reads: str, rows: int | None = None) -> StageFacts:
    return StageFacts(name, "sql", reads=reads, rows=rows)


def quote(*stages: StageFacts, **more: Any) -> dict[str, Any]:
    caps = {name: more.pop(name) for name in ("budget", "committed", "day", "stages") if name in more}
    return document("r", stages, Money(**caps), **{"today": TODAY, **more})


def usd(low: str, likely: str, high: str, ceiling: str) -> Span:
    return Span(Decimal(low), Decimal(likely), Decimal(high), Decimal(ceiling))


# --- one request, and many ---


@pytest.mark.parametrize(
    ("output", "ceiling", "tokens", "bound", "span"),
    [
        # batch: input 1, output 5 per million. Input .001; output 600 / 1000 / 1600 / 4000
        (1000, 4000, 1000, 1000, ("0.004", "0.006", "0.009", "0.021")),
        (1000, 4000, 1000, 3000, ("0.004", "0.006", "0.009", "0.023")),  # the ceiling pays the input bound
        (1000, 1200, 1000, 1000, ("0.004", "0.006", "0.007", "0.007")),  # never above the output ceiling
        (9999, 1200, 1000, 1000, ("0.0046", "0.007", "0.007", "0.007")),
        (None, 1200, 1000, 1000, ("0.007", "0.007", "0.007", "0.007")),  # nothing assumed: the ceiling
        (0, 1200, 1000, 1000, ("0.001", "0.001", "0.001", "0.007")),
        (1000, None, 1000, 1000, ("0.001", "0.001", "0.001", "0.001")),  # no output at all
        (1000, 4000, 1000, 10, ("0.004", "0.006", "0.009", "0.021")),  # a bound below the count is no bound
    ],
)
def test_one_request(
    output: int | None, ceiling: int | None, tokens: int, bound: int, span: tuple[str, str, str, str]
) -> None:
    made = Tally(Terms(M, batch=True, output_tokens=output))
    made.add(tokens, bound, ceiling)
    assert made.work().usd == usd(*span)


def test_the_synchronous_price_is_that_of_the_likely_work() -> None:
    work = tally(10).work()
    assert work.usd.likely == Decimal("0.06")
    assert work.sync_usd == Decimal("0.12")
    now = tally(10, replace(TERMS, batch=False)).work()
    assert now.usd.likely == now.sync_usd == Decimal("0.12")


def test_a_million_tokens_in_small_requests_pay_the_base_rate(prices: dict[str, Price]) -> None:
    terms = Terms(prices["tiered"], batch=True, output_tokens=0)
    small, large = Tally(terms), Tally(terms)
    for _ in range(1000):
        small.add(1000, 1000, 100)
    large.add(1_000_000, 1_000_000, 100)
    assert small.work().usd.likely == Decimal("1")
    assert large.work().usd.likely == Decimal("2")


def test_requests_on_both_sides_of_the_tier_pay_their_own_rates(prices: dict[str, Price]) -> None:
    made = Tally(Terms(prices["tiered"], batch=False, output_tokens=100))
    made.add(1000, 1000, 100)  # 1000 × 2 + 100 × 10
    made.add(1001, 1001, 100)  # 1001 × 4 + 100 × 20
    assert made.work().usd.likely == Decimal("0.003") + Decimal("0.006004")
    assert made.work().usd.ceiling == Decimal("0.009004")


def test_the_ceiling_sees_the_tier_that_only_the_bound_reaches(prices: dict[str, Price]) -> None:
    made = Tally(Terms(prices["tiered"], batch=False, output_tokens=100))
    made.add(900, 1100, 100)
    assert made.work().usd.likely == Decimal("0.0028")
    assert made.work().usd.ceiling == Decimal("0.0064")


def test_the_ceiling_pays_long_cache_writes_only_where_they_are_asked_for() -> None:
    haiku = load().price("anthropic", "claude-haiku-4-5", TODAY)
    plain = tally(1, Terms(haiku, batch=True, output_tokens=1)).work().usd
    cached = tally(1, Terms(haiku, batch=True, output_tokens=1, cache=True)).work().usd
    assert plain.likely == cached.likely
    assert cached.ceiling - plain.ceiling == Decimal("0.000375")  # 1000 tokens at 1 instead of .625 per million


def test_an_empty_tally_costs_nothing() -> None:
    assert tally(0).work().usd == Span.exactly(0)
    assert tally(0).work().requests == 0


def test_assumed_requests_are_whole_and_multiply_one() -> None:
    work = assumed(TERMS, usd("1.5", "2.1", "3", "10"), 1000, 4000)
    assert work.requests == 3
    assert (work.input_tokens, work.output_tokens) == (3000, 3000)
    # each .004 / .006 / .009 / .0216 (bound 1600 tokens); 2, 3, 3 and 10 of them
    assert work.usd == usd("0.008", "0.018", "0.027", "0.216")
    assert work.sync_usd == Decimal("0.036")


sizes = st.integers(0, 3000)
requests = st.lists(st.tuples(sizes, sizes, sizes | st.none()), max_size=20)
outputs = st.integers(0, 5000) | st.none()
terms_of = st.builds(Terms, st.sampled_from(load().rows), st.booleans(), outputs, st.booleans())


@given(terms_of, requests)
def test_low_likely_high_ceiling_are_in_order(terms: Terms, many: list[tuple[int, int, int | None]]) -> None:
    made = Tally(terms)
    for one in many:
        made.add(*one)
    span = made.work().usd
    assert 0 <= span.low <= span.likely <= span.high <= span.ceiling


@given(terms_of, requests, requests)
def test_tallies_add_up(
    terms: Terms, some: list[tuple[int, int, int | None]], more: list[tuple[int, int, int | None]]
) -> None:
    first, second, both = Tally(terms), Tally(terms), Tally(terms)
    for one in some:
        first.add(*one)
        both.add(*one)
    for one in more:
        second.add(*one)
        both.add(*one)
    assert first.work() + second.work() == both.work()


@given(terms_of, requests)
def test_the_likely_cost_is_the_bill_of_requests_that_go_as_assumed(
    terms: Terms, many: list[tuple[int, int, int | None]]
) -> None:
    made, bill = Tally(terms), Decimal(0)
    for tokens, bound, ceiling in many:
        made.add(tokens, bound, ceiling)
        output = ceiling or 0 if terms.output_tokens is None else min(terms.output_tokens, ceiling or 0)
        bill += terms.price.cost(Usage(tokens, output_tokens=output), batch=terms.batch)
    assert made.work().usd.likely == bill


# --- shares ---


@pytest.mark.parametrize(
    ("kept", "span"),
    [
        (1.0, ("1", "1", "1", "1")),
        (0.5, ("0.4", "0.5", "0.625", "1")),
        (0.9, ("0.72", "0.9", "1", "1")),
        (30.0, ("24", "30", "37.5", "37.5")),
    ],
)
def test_a_share_kept(kept: float, span: tuple[str, str, str, str]) -> None:
    assert Span.share(kept) == usd(*span)


@given(st.floats(0.0, 50.0))
def test_shares_are_in_order(kept: float) -> None:
    span = Span.share(kept)
    assert 0 <= span.low <= span.likely <= span.high <= span.ceiling


# --- stage after stage ---


def test_known_stages_cost_what_is_left_to_send() -> None:
    said = quote(ask("a", 10), ask("b", 0, wanted=50))
    a, b = said["stages"]
    assert a["requests"] == 10
    assert a["usd"] == {"low": 0.04, "likely": 0.06, "high": 0.09, "ceiling": 0.21}
    assert a["basis"] == "counted input, assumed output"
    assert (b["requests"], b["usd"]["ceiling"], b["sync_usd"], b["basis"]) == (0, 0.0, 0.0, "answered")
    assert said["total"] == a["usd"]


def test_later_stages_follow_from_what_is_kept() -> None:
    said = quote(
        ask("a", 100, assume=Assume(kept=0.5)),
        sql("filtered", "a"),
        ask("b", reads=("filtered",), assume=Assume(input_tokens=1000, kept=0.8)),
        ask("c", reads=("b",), assume=Assume(rows_per=("b", 3.0), input_tokens=1000)),
    )
    _, b, c = said["stages"]
    assert (b["requests"], c["requests"]) == (50, 120)
    assert b["usd"]["low"] == pytest.approx(40 * 0.004)
    assert b["usd"]["likely"] == pytest.approx(50 * 0.006)
    assert b["usd"]["high"] == pytest.approx(63 * 0.009)  # 62.5 requests are 63
    assert b["usd"]["ceiling"] == pytest.approx(100 * 0.0216)
    assert c["usd"]["low"] == pytest.approx(77 * 0.004)  # 40 × .64 × 3 = 76.8
    assert c["usd"]["ceiling"] == pytest.approx(300 * 0.0216)
    assert b["basis"] == c["basis"] == "assumed"


def test_a_stage_that_is_answered_still_feeds_the_next_ones() -> None:
    said = quote(ask("a", 0, wanted=100, assume=Assume(kept=0.5)), ask("b", reads=("a",)))
    assert [stage["requests"] for stage in said["stages"]] == [0, 50]


@pytest.mark.parametrize(
    ("facts", "count"),
    [
        (ask("b", assume=Assume(rows=7), reads=("a",)), 7),  # assumed rows win
        (ask("b", assume=Assume(rows=7), samples=4), 28),
        (ask("b", reads=("a",)), 20),
        (ask("b", reads=("a", "few")), 5),  # the latest table above
        (ask("b", reads=("few", "a", "b", "no_stage")), 5),
        (ask("b", assume=Assume(rows_per=("a", 2.5)), reads=("few",)), 50),
        (ask("b", reads=("a",), samples=3), 60),
        (ask("b", reads=("a",), answered=15), 5),
        (ask("b", reads=("a",), answered=999), 0),
        (ask("b", assume=Assume(rows=0)), 0),
    ],
)
def test_rows_of_a_stage_that_cannot_run_yet(facts: StageFacts, count: int) -> None:
    assert quote(ask("a", 20), sql("few", "a", rows=5), facts)["stages"][1]["requests"] == count


def test_a_stage_whose_rows_follow_from_nothing_is_an_error_with_the_line_to_add() -> None:
    with pytest.raises(InputError) as caught:
        quote(sql("seeds"), ask("b", reads=("seeds",)))
    assert "stage b" in str(caught.value)
    assert caught.value.hint is not None
    assert "assume: {rows: 100}" in caught.value.hint


def test_without_an_assumed_output_the_ceiling_is_the_price_and_the_basis() -> None:
    open_ended = Terms(M, batch=True)
    known = ask("a", terms=open_ended, tally=tally(2, open_ended), wanted=2)
    said = quote(known, ask("b", terms=open_ended, reads=("a",), assume=Assume(input_tokens=1000)))
    a, b = said["stages"]
    assert a["basis"] == b["basis"] == "ceiling"
    assert a["usd"]["low"] == a["usd"]["high"] == a["usd"]["ceiling"] == 0.042
    assert b["output_tokens"] == 8000
    (warning,) = said["warnings"]
    assert "a, b" in warning
    assert "assume: {output_tokens: N}" in warning


def test_embeddings_have_no_output_to_assume(prices: dict[str, Price]) -> None:
    terms = Terms(prices["embed"], batch=True)
    made = tally(1000, terms, ceiling=0)
    facts = ask("e", terms=terms, ceiling=None, tally=made, wanted=1000)
    said = quote(facts, ask("f", terms=terms, ceiling=None, reads=("e",), assume=Assume(input_tokens=500)))
    assert [stage["basis"] for stage in said["stages"]] == ["counted input", "assumed"]
    assert [stage["usd"]["likely"] for stage in said["stages"]] == [0.5, 0.25]
    assert said["warnings"] == []


def test_missing_input_tokens_are_stated() -> None:
    said = quote(ask("a", 10), ask("b", reads=("a",)), ask("c", reads=("a",)))
    assert said["stages"][1]["input_tokens"] == 20_000
    (warning,) = said["warnings"]
    assert "2,000 input tokens" in warning
    assert "b, c" in warning


# --- rounds ---


def test_further_rounds_count_in_the_ceiling_and_up_to_the_assumed_rows_in_the_likely_cost() -> None:
    once = quote(ask("a", 8))["stages"][0]
    open_end = quote(ask("a", 8, rounds=3))["stages"][0]
    assert open_end["usd"]["likely"] == once["usd"]["likely"]
    assert open_end["requests"] == 8
    assert open_end["usd"]["ceiling"] == pytest.approx(8 * 0.021 + 16 * 0.0216)
    stated = quote(ask("a", 8, rounds=3, assume=Assume(rows=16)))["stages"][0]
    assert stated["requests"] == 16
    assert stated["usd"]["likely"] == pytest.approx(16 * 0.006)
    assert stated["usd"]["low"] == once["usd"]["low"]  # the first round may have been enough
    assert stated["basis"] == "assumed"
    assert quote(ask("a", 8, rounds=1, assume=Assume(rows=16)))["stages"][0]["requests"] == 8


def test_later_rounds_are_taken_to_be_like_the_first() -> None:
    facts = ask("a", tally=tally(2, tokens=300), wanted=2, rounds=2, assume=Assume(rows=4))
    assert quote(facts)["stages"][0]["input_tokens"] == 1200


def test_rounds_of_a_stage_that_cannot_run_yet() -> None:
    derived = quote(ask("a", 10), ask("b", reads=("a",), rounds=3, assume=Assume(input_tokens=1000)))["stages"][1]
    assert derived["requests"] == 10
    assert derived["usd"]["ceiling"] == pytest.approx(30 * 0.0216)
    stated = quote(ask("b", rounds=3, assume=Assume(rows=10, input_tokens=1000)))["stages"][0]
    assert stated["usd"]["ceiling"] == pytest.approx(10 * 0.0216)


def test_a_stage_between_rounds_is_not_called_answered() -> None:
    facts = ask("a", 0, wanted=8, rounds=2)
    said = quote(facts)
    assert said["stages"][0]["basis"] == "assumed"
    assert said["stages"][0]["usd"]["likely"] == 0
    assert said["turnarounds"] == {"likely": 0, "max": 1}


# --- turnarounds ---

NOW = replace(TERMS, batch=False)


@pytest.mark.parametrize(
    ("stages", "likely", "most"),
    [
        ([], 0, 0),
        ([ask("a", 1)], 1, 1),
        ([ask("a", 0, wanted=5)], 0, 0),
        ([ask("a", 0, wanted=5, in_flight=5)], 1, 1),
        ([ask("a", 1, terms=NOW)], 0, 0),
        ([ask("a", 1), ask("b", 1)], 1, 1),  # side by side
        ([ask("a", 1), ask("b", reads=("a",))], 2, 2),
        ([ask("a", 1), sql("s", "a"), sql("t", "s"), ask("b", reads=("t",))], 2, 2),
        ([ask("a", 1), ask("b", reads=("a",), terms=NOW), ask("c", reads=("b",))], 2, 2),
        ([ask("a", 1), ask("b", assume=Assume(rows_per=("a", 1.0)))], 2, 2),  # what it counts on it also waits for
        ([ask("a", 1), ask("b", reads=("a",), answered=9)], 1, 1),
        ([ask("a", 8, rounds=3)], 1, 3),
        ([ask("a", 8, rounds=3, assume=Assume(rows=16))], 2, 3),
        ([ask("a", 8, rounds=3, assume=Assume(rows=17))], 3, 3),
        ([ask("a", 8, rounds=3, assume=Assume(rows=900))], 3, 3),
        ([ask("a", 8, waves=2)], 2, 2),  # a canary goes first
        ([ask("a", 8, waves=2, rounds=2), ask("b", reads=("a",), rounds=4)], 3, 8),
        ([ask("a", 1), ask("b", reads=("a",)), ask("x", 1, waves=2)], 2, 2),
    ],
)
def test_turnarounds_are_the_longest_chain_of_batches(stages: list[StageFacts], likely: int, most: int) -> None:
    assert chain(stages).turnarounds == (likely, most)


# --- the document ---


def test_the_document_has_the_keys_of_the_contract_and_is_json() -> None:
    said = quote(ask("a", 10), sql("s", "a"), ask("b", reads=("s",)), budget=Decimal("12.5"), warnings=("mind this",))
    assert list(said) == [
        *("run", "currency", "stages", "total", "sync_total", "turnarounds", "hours", "now", "savings"),
        *("budget", "budget_left", "budget_day", "prices_as_of", "warnings"),
    ]
    assert (said["run"], said["currency"], said["budget"]) == ("r", "USD", 12.5)
    for stage in said["stages"]:
        assert set(stage) == {
            *(
                "stage",
                "provider",
                "model",
                "requests",
                "in_flight",
                "input_tokens",
                "output_tokens",
                "usd",
                "basis",
                "sync_usd",
                "machine_hours",
            )
        }
        assert list(stage["usd"]) == ["low", "likely", "high", "ceiling"]
        assert isinstance(stage["requests"], int)
        assert isinstance(stage["input_tokens"], int)
        assert isinstance(stage["sync_usd"], float)
    assert said["warnings"][0] == "mind this"
    assert json.loads(json.dumps(said)) == said


def test_an_empty_run_is_a_document_too() -> None:
    said = quote()
    assert said["total"] == {"low": 0.0, "likely": 0.0, "high": 0.0, "ceiling": 0.0}
    assert said["prices_as_of"] is None
    assert said["budget"] is None


def test_amounts_are_rounded_to_a_millionth_only_at_the_end() -> None:
    terms = Terms(load(None, ["acme/tiny=0.1,0"]).price("acme", "tiny", TODAY), batch=False, output_tokens=0)
    facts = [ask(name, terms=terms, tally=tally(1, terms, tokens=4, bound=4), wanted=1) for name in "abc"]
    said = quote(*facts)
    assert [stage["usd"]["likely"] for stage in said["stages"]] == [0.0, 0.0, 0.0]  # .0000004 each
    assert said["total"]["likely"] == 0.000001


def test_prices_are_as_old_as_the_oldest_one_used(prices: dict[str, Price]) -> None:
    m, tiered = Terms(prices["m"], batch=True, output_tokens=10), Terms(prices["tiered"], batch=True, output_tokens=10)
    assert quote(ask("a", 1, terms=m))["prices_as_of"] == "2026-11-01"
    assert quote(ask("a", 1, terms=m), ask("b", 1, terms=tiered))["prices_as_of"] == "2026-10-01"
    assert quote(ask("a", 1, terms=m), ask("b", 0, wanted=1, terms=tiered))["prices_as_of"] == "2026-11-01"


def test_warnings_of_prices_are_said_once_and_only_for_stages_with_work(prices: dict[str, Price]) -> None:
    old = Terms(prices["old"], batch=True, output_tokens=10)
    said = quote(ask("a", 1, terms=old), ask("b", 1, terms=old))["warnings"]
    assert len(said) == 3
    assert sum("shut down on 2026-11-01" in line for line in said) == 1
    assert sum("last checked on 2026-01-01" in line for line in said) == 1
    assert sum("no batch price" in line for line in said) == 1
    assert quote(ask("a", 0, wanted=1, terms=old))["warnings"] == []
    now = quote(ask("a", 1, terms=replace(old, batch=False)))["warnings"]
    assert not any("no batch price" in line for line in now)


@pytest.mark.parametrize(
    ("budget", "words"),
    [("0.059", "the likely cost"), ("0.06", "the high estimate"), ("0.089", "the high estimate"), ("0.09", None)],
)
def test_a_budget_that_will_not_do_is_said(budget: str, words: str | None) -> None:
    said = [line for line in quote(ask("a", 10), budget=Decimal(budget))["warnings"] if "budget" in line]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


facts_of = st.builds(
    lambda known, kept, per, rounds, samples: (known, Assume(kept=kept, rows_per=per), rounds, samples),
    st.none() | st.integers(0, 30),
    st.floats(0.01, 1.0),
    st.none() | st.floats(0.1, 9.0).map(lambda n: ("seed", n)),
    st.integers(1, 4),
    st.integers(1, 3),
)


@given(st.lists(facts_of, max_size=5))
def test_any_pipeline_is_in_order_and_its_total_is_the_sum(drawn: list[tuple[Any, Assume, int, int]]) -> None:
    stages = [ask("seed", 5)]
    for number, (known, assume, rounds, samples) in enumerate(drawn):
        more = {"assume": assume, "rounds": rounds, "samples": samples, "reads": (stages[-1].stage,)}
        stages.append(ask(f"s{number}", known, **more))
    said = quote(*stages)
    for amounts in (*(stage["usd"] for stage in said["stages"]), said["total"]):
        assert 0 <= amounts["low"] <= amounts["likely"] <= amounts["high"] <= amounts["ceiling"]
    for name in ("low", "likely", "high", "ceiling"):
        assert said["total"][name] == pytest.approx(sum(stage["usd"][name] for stage in said["stages"]), abs=1e-5)
    assert said["turnarounds"]["likely"] <= said["turnarounds"]["max"]


# --- for people ---


def test_the_table_is_text_with_a_heading_and_a_total() -> None:
    rows = table(quote(ask("a", 1000), ask("b", reads=("a",), assume=Assume(rows=1, input_tokens=10))))
    assert len(rows) == 4
    assert all(len(row) == len(rows[0]) for row in rows)
    assert all(isinstance(cell, str) for row in rows for cell in row)
    assert rows[1] == (
        *("a", "acme/m", "1,000", "1,000,000", "1,000,000"),
        *("$4.00", "$6.00", "$9.00", "$21.00", "$12.00", "counted input, assumed output"),
    )
    assert rows[2][6] == "$0.0050"
    assert rows[3][:3] == ("total", "", "1,001")
    assert rows[3][5:7] == ("$4.00", "$6.01")


def test_the_quickstart_chain_is_cheap_enough_for_its_budget() -> None:
    """The shape of the shipped pipeline with shipped prices, as a check of the orders of magnitude."""
    book = load()

    def terms(provider: str, model: str, output: int) -> Terms:
        return Terms(book.price(provider, model, TODAY), batch=True, output_tokens=output)

    author = terms("openai", "gpt-6.1-terra", 4000)
    checker = terms("anthropic", "claude-haiku-5.5", 2500)
    stages = [
        ask("topics", terms=author, tally=tally(8, author, ceiling=8000), wanted=8, rounds=3, assume=Assume(rows=16)),
        ask("problems", reads=("topics",), terms=author, ceiling=8000, assume=Assume(rows=72, input_tokens=900)),
        ask("verdict", terms=checker, ceiling=8000, assume=Assume(rows_per=("problems", 0.95), input_tokens=900)),
    ]
    said = quote(*stages, budget=Decimal(5))
    assert [stage["requests"] for stage in said["stages"]] == [16, 72, 69]
    assert 0.5 < said["total"]["likely"] < 2
    assert said["total"]["likely"] < said["sync_total"] < 4
    assert said["turnarounds"] == {"likely": 4, "max": 5}  # two or three rounds of topics, then one each
    assert said["warnings"] == []


def test_a_stage_below_one_that_grows_grows_too() -> None:
    """Its assumed rows were those of the smaller run: without this it would be shown as answered."""
    tally = Tally(TERMS)
    for _ in range(6):
        tally.add(100, 100, 100)
    above = ask("topics", tally=tally, wanted=30)  # 24 before
    below = ask("problems", reads=("topics",), assume=Assume(rows=72, output_tokens=10), answered=72)
    (_, cost) = chain([above, below]).costs
    assert cost.work.requests == 72 * 6 // 24
    assert cost.basis == "assumed"


def test_caps_that_the_likely_cost_passes_are_said() -> None:
    """Ten requests are likely to cost six cents."""
    said = quote(ask("a", 10), stages={"a": Decimal("0.05")}, day=Decimal("0.04"))["warnings"]
    assert "a: the likely cost, $0.0600, is above the $0.0500 that its cap leaves" in said
    assert "at $0.0400 a day the likely cost takes 2 days at least" in said


def test_caps_that_suffice_are_not_said() -> None:
    assert quote(ask("a", 10), stages={"a": Decimal("0.06")}, day=Decimal("0.06"))["warnings"] == []


@given(
    requests=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 4000), st.integers(0, 3)), min_size=1
    ),
    batch=st.booleans(),
)
def test_alike_requests_cost_what_each_of_them_costs(
    prices: dict[str, Price], requests: list[tuple[int, int, int, int]], batch: bool
) -> None:
    """Counted together or one by one: the same dollars to the last digit, tiers and cut answers included."""
    terms = Terms(prices["tiered"], batch=batch, output_tokens=300, reasks=(2.0,))
    together, alone = Tally(terms), Tally(terms)
    for tokens, bound, ceiling, number in requests:
        together.add(tokens, bound, ceiling, tokens % 2 * 100, requests=number)
        for _ in range(number):
            alone.add(tokens, bound, ceiling, tokens % 2 * 100)
    for cut in (False, True):
        assert together.work(only_cut=cut) == alone.work(only_cut=cut)
    assert (together.cut, together.ceiling_tokens) == (alone.cut, alone.ceiling_tokens)
