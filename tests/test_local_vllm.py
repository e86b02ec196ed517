"""A whole run on a real vLLM (on a CPU, a tiny model of random weights): killed in mid-shard, resumed, each row once.

One engine is started for all of it: the killed runner leaves it behind, the next one finds it and ends it.
"""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.engines import orphans, record
from chimera_batch.requests import wire
from chimera_batch.settings import boot
from tests.engine_kit import alone, tiny_model, vllm_python
from tests.local_kit import PRICES, LocalRun

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]
__all__ = ["alone"]  # a fixture

PROMPTS, LONG, SEQS, HOURLY = 60, 1, 4, Decimal("3.6")
MANIFEST = """\
run: local
store: {store}
prices: prices.toml
providers:
  vllm:
    engine:
      python: {python}
      max_model_len: 2048
      max_num_seqs: {seqs}
      start_s: 300
      flags: {{reasoning-parser: qwen3}}
models:
  solver: {{provider: vllm, model: {model}, max_output_tokens: 400, temperature: 0.9, extra: {{seed: 7}}}}
  strict:
    provider: vllm
    model: {model}
    max_output_tokens: 64
    extra: {{chat_template_kwargs: {{enable_thinking: false}}}}
  broken: {{provider: vllm, model: {model}, max_output_tokens: 8, extra: {{top_k: many}}}}
stages:
  - {{name: traces, ask: solver, prompt: ask.md, rows: traces.sql, retry: {{truncated: 0, invalid: 0}}, breaker: 0}}
  - {{name: verdicts, ask: strict, prompt: ask.md, rows: verdicts.sql, schema: verdict.json, retry: {{invalid: 0}}}}
  - {{name: malformed, ask: broken, prompt: ask.md, rows: verdicts.sql}}
"""
TRACES = """\
-- Questions, one of them longer than the model's context.
SELECT 'k' || lpad(n::VARCHAR, 3, '0') AS row_key,
       CASE WHEN n = 30 THEN repeat('def f(x): return x ', 2000) ELSE 'def f' || n || '(x):' END AS p
FROM range({prompts}) AS t(n)
"""
VERDICTS = "-- Two questions.\nSELECT 'v' || n AS row_key, 'is ' || n || ' prime' AS p FROM range(2) AS t(n)\n"
SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["keep", "drop"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}


@pytest.fixture
def one(tmp_path: Path) -> Any:
    model = tiny_model(tmp_path / "model")
    files = {
        "local.yaml": MANIFEST.format(store=tmp_path / "store", python=vllm_python(), seqs=SEQS, model=model),
        "prices.toml": PRICES.format(provider="vllm", model=model, hourly=HOURLY),
        "prompts/ask.md": "{{ p }}\n",
        "prompts/verdict.json": json.dumps(SCHEMA),
        "sql/traces.sql": TRACES.format(prompts=PROMPTS),
        "sql/verdicts.sql": VERDICTS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    run = LocalRun(tmp_path)
    yield run
    if (left := record.load(run.state / "engines" / "vllm")) is not None:
        orphans.end(left, boot(), print)


def spooled(one: LocalRun) -> list[str]:
    """Custom ids of the replies that are on disk, in the order in which they came."""
    lines = [line for path in (one.state / "now").glob("*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line)["custom_id"] for line in lines]


def test_a_run_on_a_real_engine_is_killed_and_goes_on(one: LocalRun) -> None:
    began = time.monotonic()
    first = one.start("run", str(one.manifest), "--yes", "--until", "traces")
    try:
        end = time.monotonic() + 280
        while len(spooled(one)) < 12:
            assert first.poll() is None, first.communicate()[0]
            assert time.monotonic() < end, "the engine does not answer"
            time.sleep(0.02)
    finally:
        first.kill()
        first.communicate(timeout=30)
    kept = spooled(one)
    engine = record.load(one.state / "engines" / "vllm")
    assert 12 <= len(kept) < PROMPTS - 2 * SEQS, "killed too late to show anything"
    assert engine is not None, "its engine went with it"
    done = one.json("run", str(one.manifest), "--yes")
    took = Decimal(time.monotonic() - began)
    traces, verdicts, malformed = done["stages"]

    shards = {batch["attempt"]: batch["requests"] for batch in traces["batches"]}
    assert shards == {1: PROMPTS, 2: PROMPTS - len(kept)}, "what had come is asked again, or what had not is not"
    outcomes = dict(traces["outcomes"])
    assert outcomes.pop("error") == LONG and sum(outcomes.values()) == PROMPTS - LONG and traces["in_flight"] == 0
    assert outcomes["truncated"] > PROMPTS / 2, "cut at their ceiling, which is an outcome of its own"
    assert verdicts["outcomes"] == {"ok": 2} and malformed["outcomes"] == {"error": 2}
    found = one.query("SELECT json_extract_string(answer, '$.verdict') AS v FROM verdicts")
    assert {row["v"] for row in found} <= {"keep", "drop"} and len(found) == 2
    assert 0 < Decimal(str(done["usd_spent"])) < took * HOURLY / 3600, "machine time, however many were under way"
    assert record.load(one.state / "engines" / "vllm") is None, "the engine is ended with the run"

    said = one.json("trace", str(one.manifest), "k001")
    [line] = [json.loads(result["raw_line"]) for step in said["steps"] for result in step["results"]]
    assert line["response"]["body"]["id"] == f"chatcmpl-{line['custom_id']}"
    assert line["engine"]["version"].startswith("0.") and "--max-num-seqs 4" in line["engine"]["flags"]
    assert Decimal(line["engine"]["seconds"]) > 0 and line["response"]["body"]["usage"]["completion_tokens"] <= 400
    too_long = json.dumps(one.json("trace", str(one.manifest), "k030"))
    assert "maximum context length" in too_long or "max_model_len" in too_long or "longer than" in too_long
    came = [custom_id.partition("-")[2] for custom_id in kept]
    (shard,) = (one.folder / "store" / "requests" / "vllm@local").glob("traces-*.jsonl.zst")
    asked = set(map(wire.request_id, wire.read_lines(shard)))
    assert len(set(came)) == len(came) and asked >= set(came), "what was kept is ours, and each once"
