"""Whole runs on a server of one's own, through the command line: every answer once, whatever happens in between."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.local_kit import FakeEngine, LocalRun, attached, fake_engine, local_run


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as fake:
        yield fake


def until(what: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def spooled(one: LocalRun) -> int:
    """How many replies are on this machine's disk."""
    return sum(path.read_bytes().count(b"\n") for path in (one.state / "now").glob("*.jsonl"))


def run(one: LocalRun, code: int = 0) -> Any:
    return one.json("run", str(one.manifest), "--yes", code=code)


def test_a_stage_is_asked_at_once_whatever_its_window(tmp_path: Path, engine: FakeEngine) -> None:
    """Out of order, with the server's own words kept, and billed by the time that the machine took."""
    prompts = [f"q{n} SLEEP {0.02 * (n % 3)}" for n in range(12)] + ["LENGTH"]
    one = local_run(tmp_path, attached(engine.url, at_once=5), prompts, stage=", retry: {truncated: 0}")
    began = time.monotonic()
    document = run(one)
    took = time.monotonic() - began
    [stage] = document["stages"]
    assert stage["outcomes"] == {"ok": 12, "truncated": 1} and stage["given_up"] == 1
    assert sorted(engine.prompts) == sorted(prompts) and engine.most <= 5
    rows = one.query("SELECT row_key, text, reasoning FROM one ORDER BY row_key")
    assert [row["text"] for row in rows] == [f"echo {prompt}" for prompt in prompts[:12]]
    assert {row["reasoning"] for row in rows} == {"I think"}
    spent = Decimal(str(document["usd_spent"]))
    assert 0 < spent < Decimal(str(took)) / 1000, "a tenth of a cent a second, however many are under way"
    body = engine.asked[0]["body"]
    assert body["max_tokens"] == 50 and "stream" not in body and engine.asked[0]["path"] == "/v1/chat/completions"


def test_what_answered_is_recorded_with_each_answer(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["a"])
    run(one)
    traced = one.json("trace", str(one.manifest), "k000000")
    [line] = [json.loads(result["raw_line"]) for step in traced["steps"] for result in step["results"]]
    told = line["engine"]
    assert Decimal(told.pop("seconds")) > 0
    assert told == {"engine": "attached", "address": engine.url, "version": "0.32.0"}


def test_one_bad_request_fails_alone(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["good", "bad STATUS 400", "fails STATUS 422"])
    document = one.json("run", str(one.manifest), "--yes", code=None)
    [stage] = document["stages"]
    assert stage["answered"] == 1 and stage["outcomes"]["error"] == 2
    assert [row["text"] for row in one.query("SELECT text FROM one")] == ["echo good"]


def test_over_the_context_length(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["a"], choice="max_output_tokens: 50000")
    document = one.json("run", str(one.manifest), "--yes", code=None)
    assert document["stages"][0]["outcomes"] == {"error": 1}
    assert "cannot be greater than max_model_len" in json.dumps(one.json("trace", str(one.manifest), "k000000"))


def test_a_model_that_the_server_lacks_stops_the_run_with_the_line_to_type(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["a", "b"], model="unknown")
    done = one.cli("run", str(one.manifest), "--yes", code=2)
    assert "does not exist" in done.err and f"curl {engine.url}/models" in done.err


def test_seeds_and_other_fields_go_through(tmp_path: Path, engine: FakeEngine) -> None:
    choice = "max_output_tokens: 50, temperature: 0.6, top_k: 20, extra: {seed: 7, min_p: 0.1}"
    run(local_run(tmp_path, attached(engine.url), ["a"], choice=choice))
    body = engine.asked[0]["body"]
    assert (body["seed"], body["min_p"], body["temperature"], body["top_k"]) == (7, 0.1, 0.6, 20)


SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'


def test_structured_output(tmp_path: Path) -> None:
    def shape(identity: str, prompt: str) -> dict[str, Any]:
        text = '{"n": 3}' if "good" in prompt else '{"m": 3}'
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {"id": "x", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}

    with fake_engine(shape) as engine:
        files = {"prompts/s.json": SCHEMA}
        stage = ", schema: s.json, retry: {invalid: 0}, breaker: 0"
        one = local_run(tmp_path, attached(engine.url), ["good", "other"], stage=stage, files=files)
        document = one.json("run", str(one.manifest), "--yes", code=None)
        assert document["stages"][0]["outcomes"] == {"ok": 1, "invalid": 1}
        shaped = engine.asked[0]["body"]["response_format"]
        assert shaped["type"] == "json_schema" and shaped["json_schema"]["schema"] == json.loads(SCHEMA)


