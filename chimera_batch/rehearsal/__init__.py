"""The rehearsal: a loopback server that speaks both batch protocols, in a process of its own.

The code that will spend money talks to it through the real SDKs; only the base URL differs. It keeps its own bill.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Running", "start"]

_TAKEN = 3  # __main__.TAKEN; importing it would load the whole server here


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at ``url``; a profile's base URL is ``{url}/{profile}/v1`` (Anthropic: without ``/v1``)."""

    url: str
    pid: int
    process: subprocess.Popen[bytes] | None = None  # None: it was running before and is not ours to stop

    def close(self) -> None:
        """Stop the server if this call started it; what it was doing goes on at the next start."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(
    state: Path, *, speed: float = 1200.0, seed: int = 0, settings: Mapping[str, Any] | None = None, wait: float = 20.0
) -> Running:
    """The server of a state folder: the one that runs already, else a new one that ends with this process.

    A running server keeps the speed, seed and settings that it was started with. Raises RuntimeError with the end of
    ``server.log`` when none answers within ``wait`` seconds.
    """
    state.mkdir(parents=True, exist_ok=True)
    if found := _find(state):
        return found
    command = [sys.executable, "-m", "chimera_batch.rehearsal", "--state", str(state), "--speed", str(speed)]
    command += ["--seed", str(seed), "--settings", json.dumps(dict(settings or {})), "--parent", str(os.getpid())]
    with (state / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    until = time.monotonic() + wait
    while time.monotonic() < until:
        if found := _find(state):
            if found.pid == process.pid:
                return Running(found.url, found.pid, process)
            process.wait()  # another start was faster; ours has found the folder taken
            return found
        if process.poll() not in {None, _TAKEN}:
            break
        time.sleep(0.03)
    process.kill()
    process.wait()
    end = (state / "server.log").read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"the rehearsal server did not start; the end of {state / 'server.log'}:\n{end}")


def _find(state: Path) -> Running | None:
    """The live server of a state folder."""
    try:
        told = json.loads((state / "server.json").read_bytes())
        health = _health(told["url"])
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if health.get("pid") != told["pid"] or health.get("state") != str(state.resolve()):
        return None  # a left-over of a server that is gone, and somebody else on its port
    return Running(told["url"], told["pid"])


def _health(url: str) -> dict[str, Any]:
    # Not urllib: a proxy named in the environment has no business with a loopback address.
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=2)
    try:
        connection.request("GET", "/_rehearsal/health")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
