"""What may have been charged for nothing: from the provider's totals where they say it, else from what is feared."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.money import Price, Rates, Tier
from chimera_batch.records import Usage
from chimera_batch.results.reconciling import Fear, Terms, Unbilled, plus, suspect, unbilled

D = Decimal
PLAIN = Rates(input=D(2), cached_input=D("0.5"), cache_write=D(2), cache_write_long=D(2), output=D(8))
HALF = Rates(input=D(1), cached_input=D("0.25"), cache_write=D(1), cache_write_long=D(1), output=D(4))
WRITES = replace(HALF, cache_write=D("1.25"), cache_write_long=D(2))
LONG = Tier(100_000, replace(PLAIN, input=D(6), output=D(16)), replace(HALF, input=D(3), output=D(8)))
PRICE = Price("openai", "tiny-1", frozenset({"tiny-1"}), PLAIN, HALF, batch_known=True)
TERMS = Terms(PRICE, batch=True)
TIERED = Terms(replace(PRICE, tiers=(LONG,)), batch=True)
WRITING = Terms(replace(PRICE, batch=WRITES), batch=True)


def tokens(given: int = 0, made: int = 0, cached: int = 0, written: int = 0) -> Usage:
    return Usage(input_tokens=given, output_tokens=made, cached_tokens=cached, cache_write_tokens=written)


def gap(*requests: tuple[int, int, Fear], terms: Terms = TERMS, some: int = 0) -> Unbilled:
    return unbilled(requests, terms, some=some)


# -- adding up


def test_what_has_no_usage_is_added_up() -> None:
    found = gap((1000, 100, "executed"), (2000, 50, "no"), (10, 0, "perhaps"))
    assert found == Unbilled(3, most=D("0.0014") + D("0.0022") + D("0.00001"), feared=D("0.0014"), longest=2000)
    assert gap() == Unbilled(0, D(0), D(0), 0)


@pytest.mark.parametrize(("some", "feared"), [(0, 0), (1, 30), (2, 50), (3, 60), (9, 60)])
def test_where_only_some_were_executed_the_dearest_count(some: int, feared: int) -> None:
    requests: list[tuple[int, int, Fear]] = [(10, 0, "perhaps"), (30, 0, "perhaps"), (20, 0, "perhaps"), (99, 0, "no")]
    assert unbilled(requests, TERMS, some=some).feared == D(feared).scaleb(-6)


def test_a_synchronous_call_counts_at_its_own_rates() -> None:
    assert gap((1000, 100, "executed"), terms=replace(TERMS, batch=False)).feared == D("0.0028")


# -- with and without totals

GAP = gap((1000, 100, "executed"), (1000, 100, "no"))  # at most 0.0014 each, one of them feared


@pytest.mark.parametrize(
    ("booked", "reported", "usd"),
    [
        (tokens(500, 50), None, "0.0014"),  # the reservation stays
        (tokens(500, 50), tokens(500, 50), "0"),  # nothing else was executed
        (tokens(500, 50), tokens(800, 60), "0.00034"),  # 300 at $1 and 10 at $4 per million
        (tokens(500, 50), tokens(500, 51), "0.000004"),
        (tokens(), tokens(800, 60), "0.00104"),  # the output file is lost
        (tokens(500, 50, cached=100), tokens(800, 60, cached=300), "0.00019"),  # 200 of the 300 from the cache
        (tokens(500, 50, cached=100), tokens(800, 60), "0.00034"),  # totals that do not tell cached input apart
        (tokens(500, 50), tokens(9_000, 9_000), "0.0028"),  # never more than all of them can cost
        (tokens(500, 50), tokens(499, 90), "0.0014"),  # totals that cannot be: as without
        (tokens(500, 50), tokens(900, 49), "0.0014"),
        (tokens(500, 50), tokens(), "0.0014"),  # a host that writes zeros
        (tokens(), tokens(), "0.0014"),
    ],
)
def test_what_the_totals_say(booked: Usage, reported: Usage | None, usd: str) -> None:
    assert suspect(GAP, booked, reported, TERMS).usd == D(usd)


@pytest.mark.parametrize(
    ("booked", "reported", "said"),
    [
        (
            tokens(500, 50),
            tokens(499, 90),
            "below the sum of its rows: they come to 499 input and 90 output tokens, its ",
        ),
        (tokens(1500, 50), tokens(9000, 50), "above all that its requests can account for"),
        (tokens(500, 50), tokens(800, 60), None),
        (tokens(500, 50), None, None),
        (tokens(500, 50), tokens(), None),
    ],
)
def test_totals_that_do_not_fit_are_said(booked: Usage, reported: Usage | None, said: str | None) -> None:
    note = suspect(GAP, booked, reported, TERMS).note
    assert (note is None) == (said is None)
    assert (said or "") in (note or "")


def test_totals_above_rows_that_all_came_are_not_suspected_but_said() -> None:
    found = suspect(gap(), tokens(500, 50), tokens(600, 50), TERMS)
    assert found.usd == 0
    assert found.note and "600 input and 50 output tokens, its rows to 500 input" in found.note
    assert suspect(gap(), tokens(500, 50), tokens(500, 50), TERMS) == type(found)(D(0))


# -- tiers and caches


@pytest.mark.parametrize(
    ("bound", "lost", "usd"),
    [
        (100_000, 90_000, "0.090004"),  # none of them can be in the tier
        (300_000, 90_000, "0.090004"),  # nor here: not all that is lost fills it
        (100_000, 110_000, "0.110004"),  # two short ones
        (300_000, 110_000, "0.330008"),
    ],
)
def test_a_tier_counts_where_a_lost_request_can_be_in_it(bound: int, lost: int, usd: str) -> None:
    found = suspect(gap((bound, 9_000, "no"), (bound, 9_000, "no"), terms=TIERED), tokens(), tokens(lost, 1), TIERED)
    assert found.usd == D(usd)


@pytest.mark.parametrize(
    ("booked", "reported", "usd"),
    [
        (tokens(500, 50), tokens(900, 50), "0.0004"),  # no row wrote, so neither did those that are lost
        (tokens(500, 50, written=200), tokens(900, 50), "0.0005"),  # rows wrote, and the totals do not tell
        (tokens(500, 50, written=200), tokens(900, 50, written=300), "0.000425"),  # they do: 100 at $1.25, 300 at $1
        (tokens(), tokens(400), "0.0005"),  # nobody knows
    ],
)
def test_cache_writes_that_totals_leave_out(booked: Usage, reported: Usage, usd: str) -> None:
    assert suspect(gap((1000, 100, "no"), terms=WRITING), booked, reported, WRITING).usd == D(usd)


def test_a_long_lived_cache_counts_where_it_was_asked_for() -> None:
    asked = replace(WRITING, cache=True)
    assert suspect(gap((1000, 100, "no"), terms=asked), tokens(), tokens(400), asked).usd == D("0.0008")


# -- properties

COUNT = st.integers(0, 200_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a host can bill for one request: cached and written input are parts of the input."""
    given_, made = draw(COUNT), draw(st.integers(0, 5_000))
    cached = draw(st.integers(0, given_))
    return tokens(given_, made, cached, draw(st.integers(0, given_ - cached)))


