"""One life of an engine's process: started in a group of its own, looked at, stopped with everything it started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chimera_batch import settings
from chimera_batch.engines import kernel, orphans, record
from chimera_batch.engines.record import Record

_GRACE = 15.0  # seconds to end by itself: an engine frees its GPU memory and its shared memory on the way out
_LAST = 10.0  # seconds for a killed process to be gone; one that hangs in a driver's call in the kernel may never be
_TAIL = 64_000  # bytes of the log that a failure is judged by
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DOWNLOADS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", *_PROXIES, *map(str.upper, _PROXIES))
"""The secrets that an engine is given: it fetches a gated model by itself, perhaps through a proxy that wants a
password. All others stay here: it needs none."""


@dataclass(slots=True)
class Process:
    """A running engine. ``child`` is None where a runner before us started it."""

    record: Record
    folder: Path
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def alive(self) -> bool:
        """Whether its leader runs."""
        if self.child is not None:
            return self.child.poll() is None
        seen = kernel.look(self.record.pid)
        return seen is not None and seen.start == self.record.start

    def code(self) -> int | None:
        """The leader's exit code, minus the signal that killed it; None: it runs, or nobody here can know."""
        return self.child.poll() if self.child is not None else None

    def listens(self) -> bool:
        """Whether it is its own that answers at its port, as far as the system tells: another program may have been
        faster to take the port, and is healthy too."""
        sockets = kernel.listening(self.record.port)
        ours = orphans.left_of(self.record, settings.boot())
        return self.alive() and (not sockets or any(kernel.holds(one.pid, sockets) for one in ours))

    def ready(self) -> None:
        """It is healthy: the next runner need not wait for it again."""
        self.record = replace(self.record, ready=True)
        record.save(self.folder, self.record)

    def kill(self) -> None:
        """End all of it at once, whoever started it: it is stuck, nobody waits for its last words."""
        self._signal(signal.SIGKILL)
        for one in orphans.left_of(self.record, settings.boot()):
            kernel.signal_exactly(one, signal.SIGKILL)

    def stop(self) -> bool:
        """End all of it and reap it; the record goes when nothing is left. Whether nothing is.

        It takes a minute at most, also where a process is stuck in the kernel and cannot be ended.
        """
        for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _LAST)):
            self._signal(number)
            if self._ends(seconds):
                break
        gone = orphans.end(self.record, settings.boot(), lambda _line: None)
        if gone:
            record.forget(self.folder)
        return gone

    def _ends(self, seconds: float) -> bool:
        """Whether the child is over within so many seconds; a stranger's is not waited for here."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.child is not None:
                self.child.wait(seconds)
            return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group, while its id is certain to be ours: an id is not given away before we reap its leader."""
        if self.child is not None and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.record.pid, number)

    def tail(self) -> str:
        """The end of what it wrote."""
        return tail(self.log)


def start(folder: Path, argv: Sequence[str], extra: Mapping[str, str], named: tuple[str, str]) -> Process:
    """Start ``argv --port N`` in a group of its own, its output in ``folder/server.log`` (the last one is kept as .1).

    ``extra`` is added to its environment, ``named`` is (model, digest) for the record. It gets no secret but those that
    a download needs. The record is durable before the process exists. Raises OSError where it cannot be started.
    """
    model, digest = named
    planned = Record(secrets.token_hex(8), settings.boot(), free_port(), model, digest, settings.owner())
    record.save(folder, planned)
    log = folder / "server.log"
    if log.exists():
        log.replace(folder / "server.log.1")
    environment = {**settings.without_secrets(keep=DOWNLOADS), **extra, kernel.MARK: planned.mark}
    with log.open("xb") as output:
        child = subprocess.Popen(  # noqa: S603 - the interpreter that the manifest names, and our own options
            [*argv, "--port", str(planned.port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            process_group=0,
        )
    seen = kernel.look(child.pid)
    started = replace(planned, pid=child.pid, start=seen.start if seen else "")
    record.save(folder, started)
    return Process(started, folder, child)


def tail(log: Path) -> str:
    """The end of a log; nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def free_port() -> int:
    """A port of the loopback that nobody listens at. Somebody may take it before it is used: then another is tried."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
