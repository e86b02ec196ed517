"""Text out of the several shapes in which hosts send it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_WHY = {
    "no_choice": "the answer holds no choice",
    "no_text": "the answer finished without any text",
    "no_embedding": "the answer holds no embedding",
}


def text_of(content: object) -> str | None:
    """A string as it is; a list of parts joined; an object as its JSON text, for some hosts read an answer before they
    send it on; None when there is no text in it at all."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, dict):
        return _json(content) if content else None
    if not isinstance(content, list):
        return None
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    strings = [text for text in texts if isinstance(text, str)]
    return "".join(strings) if strings else None


def _json(content: dict[str, Any]) -> str | None:
    try:
        return orjson.dumps(content).decode()
    except TypeError:  # read, but nested too deep to be written
        return None


def text_in(body: Mapping[str, Any], key: str) -> str | None:
    """A field that should be text; None where it is absent or something else."""
    value = body.get(key)
    return value if isinstance(value, str) else None


def word(value: object) -> str | None:
    """A status or stop reason as a word; whatever else a host put there as its text, so that it can be compared."""
    return value if isinstance(value, str) or value is None else str(value)


def unusable(code: str | None, finish: object) -> str | None:
    """The sentence for a code of an answer that was paid for and cannot be used."""
    if code is None:
        return None
    if code == "unfinished":
        return f"the answer ended with {finish}, which is not a finished answer"
    return _WHY.get(code)
