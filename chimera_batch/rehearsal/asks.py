"""Request bodies as the endpoints read them: what is asked, or why the endpoint refuses. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from chimera_batch.rehearsal.generic import tokens

CEILINGS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_BESIDE = frozenset((*CEILINGS, "service_tier"))  # a body without these asks for the same answer
NO_CEILING = 128_000
NO_SAMPLING_SINCE = "2026-10-21"  # the anthropic-version from which temperature, top_p and top_k are refused

_KEY = re.compile(r"(?:[0-9a-f]{8}-)?([0-9a-f]{32})")
_REASONING = re.compile(r"^(gpt-[5-9]|o[134])")


class Refused(Exception):
    """The endpoint refuses this one request: an HTTP status and the parts of an error body."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Heard:
    """A body that the endpoint accepts."""

    model: str
    system: str = ""
    user: str = ""
    schema_name: str | None = None
    schema: dict[str, Any] | None = None
    ceiling: int = NO_CEILING
    think: bool = True
    inputs: tuple[str, ...] = ()  # embeddings only
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_tokens(self) -> int:
        return tokens(self.system + self.user) + sum(map(tokens, self.inputs))


def key_of(custom_id: str, body: Mapping[str, Any]) -> str:
    """The request's identity across attempts: from a custom id of ours, else from what the body asks for."""
    if ours := _KEY.fullmatch(custom_id):
        return ours[1]
    kept = {name: value for name, value in body.items() if name not in _BESIDE}
    return hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def chat(body: Mapping[str, Any]) -> Heard:
    """``/v1/chat/completions``. Raises Refused."""
    model = _model(body)
    if _REASONING.match(model):
        _no_sampling(body, body.get("reasoning_effort"))
        if "max_tokens" in body:
            message = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
            )
            raise Refused(400, message, code="unsupported_parameter", param="max_tokens")
    system, user = _split(_messages(body, "messages"))
    shape = _object(_object(body, "response_format"), "json_schema")
    ceiling = _ceiling(body.get("max_completion_tokens", body.get("max_tokens")), "max_completion_tokens")
    return Heard(model, system, user, *_schema(shape), ceiling)


def responses(body: Mapping[str, Any]) -> Heard:
    """``/v1/responses``. Raises Refused."""
    model = _model(body)
    if _REASONING.match(model):
        _no_sampling(body, _object(body, "reasoning").get("effort"))
    given = body.get("input")
    if given is None:
        raise missing("input")
    if not isinstance(given, str | list):
        raise _wrong_type("input", "a string or an array")
    system, user = _split([{"role": "user", "content": given}] if isinstance(given, str) else given)
    system = "\n\n".join(text for text in (str(body.get("instructions") or ""), system) if text)
    shape = _object(_object(body, "text"), "format")
    ceiling = _ceiling(body.get("max_output_tokens"), "max_output_tokens")
    return Heard(model, system, user, *_schema(shape), ceiling)


def embeddings(body: Mapping[str, Any]) -> Heard:
    """``/v1/embeddings``. Raises Refused."""
    given = body.get("input")
    if not given:
        raise missing("input")
    if not isinstance(given, str | list):
        raise _wrong_type("input", "a string or an array")
    inputs = (given,) if isinstance(given, str) else tuple(map(str, given))
    dimensions = body.get("dimensions", 64)
    if type(dimensions) is not int or not 1 <= dimensions <= 4096:
        raise Refused(400, "'dimensions' must be between 1 and 4096.", code="invalid_value", param="dimensions")
    options = {"dimensions": dimensions, "encoding_format": body.get("encoding_format", "float")}
    return Heard(_model(body), inputs=inputs, options=options)


def messages(body: Mapping[str, Any], version: str = NO_SAMPLING_SINCE, most: int | None = None) -> Heard:
    """``/v1/messages`` under an ``anthropic-version``; ``most`` is the model's largest max_tokens. Raises Refused."""
    for name in ("model", "messages", "max_tokens"):
        if body.get(name) is None:
            raise Refused(400, f"{name}: Field required")
    if body.get("stream"):
        raise Refused(400, '"stream=True" is not supported in the Message Batches API')
    if version >= NO_SAMPLING_SINCE:
        for name in ("temperature", "top_p", "top_k"):
            if name in body:
                raise Refused(400, f"{name}: Extra inputs are not permitted")
    ceiling = _ceiling(body["max_tokens"], "max_tokens")
    if most is not None and ceiling > most:
        limit = "which is the maximum allowed number of output tokens for"
        raise Refused(400, f"max_tokens: {ceiling} > {most}, {limit} {body['model']}")
    told, user = _split(_messages(body, "messages"))
    system = "\n\n".join(text for text in (_text(body.get("system"), "system"), told) if text)
    called, schema = _schema(_object(_object(body, "output_config"), "format") or _object(body, "output_format"))
    title = (schema or {}).get("title")
    thinking = _object(body, "thinking")
    return Heard(
        _model(body),
        system,
        user,
        called or (title if isinstance(title, str) else None),  # the API has no field for a name
        schema,
        ceiling,
        think=thinking.get("type") != "disabled",
        options={"display": thinking.get("display")},
    )


READERS: dict[str, Callable[[Mapping[str, Any]], Heard]] = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
}
"""The OpenAI dialect's endpoints that are emulated."""

REQUIRED = {"/v1/chat/completions": "messages", "/v1/responses": "input", "/v1/embeddings": "input"}
"""What a batch line's body must have, beside the model, for the file to be accepted."""


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not model or not isinstance(model, str):
        raise Refused(400, "you must provide a model parameter")
    return model


def missing(name: str) -> Refused:
    """What a host answers where a field is not there."""
    return Refused(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)


def _wrong_type(name: str, wanted: str) -> Refused:
    return Refused(400, f"Invalid type for '{name}': expected {wanted}.", code="invalid_type", param=name)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside a body; empty where it is absent. Raises Refused."""
    found = body.get(name)
    if found is not None and not isinstance(found, dict):
        raise _wrong_type(name, "an object")
    return found or {}


def _schema(shape: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The name and the schema of a response format. Raises Refused."""
    name = shape.get("name")
    if name is not None and not isinstance(name, str):
        raise _wrong_type("name", "a string")
    return name, dict(_object(shape, "schema")) if shape.get("schema") is not None else None


def _messages(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = body.get(name)
    if not isinstance(given, list) or not given:
        raise missing(name)
    return given


def _no_sampling(body: Mapping[str, Any], effort: object) -> None:
    if effort == "none":
        return
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            told = f"'{name}' does not support {body[name]} with this model. Only the default (1) value is supported."
            raise Refused(400, f"Unsupported value: {told}", code="unsupported_value", param=name)


def _ceiling(value: object, name: str) -> int:
    if value is None:
        return NO_CEILING
    if type(value) is not int or value < 1:
        raise Refused(400, f"{name}: Input should be greater than or equal to 1", code="invalid_value", param=name)
    return value


def _split(turns: list[Any]) -> tuple[str, str]:
    """System text and user text; what the assistant said before is not repeated to a mind."""
    system, user = [], []
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise _wrong_type(f"messages[{place}]", "an object")
        role, text = turn.get("role", "user"), _text(turn.get("content"), f"messages[{place}].content")
        if role in ("system", "developer"):
            system.append(text)
        elif role == "user":
            user.append(text)
    return "\n\n".join(system), "\n\n".join(user)


def _text(content: Any, name: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise _wrong_type(name, "a string or an array")
    return "\n\n".join(str(block.get("text") or "") for block in content if isinstance(block, dict))
