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


_children: list[subprocess.Popen[bytes]] = []  # that outlive their Running because another process uses them


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at ``url``; a profile's base URL is ``{url}/{profile}/v1`` (Anthropic: without ``/v1``)."""

    url: str
    pid: int
    process: subprocess.Popen[bytes] | None = None  # None: another process started it

    def close(self) -> None:
        """Leave. The server ends with its last user; what it was doing goes on at the next start."""
        try:
            closing = _post(self.url, "leave")["closing"]
        except (OSError, ValueError, http.client.HTTPException):
            closing = True  # it is gone already
        if self.process is None:
            return
        if not closing:
            _children.append(self.process)
            return
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(
    state: Path, *, speed: float = 1200.0, seed: int = 0, settings: Mapping[str, Any] | None = None, wait: float = 20.0
) -> Running:
    """The server of a state folder: the one that runs already, else a new one that ends with its last user.

    A running server keeps the speed, seed and settings that it was started with. Raises RuntimeError with the end of
    ``server.log`` when none answers within ``wait`` seconds.
    """
    state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "chimera_batch.rehearsal", "--state", str(state), "--speed", str(speed)]
    command += ["--seed", str(seed), "--settings", json.dumps(dict(settings or {})), "--parent", str(os.getpid())]
    process: subprocess.Popen[bytes] | None = None
    until = time.monotonic() + wait
    while time.monotonic() < until:
        if found := _find(state):
            return _own(found, process)
        if process is None:
            process = _spawn(command, state)
        elif process.poll() == _TAKEN:
            process = None  # another start was faster, or a server is just closing: look again
        elif process.poll() is not None:
            break
        time.sleep(0.03)
    if process is not None:
        process.kill()
        process.wait()
    end = (state / "server.log").read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"the rehearsal server did not start; the end of {state / 'server.log'}:\n{end}")


def _own(found: Running, process: subprocess.Popen[bytes] | None) -> Running:
    if process is not None and process.pid == found.pid:
        return Running(found.url, found.pid, process)
    if process is not None:
        process.wait()  # it finds the folder taken
    return found


def _spawn(command: list[str], state: Path) -> subprocess.Popen[bytes]:
    with (state / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _find(state: Path) -> Running | None:
    """The live server of a state folder, joined."""
    try:
        told = json.loads((state / "server.json").read_bytes())
        health = _ask(told["url"], "GET", "health")
        if health.get("pid") != told["pid"] or health.get("state") != str(state.resolve()):
            return None  # a left-over of a server that is gone, and somebody else on its port
        joined = _post(told["url"], "join")["joined"]
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None
    return Running(told["url"], told["pid"]) if joined else None


def _post(url: str, what: str) -> dict[str, Any]:
    return _ask(url, "POST", what, json.dumps({"pid": os.getpid()}).encode())


def _ask(url: str, method: str, what: str, body: bytes | None = None) -> dict[str, Any]:
    # Not urllib: a proxy named in the environment has no business with a loopback address.
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=5)
    try:
        connection.request(method, f"/_rehearsal/{what}", body)
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
