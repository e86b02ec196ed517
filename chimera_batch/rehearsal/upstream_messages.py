"""Anthropic's messages as chat completions, and back: what an OpenAI-compatible upstream can be asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.rehearsal.asks import Refused

_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
_AS_THEY_ARE = ("model", "temperature", "top_p", "top_k", "max_tokens")


def chat_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The body of ``/v1/chat/completions`` that asks the same. Raises Refused for what has no counterpart.

    How much the model may think, cache marks and metadata have none that every server knows; they are left out.
    """
    for name in ("tools", "mcp_servers", "container"):
        if params.get(name):
            raise Refused(400, f"{name}: cannot be passed on to an OpenAI-compatible upstream")
    body = {name: params[name] for name in _AS_THEY_ARE if name in params}
    turns = [{"role": "system", "content": _text(params["system"])}] if params.get("system") else []
    given = params.get("messages")
    if not isinstance(given, list) or not given:
        raise Refused(400, "messages: Field required")
    for turn in given:
        if not isinstance(turn, dict):
            raise Refused(400, "messages: Input should be an object")
        turns.append({"role": str(turn.get("role", "user")), "content": _text(turn.get("content"))})
    body["messages"] = turns
    if stops := params.get("stop_sequences"):
        body["stop"] = stops
    config = params.get("output_config")
    shape = (config.get("format") if isinstance(config, dict) else None) or params.get("output_format")
    if isinstance(shape, dict) and isinstance(shape.get("schema"), dict):
        named = {"name": "answer", "schema": shape["schema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def message_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The ``message`` that says what a chat completion says."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    said: dict[str, Any] = message if isinstance(message, dict) else {}
    thought = said.get("reasoning") or said.get("reasoning_content")
    content: list[dict[str, Any]] = []
    if thought:
        content.append({"type": "thinking", "thinking": str(thought), "signature": "upstream"})
    if said.get("content"):
        content.append({"type": "text", "text": str(said["content"])})
    told = body.get("usage")
    used: dict[str, Any] = told if isinstance(told, dict) else {}
    details = used.get("prompt_tokens_details")
    cached = whole(details.get("cached_tokens")) if isinstance(details, dict) else 0
    usage = {
        "input_tokens": max(0, whole(used.get("prompt_tokens")) - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": whole(used.get("completion_tokens")),
    }
    return {
        "id": f"msg_{body.get('id', 'upstream')}",
        "type": "message",
        "role": "assistant",
        "model": str(body.get("model", "")),
        "content": content,
        "stop_reason": _STOPS.get(str(choice.get("finish_reason")), "end_turn"),
        "stop_sequence": None,
        "usage": usage,
    }


def whole(value: object) -> int:
    """A number of tokens; 0 where none is told."""
    return value if type(value) is int and value >= 0 else 0


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise Refused(400, "content: Input should be a string or an array")
    for block in content:
        if not isinstance(block, dict) or block.get("type", "text") != "text":
            raise Refused(400, "content: only text can be passed on to an OpenAI-compatible upstream")
    return "\n\n".join(str(block.get("text") or "") for block in content)
