"""JSON inside a script element, which nothing in it can end, open or break. Pure."""

from __future__ import annotations

from typing import Any

import orjson

_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""Outside of its strings JSON has none of them, so escaping them everywhere changes no value."""


def embedded(value: Any) -> str:
    """One line of JSON without ``<``, ``>``, ``&`` or a line separator, so neither ``</script`` nor ``<!--``."""
    return orjson.dumps(value).decode().translate(_ESCAPES)
