"""Two computations of one price, the rehearsal's and ours, on every row that is shipped and on rows made up."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.records import Usage
from chimera_batch.rehearsal import tariff
from chimera_batch.rehearsal.tariff import Charge, Tariff

TODAY = datetime.datetime.now(datetime.UTC).date()
ROWS: list[dict[str, Any]] = tomllib.loads(tariff.SHIPPED.read_text("utf-8"), parse_float=Decimal)["price"]
NAMES = sorted({(row["provider"], name) for row in ROWS for name in (row["model"], *row.get("aliases", []))})
BOOK, THEIRS = prices.load(), tariff.load({})


def ours(provider: str, model: str, usage: Usage, *, batch: bool) -> Decimal:
    return BOOK.price(provider, model, TODAY).cost(usage, batch=batch)


def theirs(provider: str, model: str, usage: Usage, *, batch: bool) -> Decimal:
    rate = THEIRS.charge(provider, model, usage.input_tokens, sync=not batch)
    read, short, long = usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_long_tokens
    return rate.usd(usage.input_tokens - read - short - long, read, usage.output_tokens, short, long)


def above(provider: str, model: str) -> int:
    """The threshold of a model's tier; 1,000 where it has none."""
    tiers = BOOK.price(provider, model, TODAY).tiers
    return tiers[0].above_input_tokens if tiers else 1000


@pytest.mark.parametrize("provider", sorted({row["provider"] for row in ROWS}))
def test_both_charge_the_same_for_every_shipped_row(provider: str) -> None:
    for model, batch in [(name, batch) for host, name in NAMES if host == provider for batch in (True, False)]:
        same_everywhere(provider, model, batch)


