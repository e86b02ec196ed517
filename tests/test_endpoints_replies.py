"""Successful bodies into replies: what counts as an answer, what does not, and how tokens are counted."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.endpoints import ENDPOINTS, reader_of
from chimera_batch.endpoints.usage import count, of_anthropic, of_chat, of_responses
from chimera_batch.records import OUTCOMES, Reply, Usage
from tests.test_endpoints_bodies import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from tests.test_endpoints_problems import JSON


def chat(finish: Any = "stop", **message: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": "four", "refusal": None, **message}
    return {
        "object": "chat.completion",
        "model": "gpt-6-luna-2026-01-01",
        "choices": [{"index": 0, "message": whole, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    }


def read(endpoint: str, body: dict[str, Any]) -> Reply:
    return ENDPOINTS[endpoint].reply("r1", body)


CHATS: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    (chat(), "ok", "four", None),
    (chat(None), "ok", "four", None),
    (chat("eos"), "ok", "four", None),
    (chat(content=[{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]), "ok", "four", None),
    (chat(content={"n": 4, "ä": [1.5, None]}), "ok", '{"n":4,"ä":[1.5,null]}', None),
    (chat(content={}), "invalid", None, "no_text"),
    (chat("length", content=""), "truncated", "", None),
    (chat("length"), "truncated", "four", None),
    (chat("content_filter"), "refused", "four", None),
    (chat(content=None, refusal="I cannot."), "refused", None, None),
    (chat("tool_calls", content=None), "invalid", None, "unfinished"),
    (chat("function_call"), "invalid", "four", "unfinished"),
    (chat("abort"), "invalid", "four", "unfinished"),
    (chat(content=""), "invalid", "", "no_text"),
    (chat(content=None), "invalid", None, "no_text"),
    ({"choices": []}, "invalid", None, "no_choice"),
    ({"choices": None}, "invalid", None, "no_choice"),
    ({}, "invalid", None, "no_choice"),
]


@pytest.mark.parametrize(("body", "outcome", "text", "code"), CHATS)
def test_chat(body: dict[str, Any], outcome: str, text: str | None, code: str | None) -> None:
    reply = read(CHAT, body)
    assert (reply.custom_id, reply.outcome, reply.text, reply.code) == ("r1", outcome, text, code)
    assert (reply.message is not None) == (code is not None or reply.message == "I cannot.")


def test_an_object_nested_too_deep_is_no_text() -> None:
    """orjson reads a thousand levels and writes a quarter of that."""
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"x": deep}
    reply = read(CHAT, chat(content=deep))
    assert (reply.outcome, reply.text, reply.code) == ("invalid", None, "no_text")


def test_chat_keeps_what_a_person_will_ask_for() -> None:
    reply = read(CHAT, chat())
    assert (reply.finish, reply.model) == ("stop", "gpt-6-luna-2026-01-01")
    assert reply.usage == Usage(input_tokens=10, output_tokens=3)
    assert read(CHAT, chat(content=None, refusal="I cannot.")).message == "I cannot."


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_chat_reasoning_under_either_name(field: str) -> None:
    assert read(CHAT, chat(**{field: "2 and 2"})).reasoning == "2 and 2"


def message(*parts: tuple[str, str], status: str | None = "completed", **over: Any) -> dict[str, Any]:
    content = [{"type": kind, ("refusal" if kind == "refusal" else "text"): text} for kind, text in parts]
    item = {"type": "message", "role": "assistant", "status": status, "content": content, **over}
    return {key: value for key, value in item.items() if value is not None}


def response(*items: dict[str, Any], **over: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 3}
    whole = {"object": "response", "status": "completed", "error": None, "incomplete_details": None, "model": "m"}
    return {**whole, "output": list(items), "usage": usage, **over}


FOUR = ("output_text", "four")
CUT = message(("output_text", '{"answer": "fo'), status="incomplete")
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "2 and 2"}]}

RESPONSES_CASES: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    (response(message(FOUR)), "ok", "four", None),
    (response(message(FOUR, status=None)), "ok", "four", None),
    (response(THOUGHT, message(("output_text", "fo"), ("output_text", "ur"))), "ok", "four", None),
    (response(CUT, message(FOUR)), "ok", "four", None),
    (response(message(FOUR), CUT), "ok", "four", None),
    (response(message(("output_text", "draft")), message(FOUR)), "ok", "four", None),
    (response(message(FOUR), message(("output_text", "hm"), phase="commentary")), "ok", "four", None),
    (response(message(("refusal", "No."))), "refused", None, None),
    (
        response(message(FOUR), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "truncated",
        "four",
        None,
    ),
    (
        response(THOUGHT, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "truncated",
        None,
        None,
    ),
    (
        response(CUT, status="incomplete", incomplete_details={"reason": "content_filter"}),
        "refused",
        '{"answer": "fo',
        None,
    ),
    (response(status="failed", error={"code": "server_error", "message": "oh"}), "error", None, "server_error"),
    (response(status="in_progress"), "error", None, "in_progress"),
    (response(status="cancelled"), "cancelled", None, None),
    (response({"type": "function_call", "name": "f"}), "invalid", None, "unfinished"),
    (response(), "invalid", None, "no_text"),
    (response(THOUGHT), "invalid", None, "no_text"),
    (response(output=None), "invalid", None, "no_text"),
]


@pytest.mark.parametrize(("body", "outcome", "text", "code"), RESPONSES_CASES)
def test_responses(body: dict[str, Any], outcome: str, text: str | None, code: str | None) -> None:
    reply = read(RESPONSES, body)
    assert (reply.outcome, reply.text, reply.code) == (outcome, text, code)


def test_responses_details() -> None:
    cut = response(THOUGHT, CUT, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    reply = read(RESPONSES, cut)
    assert (reply.finish, reply.reasoning) == ("max_output_tokens", "2 and 2")
    failed = read(RESPONSES, response(status="failed", error={"code": "server_error", "message": "oh"}))
    assert failed.transient and failed.message == "oh"
    refused = read(RESPONSES, response(status="failed", error={"code": "invalid_prompt", "message": "no"}))
    assert not refused.transient
    assert read(RESPONSES, response(message(("refusal", "No.")))).message == "No."


def claude(stop: Any, *blocks: dict[str, Any], **over: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 3}
    return {"type": "message", "model": "claude", "content": list(blocks), "stop_reason": stop, "usage": usage, **over}


TEXT = {"type": "text", "text": "four"}
THINKING = {"type": "thinking", "thinking": "2 and 2", "signature": "x"}

MESSAGES_CASES: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    (claude("end_turn", TEXT), "ok", "four", None),
    (claude("stop_sequence", TEXT), "ok", "four", None),
    (claude("end_turn", THINKING, TEXT), "ok", "four", None),
    (claude("end_turn", {"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}), "ok", "four", None),
    (claude("max_tokens", THINKING), "truncated", None, None),
    (claude("model_context_window_exceeded", TEXT), "truncated", "four", None),
    (claude("refusal"), "refused", None, None),
    (claude("tool_use", TEXT), "invalid", "four", "unfinished"),
    (claude("pause_turn", TEXT), "invalid", "four", "unfinished"),
    (claude("a word of tomorrow", TEXT), "invalid", "four", "unfinished"),
    (claude(["odd"], TEXT), "invalid", "four", "unfinished"),
    (claude("end_turn"), "invalid", None, "no_text"),
    (claude("end_turn", THINKING), "invalid", None, "no_text"),
    (claude("end_turn", content="four"), "invalid", None, "no_text"),
]


@pytest.mark.parametrize(("body", "outcome", "text", "code"), MESSAGES_CASES)
def test_messages(body: dict[str, Any], outcome: str, text: str | None, code: str | None) -> None:
    reply = read(MESSAGES, body)
    assert (reply.outcome, reply.text, reply.code) == (outcome, text, code)


def test_messages_keeps_thinking_apart_and_says_why_it_refused() -> None:
    assert read(MESSAGES, claude("end_turn", THINKING, TEXT)).reasoning == "2 and 2"
    why = claude("refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "too close"})
    assert read(MESSAGES, why).message == "too close"


def test_embeddings() -> None:
    body = {"object": "list", "model": "e", "data": [{"embedding": [0.5, -1, 2]}], "usage": {"prompt_tokens": 4}}
    reply = read(EMBEDDINGS, body)
    assert (reply.outcome, reply.embedding, reply.usage) == ("ok", (0.5, -1.0, 2.0), Usage(input_tokens=4))
    packed = base64.b64encode(struct.pack("<3f", 0.5, -1, 2)).decode()
    assert read(EMBEDDINGS, {"data": [{"embedding": packed}]}).embedding == (0.5, -1.0, 2.0)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{}],
        [None],
        [{"embedding": []}],
        [{"embedding": ["x"]}],
        [{"embedding": "?"}],
        [{"embedding": "AAA="}],
    ],
)
def test_embeddings_without_a_vector(data: Any) -> None:
    reply = read(EMBEDDINGS, {"data": data})
    assert (reply.outcome, reply.code, reply.embedding) == ("invalid", "no_embedding", None)


USAGES: list[tuple[Any, Any, Usage | None]] = [
    (of_chat, None, None),
    (of_chat, "many", None),
    (of_chat, {"prompt_tokens": 7, "completion_tokens": 2}, Usage(7, output_tokens=2)),
    (
        of_chat,
        {
            "prompt_tokens": "100",  # a string, as some hosts write it
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        Usage(100, 64, 20, 0, 50, 40),
    ),
    (of_chat, {"prompt_tokens": 7, "prompt_tokens_details": None, "completion_tokens_details": None}, Usage(7)),
    (
        of_responses,
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "input_tokens_details": {
                "cached_tokens": 8,
                "cache_write_tokens": 30,
                "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
            },
            "output_tokens_details": {"reasoning_tokens": 40},
        },
        Usage(100, 8, 10, 20, 50, 40),
    ),
    # Anthropic's input excludes the cache: 5 + 1000 read + 300 written
    (
        of_anthropic,
        {
            "input_tokens": 5,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 40},
        },
        Usage(1305, 1000, 100, 200, 50, 40),
    ),
    (of_anthropic, {"input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 1}, Usage(8, 0, 3, 0, 1)),
    (of_anthropic, {"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": 1}, Usage(5, output_tokens=1)),
    (of_anthropic, [], None),
]


@pytest.mark.parametrize(("of", "given", "expected"), USAGES)
def test_usage_in_one_convention(of: Any, given: Any, expected: Usage | None) -> None:
    assert of(given) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        ("12", 12),
        (" 12 ", 12),
        (2.0, 2),
        (True, 0),
        (-4, 0),
        ("-4", 0),
        ("²", 0),
        (None, 0),
        ([], 0),
        (1e30, 0),
        (10**12 - 1, 10**12 - 1),
        (10**12, 0),  # its price would fit no column, and the whole batch would not land
        (1e12, 0),
        ("9" * 13, 0),
        ("9" * 5000, 0),
    ],
)
def test_counts(value: Any, expected: int) -> None:
    assert count(value) == expected
    assert count(float("nan")) == 0


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (chat(), CHAT),
        (response(), RESPONSES),
        (claude("end_turn"), MESSAGES),
        ({"object": "list", "data": []}, EMBEDDINGS),
        ({"choices": []}, CHAT),
        ({"object": "something.else", "output": []}, RESPONSES),
        ({"data": []}, EMBEDDINGS),
    ],
)
def test_a_body_tells_which_endpoint_wrote_it(body: dict[str, Any], path: str) -> None:
    found = reader_of(body)
    assert found is not None and found.path == path


def test_a_body_of_no_endpoint() -> None:
    assert reader_of({"hello": 1}) is None


KEYS = st.sampled_from(
    ["choices", "message", "content", "output", "status", "data", "usage", "stop_reason", "error", "model"]
)


@given(st.sampled_from(sorted(ENDPOINTS)), st.dictionaries(KEYS, JSON, max_size=5))
def test_no_body_is_odd_enough_to_raise(endpoint: str, body: dict[str, Any]) -> None:
    reply = read(endpoint, body)
    assert reply.custom_id == "r1" and reply.outcome in OUTCOMES
    assert reply.outcome != "ok" or reply.text or reply.embedding
