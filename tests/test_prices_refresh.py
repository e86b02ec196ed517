"""scripts/refresh_prices.py: what it writes is what the package says, and the rest of the file stays as it was."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.cost import prices
from chimera_batch.records import Usage
from scripts import refresh_prices
from scripts.refresh_prices import UnpricedError, main, rate_lines, refreshed

data = pytest.importorskip("genai_prices.data")
types = pytest.importorskip("genai_prices.types")

DAY = date(2026, 11, 9)
NOON = datetime(2026, 11, 9, 12, tzinfo=UTC)

FILE = """\
# What models cost.

# Acme

[[price]]
provider = "acme"
model = "m"
aliases = ["m-latest"]
effective_from = 2026-01-01
input = "1"
output = "2"
batch_multiplier = "0.5"
retire_on = 2027-01-01
source = "genai-prices 0.0.1"
as_of = 2026-02-01

# by hand
[[price]]
provider = "acme"
model = "mine"
input = "7"   # agreed on the phone
output = "8"
source = "the contract"

# Others

[[price]]
provider = "other"
model = "o"
effective_from = 2026-01-01
input = "3"
output = "4"
source = "genai-prices 0.0.1"
as_of = 2026-02-01
"""
SAME = """\
effective_from = 2026-01-01
input = "1"
output = "2"
batch_multiplier = "0.5"
retire_on = 2027-01-01
source = "genai-prices {}"
as_of = 2026-11-09
"""


def usd(**rates: str) -> Any:
    return types.ModelPrice(**{f"{name}_mtok": Decimal(rate) for name, rate in rates.items()})


def tiers(base: str, *steps: tuple[int, str]) -> Any:
    return types.TieredPrices(Decimal(base), [types.Tier(start, Decimal(rate)) for start, rate in steps])


def model(name: str, standard: Any, batch: Any = None, start: date | None = None) -> Any:
    variants = [types.PriceVariant({"service_tier": "flex"}, usd(input="99"))]
    if batch is not None:
        constraint = types.StartDateConstraint(start) if start else None
        variants.append(types.PriceVariant({"processing": "batch"}, batch, constraint))
    return types.ModelInfo(name, types.ClauseEquals(name), prices=standard, price_variants=variants)


def package(monkeypatch: pytest.MonkeyPatch, *acme: Any, other: Any = None) -> None:
    """The package as if it knew these models alone."""
    other = other or model("o", usd(input="3", output="4"))
    lists = {"acme": list(acme), "other": [other]}
    told = [types.Provider(name, name, "x", models=models) for name, models in lists.items()]
    monkeypatch.setattr(data, "providers", told)


HALF = (usd(input="1", output="2"), usd(input="0.5", output="1"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(FILE, "utf-8")
    return path


def of(text: str, name: str) -> dict[str, Any]:
    return next(row for row in tomllib.loads(text)["price"] if row["model"] == name)


# --- the shipped file ---


@pytest.mark.skipif(version("genai-prices") != "0.2.3", reason="the shipped rows are of genai-prices 0.2.3")
def test_the_shipped_table_is_what_the_package_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--as-of", "2026-11-09"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_wrong_rate_in_the_shipped_table_would_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prices.toml"
    shipped = refresh_prices.PRICES.read_text("utf-8")
    start = shipped.index('model = "gpt-6-luna"')
    path.write_text(shipped[:start] + shipped[start:].replace('output = "0.5"', 'output = "0.7"', 1), "utf-8")
    assert main(["--as-of", "2026-11-09", "openai/gpt-6-luna"], path) == 1
    out = capsys.readouterr().out
    assert '-output = "0.7"' in out
    assert '+output = "0.5"' in out


# --- what is written ---


def test_only_the_date_changes_where_nothing_else_did(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    package(monkeypatch, model("m", *HALF))
    assert main(["--as-of", "2026-11-09", "acme/m", "--write"], file) == 0
    start = FILE.index("effective_from")
    end = FILE.index("\n# by hand")
    wanted = FILE[:start] + SAME.format(version("genai-prices")) + FILE[end:]
    assert file.read_text("utf-8") == wanted


def test_a_changed_price_is_shown_and_written_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package(monkeypatch, model("m", usd(input="0.8", output="2"), usd(input="0.4", output="1")))
    assert main(["--as-of", "2026-11-09"], file) == 1
    shown = capsys.readouterr().out.splitlines()
    assert {'-input = "1"', '+input = "0.8"', "-effective_from = 2026-01-01"} <= set(shown)
    assert file.read_text("utf-8") == FILE
    assert main(["--as-of", "2026-11-09", "--write"], file) == 0
    assert main(["--as-of", "2026-11-09"], file) == 0, "nothing is left to change"
    found = prices.load(file).price("acme", "m-latest", DAY)
    assert (found.standard.input, found.batch.input) == (Decimal("0.8"), Decimal("0.4"))
    assert (found.effective_from, found.retire_on, found.as_of) == (DAY, date(2027, 1, 1), DAY)


def test_everything_else_stays_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("m", usd(input="9", output="9")), other=model("o", usd(input="9", output="9")))
    text, complaints = refreshed(FILE, DAY)
    assert complaints == []
    for part in ("# What models cost.\n\n# Acme\n\n[[price]]\n", FILE[FILE.index("\n# by hand") : FILE.index("# Oth")]):
        assert part in text
    assert text.index("# by hand") < text.index("# Others") < text.index('model = "o"')
    assert refreshed(text, DAY) == (text, [])
    assert "batch_multiplier" not in of(text, "m"), "the package no longer has a batch price"


def test_a_date_that_the_package_knows_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("m", *HALF, start=date(2026, 10, 14)))
    assert of(refreshed(FILE, DAY)[0], "m")["effective_from"] == date(2026, 10, 14)


def test_a_batch_price_that_is_not_in_force_yet_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("m", *HALF, start=date(2026, 12, 1)))
    assert "batch_multiplier" not in of(refreshed(FILE, DAY)[0], "m")
    assert of(refreshed(FILE, date(2026, 12, 1))[0], "m")["batch_multiplier"] == "0.5"


def test_new_models_follow_the_last_of_their_provider_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("n", *HALF), model("p", *HALF), other=model("q", *HALF))
    text, complaints = refreshed(FILE, DAY, ["acme/n", "acme/p", "other/q"])
    assert complaints == []
    assert [row["model"] for row in tomllib.loads(text)["price"]] == ["m", "mine", "n", "p", "o", "q"]
    assert text.index('model = "p"') < text.index("# Others") < text.index('model = "o"')
    assert text.endswith("as_of = 2026-11-09\n")
    assert "\n\n\n" not in text
    assert of(text, "n")["effective_from"] == DAY


def test_a_model_of_a_provider_without_rows_goes_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("n", *HALF))
    text, _ = refreshed("# nothing yet\n\n", DAY, ["acme/n"])
    assert [row["model"] for row in tomllib.loads(text)["price"]] == ["n"]
    assert text.startswith("# nothing yet\n")


def test_a_hand_written_row_is_replaced_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, model("m", *HALF), model("mine", *HALF))
    assert of(refreshed(FILE, DAY)[0], "mine")["source"] == "the contract"
    assert of(refreshed(FILE, DAY, ["acme/mine"])[0], "mine")["input"] == "1"


@pytest.mark.parametrize("name", ["acme/unheard-of", "nobody/m", "acme/video", "acme/night", "acme/fee"])
def test_what_cannot_be_written_down_is_said_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    clock = datetime(2026, 1, 1, 5, tzinfo=UTC).time()
    night = types.ConditionalPrice(types.TimeOfDateConstraint(clock, clock), prices=HALF[0])
    fee = types.ModelPrice(input_mtok=Decimal(1), requests_kcount=Decimal(5))
    package(monkeypatch, model("video", usd(output="3")), model("night", [night]), model("fee", fee), model("m", *HALF))
    assert main(["--as-of", "2026-11-09", "--write", "acme/m", name], file) == 1
    assert name.partition("/")[2] in capsys.readouterr().err
    assert file.read_text("utf-8") == FILE


# --- one row ---


def price(record: Any, on: datetime = NOON) -> prices.Price:
    raw = tomllib.loads("\n".join(rate_lines(record, on)))
    return prices.from_row({"provider": "acme", "model": "m", **raw}, "row")


@pytest.mark.parametrize(
    ("standard", "batch", "lines"),
    [
        (*HALF, ['input = "1"', 'output = "2"', 'batch_multiplier = "0.5"']),
        (
            usd(input="1", cache_read="0.1", output="2"),
            usd(input="0.5", cache_read="0.06", output="1"),  # rounded by the host
            ['input = "1"', 'cached_input = "0.1"', 'output = "2"', 'batch_cached_input = "0.06"'],
        ),
        (  # no exact multiplier: every batch rate is written down
            usd(input="3", output="4"),
            usd(input="1", output="2"),
            ['input = "3"', 'output = "4"', 'batch_input = "1"', 'batch_output = "2"'],
        ),
        (usd(input="0.02"), None, ['input = "0.02"', 'output = "0"']),
        (
            usd(input="1", output="2"),
            usd(input="0.5"),
            ['input = "1"', 'output = "2"', 'batch_output = "2"', 'batch_multiplier = "0.5"'],
        ),
        (  # silent about cached tokens: no discount for them; silent about writes: the standard rate
            usd(input="1", cache_read="0.1", cache_write="1.25", output="2"),
            usd(input="0.5", output="1"),
            ['batch_cached_input = "0.5"', 'batch_cache_write = "1.25"'],
        ),
        (usd(input="0", output="0"), usd(input="0", output="0"), ['batch_input = "0"', 'batch_output = "0"']),
    ],
)
def test_the_lines_of_a_row(standard: Any, batch: Any, lines: list[str]) -> None:
    found = rate_lines(model("m", standard, batch), NOON)
    assert set(lines) <= set(found)
    assert len(found) == len(set(found))
    price(model("m", standard, batch))


def test_tiers_that_differ_from_rate_to_rate_become_one_list() -> None:
    standard = types.ModelPrice(
        input_mtok=tiers("1", (100, "2"), (200, "4")),
        cache_read_mtok=Decimal("0.1"),
        output_mtok=tiers("3", (150, "6")),
    )
    found = price(model("m", standard, types.ModelPrice(input_mtok=tiers("0.5", (100, "1"), (200, "2")))))
    assert [tier.above_input_tokens for tier in found.tiers] == [100, 150, 200]
    rates = [found.rates(tier=n, batch=False) for n in range(4)]
    assert [(rate.input, rate.cached_input, rate.output) for rate in rates] == [
        (1, Decimal("0.1"), 3),
        (2, Decimal("0.1"), 3),
        (2, Decimal("0.1"), 6),
        (4, Decimal("0.1"), 6),
    ]
    assert [found.rates(tier=n, batch=True).input for n in range(4)] == [Decimal("0.5"), 1, 1, 2]
    assert found.cost(Usage(201), batch=True) == Decimal("0.000402")


def test_a_model_without_a_price_for_its_input_is_refused() -> None:
    with pytest.raises(UnpricedError, match="no price per token of input"):
        rate_lines(model("m", usd(output="1")), NOON)


amounts = st.integers(0, 10**6).map(lambda n: str(Decimal(n) / 1000))
kinds = st.sampled_from(["cache_read", "cache_write", "cache_write_1h"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(kinds, amounts), amounts, amounts, st.dictionaries(kinds, amounts), st.none() | amounts, amounts)
def test_any_rates_come_back_as_they_were(
    extra: dict[str, str], read: str, written: str, batch_extra: dict[str, str], batch_read: str | None, late: str
) -> None:
    standard = usd(input=read, output=written, **extra)
    shared = {name: rate for name, rate in batch_extra.items() if name in extra}
    batch = None if batch_read is None else usd(input=batch_read, output=late, **shared)
    found = price(model("m", standard, batch))
    assert (found.standard.input, found.standard.output) == (Decimal(read), Decimal(written))
    assert found.standard.cached_input == Decimal(extra.get("cache_read", read))
    assert found.batch_known is (batch is not None)
    if batch_read is not None:
        assert (found.batch.input, found.batch.output) == (Decimal(batch_read), Decimal(late))
        for theirs, ours in (("cache_read", "cached_input"), ("cache_write", "cache_write")):
            if theirs in shared:
                assert getattr(found.batch, ours) == Decimal(shared[theirs])