@st.composite
def nights(draw: st.DrawFn) -> tuple[Terms, list[Usage], list[Usage]]:
    """Terms, the usage of the rows that came, and of the requests that were executed for nothing."""
    terms = Terms(replace(PRICE, batch=WRITES, tiers=(LONG,) if draw(st.booleans()) else ()), batch=draw(st.booleans()))
    return terms, draw(st.lists(usages(), max_size=4)), draw(st.lists(usages(), max_size=4))


def total(of: list[Usage]) -> Usage:
    return list(accumulate(of, plus, initial=Usage()))[-1]


def lost_gap(lost: list[Usage], terms: Terms, fear: Fear) -> Unbilled:
    return unbilled([(one.input_tokens, one.output_tokens, fear) for one in lost], terms)


@given(nights())
def test_totals_never_book_too_little(night: tuple[Terms, list[Usage], list[Usage]]) -> None:
    terms, came, lost = night
    charged = sum((terms.price.cost(one, batch=terms.batch) for one in lost), D(0))
    found = suspect(lost_gap(lost, terms, "no"), total(came), total(came + lost), terms)
    if total(came + lost).output_tokens or total(came + lost).input_tokens:
        assert charged <= found.usd <= lost_gap(lost, terms, "no").most
        assert found.note is None


@given(nights(), st.integers(2, 50))
def test_totals_are_exact_below_the_tier(night: tuple[Terms, list[Usage], list[Usage]], share: int) -> None:
    """To the last digit: whatever is cached or written, where the totals tell it apart."""
    terms, came, lost = night
    terms = replace(terms, price=replace(terms.price, tiers=()))
    charged = sum((terms.price.cost(one, batch=terms.batch) for one in lost), D(0))
    found = suspect(lost_gap(lost, terms, "no"), total(came), total(came + lost), terms)
    told = total(came + lost)
    if told.cache_write_tokens or (came and total(came).input_tokens):
        assert found.usd == charged


