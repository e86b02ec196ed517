"""The server's account under every setting: the bill, the answers' usage and the batch's totals are the same numbers,
and our own arithmetic over the usage comes to the same dollars."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from chimera_batch.cost import prices
from chimera_batch.endpoints import usage
from chimera_batch.providers import openai_shapes
from chimera_batch.records import Usage
from chimera_batch.rehearsal.knobs import DEFAULTS
from tests.conftest import ROOT
from tests.rehearsal_kit import SCHEMA, Hall, ask_claude, chat_lines, custom_id, ended, finished, jsonl, rows, submit

Row = dict[str, Any]
SYSTEM = "You are careful. " * 300  # 1,275 tokens
MODELS: list[Row] = [
    {"provider": "openai", "model": "gpt-6-luna", "input": "0.1", "cached_input": "0.01", "cache_write": "0.125",
     "output": "0.5", "batch_multiplier": "0.5",
     "tier": {"above_input_tokens": 1300, "input": "0.2", "cached_input": "0.02", "cache_write": "0.25",
              "output": "0.75"}},
    {"provider": "anthropic", "model": "claude", "input": "4", "cached_input": "0.4", "cache_write": "5",
     "cache_write_long": "8", "output": "20", "batch_multiplier": "0.5"},
    {"provider": "openai", "model": "own", "usd_per_hour": "9.98", "input_tokens_per_second": "7000",
     "output_tokens_per_second": "2100"},
]  # fmt: skip
PRICE = {row["model"]: prices.from_row(row, "here") for row in MODELS}
TIMES = {"times": 9}
SETTINGS: dict[str, Row] = {
    "as ever": {},
    "a cached share": {"cached_share": 0.4},
    "lengths": {"lengths": {"default": {"mean": 900, "cv": 1.25}, "claude": {"tail": "mixture"}}},
    "caches": {"caches": {"hit": 0.7}},
    "all": {
        "lengths": {"default": {"mean": 900, "cv": 1.25}, "reply@gpt-6-luna": {"mean": 400, "tail": "pareto"}},
        "caches": {"hit": 0.5, "min_tokens": 512},
        "flex": {"refuse": 0.1},
    },
}
FAULTS: dict[str, list[Row]] = {
    "quiet": [],
    "rows": [
        {"kind": "drop_rows", "n": 5, **TIMES},
        {"kind": "malformed_line", "n": 5, **TIMES},
        {"kind": "error_rows", "n": 5, **TIMES},
        {"kind": "duplicate_rows", "n": 5, **TIMES},
    ],
    "expired": [{"kind": "expire", "finished": 25, **TIMES}],
}


@pytest.fixture(params=list(SETTINGS))
def hall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hall]:
    with Hall(tmp_path / "state", prices=MODELS, **SETTINGS[request.param]) as hall:
        yield hall


def cost(line: Row, found: Usage) -> Decimal:
    return PRICE[line["model"]].cost(found, batch=not line["sync"] or line["flex"])


def balances(bill: list[Row], told: dict[str, Usage]) -> None:
    """Every delivered line of the bill is the usage that its answer carries, at our own price."""
    assert {line["custom_id"] for line in bill if line["delivered"]} == set(told)
    for line in bill:
        names = ("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_long_tokens", "output_tokens")
        found = Usage(**{name: line[name] for name in names})
        assert Decimal(line["usd"]) == cost(line, found)
        if line["delivered"]:
            answer = told[line["custom_id"]]
            assert [getattr(answer, name) for name in names] == [getattr(found, name) for name in names]
            assert answer.reasoning_tokens <= answer.output_tokens


def is_sum(total: Row, bill: list[Row]) -> None:
    """The batch's totals are those of everything that was executed."""
    assert total["input_tokens"] == sum(line["input_tokens"] for line in bill)
    assert total["output_tokens"] == sum(line["output_tokens"] for line in bill)
    assert total["input_tokens_details"] == {"cached_tokens": sum(line["cached_tokens"] for line in bill)}
    assert total["total_tokens"] == total["input_tokens"] + total["output_tokens"]


