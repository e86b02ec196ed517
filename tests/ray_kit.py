"""Ray jobs for tests: the real driver over a Ray that is a few lines, jobs with what they send, waiting for them."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chimera_batch.engines import ray_driver
from chimera_batch.providers import profiles
from chimera_batch.providers.ray import RayProvider
from chimera_batch.records import BatchState, Intent
from tests.conftest import ROOT

NOW = 1_790_000_000.0
NONCE = "0a0b0c0d"


def interpreter(folder: Path) -> str:
    """A Python that finds the fake Ray, and what a real one would bring, before anything else; ours does not."""
    path = folder / "python-with-ray"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT / "tests" / "fake_ray"}" exec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


class Jobs:
    """A provider over one folder of jobs, ended with all their processes when the test is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder / "jobs", interpreter(folder)
        self._scratch = folder

    def provider(self, *, clock: Any = time.time, **engine: Any) -> RayProvider:
        said = {"kind": "ray", "python": self.python, "folder": str(self.folder), "block": 4, **engine}
        return RayProvider(profiles.with_overrides(None, "ray", {"engine": said}), clock=clock)

    def wire(self, texts: list[str], **body: Any) -> Path:
        path = self._scratch / "wire.jsonl"
        path.write_bytes(b"".join(line(number, text, **body) for number, text in enumerate(texts)))
        return path

    def send(self, provider: RayProvider, texts: list[str], **body: Any) -> str:
        path, intent = self.wire(texts, **body), intent_of(len(texts))
        return provider.create(intent, path, provider.upload(intent, path))

    def end(self) -> None:
        for job in self.folder.glob("*"):
            ray_driver.end(job)


def jobs(folder: Path) -> Iterator[Jobs]:
    """The body of a fixture."""
    made = Jobs(folder)
    yield made
    made.end()


def custom_id(number: int) -> str:
    return f"{NONCE}-{number:032x}"


def line(number: int, text: str, **body: Any) -> bytes:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 20, **body}
    wire = {"custom_id": custom_id(number), "method": "POST", "url": "/v1/chat/completions", "body": asked}
    return json.dumps(wire).encode() + b"\n"


def intent_of(requests: int, **changes: Any) -> Intent:
    said = {"shard": "notes-1", "attempt": 1, "nonce": NONCE, "sha256": "0" * 64, "requests": requests, "bytes": 1}
    where = {"endpoint": "/v1/chat/completions", "model": "tiny", "window": "24h", "run": "r", "at": NOW}
    return Intent(**{**said, **where, **changes})


def over(provider: RayProvider, job: str, seconds: float = 60.0) -> BatchState:
    """The job when it is no longer working."""
    until = time.monotonic() + seconds
    while (state := provider.state(job)).phase == "working":
        assert time.monotonic() < until, f"still working: {state}\n{logs(provider.folder / job)}"
        time.sleep(0.02)
    return state


def logs(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("driver-*.log")))


def lines(provider: RayProvider, state: BatchState, folder: Path) -> list[dict[str, Any]]:
    """What is fetched, each line read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    found = [path.read_bytes() for path in provider.fetch(state, folder)]
    return [json.loads(one) for data in found for one in data.splitlines()]


def texts(found: list[dict[str, Any]]) -> Mapping[str, str | None]:
    """The answers by id; None for a row that failed."""
    bodies = {one["custom_id"]: one["response"]["body"] for one in found}
    return {of: body["choices"][0]["message"]["content"] if "choices" in body else None for of, body in bodies.items()}
