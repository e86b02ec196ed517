from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.rehearsal import tariff
from chimera_batch.rehearsal.tariff import Charge, Tariff

ROW: dict[str, Any] = {"provider": "openai", "model": "m", "input": "2", "output": "10", "batch_multiplier": "0.5"}


def charged(row: dict[str, Any], tokens: int = 10, *, sync: bool = False) -> tuple[str, str, str]:
    found = Tariff([row]).charge("openai", "m", tokens, sync=sync)
    return str(found.input), str(found.cached), str(found.output)


@pytest.mark.parametrize(
    "row, sync, rates",
    [
        ({}, True, ("2", "2", "10")),
        ({}, False, ("1.0", "1.0", "5.0")),
        ({"cached_input": "0.2"}, False, ("1.0", "0.10", "5.0")),
        ({"cached_input": "0.2", "batch_cached_input": "0.13"}, False, ("1.0", "0.13", "5.0")),
        ({"batch_cached_input": "0.13"}, True, ("2", "2", "10")),
        ({"batch_input": "1.5", "batch_output": "9"}, False, ("1.5", "1.5", "9")),
        ({"batch_multiplier": None}, False, ("2", "2", "10")),
    ],
)
def test_rates(row: dict[str, Any], sync: bool, rates: tuple[str, str, str]) -> None:
    assert charged(ROW | row, sync=sync) == rates


TIER = ROW | {"batch_input": "0.9", "tier": {"above_input_tokens": 100, "input": "4", "output": "15"}}


@pytest.mark.parametrize(
    "tokens, sync, rates",
    [
        (100, True, ("2", "2", "10")),
        (101, True, ("4", "4", "15")),
        (100, False, ("0.9", "0.9", "5.0")),
        (101, False, ("2.0", "2.0", "7.5")),
    ],
)
def test_a_tier_counts_from_beyond_its_threshold_and_replaces_batch_rates(
    tokens: int, sync: bool, rates: tuple[str, str, str]
) -> None:
    assert charged(TIER, tokens, sync=sync) == rates


def test_dollars_are_exact() -> None:
    charge = Charge(Decimal("0.05"), Decimal("0.005"), Decimal("0.25"), Decimal("0.0625"), Decimal("0.1"))
    assert charge.usd(7, 3, 11) == Decimal("0.000003115")
    assert charge.usd(7, 3, 11, 2, 5) == Decimal("0.000003115") + Decimal("0.000000625")


def test_names_dates_hosts_and_overrides() -> None:
    old = ROW | {"effective_from": datetime.date(2020, 1, 1), "input": "1"}
    new = ROW | {"effective_from": datetime.date(2024, 1, 1), "input": "3", "aliases": ["em"]}
    later = ROW | {"effective_from": datetime.date(2999, 1, 1), "input": "9"}
    mine = ROW | {"provider": "mine", "model": "own", "input": "7"}
    book = Tariff([old, new, later], [mine])

    def price(profile: str, model: str) -> str:
        return str(book.charge(profile, model, 1, sync=True).input)

    assert price("openai", "m") == price("openai", "em") == price("openai", "m-2025-08-07") == "3"
    assert price("a-proxy", "m") == "3"
    assert price("openai", "own") == "7"
    assert str(Tariff([later]).charge("openai", "m", 1, sync=True).input) == "9"
    assert str(Tariff([new], [ROW | {"input": "8"}]).charge("openai", "m", 1, sync=True).input) == "8"
    assert not book.knows("openai", "m-mini")
    with pytest.raises(KeyError):
        book.charge("openai", "nothing", 1, sync=True)


def test_the_shipped_table_is_read_and_settings_add_to_it(tmp_path: Path) -> None:
    shipped = tariff.load({})
    assert str(shipped.charge("openai", "gpt-6-luna", 1, sync=False).output) in {"0.250", "0.25"}
    own = tmp_path / "p.toml"
    own.write_text('[[price]]\nprovider="x"\nmodel="y"\ninput="1"\noutput="2"\n')
    assert tariff.load({"prices": str(own)}).knows("x", "y")
    assert tariff.load({"prices": [ROW]}).knows("openai", "m")
