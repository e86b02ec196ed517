"""What a simulated model answers: a function of the request alone, so that every night that ends well ends alike."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import orjson

BATCH = (Decimal(1), Decimal(4))  # USD per million tokens: input, output
SINGLE = (Decimal(2), Decimal(8))
PRICE = "2,8,1,4"  # the same, as `--price` has it
REFUSED_FOR_GOOD = 0.02  # share of requests that this model never answers


def dice(*what: object) -> float:
    """A number in [0, 1) that is the same for the same words."""
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=6).digest(), "big") / (1 << 48)


def identity(custom_id: str) -> str:
    """The request behind a custom id: without the nonce of its attempt."""
    return custom_id[9:]


def hopeless(request: str) -> bool:
    return dice("hopeless", request) < REFUSED_FOR_GOOD


def text_of(request: str) -> str:
    return orjson.dumps({"n": int(dice("answer", request) * 1000)}).decode()


def tokens_of(request: str) -> tuple[int, int]:
    """(input, output) of an ordinary answer."""
    return 5 + int(dice("input", request) * 5), 3 + int(dice("output", request) * 20)


def cost(tokens: tuple[int, int], *, single: bool) -> Decimal:
    rates = SINGLE if single else BATCH
    return (rates[0] * tokens[0] + rates[1] * tokens[1]) / 1_000_000


def ceiling_of(body: dict[str, Any]) -> int:
    """The most output tokens that a request's body allows."""
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)


def line_of(dialect: str, custom_id: str, said: str, tokens: tuple[int, int] | None, *, cut: bool = False) -> bytes:
    """A result line of an answer. ``tokens`` None: the host leaves the usage out."""
    if dialect == "anthropic":
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1]} if tokens else None
        content = [{"type": "text", "text": said}] if said else []
        stop = "max_tokens" if cut else "end_turn"
        message = {"type": "message", "model": "tiny-1", "content": content, "stop_reason": stop, "usage": usage}
        return orjson.dumps({"custom_id": custom_id, "result": {"type": "succeeded", "message": message}})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said},
        "finish_reason": "length" if cut else "stop",
    }
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]} if tokens else None
    body = {"object": "chat.completion", "model": "tiny-1", "choices": [choice], "usage": usage}
    return orjson.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None})


_ANTHROPIC_CODES = {429: "rate_limit_error", 400: "invalid_request_error"}


def error_of(dialect: str, custom_id: str, status: int, code: str, message: str) -> bytes:
    """A result line of a request that was not executed."""
    if dialect == "anthropic":
        kind = code if code in {"billing_error", "expired", "canceled"} else _ANTHROPIC_CODES.get(status, "api_error")
        error = {"type": "error", "error": {"type": kind, "message": message}}
        return orjson.dumps({"custom_id": custom_id, "result": {"type": "errored", "error": error}})
    body = {"error": {"code": code, "message": message}}
    return orjson.dumps({"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None})


def ended_of(dialect: str, custom_id: str, word: str) -> bytes:
    """A result line of a request whose batch ended first. ``word``: expired or cancelled."""
    if dialect == "anthropic":
        kind = "canceled" if word == "cancelled" else word
        return orjson.dumps({"custom_id": custom_id, "result": {"type": kind}})
    error = {"code": f"batch_{word}", "message": f"This request was {word}."}
    return orjson.dumps({"custom_id": custom_id, "response": None, "error": error})
