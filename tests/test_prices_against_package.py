"""Our arithmetic beside genai-prices': every model that both know, then every model of the package as a row of ours.

Per request, standard and batch, on both sides of every tier, with cached input and cache writes. What is known to
differ stands in the four sets below with its reason; nothing else is left out, and the counts have floors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.cost.money import Price
from chimera_batch.errors import InputError
from chimera_batch.records import Usage
from scripts import refresh_prices

package = pytest.importorskip("genai_prices")
providers = {provider.id: provider for provider in pytest.importorskip("genai_prices.data").providers}

DAY = date(2026, 11, 9)  # when the package's records were last checked
NOON = datetime(2026, 11, 9, 12, tzinfo=UTC)
BOOK = prices.load()

CACHED_IN_A_BATCH = {
    # The host's batch list has no rate for cached tokens. The package goes on charging the standard cached rate; we
    # take the list at its word: no discount for them, a cached token costs what a batch's input costs.
    *("openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4.1", "openai/gpt-4.1-mini", "openai/gpt-4.1-nano"),
    *("openai/o1", "openai/o3", "openai/o3-mini", "openai/o4-mini"),
    *("google/gemini-2.5-flash", "google/gemini-2.5-flash-lite", "google/gemini-2.5-pro"),
    *("google/gemini-3-flash-preview", "google/gemini-3.1-pro-preview"),
}
NO_BATCH_LIST = {
    # OpenAI documents half price for batches of embeddings; the package has no batch price for them and answers with
    # the standard one.
    "openai/text-embedding-3-small",
    "openai/text-embedding-3-large",
}
BY_TIME_OF_DAY = {  # no row of ours can say that
    *("deepseek/deepseek-chat", "deepseek/deepseek-flash", "deepseek/deepseek-reasoner"),
    *("deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro"),
}
PER_REQUEST = {  # a fee per request beside the tokens
    *("perplexity/sonar", "perplexity/sonar-pro", "perplexity/sonar-reasoning", "perplexity/sonar-reasoning-pro"),
}


def theirs(provider: Any, record: Any, usage: Usage, *, batch: bool) -> Decimal:
    told = package.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_long_tokens,
        cache_write_1h_tokens=usage.cache_write_long_tokens,
        output_tokens=usage.output_tokens,
    )
    context = {"processing": "batch"} if batch else None
    found = record.calc_price(told, provider, genai_request_timestamp=NOON, price_context=context)
    return Decimal(found.total_price)


def usages(edges: list[int], *, dense: bool) -> Iterator[Usage]:
    """Below, at and above every threshold, each with nothing, a part and all of it cached or written."""
    inputs = {999, *((0, 1) if dense else ()), *(edge + step for edge in edges for step in (-1, 0, 1)[not dense :])}
    outputs = (0, 1, 98_765) if dense else (777,)
    for sent, output in product(sorted({*inputs, 10 * max(inputs)}), outputs):
        third, quarter = sent // 3, sent // 4
        yield Usage(sent, output_tokens=output)
        for cached, short, long in ((sent, 0, 0), (third, 0, 0), (0, third, 0), (0, 0, third), (quarter,) * 3):
            yield Usage(sent, cached, short, long, output)


def edges_of(price: Price, record: Any) -> list[int]:
    """The thresholds that either side has."""
    shown = [record.get_prices(NOON), *(variant.prices for variant in record.price_variants or ())]
    mine = {tier.above_input_tokens for tier in price.tiers}
    return sorted(mine.union(*(refresh_prices.thresholds(each.__dict__) for each in shown)))


@cache
def both_know() -> dict[str, tuple[Price, Any, Any]]:
    """By name: our price, their provider and their record, for our names that they match and theirs that we price."""
    found = {}
    for row in BOOK.rows:
        provider = providers.get(row.provider)
        refs = {*row.names, *(record.id for record in provider.models)} if provider else set()
        for ref in sorted(refs):
            record = provider.find_model(ref)
            try:
                price = BOOK.price(row.provider, ref, DAY)
            except InputError:
                continue
            if record is not None:
                found[f"{row.provider}/{ref}"] = price, provider, record
    return found


def agree(name: str, price: Price, provider: Any, record: Any, usage: Usage) -> None:
    for batch in (False, True):
        mine, package_says = price.cost(usage, batch=batch), theirs(provider, record, usage, batch=batch)
        model = f"{price.provider}/{price.model}"
        if batch and model in NO_BATCH_LIST and price.batch_known:
            assert 2 * mine == package_says == theirs(provider, record, usage, batch=False), (name, usage)
        elif batch and model in CACHED_IN_A_BATCH and usage.cached_tokens:
            ours, standard = (price.rates(tier=price.tier(usage.input_tokens), batch=kind) for kind in (True, False))
            assert ours.cached_input == ours.input, name
            assert (mine - package_says) * 10**6 == usage.cached_tokens * (ours.input - standard.cached_input), name
        else:
            assert mine == package_says, (name, usage, batch)


@pytest.mark.parametrize("name", sorted(both_know()))
def test_every_model_that_both_know(name: str) -> None:
    price, provider, record = both_know()[name]
    for usage in usages(edges_of(price, record), dense=True):
        agree(name, price, provider, record, usage)


def test_so_many_were_compared_and_so_many_have_a_batch_price_and_a_tier() -> None:
    known = both_know()
    models = {f"{price.provider}/{price.model}": price for price, _, _ in known.values()}
    assert len(known) >= 72, "names, aliases included"
    assert len(models) >= 60
    assert len({price.provider for price in models.values()}) >= 6
    assert sum(price.batch != price.standard for price in models.values()) >= 45
    assert sum(bool(price.tiers) for price in models.values()) >= 13
    assert sum(price.standard.cache_write != price.standard.input for price in models.values()) >= 20
    missing = {f"{row.provider}/{row.model}" for row in BOOK.rows if row.provider in providers} - set(models)
    assert missing == {  # hosts' own price lists: the package has the host, not this model
        "novita/qwen/qwen3-235b-a22b-thinking-2507",
        "fireworks/accounts/fireworks/models/qwen3-235b-a22b-thinking-2507",
    }


def test_a_batch_is_asked_for_by_the_right_name() -> None:
    """The package answers a misspelt context with the standard price: then every comparison would be of that one."""
    price, provider, record = both_know()["openai/gpt-6-luna"]
    usage = Usage(1000, output_tokens=1000)
    assert 2 * theirs(provider, record, usage, batch=True) == theirs(provider, record, usage, batch=False)
    wrong = record.calc_price(
        package.Usage(input_tokens=1000, output_tokens=1000), provider, price_context={"mode": "batch"}
    )
    assert wrong.total_price == price.cost(usage, batch=False)


tokens = st.integers(0, 500_000)
any_usage = st.builds(
    lambda fresh, cached, short, long, output: Usage(fresh + cached + short + long, cached, short, long, output),
    *(tokens,) * 5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(both_know())), any_usage)
def test_any_usage_of_any_model_that_both_know(name: str, usage: Usage) -> None:
    agree(name, *both_know()[name], usage)


# --- every model of the package, as the refreshing script would write it down ---


@cache
def converted() -> tuple[dict[str, tuple[Price, Any, Any]], dict[str, str]]:
    """Every record as a price of ours, and why the others have none."""
    found, refused = {}, {}
    for provider in providers.values():
        for record in provider.models:
            name = f"{provider.id}/{record.id}"
            try:
                lines = refresh_prices.rate_lines(record, NOON)
            except refresh_prices.UnpricedError as error:
                refused[name] = str(error)
                continue
            raw = tomllib.loads("\n".join(lines)) | {"provider": provider.id, "model": record.id}
            found[name] = prices.from_row(raw, name), provider, record
    return found, refused


def test_the_package_can_be_written_down_as_rows_of_ours() -> None:
    found, refused = converted()
    assert len(found) >= 2000
    assert {name for name, why in refused.items() if "time of day" in why} == BY_TIME_OF_DAY
    assert {name for name, why in refused.items() if "per request" in why} == PER_REQUEST
    rest = refused.keys() - BY_TIME_OF_DAY - PER_REQUEST
    assert all("no price per token of input" in refused[name] for name in rest)
    assert len(rest) <= 250, "sound, pictures, transcripts"
    assert max(len(price.tiers) for price, _, _ in found.values()) >= 2


@pytest.mark.parametrize("provider_id", sorted(providers))
def test_every_model_of_the_package(provider_id: str) -> None:
    found, refused = converted()
    mine = {name: entry for name, entry in found.items() if entry[1].id == provider_id}
    assert mine or any(name.startswith(f"{provider_id}/") for name in refused)
    for name, (price, provider, record) in mine.items():
        for usage in usages(edges_of(price, record), dense=False):
            agree(name, price, provider, record, usage)


def test_every_exception_still_is_one() -> None:
    found, _ = converted()
    usage = Usage(1000, cached_tokens=1000)
    silent = {
        name
        for name, (price, provider, record) in found.items()
        if price.batch_known and price.cost(usage, batch=True) != theirs(provider, record, usage, batch=True)
    }
    # gpt-4o's own cached rate happens to be its batch input rate, so that the two readings agree on it.
    agreeing = {
        name for name in CACHED_IN_A_BATCH if found[name][0].batch.input == found[name][0].standard.cached_input
    }
    assert silent == CACHED_IN_A_BATCH - agreeing
    assert agreeing == {"openai/gpt-4o", "openai/gpt-4o-mini", "openai/o1", "openai/o3-mini"}
