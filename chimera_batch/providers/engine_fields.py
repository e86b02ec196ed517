"""``providers.NAME.engine`` of a manifest, checked and made into an ``Engine``. Floor 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, get_args

from chimera_batch.errors import InputError
from chimera_batch.providers.base import Engine, Kind

KINDS: tuple[Kind, ...] = get_args(Kind)
_FIELDS = tuple(f.name for f in fields(Engine))
_TEXT = {"python", "quantization", "folder", "address"}
_COUNTS = {"max_num_seqs", "tensor_parallel", "data_parallel", "start_s", "stall_s", "block"}
_OURS = {"host", "port", "model", "served-model-name", "api-key", "uds"}
"""Options of vLLM that would make it another server than the one we look for."""
_LLAMA = ("threads", "gpu-layers", "template")
"""All that llama.cpp's server can be told beside what the engine's own fields say."""


def engine_of(provider: str, said: Any, base: Engine | None) -> Engine:
    """The engine that a manifest describes, laid over the one that is built in, if there is one.

    Raises InputError whose ``where`` is ``providers.NAME.engine.FIELD``.
    """
    where = f"providers.{provider}.engine"
    if not isinstance(said, Mapping):
        raise InputError(f"engine of provider {provider} must be a mapping", where=where, hint="engine: {kind: vllm}")
    given = {field: _value(where, field, value) for field, value in said.items()}
    if base is None and "kind" not in given:
        raise InputError(
            f"the engine of provider {provider} has no kind", where=where, hint=f"kind: one of {', '.join(KINDS)}"
        )
    made = Engine(**given) if base is None else replace(base, **given)
    _check_flags(made, f"{where}.flags")
    return made


def _check_flags(engine: Engine, where: str) -> None:
    """Refuse here, and not on the night when the engine is started, what its kind does not take."""
    for name in sorted(name.replace("_", "-") for name, _ in engine.flags):
        if engine.kind == "llama" and name not in _LLAMA:
            said = f"an engine of kind llama has no flag {name}"
            raise InputError(said, where=where, hint=f"one of {', '.join(_LLAMA)}")
        if engine.kind in {"vllm", "ray"} and name in _OURS:
            said = f"{name} is chosen by the run, not by the engine's flags"
            raise InputError(said, where=where, hint=f"leave {name} out")


def _value(where: str, field: str, value: Any) -> Any:
    at = f"{where}.{field}"
    if field not in _FIELDS:
        near = get_close_matches(str(field), _FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_FIELDS)}; others go under flags"
        raise InputError(f"an engine has no field {field}", where=at, hint=hint)
    if wanted := _wanted(field, value):
        raise InputError(f"{field} of the engine must be {wanted}, not {value!r}", where=at)
    return tuple(sorted(value.items())) if field == "flags" else value


def _wanted(field: str, value: Any) -> str | None:
    """What the field should have been, when ``value`` is not that."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    above = whole and value > 0
    checks: tuple[tuple[bool, bool, str], ...] = (
        (field == "kind", value in KINDS, f"one of {', '.join(KINDS)}"),
        (field in _TEXT, value is None or (isinstance(value, str) and bool(value)), "text"),
        (field in _COUNTS, above, "a whole number above 0"),
        (field == "max_model_len", above or value is None, "a whole number above 0, or null"),
        (field == "restarts", whole and value >= 0, "a whole number from 0"),
        (field == "flags", isinstance(value, Mapping) and all(map(_is_flag, value.items())), "names with plain values"),
    )
    return next((wanted for applies, right, wanted in checks if applies and not right), None)


def _is_flag(item: tuple[Any, Any]) -> bool:
    """One option of the engine's own: a name as its command line spells it, without dashes, and a plain value."""
    name, value = item
    named = isinstance(name, str) and bool(name) and not name.startswith("-")
    return named and isinstance(value, str | int | float | bool)