@given(nights(), st.integers(2, 50))
def test_totals_that_leave_writes_out_never_book_too_little(
    night: tuple[Terms, list[Usage], list[Usage]], share: int
) -> None:
    """Every request writes the same share of its input, as those of one stage do."""
    terms, came, lost = night
    came = [one._replace(cached_tokens=0, cache_write_tokens=one.input_tokens // share) for one in came]
    lost = [one._replace(cached_tokens=0, cache_write_tokens=one.input_tokens // share) for one in lost]
    reported = total(came + lost)._replace(cache_write_tokens=0)
    charged = sum((terms.price.cost(one, batch=terms.batch) for one in lost), D(0))
    wrote = total(came).cache_write_tokens or not total(came).input_tokens
    if wrote and (reported.input_tokens or reported.output_tokens):
        assert suspect(lost_gap(lost, terms, "no"), total(came), reported, terms).usd >= charged


@given(nights())
def test_without_totals_what_is_feared_is_the_reservation(night: tuple[Terms, list[Usage], list[Usage]]) -> None:
    terms, came, lost = night
    charged = sum((terms.price.cost(one, batch=terms.batch) for one in lost), D(0))
    found = suspect(lost_gap(lost, terms, "executed"), total(came), None, terms)
    assert charged <= found.usd == lost_gap(lost, terms, "executed").most
    assert suspect(lost_gap(lost, terms, "no"), total(came), None, terms).usd == 0


@given(
    st.lists(st.tuples(COUNT, st.integers(0, 99), st.sampled_from(["executed", "perhaps", "no"]))), st.integers(0, 5)
)
def test_what_is_feared_is_never_more_than_the_most(requests: list[tuple[int, int, Fear]], some: int) -> None:
    found = unbilled(requests, TIERED, some=some)
    assert 0 <= found.feared <= found.most
    assert found.requests == len(requests)
    assert found.most == sum((TIERED.most(bound, ceiling) for bound, ceiling, _ in requests), D(0))
    mosts = sorted((TIERED.most(b, c) for b, c, fear in requests if fear == "perhaps"), reverse=True)
    sure = sum((TIERED.most(b, c) for b, c, fear in requests if fear == "executed"), D(0))
    assert found.feared == sure + sum(mosts[:some], D(0))


@given(usages(), usages(), usages())
def test_usages_add_up_in_any_order(one: Usage, two: Usage, three: Usage) -> None:
    assert plus(one, plus(two, three)) == plus(plus(three, one), two)
    assert plus(one, Usage()) == one
