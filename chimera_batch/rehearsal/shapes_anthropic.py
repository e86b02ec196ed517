"""Bodies and result lines in the Anthropic dialect, key for key as recorded. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from chimera_batch.rehearsal.asks import Heard, Refused
from chimera_batch.rehearsal.shapes_openai import cut, spent_of
from chimera_batch.rehearsal.talk import Said
from chimera_batch.rehearsal.terms import Terms

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def message(ident: str, heard: Heard, said: Said, *, terms: Terms) -> dict[str, Any]:
    """A ``message``; thinking comes before the text."""
    content: list[dict[str, Any]] = []
    if said.reasoning is not None and heard.think:
        shown = "" if heard.options.get("display") == "omitted" else said.reasoning
        content.append({"type": "thinking", "thinking": shown, "signature": ident})
    if said.text and not said.refused:
        content.append({"type": "text", "text": said.text})
    stop = "refusal" if said.refused else "max_tokens" if cut(heard, said) else "end_turn"
    spent, thought = spent_of(heard, said)
    touched = terms.touched
    usage = {
        "input_tokens": touched.fresh(heard.input_tokens),
        "cache_creation_input_tokens": touched.written,
        "cache_read_input_tokens": touched.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": touched.write,
            "ephemeral_1h_input_tokens": touched.write_long,
        },
        "output_tokens": spent,
        "output_tokens_details": {"thinking_tokens": thought if heard.think else 0},
        "service_tier": terms.tier,
    }
    return {
        "id": f"msg_01{ident[:22]}",
        "type": "message",
        "role": "assistant",
        "model": heard.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def succeeded(custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": body}}


def errored(custom_id: str, refused: Refused) -> dict[str, Any]:
    error = {"details": None, "type": kind_of(refused), "message": refused.message}
    outer = {"type": "error", "error": error, "request_id": None}
    return {"custom_id": custom_id, "result": {"type": "errored", "error": outer}}


def unfinished(custom_id: str, how: str) -> dict[str, Any]:
    """A row that was never executed: ``expired`` or ``canceled``."""
    return {"custom_id": custom_id, "result": {"type": how}}


def refusal(refused: Refused, ident: str) -> dict[str, Any]:
    """The body of an HTTP error."""
    error = {"type": kind_of(refused), "message": refused.message}
    return {"type": "error", "error": error, "request_id": f"req_01{ident[:22]}"}


def kind_of(refused: Refused) -> str:
    return _KINDS.get(refused.status, "api_error" if refused.status >= 500 else "invalid_request_error")


def dump(value: dict[str, Any]) -> bytes:
    """One line of a results file: raw UTF-8, no newline."""
    return orjson.dumps(value)