def same_everywhere(provider: str, model: str, batch: bool) -> None:
    edge = above(provider, model)
    for sent in (0, 1, edge - 1, edge, edge + 1, 10 * edge):
        third = sent // 3
        for cached, short, long in {(0, 0, 0), (third, sent // 7, sent // 5), (sent, 0, 0), (0, sent, 0), (0, 0, sent)}:
            for output in (0, 98_765):
                usage = Usage(sent, cached, short, long, output)
                assert ours(provider, model, usage, batch=batch) == theirs(provider, model, usage, batch=batch)


def test_a_dated_name_costs_what_the_model_costs() -> None:
    usage = Usage(12_345, cached_tokens=45, output_tokens=678)
    for provider, model in NAMES:
        for name in (f"{model}-2026-01-31", f"{model}-20260131"):
            if (provider, name) not in NAMES:
                assert THEIRS.knows(provider, name)
                assert theirs(provider, name, usage, batch=True) == theirs(provider, model, usage, batch=True)
        assert not THEIRS.knows(provider, f"{model}-no-such-model")


def test_a_batch_is_never_dearer() -> None:
    # Not so for cached tokens: some price lists give no batch discount on top of the cache's.
    for usage in (Usage(1000, output_tokens=0), Usage(0, output_tokens=1000), Usage(10**6, output_tokens=9)):
        for provider, model in NAMES:
            assert theirs(provider, model, usage, batch=True) <= theirs(provider, model, usage, batch=False), model


def test_tiers_are_in_the_table_and_change_the_price() -> None:
    tiered = [(row["provider"], row["model"]) for row in ROWS if "tier" in row]
    assert tiered
    for provider, model in tiered:
        edge = above(provider, model)
        below, beyond = (theirs(provider, model, Usage(n), batch=False) for n in (edge, edge + 1))
        assert beyond > below * Decimal("1.2"), "all tokens, not the excess alone"
        assert theirs(provider, model, Usage(edge + 1), batch=True) >= theirs(provider, model, Usage(edge), batch=True)


rates = st.integers(0, 5000).map(lambda n: str(Decimal(n) / 1000))


@st.composite
def price_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row that our table accepts: with a multiplier, with all batch rates, or with no batch price at all."""
    row: dict[str, Any] = {"provider": "p", "model": "m", "input": draw(rates), "output": draw(rates)}
    if draw(st.booleans()):
        row["cached_input"] = draw(rates)
    if draw(st.booleans()):
        row["cache_write"] = draw(rates)
        row |= {"cache_write_long": draw(rates)} if draw(st.booleans()) else {}
    how = draw(st.sampled_from(["multiplier", "written", "both", "none"]))
    if how in {"multiplier", "both"}:
        row["batch_multiplier"] = draw(st.sampled_from(["0.5", "0.75", "1"]))
    if how in {"written", "both"}:
        row |= {"batch_input": draw(rates), "batch_output": draw(rates)}
        row |= {"batch_cached_input": draw(rates)} if draw(st.booleans()) else {}
        row |= {"batch_cache_write": draw(rates)} if "cache_write" in row else {}
        row |= {"batch_cache_write_long": draw(rates)} if "cache_write_long" in row and draw(st.booleans()) else {}
    if draw(st.booleans()):
        edges = draw(st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True))
        row["tier"] = [tier(draw, row, how) | {"above_input_tokens": edge} for edge in edges]
        if len(edges) == 1 and draw(st.booleans()):  # the form of all rows before there could be more
            (row["tier"],) = row["tier"]
    return row


def tier(draw: st.DrawFn, row: dict[str, Any], how: str) -> dict[str, Any]:
    names = ["input", "output", *(name for name in ("cached_input", "cache_write", "cache_write_long") if name in row)]
    if how == "written":
        names += [f"batch_{name}" for name in names]
    return {name: draw(rates) for name in names}


positive = st.integers(1, 10**7).map(lambda n: str(Decimal(n) / 100))


@given(rates, positive, positive, st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_both_charge_the_same_for_a_machine_by_the_hour(
    dollars: str, read: str, written: str, sent: int, output: int, batch: bool
) -> None:
    row = {"provider": "p", "model": "m", "usd_per_hour": dollars}
    row |= {"input_tokens_per_second": read, "output_tokens_per_second": written}
    mine = prices.from_row(row, "row").cost(Usage(sent, cached_tokens=sent // 2, output_tokens=output), batch=batch)
    rate = Tariff([row]).charge("p", "m", sent, sync=not batch)
    assert rate.usd(sent - sent // 2, sent // 2, output) == mine


@settings(max_examples=80, deadline=None)
@given(price_rows(), st.lists(st.integers(0, 100), min_size=5, max_size=5), st.booleans())
def test_both_charge_the_same_for_any_row(row: dict[str, Any], tokens: list[int], batch: bool) -> None:
    fresh, cached, short, long, output = tokens
    usage = Usage(fresh + cached + short + long, cached, short, long, output)
    mine = prices.from_row(row, "row").cost(usage, batch=batch)
    rate = Tariff([row]).charge("p", "m", usage.input_tokens, sync=not batch)
    assert rate.usd(fresh, cached, output, short, long) == mine


@pytest.mark.parametrize(
    "change, cached",
    [
        ({"batch_input": "1.5", "batch_output": "9"}, "1.5"),
        ({"batch_input": "1.5", "batch_output": "9", "batch_multiplier": "0.5"}, "1.5"),
        ({"batch_input": "1.5", "batch_output": "9", "batch_cached_input": "0.1"}, "0.1"),
        ({"batch_multiplier": "0.5"}, "1.0"),
        ({"cached_input": "0.4", "batch_multiplier": "0.5"}, "0.20"),
    ],
)
def test_cached_input_without_a_price_of_its_own_costs_what_input_costs(change: dict[str, str], cached: str) -> None:
    row = {"provider": "p", "model": "m", "input": "2", "output": "10"} | change
    found = Tariff([row]).charge("p", "m", 1, sync=False)
    assert found.cached == Decimal(cached)
    assert found.cached == prices.from_row(row, "row").batch.cached_input


@given(st.lists(st.integers(0, 10**9), min_size=5, max_size=5), st.lists(rates, min_size=5, max_size=5))
def test_dollars_add_up_exactly(tokens: list[int], each: list[str]) -> None:
    charge = Charge(*map(Decimal, each))
    parts = [charge.usd(*(n if place == at else 0 for at, n in enumerate(tokens))) for place in range(5)]
    assert charge.usd(*tokens) == sum(parts)


@pytest.mark.parametrize("provider", sorted({row["provider"] for row in ROWS}))
def test_a_host_without_prices_of_its_own_charges_what_the_model_costs_elsewhere(provider: str) -> None:
    row = next(row for row in ROWS if row["provider"] == provider)
    there = THEIRS.charge("my-proxy", row["model"], 1, sync=True)
    assert there.input in {Decimal(one["input"]) for one in ROWS if one["model"] == row["model"]}


def test_own_rows_win_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[[price]]\nprovider = "openai"\nmodel = "gpt-5"\ninput = "99"\noutput = "1"\n')
    own = tariff.load({"prices": str(path)})
    assert own.charge("openai", "gpt-5", 1, sync=True).input == 99
    assert own.charge("openai", "gpt-5-mini", 1, sync=True) == THEIRS.charge("openai", "gpt-5-mini", 1, sync=True)
    assert prices.load(path).price("openai", "gpt-5", TODAY).standard.input == 99


@pytest.mark.parametrize("text", ["0.1", "0.30", 3, Decimal("0.7"), "1e-3"])
def test_prices_are_read_without_binary_fractions(text: Any) -> None:
    row = {"provider": "p", "model": "m", "input": text, "output": "1"}
    assert Tariff([row]).charge("p", "m", 1, sync=True).input == Decimal(str(text))
