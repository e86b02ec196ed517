"""Small steps that the request builders share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chimera_batch.records import Call


def openai_line(path: str, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": path, "body": dict(body)}


def schema_of(call: Call) -> dict[str, Any] | None:
    """The call's response schema as an object, in the order in which it was written."""
    if call.schema is None:
        return None
    loaded: dict[str, Any] = json.loads(call.schema)
    return loaded


def sampling(call: Call) -> dict[str, float | int]:
    """The sampling parameters that the manifest set, in a fixed order."""
    given = (("temperature", call.temperature), ("top_p", call.top_p), ("top_k", call.top_k))
    return {name: value for name, value in given if value is not None}


def with_extra(body: dict[str, Any], call: Call) -> dict[str, Any]:
    """The manifest's further body fields laid over ``body``; objects are merged, anything else is replaced."""
    return _merged(body, json.loads(call.extra))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(below, value) if both else value  # type: ignore[arg-type]  # both are Mappings here
    return result


def with_tier(line: Mapping[str, Any], tier: str) -> dict[str, Any]:
    """A copy of an OpenAI-style wire object that asks for a service tier."""
    return with_field(line, "body", "service_tier", tier)


def with_field(line: Mapping[str, Any], part: str, name: str, value: object) -> dict[str, Any]:
    """A copy of a wire object with one field of its body (or params) set, in place if it is there."""
    return {**line, part: {**line[part], name: value}}


def whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
