"""Bodies and result lines in the OpenAI dialect, key for key as recorded. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Sequence
from typing import Any

from chimera_batch.rehearsal.asks import Heard, Refused
from chimera_batch.rehearsal.talk import Said
from chimera_batch.rehearsal.terms import Terms, Touched

_WORD = re.compile(r"\w+")


def chat(ident: str, heard: Heard, said: Said, now: int, *, terms: Terms, open_host: bool) -> dict[str, Any]:
    """A ``chat.completion``. ``open_host``: not OpenAI itself, so that reasoning text is returned beside the answer."""
    message: dict[str, Any] = {"role": "assistant"}
    if open_host and said.reasoning is not None:
        message["reasoning_content"] = said.reasoning
    message |= {"content": None, "refusal": said.text} if said.refused else {"content": said.text, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "length" if cut(heard, said) else "stop",
    }
    spent, thought = spent_of(heard, said)
    prompt = {"cached_tokens": terms.touched.read, "audio_tokens": 0}
    if terms.touched.written:  # recordings are older than the field; hosts that charge for writes show it
        prompt |= _written(terms.touched)
    usage = {
        "prompt_tokens": heard.input_tokens,
        "completion_tokens": spent,
        "total_tokens": heard.input_tokens + spent,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {
        "id": f"chatcmpl-{ident[:29]}",
        "object": "chat.completion",
        "created": now,
        "model": heard.model,
        "choices": [choice],
        "usage": usage,
        "service_tier": terms.tier,
        "system_fingerprint": None,
    }


def responses(ident: str, heard: Heard, said: Said, now: int, *, terms: Terms) -> dict[str, Any]:
    """A ``response``; one that met its ceiling is ``incomplete``."""
    short = cut(heard, said)
    status = "incomplete" if short else "completed"
    output: list[dict[str, Any]] = []
    if said.reasoning is not None:
        summary = [{"type": "summary_text", "text": said.reasoning}]
        output.append({"id": f"rs_{ident}", "type": "reasoning", "summary": summary})
    if said.text or not short:
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}
        if said.refused:
            part = {"type": "refusal", "refusal": said.text}
        item = {"id": f"msg_{ident}", "type": "message", "status": status, "content": [part], "role": "assistant"}
        output.append(item)
    spent, thought = spent_of(heard, said)
    usage = totals(heard.input_tokens, terms.touched.read, spent, thought)
    usage["input_tokens_details"] |= _written(terms.touched)  # a response has it, a batch's usage has not
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": now,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "instructions": None,
        "max_output_tokens": heard.ceiling,
        "model": heard.model,
        "output": output,
        "parallel_tool_calls": True,
        "service_tier": terms.tier,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        "metadata": {},
    }


def _written(touched: Touched) -> dict[str, Any]:
    split = {"ttl_30m_tokens": touched.write, "ttl_12h_tokens": touched.write_long}
    told: dict[str, Any] = {"cache_write_tokens": touched.written}
    return told | {"cache_write_tokens_details": split} if touched.written else told


def embeddings(heard: Heard) -> dict[str, Any]:
    vectors = [vector(text, heard.options["dimensions"]) for text in heard.inputs]
    packed = heard.options["encoding_format"] == "base64"
    data = [
        {"object": "embedding", "index": place, "embedding": _base64(values) if packed else values}
        for place, values in enumerate(vectors)
    ]
    usage = {"prompt_tokens": heard.input_tokens, "total_tokens": heard.input_tokens}
    return {"object": "list", "data": data, "model": heard.model, "usage": usage}


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector of hashed words: texts that share words lie close together."""
    values = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        # Four places per word, so that two different words rarely look alike even in few dimensions.
        for turn in range(4):
            bits = digest >> (16 * turn) & 0xFFFF
            values[(bits >> 1) % dimensions] += 1.0 if bits & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if length == 0.0:
        return [1.0] + [0.0] * (dimensions - 1)
    return [value / length for value in values]


def cut(heard: Heard, said: Said) -> bool:
    return said.output_tokens > heard.ceiling


def spent_of(heard: Heard, said: Said) -> tuple[int, int]:
    """Output tokens and the reasoning among them, under the ceiling."""
    return min(said.output_tokens, heard.ceiling), min(said.reasoning_tokens, heard.ceiling)


def totals(sent: int, cached: int, spent: int, thought: int) -> dict[str, Any]:
    """Usage in the form that Responses and batch objects share."""
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": spent,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": sent + spent,
    }


def row(ident: str, custom_id: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": status, "request_id": ident, "body": body}
    return {"id": f"batch_req_{ident}", "custom_id": custom_id, "response": response, "error": None}


def refusal(refused: Refused) -> dict[str, Any]:
    """An error body, of a row or of an HTTP reply."""
    quota = "insufficient_quota"
    kinds = {401: "invalid_request_error", 429: quota if refused.code == quota else "rate_limit_error"}
    kind = "server_error" if refused.status >= 500 else kinds.get(refused.status, "invalid_request_error")
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


def unfinished(ident: str, custom_id: str, code: str, message: str) -> dict[str, Any]:
    """A row that was never executed: ``batch_expired``, ``batch_cancelled``, ``request_timeout``."""
    error = {"code": code, "message": message}
    return {"id": f"batch_req_{ident}", "custom_id": custom_id, "response": None, "error": error}


def dump(value: dict[str, Any], *, raw: bool = False) -> bytes:
    """One line of a result file, without its newline. OpenAI escapes what is not ASCII; ``raw``: a fault does not."""
    return json.dumps(value, ensure_ascii=not raw).encode()


def _base64(values: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
