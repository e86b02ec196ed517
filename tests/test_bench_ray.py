"""bench.ray over a stand-in for Ray and vLLM: both are asked the same folder, and the table says what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import ray as bench
from chimera_batch.engines import ray_driver
from tests.ray_kit import interpreter


@pytest.fixture
def said(tmp_path: Path) -> bench.argparse.Namespace:
    words = ["--python", interpreter(tmp_path), "--requests", "40", "--tokens", "9", "--block", "8"]
    return bench.arguments(words)


def test_both_answer_the_same_folder(said: bench.argparse.Namespace, tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    bench.wire(path, Path("tiny"), said.requests, said.tokens)
    got, job = bench.under_ray(said, tmp_path / "jobs", path, Path("tiny"))
    try:
        assert got["tokens"] == 40 * 9 and 0.01 <= got["seconds"] <= got["whole"] and got["after"] >= 0
        plain = bench.alone(said, job)
    finally:
        ray_driver.end(job)
    assert plain["tokens"] == 40 * 9 and 0 < plain["seconds"] <= plain["whole"]


def test_prompts_differ_and_share_their_beginning(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    bench.wire(path, Path("tiny"), 50, 9)
    bodies = [json.loads(line)["body"] for line in path.read_bytes().splitlines()]
    assert len({body["messages"][1]["content"] for body in bodies}) == 50
    assert len({body["messages"][0]["content"] for body in bodies}) == 1
    assert all(body["ignore_eos"] and body["max_tokens"] == 9 for body in bodies)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    fast, slow = {"seconds": 1.0, "tokens": 100, "whole": 9.0}, {"seconds": 4.0, "tokens": 380, "whole": 30.0}
    bench.show({"ray": [{**slow, "after": 2.0}, {**slow, "after": 3.0}], "plain": [fast, fast]})
    out = capsys.readouterr().out
    assert "| ray | 95 (95, 95) | 30.0 |" in out and "| plain | 100 (100, 100) | 9.0 |" in out
    assert "ratio 0.950; from the last answer to the end of the job 2.5 s" in out


def test_a_plain_vllm_that_fails_is_said(said: bench.argparse.Namespace, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="plain vLLM failed"):
        bench.alone(said, tmp_path / "nowhere")
