"""Request bodies: their fields, their order, their ceilings, and that the public schemas accept them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.records import Call, Message
from tests.conftest import SHARED

CHAT, RESPONSES, EMBEDDINGS, MESSAGES = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
)
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "parts": {"type": "array", "items": {"type": "string"}}},
    "required": ["answer", "parts"],
    "additionalProperties": False,
}
TALK = (Message("system", "Be brief."), Message("user", "What is 2+2?"))


def call(endpoint: str, model: str = "gpt-6-luna", **over: Any) -> Call:
    provider = "anthropic" if endpoint == MESSAGES else "openai"
    return replace(Call(provider, endpoint, model, 900), **over)


def full(endpoint: str, model: str) -> Call:
    return call(endpoint, model, effort="high", schema_name="verdict", schema=json.dumps(SCHEMA), cache=True)


def body(c: Call, talk: tuple[Message, ...] = TALK) -> dict[str, Any]:
    return ENDPOINTS[c.endpoint].body(c, talk)


def test_the_registry_names_each_endpoint_by_its_own_path() -> None:
    assert set(ENDPOINTS) == {CHAT, RESPONSES, EMBEDDINGS, MESSAGES}
    assert all(endpoint.path == path for path, endpoint in ENDPOINTS.items())


def test_chat_body_whole() -> None:
    assert body(full(CHAT, "gpt-6-luna")) == {
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}],
        "max_completion_tokens": 900,
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True},
        },
    }


def test_responses_body_whole() -> None:
    assert body(full(RESPONSES, "gpt-6-luna")) == {
        "model": "gpt-6-luna",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}],
        "max_output_tokens": 900,
        "reasoning": {"effort": "high"},
        "text": {"format": {"type": "json_schema", "name": "verdict", "schema": SCHEMA, "strict": True}},
    }


def test_messages_body_whole() -> None:
    assert body(full(MESSAGES, "claude-haiku-5.5")) == {
        "model": "claude-haiku-5.5",
        "max_tokens": 900,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "What is 2+2?"}],
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    }


def test_embeddings_body_whole() -> None:
    c = call(EMBEDDINGS, "text-embedding-4", extra='{"dimensions":256}')
    assert body(c, (Message("user", "a text"),)) == {"model": "text-embedding-4", "input": "a text", "dimensions": 256}


def test_messages_without_cache_has_one_system_string_and_no_marks() -> None:
    talk = (Message("system", "One."), Message("system", "Two."), Message("user", "Go."))
    made = body(call(MESSAGES, "claude-haiku-5.5"), talk)
    assert made["system"] == "One.\n\nTwo."
    assert "cache_control" not in json.dumps(made) and "thinking" not in made and "output_config" not in made


def test_messages_marks_only_the_last_system_block() -> None:
    talk = (Message("system", "One."), Message("system", "Two."), Message("user", "Go."))
    blocks = body(call(MESSAGES, "claude-haiku-5.5", cache=True), talk)["system"]
    assert ["cache_control" in block for block in blocks] == [False, True]


def test_messages_without_a_system_message_has_no_system_field() -> None:
    assert "system" not in body(call(MESSAGES, "claude-haiku-5.5", cache=True), (Message("user", "Go."),))


def test_messages_never_carries_sampling_parameters_even_from_extra() -> None:
    extra = '{"temperature":0.1,"metadata":{"user_id":"x"}}'
    made = body(call(MESSAGES, "claude-haiku-5.5", temperature=0.6, top_p=0.9, top_k=20, extra=extra))
    assert not {"temperature", "top_p", "top_k"} & set(made)
    assert made["metadata"] == {"user_id": "x"}


@pytest.mark.parametrize(
    ("model", "provider", "field"),
    [
        ("gpt-6-luna", "openai", "max_completion_tokens"),
        ("gpt-4.1", "openai", "max_completion_tokens"),
        ("o3", "openai", "max_completion_tokens"),
        ("ft:gpt-4o:acme::1", "openai", "max_completion_tokens"),
        ("my-deployment", "azure", "max_completion_tokens"),
        ("gpt-oss-120b", "groq", "max_tokens"),
        ("openai/gpt-oss-120b", "deepinfra", "max_tokens"),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", "deepinfra", "max_tokens"),
        ("olmo-3", "vllm", "max_tokens"),
    ],
)
def test_chat_names_the_ceiling_as_the_host_knows_it(model: str, provider: str, field: str) -> None:
    made = body(call(CHAT, model, provider=provider))
    assert {name for name in made if name.startswith("max_")} == {field}


def test_sampling_reaches_open_models() -> None:
    made = body(call(CHAT, "Qwen/Qwen3-8B", provider="deepinfra", temperature=0.6, top_p=0.95, top_k=20))
    assert (made["temperature"], made["top_p"], made["top_k"]) == (0.6, 0.95, 20)


def test_extra_is_merged_into_objects_and_replaces_the_rest() -> None:
    made = body(call(RESPONSES, effort="low", extra='{"reasoning":{"summary":"auto"},"store":false}'))
    assert made["reasoning"] == {"effort": "low", "summary": "auto"} and made["store"] is False


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_the_same_call_gives_the_same_bytes(endpoint: str) -> None:
    c = replace(full(endpoint, "m"), extra='{"b":1,"a":2}')
    assert json.dumps(body(c)) == json.dumps(body(c))


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_a_line_has_the_custom_id_first_and_the_body_as_it_is(endpoint: str) -> None:
    made = body(call(endpoint, "m"))
    line = ENDPOINTS[endpoint].line("abc", made)
    assert next(iter(line)) == "custom_id"
    if endpoint == MESSAGES:
        assert line == {"custom_id": "abc", "params": made}
    else:
        assert line == {"custom_id": "abc", "method": "POST", "url": endpoint, "body": made}


@pytest.mark.parametrize(
    ("endpoint", "model"), [(CHAT, "gpt-6-luna"), (CHAT, "Qwen/Q"), (RESPONSES, "gpt-6-luna"), (MESSAGES, "claude")]
)
def test_a_ceiling_is_read_and_replaced_in_place_without_touching_the_original(endpoint: str, model: str) -> None:
    e = ENDPOINTS[endpoint]
    line = e.line("abc", e.body(full(endpoint, model), TALK))
    before = json.dumps(line)
    raised = e.with_ceiling(line, 1800)
    assert (e.ceiling(line), e.ceiling(raised)) == (900, 1800)
    assert json.dumps(line) == before
    assert json.dumps(raised) == before.replace("900", "1800")  # nothing else moved


def test_an_embedding_has_no_ceiling() -> None:
    e = ENDPOINTS[EMBEDDINGS]
    line = e.line("abc", e.body(call(EMBEDDINGS, "m"), TALK))
    assert e.ceiling(line) is None and e.with_ceiling(line, 5) == line


def test_a_missing_ceiling_reads_as_none_and_can_be_set() -> None:
    e = ENDPOINTS[CHAT]
    line = e.line("abc", {"model": "gpt-6-luna", "messages": []})
    assert e.ceiling(line) is None
    assert e.ceiling(e.with_ceiling(line, 7)) == 7


@cache
def spec(name: str) -> dict[str, Any]:
    path = SHARED / "specs" / name
    if not path.exists():
        pytest.skip("the public schemas are not beside this checkout")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def check(value: Any, whole: dict[str, Any], component: str) -> None:
    schema = {"$ref": f"#/components/schemas/{component}", "components": whole["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


VARIANTS = [
    {},
    {"effort": "medium"},
    {"schema": json.dumps(SCHEMA), "schema_name": "verdict"},
    {"cache": True, "effort": "max", "schema": json.dumps(SCHEMA), "schema_name": "v", "temperature": 0.5, "top_k": 3},
]


@pytest.mark.parametrize("over", VARIANTS)
def test_anthropic_schema_accepts_our_lines(over: dict[str, Any]) -> None:
    whole = spec("anthropic-batch-requests-only.json")
    line = ENDPOINTS[MESSAGES].line("a" * 41, body(call(MESSAGES, "claude-haiku-5.5", **over)))
    assert ENDPOINTS[MESSAGES].problems(line) == []
    check({"requests": [line]}, whole, "CreateMessageBatchParams")


def test_anthropic_schema_would_notice_a_bad_line() -> None:
    whole = spec("anthropic-batch-requests-only.json")
    line = ENDPOINTS[MESSAGES].line("a", body(call(MESSAGES, "claude-haiku-5.5")))
    del line["params"]["max_tokens"]
    with pytest.raises(jsonschema.ValidationError):
        check({"requests": [line]}, whole, "CreateMessageBatchParams")


@pytest.mark.parametrize("over", [v for v in VARIANTS if "temperature" not in v])
def test_the_sdks_own_types_accept_our_openai_bodies(over: dict[str, Any]) -> None:
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

    for endpoint, params in ((CHAT, CompletionCreateParamsNonStreaming), (RESPONSES, ResponseCreateParamsNonStreaming)):
        made = body(call(endpoint, **over))
        assert ENDPOINTS[endpoint].problems(ENDPOINTS[endpoint].line("a", made)) == []
        TypeAdapter(params).validate_python(made)
        assert set(made) <= known(params)


def known(params: Any) -> set[str]:
    """All fields of a TypedDict, inherited ones included."""
    return set(params.__required_keys__) | set(params.__optional_keys__)
