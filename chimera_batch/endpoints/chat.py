"""``/v1/chat/completions``: OpenAI and every compatible host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chimera_batch.endpoints import bodies, lint, models, usage
from chimera_batch.endpoints.texts import text_of, unusable, word
from chimera_batch.records import Call, Message, Outcome, Reply

_NEW, _OLD = "max_completion_tokens", "max_tokens"
# The provider's own words for a normal end; compatible hosts pass on those of their engines, or nothing at all.
_DONE = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", None, ""}
_CUT = {"length", "max_tokens"}
_FINE: tuple[Outcome, str | None, str | None] = ("ok", None, None)  # outcome, code and message of nearly all answers


def _ceiling_field(body: Mapping[str, Any], provider: str = "") -> str:
    """Which name the ceiling goes by: what the body has already, else by model. Azure's names are deployments."""
    for name in (_NEW, _OLD):
        if name in body:
            return name
    modern = models.is_openai(str(body.get("model", ""))) or provider.startswith(("openai", "azure"))
    return _NEW if modern else _OLD


class Chat:
    path = "/v1/chat/completions"
    marks_cache = False

    def body(self, call: Call, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": call.model}
        body["messages"] = [{"role": m.role, "content": m.content} for m in messages]
        body[_ceiling_field(body, call.provider)] = call.max_output_tokens
        if call.effort is not None:
            body["reasoning_effort"] = call.effort
        body.update(bodies.sampling(call))
        schema = bodies.schema_of(call)
        if schema is not None:
            named = {"name": call.schema_name or "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return bodies.with_extra(body, call)

    def line(self, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return bodies.openai_line(self.path, custom_id, body)

    def ceiling(self, line: Mapping[str, Any]) -> int | None:
        return bodies.whole_number(line["body"].get(_ceiling_field(line["body"])))

    def with_ceiling(self, line: Mapping[str, Any], n: int) -> dict[str, Any]:
        return bodies.with_field(line, "body", _ceiling_field(line["body"]), n)

    def with_cache(self, line: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
        return dict(line)

    def problems(self, line: Mapping[str, Any]) -> list[str]:
        return lint.openai_problems(line, self.path, _body_problems)

    def reply(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = usage.part(first, "message")
        finish = word(first.get("finish_reason")) if isinstance(first, dict) else None
        text = text_of(message.get("content"))
        refusal = message.get("refusal") or None
        reasoning, model, tier = message.get("reasoning"), body.get("model"), body.get("service_tier")
        if refusal is None and text and finish == "stop":
            outcome, code, said = _FINE
        else:
            outcome, code = _judge(finish, text, refusal, has_choice=bool(message))
            said = str(refusal) if refusal else unusable(code, finish)
        if reasoning is not None or "reasoning_content" in message:
            reasoning = text_of(reasoning) or text_of(message.get("reasoning_content"))
        model, tier = model if isinstance(model, str) else None, tier if isinstance(tier, str) else None
        used = usage.of_chat(body.get("usage"))
        # in the order of its fields: by name it would take as long as half of the rest
        fields = custom_id, outcome, text, reasoning, None, finish, model, used, code, said, False, False, tier, None
        return tuple.__new__(Reply, fields)


def _judge(finish: str | None, text: str | None, refusal: object, *, has_choice: bool) -> tuple[Outcome, str | None]:
    if refusal or finish == "content_filter":
        return "refused", None
    if finish in _CUT:
        return "truncated", None
    if not has_choice:
        return "invalid", "no_choice"
    if finish not in _DONE:  # tool_calls, function_call, abort, …: not a finished answer
        return "invalid", "unfinished"
    return ("ok", None) if text else ("invalid", "no_text")


def _body_problems(body: Mapping[str, Any]) -> Iterator[str]:
    yield from lint.common(body)
    yield from lint.messages(body.get("messages"))
    for name in (_NEW, _OLD):
        yield from lint.positive(body, name)
    if _NEW in body and _OLD in body:
        yield f"both {_NEW} and {_OLD} are set"
    model = str(body.get("model", ""))
    if models.is_openai(model):
        yield from _openai_problems(body, model)
    shape = usage.part(body, "response_format")
    if shape.get("type") == "json_schema":
        named = usage.part(shape, "json_schema")
        yield from lint.schema_name(named.get("name"))
        if models.is_openai(model) and named.get("strict"):
            yield from lint.schema(named.get("schema"), all_required=True)


def _openai_problems(body: Mapping[str, Any], model: str) -> Iterator[str]:
    if _OLD in body and models.is_openai_reasoning(model):
        yield f"{_OLD} is refused by {model}: use {_NEW}"
    yield from lint.choice(body.get("reasoning_effort"), lint.OPENAI_EFFORTS, "reasoning_effort")
    yield from openai_sampling(body, model)


def openai_sampling(body: Mapping[str, Any], model: str) -> Iterator[str]:
    """Sampling parameters that OpenAI refuses for this model; each would be a failed line after the wait."""
    if "top_k" in body:
        yield "top_k is not a parameter of OpenAI"
    for name in ("temperature", "top_p"):
        if name in body and models.is_openai_reasoning(model):
            yield f"{name} is refused by the reasoning model {model}: leave it out"
