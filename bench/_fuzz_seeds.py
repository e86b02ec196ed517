"""What the fuzzer starts from: honest result lines of every dialect, and the pieces that formats are made of."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from chimera_batch.providers import anthropic_shapes, bedrock_shapes, openai_shapes
from chimera_batch.records import Reply


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "fuzz_words.toml").read_text("utf-8"))


def words(target: str) -> list[bytes]:
    """Pieces of the format that a target reads."""
    said = _data()[target]
    return [word.encode() for word in (*said["words"].split(), *said["phrases"])]


def honest(target: str) -> list[bytes]:
    """Inputs that nothing ships."""
    return [text.encode() for text in _data()[target]["honest"]]


NONCE = "0123abcd"
IDS = [f"{number:032x}" for number in range(4)]
SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'


def custom_id(number: int) -> str:
    return f"{NONCE}-{IDS[number]}"


def _openai(number: int, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    return {
        "id": f"batch_req_{number}",
        "custom_id": custom_id(number),
        "response": {"status_code": status, "request_id": "r", "body": body},
        "error": None,
    }


_CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "tiny-1-2026",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": '{"n":4}', "refusal": None}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "service_tier": "default",
}
_RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "tiny-1-2026",
    "incomplete_details": None,
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "four"}]},
    ],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
    },
}
_EMBEDDING = {
    "object": "list",
    "model": "e",
    "data": [{"index": 0, "embedding": [0.5, 1]}],
    "usage": {"prompt_tokens": 3},
}
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-1",
    "stop_reason": "end_turn",
    "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "four"}],
    "usage": {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 1,
        "cache_creation_input_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
    },
}
_ERROR = {"error": {"message": "no", "type": "invalid_request_error", "code": "bad", "param": None}}


def _anthropic(number: int, result: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id(number), "result": result}


def _bedrock(number: int, **said: Any) -> dict[str, Any]:
    return {"recordId": f"{NONCE}{IDS[number]}", "modelInput": {"max_tokens": 5}, **said}


LINES: dict[str, tuple[Callable[[bytes], Reply], list[dict[str, Any]]]] = {
    "openai": (
        openai_shapes.decode,
        [
            _openai(0, _CHAT),
            _openai(1, _RESPONSES),
            _openai(2, _EMBEDDING),
            _openai(3, _ERROR, 429),
            {"custom_id": custom_id(3), "response": None, "error": {"code": "batch_expired", "message": "late"}},
            {**_openai(1, _CHAT), "engine": {"seconds": "1.5"}},
        ],
    ),
    "anthropic": (
        anthropic_shapes.decode,
        [
            _anthropic(0, {"type": "succeeded", "message": _MESSAGE}),
            _anthropic(1, {"type": "errored", "error": {"type": "error", **_ERROR}}),
            _anthropic(2, {"type": "expired"}),
            _anthropic(3, {"type": "canceled"}),
        ],
    ),
    "bedrock": (
        bedrock_shapes.decode,
        [
            _bedrock(0, modelOutput=_MESSAGE),
            _bedrock(1, error={"errorCode": 400, "errorMessage": "no", "expired": False, "retryable": False}),
            _bedrock(2, error={"errorCode": 429, "errorMessage": "slow"}),
        ],
    ),
}
