"""The local lint: each thing that a provider would refuse is found, and nothing that it would accept."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.endpoints import ENDPOINTS, models
from tests.test_endpoints_bodies import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, SCHEMA, TALK, call, full

Change = Callable[[dict[str, Any]], Any]


def good(endpoint: str, model: str = "") -> dict[str, Any]:
    model = model or {MESSAGES: "claude-haiku-5.5", EMBEDDINGS: "text-embedding-4"}.get(endpoint, "gpt-6-luna")
    c = call(EMBEDDINGS, model) if endpoint == EMBEDDINGS else full(endpoint, model)
    e = ENDPOINTS[endpoint]
    return e.line("0123abcd-" + "f" * 32, e.body(c, TALK))


def problems(endpoint: str, line: dict[str, Any]) -> str:
    return "\n".join(ENDPOINTS[endpoint].problems(line))


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_what_we_write_passes(endpoint: str) -> None:
    assert problems(endpoint, good(endpoint)) == ""


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
@pytest.mark.parametrize("custom_id", ["", "a" * 65, "with space", "ümlaut", "a.b", "a\n", None, 7])
def test_custom_ids_follow_the_strictest_pattern(endpoint: str, custom_id: Any) -> None:
    assert "custom_id" in problems(endpoint, {**good(endpoint), "custom_id": custom_id})


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_every_field_is_needed_and_no_other_is_known(endpoint: str) -> None:
    line = good(endpoint)
    for name in line:
        assert name in problems(endpoint, {k: v for k, v in line.items() if k != name})
    assert "extra" in problems(endpoint, {**line, "extra": 1})


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS])
def test_method_and_url(endpoint: str) -> None:
    assert "only POST" in problems(endpoint, {**good(endpoint), "method": "GET"})
    assert "must equal" in problems(endpoint, {**good(endpoint), "url": "/v1/completions"})


def set_in(name: str, value: Any) -> Change:
    return lambda body: body.__setitem__(name, value)


def drop(name: str) -> Change:
    return lambda body: body.pop(name)


COMMON: list[tuple[Change, str]] = [
    (drop("model"), "model is missing"),
    (set_in("model", ""), "model is missing"),
    (set_in("stream", True), "stream is not supported"),
    (set_in("n", 2), "n is not 1"),
]
CASES: list[tuple[str, Change, str]] = [
    *[(endpoint, change, said) for endpoint in ENDPOINTS for change, said in COMMON],
    (CHAT, drop("messages"), "messages is missing"),
    (CHAT, set_in("messages", []), "messages is missing or empty"),
    (CHAT, set_in("messages", [{"role": "user", "content": " "}]), "messages[0] has no content"),
    (CHAT, set_in("messages", ["hello"]), "messages[0] has no content"),
    (CHAT, set_in("temperature", 0.5), "temperature is refused by the reasoning model"),
    (CHAT, set_in("top_p", 0.5), "top_p is refused"),
    (CHAT, set_in("top_k", 5), "top_k is not a parameter"),
    (CHAT, set_in("max_tokens", 5), "max_tokens is refused by gpt-6-luna"),
    (CHAT, set_in("max_tokens", 5), "both max_completion_tokens and max_tokens"),
    (CHAT, set_in("max_completion_tokens", 0), "max_completion_tokens is 0"),
    (CHAT, set_in("max_completion_tokens", True), "max_completion_tokens is True"),
    (CHAT, set_in("reasoning_effort", "extreme"), "reasoning_effort is 'extreme'"),
    (CHAT, lambda b: b["response_format"]["json_schema"].update(name="two words"), "schema name 'two words'"),
    (CHAT, lambda b: b["response_format"]["json_schema"].pop("name"), "schema name None"),
    (RESPONSES, drop("input"), "input is missing"),
    (RESPONSES, set_in("temperature", 1), "temperature is refused"),
    (RESPONSES, set_in("background", True), "background is not supported"),
    (RESPONSES, set_in("reasoning", {"effort": "extreme"}), "reasoning.effort is 'extreme'"),
    (RESPONSES, lambda b: b["text"]["format"].update(name="x" * 65), "schema name"),
    (RESPONSES, set_in("max_output_tokens", -1), "max_output_tokens is -1"),
    (EMBEDDINGS, drop("input"), "input is missing"),
    (EMBEDDINGS, set_in("input", "  "), "input is missing or empty"),
    (EMBEDDINGS, set_in("input", ["a", "b"]), "input is missing or empty"),
    (MESSAGES, drop("max_tokens"), "max_tokens is missing"),
    (MESSAGES, set_in("max_tokens", 0), "max_tokens is 0"),
    (MESSAGES, drop("messages"), "messages is missing"),
    (MESSAGES, set_in("temperature", 0.5), "temperature is refused by the Messages API"),
    (MESSAGES, set_in("top_p", 0.5), "top_p is refused"),
    (MESSAGES, set_in("top_k", 5), "top_k is refused"),
    (MESSAGES, set_in("output_config", {"effort": "minimal"}), "output_config.effort is 'minimal'"),
    (MESSAGES, set_in("messages", [{"role": "system", "content": "x"}]), "messages[0].role is 'system'"),
    (MESSAGES, set_in("messages", [{"role": "assistant", "content": "x"}]), "messages[0] must be from the user"),
    (
        MESSAGES,
        set_in("messages", [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]),
        "the last message must be from the user",
    ),
    (MESSAGES, lambda b: b["output_config"]["format"]["schema"].pop("additionalProperties"), "additionalProperties"),
]


@pytest.mark.parametrize(("endpoint", "change", "said"), CASES)
def test_each_refusal_is_foreseen(endpoint: str, change: Change, said: str) -> None:
    line = good(endpoint)
    change(line["params" if endpoint == MESSAGES else "body"])
    assert said in problems(endpoint, line)


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_a_body_that_is_no_object(endpoint: str) -> None:
    part = "params" if endpoint == MESSAGES else "body"
    assert f"{part} is not an object" in problems(endpoint, {**good(endpoint), part: "text"})


def test_sampling_is_fine_where_it_is_accepted() -> None:
    for model in ("gpt-4.1", "Qwen/Qwen3-8B"):
        line = good(CHAT, model)
        line["body"]["temperature"] = 0.5
        assert problems(CHAT, line) == ""


def test_open_models_take_what_openai_does_not() -> None:
    line = good(CHAT, "Qwen/Qwen3-8B")
    line["body"].update(top_k=20, reasoning_effort="thorough")
    assert problems(CHAT, line) == ""


SCHEMAS: list[tuple[Any, str]] = [
    ({"type": "array"}, "an object at its root"),
    (None, "an object at its root"),
    ({**SCHEMA, "required": ["answer"]}, "does not list parts in required"),
    ({k: v for k, v in SCHEMA.items() if k != "required"}, "does not list answer"),
    ({**SCHEMA, "additionalProperties": {}}, "additionalProperties: false"),
    (
        {**SCHEMA, "properties": {"answer": {"type": "object", "properties": {}}, "parts": {}}},
        "schema.properties.answer needs additionalProperties",
    ),
    (
        {**SCHEMA, "$defs": {"x": {"anyOf": [{"type": "null"}, {"type": "object"}]}}},
        "schema.$defs.x.anyOf[1] needs additionalProperties",
    ),
]


@pytest.mark.parametrize(("schema", "said"), SCHEMAS)
def test_strict_schemas(schema: Any, said: str) -> None:
    line = good(CHAT)
    line["body"]["response_format"]["json_schema"]["schema"] = schema
    assert said in problems(CHAT, line)
    line["body"]["response_format"]["json_schema"]["strict"] = False
    assert problems(CHAT, line) == ""


@pytest.mark.parametrize("name", ["properties", "type", "enum", "required", "$defs"])
def test_a_property_may_be_called_like_a_word_of_schemas(name: str) -> None:
    line = good(CHAT)
    open_one = {"type": "object", "properties": {}}
    for inner, said in (({"type": "string"}, ""), (open_one, f"schema.properties.{name} needs additionalProperties")):
        schema = {**SCHEMA, "properties": {**SCHEMA["properties"], name: inner}}  # type: ignore[dict-item]  # as below
        schema["required"] = [*schema["properties"]]
        line["body"]["response_format"]["json_schema"]["schema"] = schema
        found = problems(CHAT, line)
        assert said in found if said else found == ""


def test_words_inside_enums_are_not_taken_for_schemas() -> None:
    line = good(CHAT)
    schema = deepcopy(SCHEMA)
    schema["properties"]["answer"] = {"enum": [{"type": "object"}]}  # type: ignore[index]  # a plain test literal
    line["body"]["response_format"]["json_schema"]["schema"] = schema
    assert problems(CHAT, line) == ""


@pytest.mark.parametrize(
    ("model", "openai", "reasoning"),
    [
        ("gpt-6.1-sol", True, True),
        ("gpt-5.4-mini", True, True),
        ("o3", True, True),
        ("gpt-4.1-mini", True, False),
        ("text-embedding-4", True, False),
        ("gpt-oss-20b", False, False),
        ("openai/gpt-oss-20b", False, False),
        ("claude-haiku-5.5", False, False),
        ("olmo-3", False, False),
    ],
)
def test_model_names(model: str, openai: bool, reasoning: bool) -> None:
    assert (models.is_openai(model), models.is_openai_reasoning(model)) == (openai, reasoning)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["model", "messages", "input", "stream", "n", "max_tokens", "response_format", "text", "output_config", "system"]
)


@given(st.sampled_from(sorted(ENDPOINTS)), st.dictionaries(FIELD, JSON, max_size=4), JSON)
def test_the_lint_never_raises_and_speaks_plain_sentences(endpoint: str, over: dict[str, Any], custom_id: Any) -> None:
    line = good(endpoint)
    line["params" if endpoint == MESSAGES else "body"].update(over)
    found = ENDPOINTS[endpoint].problems({**line, "custom_id": custom_id})
    assert all(isinstance(said, str) and said for said in found)
    json.dumps(found)
