"""Engines of our own machines: started, watched, found again after a crash, stopped. Floor 2.

A room of processes: it knows nothing of stages, money or stores. A further kind is a ``Plan`` and a line in ``serve``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chimera_batch.engines.base import Plan, Server
from chimera_batch.errors import InputError
from chimera_batch.providers.base import Engine

__all__ = ["Server", "describe", "serve"]


def serve(engine: Engine, name: str, state: Path, say: Callable[[str], None]) -> Server:
    """The managed engine of a provider. Nothing is started before its address is asked for.

    ``state`` is this machine's folder for what must not be lost (settings.state_dir()); each provider's engine has a
    folder of its own under it. Raises InputError for a kind that is not ours to start.
    """
    from chimera_batch.engines.server import Managed  # noqa: PLC0415 - a run without engines needs none of it

    return Managed(_plan(engine.kind), engine, name, state / "engines" / name, say)


def describe(engine: Engine) -> str:
    """What is there of an engine, for ``doctor``. Nothing is started. Raises EngineFailed (not_installed)."""
    if engine.kind == "llama":
        from chimera_batch.engines import llama  # noqa: PLC0415 - by kind

        return llama.described(engine)
    if engine.kind != "vllm":
        return f"kind {engine.kind}"
    from chimera_batch.engines import devices, vllm  # noqa: PLC0415 - by kind

    found = vllm.found(engine)
    build = "a build for CPUs" if found.cpu else ", ".join(devices.gpus()) or "no GPU is to be seen"
    return f"vLLM {found.version}, {build}; {found.python}"


def _plan(kind: str) -> Plan:
    if kind == "vllm":
        from chimera_batch.engines import vllm  # noqa: PLC0415 - by kind

        return vllm.plan
    if kind == "llama":
        from chimera_batch.engines import llama  # noqa: PLC0415 - by kind

        return llama.plan
    raise InputError(f"an engine of kind {kind} is not started by a run", where="engine.kind")
