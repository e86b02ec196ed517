"""Real Ray with a real vLLM on a CPU, through the command line: killed in mid-job, resumed at the grain of a block."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chimera_batch.engines import kernel, orphans, ray_driver, record
from chimera_batch.providers.ray import RayProvider
from chimera_batch.settings import boot
from tests.cli_kit import call, project
from tests.engine_kit import alone, eventually, tiny_model, vllm_python

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]
__all__ = ["alone"]  # a fixture

ROWS = 80
DIGITS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 150, "maxItems": 150}
SCHEMA = {"type": "object", "properties": {"digits": DIGITS}, "required": ["digits"], "additionalProperties": False}


@pytest.fixture
def python() -> str:
    """An interpreter that has vLLM and Ray; skips loudly by name where there is none."""
    found = vllm_python()
    if missing := ray_driver.missing(found):
        pytest.skip(f"{' and '.join(missing)} not installed in {found}: pip install 'ray[data]>=2.60,<3' there")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the jobs lie; whatever a failed test left of them is ended."""
    yield tmp_path / "jobs"
    for job in (tmp_path / "jobs").glob("*"):
        ray_driver.end(job)


def manifest(root: Path, engine: dict[str, object], model: Path) -> Path:
    """Rows of which one is longer than the context, each to be answered with 150 digits."""
    path = project(root)
    words = "SELECT 'w' || n AS row_key, CASE WHEN n = 7 THEN repeat('def ', 4000) ELSE 'w' || n END AS word"
    (root / "sql" / "tiny" / "rows.sql").write_text(f"-- Words.\n-- reads: nothing\n{words} FROM range({ROWS}) t(n)\n")
    table = "-- What was said.\n-- reads: answers\nSELECT row_key, text, reasoning FROM answers ORDER BY row_key\n"
    (root / "sql" / "tiny" / "table.sql").write_text(table)
    (root / "prompts" / "tiny" / "digits.json").write_text(json.dumps(SCHEMA))
    (root / "prices.toml").write_text(
        f'[[price]]\nprovider = "ray"\nmodel = "{model}"\nusd_per_hour = "0.36"\n'
        'input_tokens_per_second = "1000"\noutput_tokens_per_second = "1000"\n'
    )
    said = yaml.safe_load(path.read_text())
    said |= {"providers": {"ray": {"engine": engine}}, "prices": "prices.toml"}
    said["models"] = {"m": {"provider": "ray", "model": str(model), "max_output_tokens": 700, "temperature": 0.8}}
    said["stages"][0] |= {"schema": "tiny/digits.json", "retry": {"error": 0, "invalid": 0}}
    path.write_text(yaml.safe_dump(said))
    return path


def test_a_killed_driver_costs_the_blocks_under_way_and_one_long_prompt_only_itself(
    python: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.5")
    monkeypatch.setattr(RayProvider, "discard", lambda _provider, _files: None)  # the parts are looked at below
    engine = {"kind": "ray", "python": python, "folder": str(folder), "block": 4, "max_num_seqs": 4}
    engine |= {"max_model_len": 2048, "flags": {"enforce-eager": True}}
    path = manifest(tmp_path, engine, tiny_model(tmp_path / "model"))

    sent = call("--json", "run", path, "--yes", "--detach")
    assert sent.code == 5, sent.err
    (job,) = folder.iterdir()
    part = job / "part-1.jsonl"
    eventually(lambda: part.exists() and part.stat().st_size, 400)
    first = record.load(job)
    assert first is not None
    around = len(orphans.left_of(first, boot()))
    assert around > 2  # Ray and vLLM carry our mark too
    os.kill(first.pid, signal.SIGKILL)
    before = [json.loads(line) for line in part.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert len(before) < ROWS

    done = call("--json", "run", path, "--yes")
    (stage,) = done.document["stages"]
    assert (stage["answered"], stage["given_up"]) == (ROWS - 1, 1), done.err
    assert orphans.left_of(first, boot()) == ()
    second = record.load(job)
    assert second is not None and second.pid != first.pid and kernel.look(second.pid) is None
    after = [json.loads(line) for line in (job / "part-2.jsonl").read_bytes().splitlines()]
    asked = [line["custom_id"] for line in before + after]
    assert len(asked) == len(set(asked)) == ROWS and len(before) % 4 == 0

    rows = json.loads(call("query", "-m", path, "FROM answers_of WHERE text IS NOT NULL", "--format", "json").out)
    assert len(rows) == ROWS - 1 and all(len(json.loads(row["text"])["digits"]) == 150 for row in rows)
    (failed,) = [line for line in before + after if line["response"]["status_code"] != 200]
    assert "are more than max_model_len=2048" in failed["response"]["body"]["error"]["message"]
    seconds = sum(float(line["engine"]["seconds"]) for line in before + after)
    assert float(stage["usd_spent"]) == pytest.approx(seconds * 0.36 / 3600, abs=1e-6) and seconds > 5
