"""vLLM: from the manifest's data to the command line of ``vllm serve``.

Facts about vLLM are from the source of 0.32. The server is started as a module, since the console script asks for the
metadata of a distribution called vllm, which builds for CPUs do not have.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chimera_batch import settings
from chimera_batch.engines import interpreters
from chimera_batch.engines.base import Launch
from chimera_batch.engines.watchdog import Gauges
from chimera_batch.errors import EngineFailed
from chimera_batch.providers.base import Engine, Flag

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "3600",  # seconds. Its 5 close a connection under a request that uses it again
    "SPT_NOENV": "1",  # the workers rename themselves over their environment otherwise, and our mark is in there
    "PYTHONSAFEPATH": "1",  # a file of ours in this folder is no module of theirs
    "PYTHONUNBUFFERED": "1",  # last words reach the log
    "NO_COLOR": "1",
}
_GAUGES = Gauges(
    tokens="vllm:generation_tokens_total",
    holds=("vllm:num_requests_running", "vllm:num_requests_waiting"),
    preempted="vllm:num_preemptions_total",
)
_FORMS = ("vllm.entrypoints.launchers.api_server.entry", "vllm.entrypoints.openai.api_server")  # the newest first
_LOOK = """
import importlib.metadata as m, importlib.util as u, json, pathlib, sys
spec = u.find_spec("vllm")
root = pathlib.Path(spec.origin).parent if spec and spec.origin else None
forms = [f for f in sys.argv[1:] if root and root.joinpath(*f.split(".")[1:]).with_suffix(".py").exists()]
names = [d.name for d in m.distributions() if spec and (d.name or "").lower().partition("-cpu")[0] == "vllm"]
print(json.dumps({"forms": forms, "name": names[0] if names else "", "version": m.version(names[0]) if names else ""}))
"""
"""Asks an interpreter for its vLLM without importing it: that costs ten seconds and needs the GPU."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The vLLM of an interpreter."""

    python: str
    version: str
    form: str  # the module that serves
    cpu: bool  # a build for CPUs


def plan(engine: Engine, model: str) -> Launch:
    """How ``model`` (a name at the Hub or a folder) is served. Raises EngineFailed (not_installed)."""
    ours = found(engine)
    options = flags(engine, cpu=ours.cpu)
    folder = Path(model).expanduser()
    where = str(folder.resolve()) if folder.is_dir() else model
    argv = (ours.python, "-m", ours.form, "--model", where, "--served-model-name", model, "--host", "127.0.0.1")
    about = (("engine", "vllm"), ("version", ours.version), ("flags", shlex.join(options)))
    return Launch((*argv, *options), tuple(_ENVIRONMENT.items()), about, _GAUGES)


def found(engine: Engine) -> Installed:
    """The vLLM that an engine would be run with: of its interpreter, CHIMERA_VLLM_PYTHON or ours. Raises as plan."""
    return installed(engine.python or settings.engine_python() or sys.executable)


def flags(engine: Engine, *, cpu: bool) -> tuple[str, ...]:
    """The options of the command line that the manifest may change; its own ``flags`` win over all others."""
    chosen = {name.replace("_", "-"): value for name, value in engine.flags}
    said = {**_defaults(engine), **(_ON_CPU if cpu else {}), **chosen}
    return tuple(part for name, value in said.items() for part in _option(name, value))


_ON_CPU: Mapping[str, Flag] = {
    "enforce-eager": True,  # compiling takes minutes and a C++ compiler
    "gpu-memory-utilization": 0.3,  # on a CPU: of one NUMA node's memory, and the start fails where that is not free
    "kv-cache-memory-bytes": 1 << 28,
}


def _defaults(engine: Engine) -> dict[str, Flag]:
    said: dict[str, Flag | None] = {
        "max-model-len": engine.max_model_len,
        "max-num-seqs": engine.max_num_seqs,
        "tensor-parallel-size": engine.tensor_parallel if engine.tensor_parallel > 1 else None,
        "data-parallel-size": engine.data_parallel if engine.data_parallel > 1 else None,
        "quantization": engine.quantization,
        "enable-prefix-caching": True,
        # Without these a grammar lets a model fill its whole budget with blanks.
        "structured-outputs-config": json.dumps({"backend": "xgrammar", "disable_any_whitespace": True}),
        "uvicorn-log-level": "warning",  # not a line in the log for each request
    }
    return {name: value for name, value in said.items() if value is not None}


def _option(name: str, value: Flag) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (f"--{name}",) if value else (f"--no-{name}",)
    return (f"--{name}", str(value))


@cache
def installed(python: str) -> Installed:
    """The vLLM that an interpreter has. Raises EngineFailed (not_installed) with the line to type."""
    path = str(Path(python).expanduser())
    hint = "pip install vllm (in an environment of its own), then engine: {python: …/bin/python} or CHIMERA_VLLM_PYTHON"
    try:
        told = json.loads(interpreters.ask(path, _LOOK, *_FORMS))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EngineFailed(
            f"{path} cannot be asked for its vLLM: {_short(error)}", why="not_installed", hint=hint
        ) from error
    if not told["forms"]:
        raise EngineFailed(f"{path} has no vLLM installed", why="not_installed", hint=hint)
    version = told["version"] or "unknown"
    return Installed(path, version, told["forms"][0], cpu="cpu" in f"{told['name']} {version}".lower())


def _short(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else b""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else str(error)