def lines_for(model: str, path: str = "chat") -> list[Row]:
    """Forty questions under one long system text."""
    made = []
    for n, line in enumerate(chat_lines(40, model=model)):
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Question {n}? " + "x" * n * 5}]
        body = {**line["body"], "messages": turns, "max_completion_tokens": 1200}
        if path == "responses":
            shape = {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}}
            body = {"model": model, "input": turns, "max_output_tokens": 1200, "text": shape}
        made.append(line | {"body": body, "url": f"/v1/{'responses' if path == 'responses' else 'chat/completions'}"})
    return made


def answers(found: list[Row]) -> dict[str, Usage]:
    """Usage by custom id, as our own adapter reads it."""
    told = {}
    for row in found:
        if row["response"] and row["response"]["status_code"] == 200:
            body = row["response"]["body"]
            read = usage.of_responses if body["object"] == "response" else usage.of_chat
            told[row["custom_id"]] = read(body["usage"])
    return {ident: one for ident, one in told.items() if one is not None}


def whole(content: bytes) -> list[Row]:
    """The lines that can be read; a fault cuts some in half."""
    found = []
    for line in content.split(b"\n"):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


@pytest.mark.parametrize("night", FAULTS)
@pytest.mark.parametrize("model, path", [("gpt-6-luna", "chat"), ("gpt-6-luna", "responses"), ("own", "chat")])
def test_an_openai_batch(hall: Hall, night: str, model: str, path: str) -> None:
    hall.order(*FAULTS[night])
    with hall.openai() as client:
        endpoint = "/v1/responses" if path == "responses" else "/v1/chat/completions"
        batch = finished(client, submit(client, jsonl(lines_for(model, path)), endpoint).id)
        told = answers(whole(client.files.content(batch.output_file_id).content))
    assert len(hall.bill) == {"quiet": 40, "rows": 35, "expired": 25}[night]
    balances(hall.bill, told)
    is_sum(batch.usage.model_dump(), hall.bill)
    lost = sum(not line["delivered"] for line in hall.bill)
    assert lost == (10 if night == "rows" else 0)
    state = openai_shapes.batch_state(batch.model_dump(mode="json"))
    assert state.usage is not None and state.usage.output_tokens == sum(line["output_tokens"] for line in hall.bill)


