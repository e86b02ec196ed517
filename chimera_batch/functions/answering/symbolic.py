"""Whether two answers are the same expression, asked of a process of its own that may be lost at any time.

Math-Verify and SymPy hang on some texts and fill the memory on others, and Math-Verify's own limits are signals, which
do not work in the threads that SQL functions are called from. So ``symbolic_worker`` reads the answers. It is started
when it is first needed, ended with this process, and started again after a pair that was too much for it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

from chimera_batch.settings import without_secrets

_WORKER = Path(__file__).with_name("symbolic_worker.py")
_WALL = 20.0  # seconds for one pair. What decides is the worker's limit on its CPU: it is the same on a busy machine
_START = 120.0  # seconds until it has imported SymPy
_ENDING = 2.0  # seconds to end by itself


class Worker:
    """One worker process, used by one thread at a time."""

    def __init__(self, path: Path = _WORKER, wall: float = _WALL) -> None:
        self._path, self._wall = path, wall
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, reference: str, candidate: str, slack: float) -> bool | None:
        """Its answer; None where the pair was too much for it. Raises OSError if no process can be started."""
        line = json.dumps({"reference": reference, "candidate": candidate, "slack": slack})
        with self._lock:
            process = self._running()
            try:
                assert process.stdin is not None  # noqa: S101 - a pipe was asked for
                process.stdin.write(line.encode() + b"\n")
                said = self._line(process, self._wall)
            except BrokenPipeError:
                said = b""
            if not said:
                self._end(process, 0.0)
                return None
            return bool(json.loads(said))

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._process is not None:
                self._end(self._process, _ENDING)

    def forget(self) -> None:
        """In a fork's copy: the process is its parent's, and the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.returncode = 0
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-P", str(self._path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=without_secrets(),
                bufsize=0,
            )
            if not self._line(self._process, _START):
                self._end(self._process, 0.0)
                raise OSError("the process that compares expressions does not start: pip install math-verify")
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The next line that it says; empty where it ended or took too long."""
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        until, said = time.monotonic() + seconds, b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(until - time.monotonic(), 0.0))
            piece = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not piece:
                return b""
            said += piece
        return said

    def _end(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Close its pipes, give it that long, then kill and reap it."""
        self._process = None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_worker = Worker()
atexit.register(_worker.close)
os.register_at_fork(after_in_child=_worker.forget)


@lru_cache(maxsize=1 << 14)
def same_expression(reference: str, candidate: str, slack: float = 0.0) -> bool:
    """Whether two pieces of LaTeX mean the same; False where that cannot be told. Each pair is asked once a process.

    ``slack``: how far apart two numbers may be because of rounding, 0 where nothing is rounded.
    """
    return _worker.ask(reference, candidate, slack) or False
