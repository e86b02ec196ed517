from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal.generic import answer, follow, tokens
from chimera_batch.rehearsal.talk import Ask

SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 60},
    {"type": "string", "maxLength": 3},
    {"enum": ["a", 2, None]},
    {"const": {"x": 1}},
    {"type": ["integer", "null"], "minimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    {"type": "number", "minimum": 0.5, "maximum": 0.75},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 5},
    {"type": "array", "items": {"type": "boolean"}, "maxItems": 1},
    {"type": "object", "required": ["loose"], "properties": {"a": {"type": "null"}}},
    {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"enum": ["x"]}}]},
    {"allOf": [{"type": "integer"}, {"minimum": 4}]},
    {
        "type": "object",
        "properties": {"child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "name": {"$ref": "#/$defs/name"}},
        "required": ["child", "name"],
        "additionalProperties": False,
        "$defs": {"name": {"type": "string", "minLength": 2}},
    },
    {"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": "#"}}}, "required": ["list"]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_the_value_fits_its_schema(schema: dict[str, Any], seed: int) -> None:
    value = follow(schema, random.Random(seed))
    jsonschema.validate(value, schema)
    assert follow(schema, random.Random(seed)) == value


def ask(**change: Any) -> Ask:
    usual: dict[str, Any] = {
        "profile": "openai", "model": "m", "system": "", "user": "u", "schema_name": None, "schema": None,
        "key": "0" * 32, "attempt": 1, "max_output_tokens": 100,
    }  # fmt: skip
    return Ask(**usual | change)


def test_an_answer_depends_on_key_attempt_and_seed_alone() -> None:
    first = answer(ask())
    assert answer(ask(user="other", model="other", max_output_tokens=5)) == first
    assert answer(ask(attempt=2)) != first
    assert answer(ask(key="1" * 32)) != first
    assert answer(ask(settings={"seed": 3})) != first


def test_tokens_of_an_answer_hold_its_reasoning() -> None:
    said = answer(ask(schema={"type": "integer"}))
    assert said.output_tokens == said.reasoning_tokens + tokens(said.text)


@pytest.mark.parametrize("text, count", [("", 0), ("abcd", 1), ("abcde", 2), ("ééé", 2)])
def test_a_token_is_four_bytes(text: str, count: int) -> None:
    assert tokens(text) == count