@pytest.mark.parametrize("night", FAULTS)
@pytest.mark.parametrize("mark", [None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
def test_an_anthropic_batch(hall: Hall, night: str, mark: Row | None) -> None:
    hall.order(*FAULTS[night])
    system = [{"type": "text", "text": SYSTEM, **({"cache_control": mark} if mark else {})}]
    with hall.anthropic() as client:
        batch = client.messages.batches.create(requests=[ask_claude(n, system=system) for n in range(40)])  # type: ignore[misc]
        batch = ended(client, batch.id)
    found = whole(hall.desk.works.results(batch.id).read_bytes())
    told = {
        row["custom_id"]: usage.of_anthropic(row["result"]["message"]["usage"])
        for row in found
        if row["result"]["type"] == "succeeded"
    }
    assert len(hall.bill) == {"quiet": 40, "rows": 35, "expired": 25}[night]
    balances(hall.bill, {ident: one for ident, one in told.items() if one is not None})
    long = sum(line["cache_write_long_tokens"] for line in hall.bill)
    assert bool(long) == bool(mark and "ttl" in mark and hall.desk.settings.get("caches"))


def test_synchronous_calls(hall: Hall) -> None:
    told = {}
    with hall.openai() as client:
        for n in range(12):
            body = lines_for("gpt-6-luna")[n % 6]["body"]
            reply = client.chat.completions.create(**body, extra_headers={"idempotency-key": custom_id(n)})
            told[custom_id(n)] = usage.of_chat(reply.usage.model_dump()) if reply.usage else None
    with hall.anthropic() as claude:
        for n in range(12, 20):
            system: Any = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
            message = claude.messages.create(
                model="claude", max_tokens=4000, messages=[{"role": "user", "content": f"Q {n}"}], system=system,
                extra_headers={"idempotency-key": custom_id(n)},
            )  # fmt: skip
            told[custom_id(n)] = usage.of_anthropic(message.usage.model_dump())
    balances(hall.bill, {ident: one for ident, one in told.items() if one is not None})
    if hall.desk.settings.get("caches"):
        assert sum(line["cached_tokens"] > 0 for line in hall.bill) >= 4, "calls share one cache"


# The totals of a batch of which little or nothing is delivered


@pytest.mark.parametrize(
    "fault, delivered, executed",
    [
        ({"kind": "lose_output"}, 0, 40),
        ({"kind": "drop_rows", "n": 40}, 0, 40),
        ({"kind": "malformed_line", "n": 7}, 33, 40),
        ({"kind": "expire", "finished": 30, "files": False}, 0, 30),
        ({"kind": "cancel", "finished": 12}, 12, 12),
        ({"kind": "error_rows", "n": 40}, 0, 0),
        ({"kind": "foreign_rows", "n": 3}, 40, 40),
        ({"kind": "counts_lie", "completed": 1}, 40, 40),
    ],
)
def test_totals_count_what_was_executed_delivered_or_not(
    tmp_path: Path, fault: Row, delivered: int, executed: int
) -> None:
    with Hall(tmp_path / "state", prices=MODELS, **SETTINGS["all"]) as hall, hall.openai() as client:
        hall.order(fault)
        batch = finished(client, submit(client, jsonl(lines_for("gpt-6-luna"))).id)
        bill = hall.bill
        assert (len(bill), sum(line["delivered"] for line in bill)) == (executed, delivered)
        is_sum(batch.usage.model_dump(), bill)


def test_totals_are_the_same_after_a_restart(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS, **SETTINGS["all"]) as hall:
        with hall.openai() as client:
            before = finished(client, submit(client, jsonl(lines_for("gpt-6-luna"))).id)
        hall.close()
        hall.open()
        with hall.openai() as client:
            assert client.batches.retrieve(before.id).usage == before.usage
        is_sum(before.usage.model_dump(), hall.bill)


def test_a_host_may_leave_usage_out_of_its_batches(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS) as hall, hall.openai("deepinfra") as client:
        hall.order({"kind": "no_usage", "times": 1, "match": {"profile": "deepinfra"}})
        bare, usual = (finished(client, submit(client, jsonl(lines_for("gpt-6-luna"))).id) for _ in range(2))
        assert "usage" not in json.loads(hall.raw("GET", f"/deepinfra/v1/batches/{bare.id}", authorization="k")[2])
        assert openai_shapes.batch_state(bare.model_dump(mode="json")).usage is None
        assert usual.usage is not None
        assert len(rows(client, bare.output_file_id)) == 40, "all else is as ever"


def test_a_fault_of_usage_waits_for_a_batch_that_has_one(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS) as hall, hall.anthropic() as client:
        hall.order({"kind": "no_usage"})
        ended(client, client.messages.batches.create(requests=[ask_claude(1)]).id)  # type: ignore[list-item]
        assert [fault["kind"] for fault in hall.desk.faults.waiting()] == ["no_usage"]


# Flex


def flex(client: openai.OpenAI, n: int, **more: Any) -> Any:
    turns: Any = [{"role": "user", "content": f"Question {n}?"}]
    more = {"service_tier": "flex", "extra_headers": {"idempotency-key": custom_id(n)}} | more
    return client.chat.completions.create(model="gpt-6-luna", messages=turns, **more)


def test_flex_is_billed_at_the_batch_price_and_says_so(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS) as hall, hall.openai() as client:
        assert flex(client, 1).service_tier == "flex"
        assert flex(client, 1, service_tier=openai.omit).service_tier == "default"
        assert flex(client, 1, service_tier="default").service_tier == "default"
        reply = client.responses.create(model="gpt-6-luna", input="Q", service_tier="flex")
        assert reply.service_tier == "flex"
        assert client.responses.create(model="gpt-6-luna", input="Q").service_tier == "default"
        paid = [Decimal(line["usd"]) for line in hall.bill]
        assert [line["flex"] for line in hall.bill] == [True, False, False, True, False]
        assert all(line["sync"] and line["batch"] is None for line in hall.bill)
        for line, usd in zip(hall.bill, paid, strict=True):
            spent = line["input_tokens"] * Decimal("0.1") + line["output_tokens"] * Decimal("0.5")
            assert usd == spent / 1_000_000 / (2 if line["flex"] else 1)


def test_a_body_with_another_tier_is_the_same_question(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS) as hall, hall.openai() as client:
        client.responses.create(model="gpt-6-luna", input="Q", service_tier="flex")
        client.responses.create(model="gpt-6-luna", input="Q")
        assert len({line["request_id"] for line in hall.bill}) == 1
        assert [line["attempt"] for line in hall.bill] == [1, 2]


def test_in_a_batch_the_tier_changes_nothing(tmp_path: Path) -> None:
    lines = [line | {"body": line["body"] | {"service_tier": "flex"}} for line in lines_for("gpt-6-luna")]
    with Hall(tmp_path / "state", prices=MODELS) as hall, hall.openai() as client:
        batch = finished(client, submit(client, jsonl(lines)).id)
        assert {row["response"]["body"]["service_tier"] for row in rows(client, batch.output_file_id)} == {"default"}
        balances(hall.bill, answers(rows(client, batch.output_file_id)))
        assert {(line["sync"], line["flex"]) for line in hall.bill} == {(False, False)}


def test_messages_have_no_flex(tmp_path: Path) -> None:
    with Hall(tmp_path / "state", prices=MODELS, flex={"refuse": 1.0}) as hall, hall.anthropic() as client:
        body: Any = {"model": "claude", "max_tokens": 50, "messages": [{"role": "user", "content": "Q"}]}
        assert client.messages.create(**body, extra_body={"service_tier": "flex"}).usage.service_tier == "standard"
        assert [line["flex"] for line in hall.bill] == [False]


def refusals(state: Path, count: int, **told: Any) -> list[bool]:
    with Hall(state, prices=MODELS, **told) as hall, hall.openai() as client:
        seen = []
        for n in range(count):
            try:
                flex(client, n % 50)
                seen.append(False)
            except openai.RateLimitError as error:
                assert (error.status_code, error.code) == (429, "resource_unavailable")
                seen.append(True)
        assert len(hall.bill) == seen.count(False), "what is refused is not billed"
        assert all(line["flex"] for line in hall.bill)
        if told.get("flex"):
            assert flex(client, 1, service_tier="default").service_tier == "default", "others are served"
        return seen


def test_flex_finds_no_capacity_for_its_share_and_a_later_try_draws_again(tmp_path: Path) -> None:
    seen = refusals(tmp_path / "a", 400, flex={"refuse": 0.25})
    assert 0.17 < seen.count(True) / 400 < 0.33
    assert any(was and not now for was, now in zip(seen[:50], seen[50:100], strict=True)), "not refused for ever"
    assert seen[:60] == refusals(tmp_path / "b", 60, flex={"refuse": 0.25})
    assert True not in refusals(tmp_path / "c", 20)


# A setting that means nothing


@pytest.mark.parametrize("told", [{"caches": {"hits": 1}}, {"flex": {"refuse": 2}}, {"lengths": {"x": {"mean": 5}}}])
def test_the_server_does_not_start_with_a_setting_that_means_nothing(tmp_path: Path, told: Row) -> None:
    command = [sys.executable, "-m", "chimera_batch.rehearsal", "--state", str(tmp_path), "--settings"]
    ran = subprocess.run([*command, json.dumps(told)], check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"--settings: {next(iter(told))}") and "Traceback" not in ran.stderr


def test_prices_here_hold_for_the_whole_table() -> None:
    """The rows above are ours too: a tier, cache writes and a machine by the hour."""
    assert PRICE["gpt-6-luna"].cost(Usage(1301, cache_write_tokens=1301), batch=True) == Decimal("0.000162625")
    own = PRICE["own"].cost(Usage(7000 * 3600, cached_tokens=9), batch=True)
    assert Decimal("9.98") <= own < Decimal("9.980001"), "an hour of reading"


def test_the_docs_say_what_can_be_set_and_what_is_usual(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8").partition("## What a rehearsal can be told")[2]
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    told = yaml.safe_load(example)["rehearsal"]
    with Hall(tmp_path / "state", prices=MODELS, **told) as hall, hall.openai() as client:
        flex(client, 3, max_completion_tokens=100_000)
        assert hall.bill[0]["output_tokens"] > 1000, "a length of 14,000 on average"
    rows_of = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert {"lengths", "caches", "flex"} == set(DEFAULTS)
    usual_of = {"lengths": {"within": 0.3}, "caches": {"hit": 0.7, "min_tokens": 1024}, "flex": {"refuse": 0}}
    for name, usual in usual_of.items():
        for key, value in usual.items():
            assert f"`{key}` ({value})" in rows_of[name]
            assert DEFAULTS[name][key] == value
    assert f"`{DEFAULTS['lengths']['tail']}` (default)" in rows_of["lengths"]
