"""What an upstream's answer says of itself: the tokens that it took, and whether it is one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from chimera_batch.rehearsal.upstream_messages import whole


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens: all of the prompt, those of it that came from a cache, all of the output, the reasoning in it."""

    sent: int
    cached: int
    spent: int
    thought: int


def used(body: Mapping[str, Any]) -> Used:
    """The usage of an answer in any of the three dialects; 0 where nothing is told."""
    told = _part(body, "usage")
    cached = whole(_part(told, "prompt_tokens_details", "input_tokens_details").get("cached_tokens"))
    details = _part(told, "completion_tokens_details", "output_tokens_details")
    sent = whole(told.get("prompt_tokens", told.get("input_tokens")))
    if body.get("type") == "message":  # Anthropic's input tokens are those that no cache had
        cached = whole(told.get("cache_read_input_tokens"))
        sent += cached + whole(told.get("cache_creation_input_tokens"))
    spent = whole(told.get("completion_tokens", told.get("output_tokens")))
    return Used(sent, min(cached, sent), spent, min(whole(details.get("reasoning_tokens")), spent))


def usable(body: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether nobody needs to ask again: finished, not empty, and JSON where JSON was asked for."""
    text, finished = _said(body)
    if not finished or not text.strip():
        return "data" in body  # vectors have no text
    shaped = _part(asked, "response_format").get("type") == "json_schema" or _part(asked, "text").get("format")
    if not shaped and not _part(asked, "output_config").get("format"):
        return True
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _said(body: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of an answer, and whether it came to its end."""
    if body.get("type") == "message":
        text = "".join(str(block.get("text") or "") for block in body["content"])
        return text, body.get("stop_reason") in {"end_turn", "stop_sequence"}
    if "output" in body:
        items = [item for item in body["output"] if isinstance(item, dict) and item.get("type") == "message"]
        parts = [part for item in items for part in item.get("content") or () if isinstance(part, dict)]
        return "".join(str(part.get("text") or "") for part in parts), body.get("status") == "completed"
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    return str(_part(choice, "message").get("content") or ""), choice.get("finish_reason") == "stop"


def _part(value: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The first of the objects of that name; empty where there is none."""
    found = (value.get(name) for name in names)
    return next((one for one in found if isinstance(one, Mapping)), {})
