"""The engine room with a real vLLM on a CPU and a tiny model: start, answer, orphans, reuse, a crash in mid-answer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chimera_batch.engines import Server, kernel, orphans, record, serve
from chimera_batch.errors import EngineFailed
from chimera_batch.providers.base import Engine
from chimera_batch.settings import boot
from tests.conftest import ROOT
from tests.engine_kit import alone, eventually, runs, tiny_model, vllm_python

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]
__all__ = ["alone"]  # a fixture
HEADERS = {"Content-Type": "application/json", "X-Request-Id": "abc-1"}
FLAGS = (("reasoning-parser", "qwen3"),)


def engine(**fields: Any) -> Engine:
    chosen = {"max_model_len": 2048, "max_num_seqs": 16, "flags": FLAGS, "start_s": 900, **fields}
    return Engine("vllm", python=vllm_python(), **chosen)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One state folder for the file: what one test leaves running the next one finds."""
    state = tmp_path_factory.mktemp("state")
    yield state
    if (left := record.load(state / "engines" / "vllm")) is not None:
        orphans.end(left, boot(), print)


def ask(url: str, model: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of one answer."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)
    try:
        wanted = {"model": model, "messages": [{"role": "user", "content": "def f(x):"}], "max_tokens": 16, **body}
        connection.request("POST", f"{place.path}/chat/completions", json.dumps(wanted), HEADERS)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


RUNNER = """
import sys
from pathlib import Path
from chimera_batch.engines import serve
from chimera_batch.providers.base import Engine
python, model, state = sys.argv[1:]
server = serve(Engine("vllm", python=python, max_model_len=2048, max_num_seqs=16,
                      flags=(("reasoning-parser", "qwen3"),), start_s=900), "vllm", Path(state), print)
print("READY", server.address(model), flush=True)
sys.stdin.read()
"""


def test_what_a_killed_runner_left_is_used_again(model: str, state: Path) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, vllm_python(), model, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with runner:
        assert runner.stdout is not None
        line = next((line for line in runner.stdout if line.startswith(b"READY")), b"")
        url = line.split()[1].decode()
        runner.kill()
    said = list[str]()
    server = serve(engine(), "vllm", state, said.append)
    assert server.address(model) == url
    assert "used again" in said[0] and len(said) == 1
    answers_of_all_kinds(server, model)
    a_dead_leader_is_noticed_and_all_of_it_comes_back(server, model, state)
    server.close()
    assert record.load(state / "engines" / "vllm") is None


def answers_of_all_kinds(server: Server, model: str) -> None:
    """Thought and answer apart, an answer held to its schema, a prompt that is too long, metrics that we can read."""
    url, about = server.address(model), server.about()
    assert about["engine"] == "vllm" and about["version"].startswith("0.") and "--max-num-seqs 16" in about["flags"]
    status, thought = ask(url, model, temperature=0, seed=1)
    assert status == 200 and thought["choices"][0]["finish_reason"] == "length"
    assert thought["id"] == "chatcmpl-abc-1" and thought["usage"]["completion_tokens"] == 16
    schema = {
        "type": "object",
        "properties": {"verdict": {"enum": ["keep", "drop"]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
    plain = {"enable_thinking": False}
    status, held = ask(url, model, max_tokens=64, response_format=shape, chat_template_kwargs=plain)
    assert status == 200 and json.loads(held["choices"][0]["message"]["content"])["verdict"] in {"keep", "drop"}
    status, refused = ask(url, model, max_tokens=999_999)
    assert status == 400 and "max_model_len" in refused["error"]["message"]
    watch = server._watch  # type: ignore[attr-defined]
    beat = watch._beat()
    assert beat.tokens is not None and beat.tokens >= 16 and beat.busy is False


def a_dead_leader_is_noticed_and_all_of_it_comes_back(server: Server, model: str, state: Path) -> None:
    """SIGKILL of the leader leaves workers that hold the memory: they carry our mark, are ended, a new one starts."""
    left = record.load(state / "engines" / "vllm")
    assert left is not None and left.ready
    group = [one for one in kernel.everybody() if one.group == left.pid]
    names = {Path(f"/proc/{one.pid}/comm").read_text().strip() for one in group}
    assert any(name.startswith("VLLM::") for name in names), names
    assert all(kernel.mark_of(one.pid) == left.mark for one in group)
    os.kill(left.pid, signal.SIGKILL)
    eventually(lambda: not runs(left.pid))
    outlived = orphans.left_of(left, boot())
    assert outlived, "its workers went with the leader: then this test shows nothing"
    assert ask(server.address(model), model)[0] == 200
    again = record.load(state / "engines" / "vllm")
    assert again is not None and again.pid != left.pid and not any(runs(one.pid) for one in outlived)


def test_a_length_that_cannot_be_held_says_so(model: str, state: Path) -> None:
    """The engine's own words for a KV cache that is too small become the reason that fallback rules ask for."""
    said = list[str]()
    short = engine(max_model_len=32_768, flags=(*FLAGS, ("kv-cache-memory-bytes", 1 << 20)))
    server = serve(short, "small", state, said.append)
    try:
        with pytest.raises(EngineFailed, match="larger than the available KV cache") as failed:
            server.address(model)
        assert failed.value.why == "out_of_memory" and "max_model_len" in str(failed.value.hint)
    finally:
        server.close()
