"""An OpenAI-compatible server of the tests, and projects that ask it through the command line.

The server answers as the prompt tells it: one with ``HOLD`` waits until ``release`` was called, ``SLEEP 0.2`` takes so
long, ``STATUS 500`` fails so, ``LOSE`` drops the connection (once for each prompt), ``LENGTH`` is cut. All that it was
asked is in ``asked``.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.cli_kit import Called, call
from tests.conftest import ROOT

Shape = Callable[[str, str], dict[str, Any]]
"""(request id of the header, prompt) -> the body of an answer."""


def vllm_body(identity: str, prompt: str) -> dict[str, Any]:
    """As vLLM 0.32 answers: the thought in ``reasoning``, the id echoed."""
    cut = "LENGTH" in prompt
    message = {"role": "assistant", "content": None if cut else f"echo {prompt}", "reasoning": "I think"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}],
        "system_fingerprint": "vllm-0.32.0-ea83d8e6",
        "usage": usage,
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment for an answer
    server: _Server

    def do_GET(self) -> None:
        if self.path == self.server.fake.version_path:
            self._say(200, {"version": "0.32.0"})
        else:
            self._say(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with fake.lock:
            fake.asked.append({"path": self.path, "headers": dict(self.headers), "body": body})
            fake.under_way += 1
            fake.most = max(fake.most, fake.under_way)
        try:
            status, answer = fake.answer(self.headers.get("X-Request-Id", ""), body)
        finally:
            with fake.lock:
                fake.under_way -= 1
        if status:
            self._say(status, answer)
        else:
            self.close_connection = True

    def _say(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    fake: FakeEngine

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is what some tests are about."""


@dataclass
class FakeEngine:
    """The server. ``shape`` makes the body of an answer."""

    shape: Shape = vllm_body
    version_path: str = "/version"
    asked: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0  # calls at once, at most
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    _lost: set[str] = field(default_factory=set)

    @property
    def prompts(self) -> list[str]:
        with self.lock:
            return [prompt_of(one["body"]) for one in self.asked]

    def release(self) -> None:
        """Let those go on that were told to HOLD."""
        self.held.set()

    def answer(self, identity: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body; status 0: none, and the connection is dropped."""
        prompt = prompt_of(body)
        if "HOLD" in prompt:
            self.held.wait(60)
        if pause := re.search(r"SLEEP ([\d.]+)", prompt):
            time.sleep(float(pause[1]))
        if status := re.search(r"STATUS (\d+)", prompt):
            return int(status[1]), {"error": {"message": f"told to: {prompt}", "type": "BadRequestError", "code": 400}}
        if "LOSE" in prompt and prompt not in self._lost:
            self._lost.add(prompt)
            return 0, None
        if body["max_tokens"] > 40_000:
            said = f"max_tokens={body['max_tokens']} cannot be greater than max_model_len=2048."
            return 400, {"error": {"message": said, "type": "BadRequestError", "param": "max_tokens", "code": 400}}
        if body["model"] == "unknown":
            said = "The model `unknown` does not exist."
            return 404, {"error": {"message": said, "type": "NotFoundError", "param": "model", "code": 404}}
        return 200, self.shape(identity, prompt)


def prompt_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).strip()


@contextmanager
def fake_engine(shape: Shape = vllm_body, *, port: int = 0, version_path: str = "/version") -> Iterator[FakeEngine]:
    fake = FakeEngine(shape, version_path)
    server = _Server(("127.0.0.1", port), _Handler)
    server.fake = fake
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        fake.release()
        server.shutdown()
        server.server_close()
        thread.join(60)


def wire_line(prompt: str, *, custom_id: str = "00000001-" + "a" * 32, model: str = "tiny", **body: Any) -> bytes:
    said = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 50, **body}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": said}
    return json.dumps(line, separators=(",", ":")).encode()


# -- whole runs

PRICES = """\
[[price]]
provider = "{provider}"
model = "{model}"
usd_per_hour = "{hourly}"
input_tokens_per_second = "1000"
output_tokens_per_second = "100"
"""


@dataclass(frozen=True)
class LocalRun:
    """A project of one stage whose prompts are its rows."""

    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "local.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "chimera_batch", *words]

    def environment(self, **more: str) -> dict[str, str]:
        names = {"CHIMERA_STATE": "state", "CHIMERA_CACHE": "cache", "HOME": "home"}
        paths = {name: str(self.folder / part) for name, part in names.items()}
        return {**os.environ, "PYTHONPATH": str(ROOT), "CHIMERA_POLL_SECONDS": "0.05", **paths, **more}

    def cli(self, *words: str, code: int | None = 0, **more: str) -> Called:
        """One command to its end, in this process; ``code``: the exit code that it must have."""
        with patch.dict(os.environ, self.environment(**more)):
            done = call(*words)
        assert code is None or done.code == code, f"{words}: {done.code}\n{done.out}\n{done.err}"
        return done

    def json(self, *words: str, code: int | None = 0) -> Any:
        return self.cli(*words, "--json", code=code).document

    def query(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cli("query", "-m", str(self.manifest), sql, "--format", "json").document
        return found

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment()
        )


def local_run(
    folder: Path,
    provider: str,
    prompts: list[str],
    *,
    model: str = "tiny",
    hourly: str = "3.6",
    choice: str = "max_output_tokens: 50",
    stage: str = "",
    files: dict[str, str] | None = None,
) -> LocalRun:
    """``provider``: YAML of ``providers.mine``. The stage ``one`` asks every prompt; its window is that of a batch."""
    rows = ",\n  ".join(f"({n}, '{prompt}')" for n, prompt in enumerate(prompts))
    everything = {
        "sql/rows.sql": "-- The prompts.\nSELECT 'k' || lpad(n::VARCHAR, 6, '0') AS row_key, p\n"
        f"FROM (VALUES\n  {rows}) AS t(n, p)\n",
        "prompts/one.md": "{{ p }}\n",
        "prices.toml": PRICES.format(provider="mine", model=model, hourly=hourly),
        "local.yaml": f"run: local\nstore: {folder / 'store'}\nprices: prices.toml\nproviders:\n  mine: {provider}\n"
        f"models:\n  m: {{provider: mine, model: {model}, {choice}}}\n"
        f"stages:\n  - {{name: one, ask: m, prompt: one.md, rows: rows.sql{stage}}}\n",
        **(files or {}),
    }
    for name, text in everything.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return LocalRun(folder)


def attached(url: str, **more: Any) -> str:
    """The provider of a server that runs already."""
    return (
        "{"
        + ", ".join([f"engine: {{kind: attached}}, base_url: '{url}'", *(f"{k}: {v}" for k, v in more.items())])
        + "}"
    )
