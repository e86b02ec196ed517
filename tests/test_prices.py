"""The price table and what a request costs. Dollars are worked out by hand here, not by the code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.money import GpuTime, Tier, gpu_rates
from chimera_batch.cost.prices import Price, Rates, from_row, load
from chimera_batch.errors import InputError
from chimera_batch.records import Usage

TODAY = date(2026, 11, 21)
BOOK = load()


def price(name: str, on: date = TODAY) -> Price:
    provider, _, model = name.partition("/")
    return BOOK.price(provider, model, on)


def overridden(tmp_path: Path, text: str, extra: tuple[str, ...] = ()) -> Price:
    path = tmp_path / "prices.local.toml"
    path.write_text(text, "utf-8")
    return load(path, extra).price("acme", "m", TODAY)


def row(**fields: str) -> str:
    lines = {"provider": '"acme"', "model": '"m"', "input": '"1"', "output": '"2"', **fields}
    return "[[price]]\n" + "\n".join(f"{name} = {value}" for name, value in lines.items() if value) + "\n"


# --- the shipped table ---


@pytest.mark.parametrize(
    ("name", "standard", "batch"),
    [  # input, cached input, output; the published tables
        ("openai/gpt-5", "1.25 .125 10", ".625 .0625 5"),
        ("openai/gpt-5-mini", ".25 .025 2", ".125 .0125 1"),
        ("openai/gpt-5-nano", ".05 .005 .40", ".025 .0025 .20"),
        ("openai/o4-mini", "1.10 .275 4.40", ".55 .55 2.20"),  # no batch price for cached tokens: as input
        ("openai/o3", "2 .50 8", "1 1 4"),
        ("openai/gpt-5.4", "2.50 .25 15", "1.25 .13 7.50"),
        ("openai/gpt-5.4-mini", ".75 .075 4.50", ".375 .0375 2.25"),
        ("openai/gpt-5.5", "5 .50 30", "2.50 .25 15"),
        ("openai/gpt-5.6-luna", ".20 .02 1.20", ".10 .01 .60"),
        ("openai/gpt-5.6-terra", "2 .20 12", "1 .10 6"),
        ("openai/gpt-5.6-sol", "4 .40 20", "2 .20 10"),
        ("openai/gpt-6-luna", ".10 .01 .50", ".05 .005 .25"),
        ("openai/gpt-6-sol", "2 .20 10", "1 .10 5"),
        ("openai/gpt-6.1-terra", "1 .05 5", ".50 .025 2.50"),
        ("openai/gpt-6.1-sol", "2 .10 10", "1 .05 5"),
        ("openai/gpt-6-astra", "10 1 50", "5 .50 25"),
        ("anthropic/claude-haiku-5-5", ".10 .01 .50", ".05 .005 .25"),
        ("anthropic/claude-sonnet-5-5", "2 .10 10", "1 .05 5"),
        ("anthropic/claude-opus-5-5", "4 .20 20", "2 .10 10"),
        ("anthropic/claude-opus-5", "5 .50 25", "2.50 .25 12.50"),
        ("anthropic/claude-fable-5-2", "8 .20 40", "4 .10 20"),
        ("anthropic/claude-haiku-4-5", "1 .10 5", ".50 .05 2.50"),
        ("anthropic/claude-sonnet-4-6", "3 .30 15", "1.50 .15 7.50"),
        ("groq/openai/gpt-oss-120b", ".15 .075 .60", ".075 .075 .30"),
        ("deepinfra/Qwen/Qwen3-235B-A22B-Thinking-2507", ".30 .30 2.90", ".24 .24 2.32"),
        ("openai/text-embedding-3-small", ".02 .02 0", ".01 .01 0"),
        ("openai/text-embedding-3-large", ".13 .13 0", ".065 .065 0"),
    ],
)
def test_shipped_rates_are_the_published_ones(name: str, standard: str, batch: str) -> None:
    found = price(name)
    for rates, wanted in ((found.standard, standard), (found.batch, batch)):
        assert (rates.input, rates.cached_input, rates.output) == tuple(Decimal(part) for part in wanted.split())


def test_every_anthropic_row_prices_cache_writes_at_one_and_a_quarter_and_at_twice_the_input() -> None:
    rows = [row for row in BOOK.rows if row.provider == "anthropic"]
    assert len(rows) >= 7
    for found in rows:
        for rates in (r for part in (found, *found.tiers) for r in (part.standard, part.batch)):
            assert rates.cache_write == rates.input * Decimal("1.25"), found.model
            assert rates.cache_write_long == rates.input * 2, found.model


def test_every_shipped_row_is_complete_unique_and_no_batch_is_dearer() -> None:
    seen = set()
    for found in BOOK.rows:
        assert found.source
        assert found.as_of
        assert found.effective_from
        assert found.batch.input <= found.standard.input
        assert found.batch.output <= found.standard.output
        for name in found.names:
            assert (found.provider, name, found.effective_from) not in seen
            seen.add((found.provider, name, found.effective_from))


def test_the_book_is_as_old_as_its_oldest_row() -> None:
    assert BOOK.as_of == min(row.as_of for row in BOOK.rows if row.as_of)


# --- which row ---


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("openai/gpt-5", "gpt-5"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("openai/o4-mini-2025-04-16", "o4-mini"),
        ("openai/gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("openai/gpt-5.4-mini", "gpt-5.4-mini"),
        ("anthropic/claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("anthropic/claude-haiku-5.5", "claude-haiku-5-5"),
        ("anthropic/claude-haiku-5-5", "claude-haiku-5-5"),
    ],
)
def test_a_model_is_found_by_its_name_its_alias_and_its_dated_name(name: str, model: str) -> None:
    assert price(name).model == model


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-5-min",
        "openai/gpt-5-minii",
        "openai/gpt-5-2025",
        "openai/gpt-5-codex",
        "openai/GPT-5",
        "openai/gpt-6.2-sol",
        "openai/",
        "anthropic/gpt-5",
        "nobody/gpt-5",
        "openai/gpt-5-2025-08-07-2025-08-07",
    ],
)
def test_an_unknown_model_is_an_error_that_shows_the_row_to_add(name: str) -> None:
    provider, _, model = name.partition("/")
    with pytest.raises(InputError) as caught:
        price(name)
    assert name in str(caught.value)
    assert caught.value.hint is not None
    for line in (
        "[[price]]",
        f'provider = "{provider}"',
        f'model = "{model}"',
        "as_of = 2026-11-21",
        "batch_multiplier",
    ):
        assert line in caught.value.hint


def test_the_row_in_the_hint_works_once_filled_in(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        BOOK.price("acme", "m", TODAY)
    assert caught.value.hint is not None
    filled = caught.value.hint[caught.value.hint.index("[[price]]") :]
    for number in ("3", "4", "0.5"):
        filled = filled.replace("…", number, 1)
    found = overridden(tmp_path, filled)
    assert (found.standard.input, found.standard.output, found.batch.output) == (3, 4, 2)
    assert found.as_of == TODAY


def test_a_misspelt_model_is_told_its_neighbour() -> None:
    with pytest.raises(InputError, match="did you mean gpt-5-mini"):
        price("openai/gpt-5-minii")


def test_the_latest_row_in_force_is_used(tmp_path: Path) -> None:
    text = "".join(
        row(input=f'"{rate}"', effective_from=since) for rate, since in (("3", "2026-03-01"), ("1", "2026-01-01"))
    )
    (tmp_path / "p.toml").write_text(text)
    book = load(tmp_path / "p.toml")
    rates = {on: book.price("acme", "m", date.fromisoformat(on)).standard.input for on in ("2026-01-01", "2026-02-28")}
    assert rates == {"2026-01-01": 1, "2026-02-28": 1}
    assert book.price("acme", "m", date(2026, 3, 1)).standard.input == 3
    early = book.price("acme", "m", date(2025, 12, 31))
    assert early.standard.input == 1
    assert any("holds from 2026-01-01" in line for line in early.warnings(date(2025, 12, 31)))


# --- what it costs ---


@pytest.mark.parametrize(
    ("name", "usage", "standard", "batch"),
    [
        ("openai/gpt-6-luna", Usage(1_000_000), "0.20", "0.10"),  # one request of a million tokens pays the tier
        ("openai/gpt-6-luna", Usage(1000, output_tokens=200), "0.0002", "0.0001"),
        # 1000 of input, 600 of them cached: 400 × .625 + 600 × .0625, output 100 × 5, per million
        ("openai/gpt-5", Usage(1000, cached_tokens=600, output_tokens=100), "0.001575", "0.0007875"),
        # 5.6 and later charge writes: 400 × .20 + 100 × .02 + 500 × .25 (batch: half)
        ("openai/gpt-5.6-luna", Usage(1000, cached_tokens=100, cache_write_tokens=500), "0.000207", "0.0001035"),
        # older models do not: a write costs what input costs
        ("openai/gpt-5", Usage(1000, cache_write_tokens=1000), "0.00125", "0.000625"),
        # Anthropic, batch: 100 × .5 + 200 × .05 + 300 × .625 + 400 × 1 + output 50 × 2.5
        (
            "anthropic/claude-haiku-4-5",
            Usage(1000, 200, 300, 400, 50),
            "0.001545",
            "0.0007725",
        ),
        ("openai/text-embedding-3-small", Usage(1_000_000), "0.02", "0.01"),
        ("openai/gpt-5", Usage(), "0", "0"),
        ("openai/gpt-5", Usage(output_tokens=10, reasoning_tokens=9), "0.0001", "0.00005"),  # reasoning is in output
    ],
)
def test_cost_of_one_request(name: str, usage: Usage, standard: str, batch: str) -> None:
    found = price(name)
    assert found.cost(usage, batch=False) == Decimal(standard)
    assert found.cost(usage, batch=True) == Decimal(batch)


@pytest.mark.parametrize(
    ("name", "tokens", "batch", "dollars"),
    [
        ("openai/gpt-5.4", 272_000, False, "0.68"),
        ("openai/gpt-5.4", 272_001, False, "1.360005"),
        ("openai/gpt-5.4", 272_000, True, "0.34"),
        ("openai/gpt-5.4", 272_001, True, "0.6800025"),
        ("anthropic/claude-haiku-5-5", 100_000, False, "0.01"),
        ("anthropic/claude-haiku-5-5", 100_001, False, "0.0500005"),
        ("anthropic/claude-haiku-5-5", 100_001, True, "0.02500025"),
    ],
)
def test_the_tier_starts_above_its_threshold(name: str, tokens: int, batch: bool, dollars: str) -> None:
    assert price(name).cost(Usage(tokens), batch=batch) == Decimal(dollars)


def test_the_tier_holds_for_output_and_cache_and_counts_cached_input() -> None:
    usage = Usage(300_000, cached_tokens=299_000, output_tokens=1000)
    assert price("openai/gpt-5.4").cost(usage, batch=False) == Decimal("0.177")  # 1000 × 5 + 299000 × .5 + 1000 × 22.5


def test_a_million_tokens_in_small_requests_pay_the_base_rate_and_one_sum_would_not() -> None:
    found = price("openai/gpt-5.4")
    small = sum((found.cost(Usage(1000), batch=True) for _ in range(1000)), Decimal(0))
    assert small == Decimal("1.25")
    assert found.cost(Usage(1_000_000), batch=True) == Decimal("2.50")


def test_a_host_that_counts_cached_tokens_apart_is_not_credited_for_them() -> None:
    assert price("openai/gpt-5").cost(Usage(10, cached_tokens=1000), batch=False) == Decimal("0.000125")


def test_the_most_that_a_request_can_cost_takes_the_dearest_write() -> None:
    haiku = price("anthropic/claude-haiku-4-5")
    assert haiku.most(1000, 100, batch=False) == Decimal("0.00175")  # 1000 × 1.25 + 100 × 5
    assert haiku.most(1000, 100, batch=False, cache=True) == Decimal("0.0025")  # 1000 × 2 + 100 × 5
    assert price("openai/gpt-5").most(1000, 100, batch=True) == Decimal("0.001125")


def test_the_bound_covers_both_sides_of_a_tier_that_is_cheaper_above() -> None:
    gpt5, dear = price("openai/gpt-5"), Rates(*(Decimal(5),) * 5)
    odd = replace(gpt5, standard=dear, tiers=(Tier(10, gpt5.standard, gpt5.batch),))
    assert odd.most(11, 0, batch=False) == Decimal("0.000055")
    middle = replace(gpt5, tiers=(Tier(10, dear, dear), Tier(20, gpt5.standard, gpt5.batch)))
    assert middle.most(21, 0, batch=False) == Decimal("0.000105")  # the dear rates lie between the two ends
    assert middle.most(10, 0, batch=False) == Decimal("0.0000125")


tokens = st.integers(0, 400_000)
names = st.sampled_from([f"{row.provider}/{row.model}" for row in BOOK.rows])


usages = st.builds(
    lambda fresh, cached, write, long, output: Usage(fresh + cached + write + long, cached, write, long, output),
    *(tokens,) * 5,
)


@given(names, usages, st.booleans())
def test_no_request_costs_more_than_its_bound_nor_less_than_nothing(name: str, usage: Usage, batch: bool) -> None:
    found = price(name)
    cost = found.cost(usage, batch=batch)
    assert 0 <= cost <= found.most(usage.input_tokens, usage.output_tokens, batch=batch, cache=True)
    if not usage.cache_write_long_tokens:
        assert cost <= found.most(usage.input_tokens, usage.output_tokens, batch=batch)
    if not usage.cached_tokens:  # some batch price lists give no cache discount
        assert found.cost(usage, batch=True) <= found.cost(usage, batch=False)


@given(names, tokens, st.integers(0, 50_000))
def test_cost_is_exact(name: str, input_tokens: int, output_tokens: int) -> None:
    found = price(name)
    rates = found.rates(tier=found.tier(input_tokens), batch=True)
    cost = found.cost(Usage(input_tokens, output_tokens=output_tokens), batch=True)
    assert cost * 1_000_000 == input_tokens * rates.input + output_tokens * rates.output


# --- several tiers ---

STEPS = """tier = [
  { above_input_tokens = 128000, input = "5", output = "9", cached_input = "0.5" },
  { above_input_tokens = 32000, input = "3", output = "7", cached_input = "0.3" },
]"""


def stepped(tmp_path: Path) -> Price:
    return overridden(tmp_path, row(cached_input='"0.1"', batch_multiplier='"0.5"') + STEPS)


@pytest.mark.parametrize(
    ("usage", "standard"),
    [  # per million; every token of the request pays the rates of its own tier
        (Usage(32_000), "0.032"),
        (Usage(32_001), "0.096003"),
        (Usage(128_000), "0.384"),
        (Usage(128_001), "0.640005"),
        (Usage(200_000, cached_tokens=100_000, output_tokens=1000), "0.559"),  # .5 + .05 + .009
        (Usage(40_000, cached_tokens=39_000, output_tokens=1000), "0.0217"),  # cached input counts for the tier
        (Usage(10, output_tokens=200_000), "0.40001"),  # output does not
    ],
)
def test_every_tier_starts_above_its_own_threshold_whatever_the_order(
    tmp_path: Path, usage: Usage, standard: str
) -> None:
    found = stepped(tmp_path)
    assert [tier.above_input_tokens for tier in found.tiers] == [32_000, 128_000]
    assert found.cost(usage, batch=False) == Decimal(standard)
    assert found.cost(usage, batch=True) == Decimal(standard) / 2


def test_tiers_may_be_written_as_tables_of_their_own(tmp_path: Path) -> None:
    table = '\n[[price.tier]]\nabove_input_tokens = {}\ninput = "{}"\noutput = "9"\n'
    found = overridden(tmp_path, row() + table.format(5, 2) + table.format(9, 4) + row(model='"other"'))
    assert [found.cost(Usage(n), batch=False) * 10**6 for n in (5, 6, 9, 10)] == [5, 12, 18, 40]


def test_a_claim_keeps_every_tier_and_old_claims_are_still_read(tmp_path: Path) -> None:
    found = stepped(tmp_path)
    kept = found.as_row()
    assert [tier["above_input_tokens"] for tier in kept["tier"]] == [32_000, 128_000]
    assert replace(from_row(kept, "claim"), names=found.names) == found
    one = price("openai/gpt-5.4").as_row()
    assert one["tier"]["above_input_tokens"] == 272_000  # one tier stands as it always did
    assert from_row(one, "claim").cost(Usage(300_000), batch=True) == Decimal("0.75")


@pytest.mark.parametrize("name", [f"{row.provider}/{row.model}" for row in BOOK.rows])
def test_every_shipped_price_survives_a_claim(name: str) -> None:
    found = price(name)
    again = from_row(found.as_row(), "claim")
    assert (again.standard, again.batch, again.tiers) == (found.standard, found.batch, found.tiers)
    assert again.batch_known is found.batch_known


# --- machines by the hour ---

HOUR = {"input": "", "output": "", "usd_per_hour": '"2.50"', "input_tokens_per_second": "24_000"}
HOUR |= {"output_tokens_per_second": "2400"}


def test_an_hour_and_its_tokens_per_second_are_a_price(tmp_path: Path) -> None:
    found = overridden(tmp_path, row(**HOUR))
    # an hour of writing is 8.64 million tokens for $2.50, and one of reading ten times as many
    assert found.standard.output == Decimal("0.289351851852")
    assert found.standard.input == found.standard.cached_input == Decimal("0.028935185186")
    assert found.batch == found.standard
    assert found.batch_known
    assert str(found.gpu) == "$2.50/h at 2,400 tok/s (24,000 tok/s of input)"
    assert found.warnings(TODAY) == []
    for batch in (True, False):
        assert Decimal("2.5") <= found.cost(Usage(output_tokens=2400 * 3600), batch=batch) < Decimal("2.50001")
        assert Decimal("2.5") <= found.cost(Usage(24_000 * 3600), batch=batch) < Decimal("2.50001")


@pytest.mark.parametrize(
    ("dollars", "read", "written", "shown"),
    [
        ("2.5", "2400", "2400", "$2.50/h at 2,400 tok/s"),
        ("0.999", "100.5", "9", "$0.999/h at 9 tok/s (100.5 tok/s of input)"),
        ("0", "1", "1", "$0.00/h at 1 tok/s"),
    ],
)
def test_how_gpu_time_is_shown(dollars: str, read: str, written: str, shown: str) -> None:
    assert str(GpuTime(Decimal(dollars), Decimal(read), Decimal(written))) == shown


hours, speeds = st.decimals(0, 1000, places=4), st.decimals("0.01", 10**7, places=2)


def test_the_hours_of_a_machine() -> None:
    """By what it costs, since that may be measured; where it costs nothing, by its speeds."""
    paid, free = (GpuTime(Decimal(usd), Decimal(24_000), Decimal(2_400)) for usd in ("2.5", "0"))
    assert paid.hours(Decimal(10), 1, 1) == 4
    assert free.hours(Decimal(0), 24_000 * 3600, 2_400 * 1800) == Decimal("1.5")


@given(hours, speeds, speeds)
def test_gpu_rates_are_rounded_up_in_the_twelfth_place(dollars: Decimal, read: Decimal, written: Decimal) -> None:
    for rate, speed in zip(gpu_rates(dollars, read, written), (read, written), strict=True):
        exact = Fraction(dollars) * 10**6 / (3600 * Fraction(speed))
        assert 0 <= Fraction(rate) - exact < Fraction(1, 10**12)


@given(hours, speeds, speeds)
def test_a_claim_keeps_the_hour_and_its_speeds(dollars: Decimal, read: Decimal, written: Decimal) -> None:
    raw = {"provider": "acme", "model": "m", "usd_per_hour": dollars}
    raw |= {"input_tokens_per_second": read, "output_tokens_per_second": written}
    found = from_row(raw, "row")
    kept = found.as_row()
    assert set(kept) == set(raw)
    assert all(isinstance(value, str) and "E" not in value for name, value in kept.items() if name != "model")
    assert from_row(json.loads(json.dumps(kept)), "claim") == found


def test_a_machine_by_the_hour_on_the_command_line() -> None:
    found = load(None, ["local/Qwen/Qwen3-8B=2.50/h@24000,2400"]).price("local", "Qwen/Qwen3-8B", TODAY)
    assert found.gpu == GpuTime(Decimal("2.5"), Decimal(24_000), Decimal(2400))
    assert found.source == "--price"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": '"1"'}, "by the hour or by the token, not both: input"),
        ({"batch_multiplier": '"0.5"'}, "not both: batch_multiplier"),
        ({"tier": "[]"}, "not both: tier"),
        ({"batch_output": '"1"', "cache_write": '"1"'}, "not both: cache_write, batch_output"),
        ({"output_tokens_per_second": ""}, "lacks output_tokens_per_second"),
        ({"usd_per_hour": ""}, "lacks usd_per_hour"),
        ({"output_tokens_per_second": "0"}, "tokens per second must be above 0"),
        ({"input_tokens_per_second": '"fast"'}, "input_tokens_per_second must be a number like"),
        ({"usd_per_hour": "-1"}, "usd_per_hour must be a price like"),
        ({"usd_per_hour": "true"}, "usd_per_hour must be a price like"),
        ({"gpus": "8"}, "unknown key gpus"),
    ],
)
def test_a_row_by_the_hour_that_cannot_be_used(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        overridden(tmp_path, row(**{**HOUR, **change}))


# --- warnings ---


@pytest.mark.parametrize(
    ("name", "today", "words"),
    [
        ("openai/o4-mini", TODAY, "was shut down on 2026-10-23"),
        ("openai/o4-mini", date(2026, 10, 23), "was shut down"),
        ("openai/gpt-5", TODAY, "will be shut down on 2026-12-11"),
        ("openai/gpt-5-2025-08-07", TODAY, "will be shut down on 2026-12-11"),
        ("openai/gpt-4.1", date(2026, 11, 15), "will be shut down on 2027-01-14"),  # exactly 60 days
        ("openai/gpt-6-luna", date(2027, 1, 9), "was last checked on 2026-11-09"),  # 61 days
        ("novita/openai/gpt-oss-120b", TODAY, "no batch price is known"),
    ],
)
def test_warnings_name_what_is_wrong(name: str, today: date, words: str) -> None:
    assert any(words in line for line in price(name).warnings(today))


@pytest.mark.parametrize(
    ("name", "today"),
    [
        ("openai/gpt-6-luna", TODAY),
        ("openai/gpt-6-luna", date(2027, 1, 8)),  # 60 days old
        ("openai/gpt-4.1", date(2026, 11, 14)),  # 61 days to go
        ("anthropic/claude-opus-5-5", TODAY),
    ],
)
def test_no_warning_without_cause(name: str, today: date) -> None:
    assert price(name).warnings(today) == []


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ({"as_of": "2026-09-21"}, "the price of acme/m was last checked on 2026-09-21"),
        ({"retire_on": "2026-12-01"}, "acme/m will be shut down on 2026-12-01"),
        ({"retire_on": "2026-11-21"}, "acme/m was shut down on 2026-11-21"),
        ({"effective_from": "2026-12-01"}, "holds from 2026-12-01 on"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        {"batch_multiplier": '"0.5"'},
        {"batch_input": '"0.5"', "batch_output": '"1"'},
        {"batch_multiplier": '"0.5"', "tier": '{ above_input_tokens = 9, input = "4", output = "8" }'},
        HOUR,
    ],
    ids=["multiplier", "batch rates", "tier", "by the hour"],
)
def test_every_kind_of_row_warns_with_its_date(
    tmp_path: Path, kind: dict[str, str], dates: dict[str, str], words: str, batch: bool
) -> None:
    (line,) = overridden(tmp_path, row(**kind, **dates)).warnings(TODAY, batch=batch)
    assert words in line


def test_a_missing_batch_price_does_not_matter_to_synchronous_calls() -> None:
    found = price("novita/openai/gpt-oss-120b")
    assert found.warnings(TODAY, batch=False) == []
    assert found.cost(Usage(1000), batch=True) == found.cost(Usage(1000), batch=False)


# --- overrides ---


def test_an_override_replaces_the_shipped_row_under_all_its_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(row(provider='"anthropic"', model='"claude-haiku-5.5"', input='"7"'))
    book = load(path)
    for name in ("claude-haiku-5.5", "claude-haiku-5-5", "claude-haiku-5-5-20261001"):
        assert book.price("anthropic", name, TODAY).standard.input == 7
    assert book.price("anthropic", "claude-opus-5-5", TODAY).standard.input == 4
    assert len(book.rows) == len(BOOK.rows)


def test_an_override_keeps_the_retirement_date(tmp_path: Path) -> None:
    found = load(None, ["openai/gpt-5=1,2"]).price("openai", "gpt-5-2025-08-07", TODAY)
    assert found.standard.input == 1
    assert found.retire_on == date(2026, 12, 11)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    assert overridden(tmp_path, row()).standard.input == 1
    assert overridden(tmp_path, row(), ("acme/m=9,10",)).standard.input == 9


def test_the_order_of_overrides_within_a_file_does_not_matter(tmp_path: Path) -> None:
    both = row() + row(model='"other"')
    assert overridden(tmp_path, both).standard.input == 1


@pytest.mark.parametrize(
    ("text", "model", "rates"),
    [
        ("acme/m=1,2", "m", ("1", "2", "1", "2", False)),
        ("acme/Org/M-1=0.5,2.25", "Org/M-1", (".5", "2.25", ".5", "2.25", False)),
        ("acme/m=1,2,0.5,1", "m", ("1", "2", ".5", "1", True)),
        ("acme/m=0,0", "m", ("0", "0", "0", "0", False)),
    ],
)
def test_a_price_on_the_command_line(text: str, model: str, rates: tuple[str, str, str, str, bool]) -> None:
    found = load(None, [text]).price("acme", model, TODAY)
    assert (found.standard.input, found.standard.output, found.batch.input, found.batch.output) == tuple(
        Decimal(rate) for rate in rates[:4]
    )
    assert found.batch_known is rates[4]
    assert found.as_of is None
    assert not any("last checked" in line for line in found.warnings(TODAY + timedelta(days=999)))


@pytest.mark.parametrize(
    "text",
    ["", "m=1,2", "acme/m", "acme/m=1", "acme/m=1,2,3", "acme/m=1,2,3,4,5", "acme/m=a,b", "acme/m=-1,2", "acme/=1,2"],
)
def test_a_price_on_the_command_line_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InputError) as caught:
        load(None, [text])
    assert "--price" in str(caught.value)


def test_numbers_may_be_written_without_quotes_and_stay_exact(tmp_path: Path) -> None:
    found = overridden(tmp_path, row(input="0.1", output="3"))
    assert found.cost(Usage(3, output_tokens=1), batch=False) == Decimal("0.0000033")


def test_zero_is_a_price_when_written(tmp_path: Path) -> None:
    assert overridden(tmp_path, row(input='"0"', output='"0"')).cost(Usage(10**6), batch=False) == 0


def test_written_batch_rates_win_over_the_multiplier(tmp_path: Path) -> None:
    found = overridden(tmp_path, row(cached_input='"0.5"', batch_multiplier='"0.5"', batch_output='"1.9"'))
    assert (found.batch.input, found.batch.cached_input, found.batch.output) == (
        Decimal("0.5"),
        Decimal("0.25"),
        Decimal("1.9"),
    )


def test_a_tier_takes_the_rows_multiplier(tmp_path: Path) -> None:
    found = overridden(
        tmp_path, row(batch_multiplier='"0.5"', tier='{ above_input_tokens = 10, input = "4", output = "8" }')
    )
    assert found.cost(Usage(11, output_tokens=1), batch=True) == Decimal("0.000026")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (row(input=""), "lacks input"),
        (row(output="", model=""), "lacks model, output"),
        (row(imput='"1"'), "unknown key imput; did you mean input?"),
        (row(input='"free"'), "input must be a price"),
        (row(input='"-1"'), "input must be a price"),
        (row(input='"NaN"'), "input must be a price"),
        (row(input="true"), "input must be a price"),
        (row(output="inf"), "output must be a price"),
        (row(batch_multiplier='"half"'), "batch_multiplier must be a price"),
        (row(batch_input='"1"', batch_output='"x"'), "batch_output must be a price"),
        (row(batch_input='"1"'), "lacks batch_output"),
        (row(cache_write='"2"', batch_input='"1"', batch_output='"1"'), "lacks batch_cache_write"),
        (row(retire_on='"2026-12-11"'), "retire_on must be a date"),
        (row(as_of="2026-12-11T00:00:00"), "as_of must be a date"),
        (row(model="5"), "must be texts"),
        (row(aliases='"n"'), "aliases a list"),
        (row(aliases="[1]"), "aliases a list"),
        (row(tier="5"), "tier must be"),
        (row(tier='{ input = "1", output = "2" }'), "tier must be"),
        (row(tier='{ above_input_tokens = 5, input = "1" }'), "tier must price output"),
        (row(tier='{ above_input_tokens = 5, output = "1" }', batch_multiplier='"1"'), "tier must price input"),
        (row(cached_input='"1"', tier='{ above_input_tokens = 5, input = "1", output = "1" }'), "price cached_input"),
        (
            row(batch_input='"1"', batch_output='"1"', tier='{ above_input_tokens = 5, input = "1", output = "1" }'),
            "tier must price batches",
        ),
        (row(tier='{ above_input_tokens = 5, input = "1", output = "1", x = 1 }'), "unknown key x"),
        (row(tier='[{ above_input_tokens = 5, input = "1", output = "1" }, 7]'), "tier must be {"),
        (
            row(tier=f"[{', '.join(['{ above_input_tokens = 5, input = 1, output = 1 }'] * 2)}]"),
            "two tiers have the same above_input_tokens",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        overridden(tmp_path, "# a comment\n\n" + row(model='"fine"') + "\n" + text)
    assert words in str(caught.value)
    assert "prices.local.toml:9" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[price]\n", "cannot be read"),
        ('[[prices]]\nprovider = "acme"\n', "unknown key prices; did you mean price?"),
        ('[price]\nprovider = "acme"\n', "[[price]]"),
        ("price = [{}]\n", "[[price]]"),
    ],
)
def test_a_file_that_is_no_price_table(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        overridden(tmp_path, text)
    assert words in str(caught.value)
    assert "prices.local.toml" in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_two_prices_of_one_model_from_the_same_day_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(row() + row(input='"3"'), "utf-8")
    with pytest.raises(InputError, match="a second price of acme/m from the same day on; the first is at") as caught:
        load(path)
    assert caught.value.where == f"{path}:6"


def test_two_prices_of_one_model_from_different_days_are_not(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(row() + row(input='"3"', effective_from="2026-11-01"), "utf-8")
    assert load(path).price("acme", "m", TODAY).standard.input == 3


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        (("openai", "gpt-6-luna"), True),
        (("openai", "gpt-6-luna-2026-11-01"), True),
        (("openai", "gpt-6-terra"), False),
        (("azure", "gpt-6-luna"), False),
    ],
)
def test_a_price_of_the_command_line_is_of_a_model_that_is_asked(asked: tuple[str, str], fits: bool) -> None:
    book = load(None, ["openai/gpt-6-luna=1,2"])
    if fits:
        book.expect([("anthropic", "claude"), asked])
        return
    with pytest.raises(InputError, match="no stage asks openai/gpt-6-luna, so a price of it changes nothing") as caught:
        book.expect([asked])
    assert caught.value.where == "--price" and "/".join(asked) in str(caught.value.hint)


def test_without_one_nothing_is_expected() -> None:
    load(None).expect([])
