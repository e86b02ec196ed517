"""Falling back through the command line: a rehearsal with a bad night at one host, and a run without its engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import ray_kit
from tests.cli_kit import call
from tests.end_to_end import Provider, Rehearsed, provider, stage_of, write_pipeline
from tests.ray_kit import Jobs

QWEN = "Qwen/Qwen3-235B-A22B-Thinking-2507"
ROWS = "-- Rows.\n-- reads: nothing\nSELECT 'k' || lpad(n::VARCHAR, 2, '0') AS row_key, n FROM range(20) AS t (n)\n"
FILES = {"sql/twenty/rows.sql": ROWS, "prompts/twenty/ask.md": "<!-- user -->\nNumber {{ n }}.\n"}
LUNA = {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": 2000}
HOSTED = {"provider": "deepinfra", "model": QWEN, "max_output_tokens": 2000}


def manifest(models: list[dict[str, Any]], **stage: Any) -> dict[str, Any]:
    asking = {"name": "twenty", "ask": "m", "prompt": "twenty/ask.md", "rows": "twenty/rows.sql", **stage}
    return {"run": "twenty", "budget": {"usd": 1}, "models": {"m": models}, "stages": [asking]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Whatever openai is sent expires after three rows."""
    expires = {"kind": "expire", "finished": 3, "times": 100, "match": {"profile": "openai"}}
    with provider(tmp_path_factory.mktemp("server"), faults=[expires]) as running:
        yield running


def test_a_night_at_two_hosts(served: Provider, tmp_path: Path) -> None:
    told = manifest([LUNA, HOSTED], fallback={"on": ["expired"]}, samples=2)
    one = Rehearsed(write_pipeline(tmp_path, told, FILES), str(tmp_path / "store"), served, tmp_path / "cache")
    document = one.run()
    stage = stage_of(document, "twenty")
    assert document["state"] == "done" and (stage["wanted"], stage["answered"]) == (40, 40)
    assert stage["model"] == {"provider": "deepinfra", "model": QWEN}
    (switch,) = stage["switches"]
    assert (switch["from"], switch["to"]) == ("openai/gpt-6-luna", f"deepinfra/{QWEN}")
    assert switch["reason"].startswith("expired: 37 requests of twenty-")
    by_host = Counter(line["profile"] for line in served.bill)
    assert by_host == {"openai": 3, "deepinfra": 37}
    assert Decimal(str(document["usd_spent"])) == pytest.approx(served.usd(), abs=Decimal("0.000001"))
    with one.tables() as ask:
        assert ask("SELECT count(*), count(DISTINCT model) FROM twenty") == [(40, 2)]
        assert ask("SELECT provider, sum(requests) FROM costs WHERE outcome = 'ok' GROUP BY ALL ORDER BY ALL") == [
            ("deepinfra", 37),
            ("openai", 3),
        ]
        (kept,) = ask("SELECT row_key FROM twenty WHERE model LIKE 'gpt%' ORDER BY ALL LIMIT 1")
    asked_for = one.trace(kept[0])
    assert {result["outcome"] for step in asked_for["steps"] for result in step["results"]} == {"ok"}
    assert one.plan()["total"]["ceiling"] == 0
    with one.place():
        shown = call("status", one.manifest, "--rehearse", "--store", one.store)
    assert f"twenty: fell back from openai/gpt-6-luna to deepinfra/{QWEN} at 20" in shown.out
    again = one.elsewhere(tmp_path / "cache-2").run()
    assert again["stages"][0]["batches"] == stage["batches"], "another machine has nothing to do"


def test_a_manifest_plants_its_own_bad_night(tmp_path: Path) -> None:
    told = manifest([LUNA, HOSTED], fallback={"on": ["expired"]})
    told["rehearsal"] = {"speed": 1e6, "faults": [{"kind": "expire", "match": {"profile": "openai"}}]}
    path = write_pipeline(tmp_path, told, FILES)
    done = call("--json", "run", path, "--rehearse", "--store", tmp_path / "store")
    assert done.code == 0, done.err
    assert done.document["stages"][0]["switches"][0]["reason"].startswith("expired: 20 requests")
    told["rehearsal"]["faults"] = [{"kind": "fire"}]
    bad = write_pipeline(tmp_path / "bad", told, FILES)
    done = call("run", bad, "--rehearse", "--store", tmp_path / "bad-store")
    assert done.code != 0 and "no fault of kind 'fire'" in done.err


def test_without_its_engine_a_run_goes_on_at_the_host_that_is_named_next(
    served: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paid run as far as this program knows: the host happens to be the loopback server."""
    before = len(served.bill)
    vllm = {"provider": "vllm", "model": QWEN, "max_output_tokens": 2000}
    told = manifest([vllm, HOSTED], assume={"input_tokens": 20, "output_tokens": 50})
    told["providers"] = {
        "vllm": {"engine": {"kind": "vllm", "python": str(tmp_path / "nowhere" / "python")}},
        "deepinfra": {"base_url": f"{served.url}/deepinfra/v1"},
    }
    told["prices"] = "prices.toml"
    (tmp_path / "prices.toml").write_text(PRICES, encoding="utf-8")
    path = write_pipeline(tmp_path, told, FILES)
    monkeypatch.setenv("DEEPINFRA_TOKEN", "a-key-for-nobody")
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.05")
    done = call("--json", "run", path, "--yes", "--store", tmp_path / "store")
    assert done.code == 0, done.out + done.err
    (stage,) = done.document["stages"]
    assert stage["switches"][0]["reason"].startswith("no_gpu: ") and stage["answered"] == 20
    assert len(served.bill) - before == 20 and {line["profile"] for line in served.bill[before:]} == {"deepinfra"}
    assert json.dumps(stage["batches"]).count('"provider": "deepinfra"') == 1


PRICES = f"""\
[[price]]
provider = "vllm"
model = "{QWEN}"
usd_per_hour = "2.50"
input_tokens_per_second = "1000"
output_tokens_per_second = "100"
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    yield from ray_kit.jobs(tmp_path)


@pytest.mark.parametrize("fallback", [True, False])
def test_a_ray_job_that_cannot_run_is_left_too(
    served: Provider, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fallback: bool
) -> None:
    before = len(served.bill)
    flags = {"raise_after": 0, "bad_drivers": 9, "says": "No CUDA GPUs are available"}
    engine = {"kind": "ray", "python": jobs.python, "folder": str(jobs.folder), "flags": flags}
    ray = {"provider": "ray", "model": QWEN, "max_output_tokens": 2000}
    told = manifest([ray, HOSTED] if fallback else [ray], assume={"input_tokens": 20, "output_tokens": 50})
    told["providers"] = {"ray": {"engine": engine}, "deepinfra": {"base_url": f"{served.url}/deepinfra/v1"}}
    told["prices"] = "prices.toml"
    path = write_pipeline(tmp_path, told, FILES)
    (tmp_path / "prices.toml").write_text(PRICES.replace("vllm", "ray"), encoding="utf-8")
    monkeypatch.setenv("DEEPINFRA_TOKEN", "a-key-for-nobody")
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.05")
    done = call("--json", "run", path, "--yes", "--store", tmp_path / "store")
    if not fallback:
        assert done.code == 2 and "No CUDA GPUs are available" in done.error["message"]
        return
    assert done.code == 0, done.out + done.err
    (stage,) = done.document["stages"]
    assert stage["switches"][0]["reason"].startswith("no_gpu: ray: ") and stage["answered"] == 20
    assert {line["profile"] for line in served.bill[before:]} == {"deepinfra"}
