"""A rehearsal server inside the test's own process, and the real SDKs pointed at it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import anthropic
import openai
import orjson

from chimera_batch.rehearsal import generic
from chimera_batch.rehearsal.desk import Desk, Options
from chimera_batch.rehearsal.server import Server
from chimera_batch.rehearsal.talk import Ask, Said

PRICES = [
    {
        "provider": "openai",
        "model": "plain",
        "input": "2",
        "output": "10",
        "cached_input": "1",
        "batch_multiplier": "0.5",
    },
    {"provider": "openai", "model": "gpt-6-luna", "input": "0.10", "output": "0.50", "batch_multiplier": "0.5"},
    {"provider": "openai", "model": "embed", "input": "0.02", "output": "0", "batch_multiplier": "0.5"},
    {
        "provider": "anthropic",
        "model": "claude",
        "input": "4",
        "output": "20",
        "batch_input": "2",
        "batch_output": "10",
    },
]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "minLength": 40}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}
FAST = 1_000_000.0


class Hall:
    """A served desk; restartable on the same state folder."""

    def __init__(self, state: Path, *, speed: float = FAST, mind: Callable[[Ask], Said] | None = None, **settings: Any):
        self.state = state
        self.options = Options(state, speed, 7, {"prices": PRICES, **settings}, mind or generic.answer)
        self.open()

    def open(self) -> None:
        self.desk = Desk(self.options)
        self.server = Server(self.desk)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
        self.desk.close()

    def __enter__(self) -> Hall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self.server.url

    @contextmanager
    def openai(self, profile: str = "openai") -> Iterator[openai.OpenAI]:
        with openai.OpenAI(base_url=f"{self.url}/{profile}/v1", api_key="any", max_retries=0, timeout=60) as client:
            yield client

    @contextmanager
    def anthropic(self, version: str | None = None) -> Iterator[anthropic.Anthropic]:
        headers = {"anthropic-version": version} if version else None
        with anthropic.Anthropic(
            base_url=f"{self.url}/anthropic", api_key="any", max_retries=0, timeout=60, default_headers=headers
        ) as client:
            yield client

    def order(self, *faults: Mapping[str, Any]) -> None:
        self.desk.faults.add(faults)

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        place = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        try:
            place.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            reply = place.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            place.close()

    @property
    def bill(self) -> list[dict[str, Any]]:
        return list(self.desk.bill.roll)


def hurry(desk: Desk, ident: str) -> None:
    """A batch takes no more time: tests that look at one under way give it hours, and end it when they have seen it."""
    desk.works.change(ident, lambda batch: replace(batch, validate=0.0, work=0.0, finalize=0.0))


def custom_id(n: int, nonce: str = "abcdef01") -> str:
    return f"{nonce}-{n:032x}"


def chat_line(n: int, *, ident: str | None = None, model: str = "plain", **body: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Question {n}?"}], **body}
    return {"custom_id": ident or custom_id(n), "method": "POST", "url": "/v1/chat/completions", "body": body}


def chat_lines(count: int, **more: Any) -> list[dict[str, Any]]:
    fmt = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA}}
    return [chat_line(n, max_completion_tokens=4000, response_format=fmt, **more) for n in range(count)]


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def submit(client: openai.OpenAI, data: bytes, endpoint: Any = "/v1/chat/completions", name: str = "in.jsonl") -> Any:
    file = client.files.create(file=(name, data), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"a": "b"})


def until(look: Callable[[], Any], done: Callable[[Any], bool], seconds: float = 60.0) -> Any:
    """``look()`` again and again until it is ``done``."""
    end = time.monotonic() + seconds
    while not done(seen := look()):
        assert time.monotonic() < end, f"still {seen}"
        time.sleep(0.005)
    return seen


def finished(client: openai.OpenAI, batch_id: str) -> Any:
    over = {"completed", "failed", "expired", "cancelled"}
    return until(lambda: client.batches.retrieve(batch_id), lambda batch: batch.status in over)


def ended(client: anthropic.Anthropic, batch_id: str) -> Any:
    return until(lambda: client.messages.batches.retrieve(batch_id), lambda batch: batch.processing_status == "ended")


def rows(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Parsed lines of a result file; [] where there is none."""
    if not file_id:
        return []
    return [json.loads(line) for line in client.files.content(file_id).content.split(b"\n") if line]


def ask_claude(n: int, **params: Any) -> dict[str, Any]:
    params = {"model": "claude", "max_tokens": 4000, "messages": [{"role": "user", "content": f"Q {n}"}], **params}
    return {"custom_id": custom_id(n), "params": params}