def test_a_lost_reply_costs_time_and_nothing_else(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["a", "LOSE b", "c"])
    document = run(one)
    assert sorted(engine.prompts) == ["LOSE b", "LOSE b", "a", "c"]
    assert document["stages"][0]["outcomes"] == {"ok": 3} and document["usd_suspected"] == 0


def test_a_lost_reply_of_a_server_paid_by_the_token_is_suspected(tmp_path: Path, engine: FakeEngine) -> None:
    by_token = '[[price]]\nprovider = "mine"\nmodel = "tiny"\ninput = "1"\noutput = "2"\n'
    one = local_run(tmp_path, attached(engine.url), ["a", "LOSE b", "c"], files={"prices.toml": by_token})
    document = run(one)
    assert document["stages"][0]["answered"] == 3 and document["usd_suspected"] > 0
    assert Decimal(str(document["usd_spent"])) == 3 * (7 * 1 + 5 * 2) / Decimal(10**6)


def test_killed_in_mid_shard_nothing_answered_is_asked_again(tmp_path: Path, engine: FakeEngine) -> None:
    """kill -9 while some are held back: what had come is kept, only what was under way is asked again."""
    prompts = [f"q{n}" for n in range(8)] + [f"HOLD {n}" for n in range(4)] + [f"r{n}" for n in range(6)]
    one = local_run(tmp_path, attached(engine.url, at_once=4), prompts)
    first = one.start("run", str(one.manifest), "--yes")
    try:
        until(lambda: engine.under_way == 4, 90)
        before = engine.prompts
        answered = [prompt for prompt in before if not prompt.startswith("HOLD")]
        until(lambda: spooled(one) == len(answered))
    finally:
        first.kill()
        first.communicate(timeout=60)
    engine.release()
    document = run(one)
    after = engine.prompts[len(before) :]
    assert not set(answered) & set(after), "an answer that had come was bought again"
    assert sorted(answered + after) == sorted(prompts)
    assert document["stages"][0]["outcomes"] == {"ok": len(prompts)} and document["usd_suspected"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_person_who_breaks_off_does_not_wait_for_the_engine(
    tmp_path: Path, engine: FakeEngine, number: signal.Signals
) -> None:
    one = local_run(tmp_path, attached(engine.url, at_once=4), ["a", "b", "HOLD c", "HOLD d"])
    first = one.start("run", str(one.manifest), "--yes")
    try:
        until(lambda: len(engine.prompts) == 4 and spooled(one) == 2)
        first.send_signal(number)
        said, _ = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 130, said
    held = [prompt for prompt in engine.prompts if prompt in {"a", "b"}]
    status = one.json("status", str(one.manifest), code=None)
    assert status["stages"][0]["answered"] == len(held) == 2 and status["stages"][0]["in_flight"] == 0
    engine.release()
    assert run(one)["stages"][0]["outcomes"] == {"ok": 4}
    assert engine.prompts.count("a") == 1


def test_check_estimate_and_the_missing_price(tmp_path: Path, engine: FakeEngine) -> None:
    one = local_run(tmp_path, attached(engine.url), ["a", "b"], stage=", assume: {output_tokens: 50}")
    quoted = one.json("estimate", str(one.manifest))
    assert quoted["turnarounds"]["likely"] == 0
    assert "mine   now" in one.cli("check", str(one.manifest)).out
    assert not engine.asked
    bare = local_run(tmp_path / "bare", attached(engine.url), ["a"], files={"prices.toml": "# none\n"})
    done = bare.cli("check", str(bare.manifest), code=2)
    assert 'usd_per_hour = "0"' in done.err and 'provider = "mine"' in done.err


def test_a_rehearsal_plays_it_without_an_engine(tmp_path: Path) -> None:
    one = local_run(tmp_path, "{engine: {kind: vllm, python: /nowhere/python}}", ["a", "b", "c"])
    document = one.json("run", str(one.manifest), "--rehearse", "--yes")
    assert document["stages"][0]["outcomes"]["truncated"] > 0, "played: its answers are longer than 50 tokens"
