"""The process that drives a Ray job: started in a group of its own, found again by its record, ended with all of its.

It outlives whoever started it, as a batch at a host does. Floor 2.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from chimera_batch import settings
from chimera_batch.engines import failures, interpreters, kernel, orphans, process, ray_job, ray_state, record
from chimera_batch.engines.record import Record
from chimera_batch.errors import EngineFailed, EngineWhy
from chimera_batch.providers.base import Engine

_KEPT = (*process.DOWNLOADS, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""What a driver needs of the secrets around it: to fetch a gated model, to be let into a cluster."""
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "SPT_NOENV": "1",  # workers rename themselves over their environment otherwise, and our mark is in there
    "PYTHONSAFEPATH": "1",  # the files beside the driver are no modules of theirs
    "PYTHONUNBUFFERED": "1",  # last words reach the log
    "NO_COLOR": "1",
}
HINT = 'pip install "ray[data]" vllm (in an environment of its own), then engine: {python: …/bin/python}'


def start(folder: Path, engine: Engine, model: str) -> bool:
    """Start the next driver of a job; False when another runner has just done so. Raises EngineFailed."""
    number = len(ray_state.numbers(folder)) + 1
    planned = Record(secrets.token_hex(8), settings.boot(), 0, model, str(number), settings.owner())
    try:
        log = os.open(ray_state.log_of(folder, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        record.save(folder, planned)
        pid = _spawn(folder, number, interpreter(engine), {**_environment(), kernel.MARK: planned.mark}, log)
    except OSError as error:
        said = f"the Ray driver cannot be started: {error}"
        raise EngineFailed(said, why="not_installed", hint=HINT) from error
    finally:
        os.close(log)
    seen = kernel.look(pid)
    record.save(folder, replace(planned, pid=pid, start=seen.start if seen else ""))
    ray_state.log_of(folder, number).with_suffix(".started").touch()
    return True


def interpreter(engine: Engine) -> str:
    """The Python that has Ray and vLLM."""
    return str(Path(engine.python or settings.engine_python() or sys.executable).expanduser())


_LOOK = """
import importlib.util as u
names = {"ray": "ray", "pyarrow": "ray[data]", "pandas": "ray[data]", "vllm": "vllm"}
print(*dict.fromkeys(said for name, said in names.items() if u.find_spec(name) is None))
"""
"""Asks an interpreter what it lacks, without importing it: that takes ten seconds."""


def missing(python: str) -> tuple[str, ...]:
    """What an interpreter lacks of ray[data] and vllm. Raises EngineFailed where it cannot be asked."""
    try:
        said = interpreters.ask(python, _LOOK)
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineFailed(f"{python} cannot be asked for its Ray: {error}", why="not_installed", hint=HINT) from error
    return tuple(said.decode().split())


def _environment() -> dict[str, str]:
    return {**settings.without_secrets(keep=_KEPT), **_ENVIRONMENT}


def _spawn(folder: Path, number: int, python: str, environment: dict[str, str], log: int) -> int:
    """Not ``subprocess``: that one wants its children waited for, and this one is to outlive us."""
    argv = [python, str(Path(ray_job.__file__).resolve()), str(folder.resolve()), str(number)]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    return os.posix_spawn(python, argv, environment, file_actions=actions, setpgroup=0)


def alive(folder: Path) -> bool | None:
    """Whether the last driver runs; None: it was started elsewhere, and nothing here can tell."""
    found = record.load(folder)
    if found is None:
        return False
    if found.boot == settings.boot() and kernel.can_look():
        _reap(found.pid)
        seen = kernel.look(found.pid) if found.pid else None
        return seen is not None and seen.start == found.start
    if _locked(folder):
        return True
    here = found.owner.partition(":")[0] == settings.owner().partition(":")[0]
    return False if here else None  # this machine has booted anew since


def _reap(pid: int) -> None:
    """Let go of a child of ours that has ended. 0, of a driver that was never started, would mean any child."""
    if pid > 0:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _locked(folder: Path) -> bool:
    """Whether a driver holds the job, on any machine whose locks the folder's file system shares."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def end(folder: Path, say: Callable[[str], None] = lambda _line: None) -> None:
    """End the driver with Ray's processes and the engine that it started on this machine. Nothing left is fine."""
    found = record.load(folder)
    if found is None:
        return
    orphans.end(found, settings.boot(), say)
    _reap(found.pid)


def failure(folder: Path) -> tuple[EngineWhy, str] | None:
    """What the last driver died of: (why, its own last words and where its log is); None where none was started."""
    known = ray_state.numbers(folder)
    if not known:
        return None
    log = ray_state.log_of(folder, known[-1])
    fault = ray_job.read(folder / "fault.json")
    own = str(fault.get("message", "")) if fault.get("driver") == known[-1] else ""
    found = failures.classify(None, f"{process.tail(log)}\n{own}", starting=True)
    why: EngineWhy = "no_gpu" if own.startswith("RuntimeError: No GPU") else found.why
    return why, f"{own or found.words} (log: {log})"
