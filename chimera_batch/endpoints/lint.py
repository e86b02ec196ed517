"""The checks that several endpoints share: what a provider would refuse, found before anything is paid for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

# Anthropic's pattern is the strictest; one pattern everywhere lets a request move between providers.
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}  # schemas by names
_VALUES = {"enum", "const", "default", "examples", "required"}  # no schemas

OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ANTHROPIC_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def fields(line: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    """Exactly these top-level fields, and a usable custom id."""
    for name in wanted:
        if name not in line:
            yield f"field {name} is missing"
    for name in line:
        if name not in wanted:
            yield f"field {name} is not one that a batch line has"
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        yield f"custom_id {custom_id!r} does not match ^{CUSTOM_ID.pattern}$"


def openai_line(line: Mapping[str, Any], path: str) -> Iterator[str]:
    """The envelope of OpenAI and compatible hosts."""
    yield from fields(line, ("custom_id", "method", "url", "body"))
    if line.get("method") != "POST":
        yield f"method is {line.get('method')!r}; only POST is accepted"
    if line.get("url") != path:
        yield f"url is {line.get('url')!r}; it must equal the batch's endpoint {path}"


def openai_problems(
    line: Mapping[str, Any], path: str, of_body: Callable[[Mapping[str, Any]], Iterable[str]]
) -> list[str]:
    """The envelope, then, if there is a body, what ``of_body`` says of it."""
    found = list(openai_line(line, path))
    body = line.get("body")
    if not isinstance(body, Mapping):
        return [*found, "body is not an object"]
    return [*found, *of_body(body)]


def common(body: Mapping[str, Any]) -> Iterator[str]:
    """What holds for the body of every endpoint."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model is missing"
    if body.get("stream"):
        yield "stream is not supported in batches"
    if body.get("n", 1) != 1:
        yield "n is not 1: use samples, one request each"


def messages(value: object, name: str = "messages") -> Iterator[str]:
    """A list of messages with roles and text."""
    if not isinstance(value, list) or not value:
        yield f"{name} is missing or empty"
        return
    for i, message in enumerate(value):
        content = message.get("content") if isinstance(message, Mapping) else None
        if not content or (isinstance(content, str) and not content.strip()):
            yield f"{name}[{i}] has no content"


def positive(body: Mapping[str, Any], name: str) -> Iterator[str]:
    """An output ceiling, where it is present."""
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        yield f"{name} is {value!r}; it must be a whole number of tokens, 1 or more"


def choice(value: object, allowed: tuple[str, ...], name: str) -> Iterator[str]:
    if value is not None and value not in allowed:
        yield f"{name} is {value!r}; it must be one of {', '.join(allowed)}"


def schema_name(name: object) -> Iterator[str]:
    if not isinstance(name, str) or not SCHEMA_NAME.fullmatch(name):
        yield f"schema name {name!r} does not match ^{SCHEMA_NAME.pattern}$"


def schema(node: object, *, all_required: bool, where: str = "schema") -> Iterator[str]:
    """A response schema against the subset that structured output takes.

    Every object must close itself with ``additionalProperties: false``; OpenAI's strict mode (``all_required``) also
    wants every property listed in ``required``.
    """
    if where == "schema" and (not isinstance(node, Mapping) or node.get("type") != "object"):
        yield "schema must be an object at its root"
    if isinstance(node, Mapping):
        if node.get("type") == "object" or "properties" in node:
            yield from _object(node, all_required, where)
        for key, inner in node.items():
            if key in _NAMED and isinstance(inner, Mapping):  # names of a person's own, whatever they are
                for name, one in inner.items():
                    yield from schema(one, all_required=all_required, where=f"{where}.{key}.{name}")
            elif key not in _VALUES:
                yield from schema(inner, all_required=all_required, where=f"{where}.{key}")
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from schema(inner, all_required=all_required, where=f"{where}[{i}]")


def _object(node: Mapping[str, Any], all_required: bool, where: str) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield f"{where} needs additionalProperties: false"
    properties, required = node.get("properties"), node.get("required")
    if all_required and isinstance(properties, Mapping):
        listed = required if isinstance(required, list) else []
        for name in properties:
            if name not in listed:
                yield f"{where} does not list {name} in required, which strict mode wants"
