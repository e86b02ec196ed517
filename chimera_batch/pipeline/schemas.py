"""Response schemas: read, checked, and brought into the one text that is sent and that shapes request ids. Floor 1."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chimera_batch.errors import InputError

_LONGEST_NAME = 64


def canonical(value: Any, *, sort_keys: bool = False) -> str:
    """Compact JSON text. Keys keep their order unless ``sort_keys``.

    In a schema the order of keys is the order in which a model writes them, so it shapes the answer.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys, allow_nan=False)


def schema_name(name: str) -> str:
    """The name that providers see: ``chimera/topics.json`` is ``chimera_topics``. Raises InputError if too long."""
    word = re.sub(r"[^a-zA-Z0-9_-]", "_", name.rpartition(".")[0] or name)
    if len(word) > _LONGEST_NAME:
        raise InputError(f"the schema's name {word} is longer than {_LONGEST_NAME} characters")
    return word


def read_schema(text: str, path: Path) -> str:
    """A schema file's canonical text. Raises InputError naming the file, and the line if the JSON breaks."""
    try:
        schema = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    except ValueError as error:
        raise InputError(str(error), where=f"{path}:1") from None
    except RecursionError:
        raise InputError("not a usable JSON Schema: nested too deeply", where=f"{path}:1") from None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InputError('a response schema has "type": "object" at its top', where=f"{path}:1")
    try:
        validator(canonical(schema))
    except InputError as error:
        raise InputError(error.message, where=f"{path}:1") from None
    return canonical(schema)


def validator(text: str) -> Callable[[Any], Any]:
    """A function that raises fastjsonschema.JsonSchemaValueException for an answer that does not fit.

    Answers come back untouched: defaults are not filled in. Raises InputError for a schema that cannot be used.
    """
    import fastjsonschema  # noqa: PLC0415 - only where schemas are used

    handlers = dict.fromkeys(("http", "https", "ftp", "file", ""), _no_download)
    try:
        compiled: Callable[[Any], Any] = fastjsonschema.compile(json.loads(text), handlers=handlers, use_default=False)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - besides its own error it lets re.error, KeyError and others through
        raise InputError(f"not a usable JSON Schema: {error or type(error).__name__}") from None
    return compiled


def _no_download(uri: str) -> Any:
    raise InputError(f"the schema refers to {uri}; only references inside the file are followed")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f'"{twice}" is written twice in one object')
    return out


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
