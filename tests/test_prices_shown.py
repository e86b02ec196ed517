"""``chimera-batch prices``: every kind of row, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from chimera_batch.cost import prices
from tests.cli_kit import call

OWN = """\
[[price]]
provider = "local"
model = "Qwen/Qwen3-8B"
usd_per_hour = "2.50"
input_tokens_per_second = 24_000
output_tokens_per_second = 2_400
as_of = 2026-11-20

[[price]]
provider = "local"
model = "steps"
input = "1"
output = "2.50"
batch_multiplier = "0.5"
tier = [
  { above_input_tokens = 32000, input = "3", output = "7" },
  { above_input_tokens = 128000, input = "5", output = "9" },
]

[[price]]
provider = "openai"
model = "gpt-5"
input = "99"
output = "100"
tier = { above_input_tokens = 10, input = "200", output = "300" }
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "prices.local.toml"
    path.write_text(OWN, "utf-8")
    return str(path)


def shown(file: str, model: str) -> list[str]:
    return call("prices", model, "--file", file).out.splitlines()


def test_a_machine_by_the_hour_is_shown_as_what_was_measured(file: str) -> None:
    lines = shown(file, "Qwen3-8B")
    assert "local/Qwen/Qwen3-8B: $2.50/h at 2,400 tok/s (24,000 tok/s of input)" in lines
    row = next(line for line in lines if line.startswith("local/Qwen/Qwen3-8B ")).split()
    assert row[1:] == ["0.0289352", "0.0289352", "0.289352", "0.0289352", "0.289352", "-", "2026-11-20"]


def test_one_speed_for_reading_and_writing_is_said_once() -> None:
    out = call("prices", "mine", "--price", "local/mine=2.5/h@2400,2400").out
    assert "local/mine: $2.50/h at 2,400 tok/s\n" in out


def test_every_tier_is_shown_with_its_batch_rates(file: str) -> None:
    lines = shown(file, "steps")
    assert "local/steps above 32,000 tokens of input: 3 in and 7 out, 1.5 in and 3.5 out in a batch" in lines
    assert "local/steps above 128,000 tokens of input: 5 in and 9 out, 2.5 in and 4.5 out in a batch" in lines


def test_a_file_wins_over_the_shipped_table_and_the_command_line_over_the_file(file: str) -> None:
    lines = shown(file, "openai/gpt-5")
    row = next(line for line in lines if line.startswith("openai/gpt-5 ")).split()
    assert row == ["openai/gpt-5", "99", "99", "100", "-", "-", "2026-12-11", "-"]
    assert "openai/gpt-5 above 10 tokens of input: 200 in and 300 out" in lines
    out = call("prices", "openai/gpt-5", "--file", file, "--price", "openai/gpt-5=7,8").out
    assert next(line for line in out.splitlines() if line.startswith("openai/gpt-5 ")).split()[1:4] == ["7", "7", "8"]


def test_as_json(file: str) -> None:
    told = {row["model"]: row for row in call("prices", "local/", "--file", file, "--json").document["prices"]}
    assert told["Qwen/Qwen3-8B"]["gpu"] == {
        "usd_per_hour": 2.5,
        "input_tokens_per_second": 24000.0,
        "output_tokens_per_second": 2400.0,
    }
    assert told["Qwen/Qwen3-8B"]["tiers"] == []
    assert told["Qwen/Qwen3-8B"]["batch"] == told["Qwen/Qwen3-8B"]["standard"]
    assert told["steps"]["gpu"] is None
    assert [tier["above_input_tokens"] for tier in told["steps"]["tiers"]] == [32_000, 128_000]
    assert told["steps"]["tiers"][1]["batch"]["output"] == 4.5
    assert told["steps"]["tiers"][1]["standard"]["output"] == 9.0


@pytest.mark.parametrize(
    ("model", "basis"),
    [
        ("gpt-6-luna", "openai/gpt-6-luna tokens: o200k, exact"),
        (
            "anthropic/claude-haiku-5-5",
            "anthropic/claude-haiku-5-5 tokens: o200k × 1.6, approximate (−7 to +31 %, not verified)",
        ),
    ],
)
def test_how_tokens_are_counted_is_said_of_the_models_asked_for(model: str, basis: str) -> None:
    assert basis in call("prices", model).out.splitlines()
    (row,) = call("prices", model, "--json").document["prices"]
    assert basis.endswith(f" tokens: {row['tokens']}")
    assert " tokens: " not in call("prices").out


def test_a_file_that_is_not_there_is_an_error_with_its_name() -> None:
    done = call("prices", "--file", "nowhere.toml")
    assert done.code == 2
    assert "nowhere.toml" in done.err


def test_every_shipped_model_can_be_found_by_its_own_name() -> None:
    for row in prices.load().rows[::9]:
        out = call("prices", f"{row.provider}/{row.model}").out
        assert any(line.startswith(f"{row.provider}/{row.model} ") for line in out.splitlines())
