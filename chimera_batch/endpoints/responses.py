"""``/v1/responses``: OpenAI's own newer endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chimera_batch.endpoints import bodies, lint, models, usage
from chimera_batch.endpoints.chat import openai_sampling
from chimera_batch.endpoints.texts import text_in, text_of, unusable, word
from chimera_batch.records import Call, Message, Outcome, Reply

_CEILING = "max_output_tokens"


class Responses:
    path = "/v1/responses"
    marks_cache = False

    def body(self, call: Call, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": call.model}
        body["input"] = [{"role": m.role, "content": m.content} for m in messages]
        body[_CEILING] = call.max_output_tokens
        if call.effort is not None:
            body["reasoning"] = {"effort": call.effort}
        body.update(bodies.sampling(call))
        schema = bodies.schema_of(call)
        if schema is not None:
            shape = {"type": "json_schema", "name": call.schema_name or "answer", "schema": schema, "strict": True}
            body["text"] = {"format": shape}
        return bodies.with_extra(body, call)

    def line(self, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return bodies.openai_line(self.path, custom_id, body)

    def ceiling(self, line: Mapping[str, Any]) -> int | None:
        return bodies.whole_number(line["body"].get(_CEILING))

    def with_ceiling(self, line: Mapping[str, Any], n: int) -> dict[str, Any]:
        return bodies.with_field(line, "body", _CEILING, n)

    def with_cache(self, line: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
        return dict(line)

    def problems(self, line: Mapping[str, Any]) -> list[str]:
        return lint.openai_problems(line, self.path, _body_problems)

    def reply(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        output = body.get("output")
        items = [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []
        message = _answer(items)
        refusal = _refusal(message)
        text = None if refusal else text_of([p for p in _content(message) if p.get("type") != "refusal"])
        outcome, code = _judge(body, items, text, refusal)
        reason = usage.part(body, "incomplete_details").get("reason")
        status = body.get("status")
        return Reply(
            custom_id,
            outcome,
            text=text,
            reasoning=_reasoning(items),
            finish=str(reason or status) if reason or status else None,
            model=text_in(body, "model"),
            tier=text_in(body, "service_tier"),
            usage=usage.of_responses(body.get("usage")),
            code=code,
            message=refusal or _error_message(body) or unusable(code, reason or status),
            transient=outcome == "error" and code in {"server_error", "rate_limit_exceeded", "in_progress", "queued"},
        )


def _content(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _answer(items: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The last complete message: a body can hold several, the first of them cut in the middle of its JSON."""
    messages = [item for item in items if item.get("type") == "message" and item.get("phase") != "commentary"]
    complete = [item for item in messages if word(item.get("status")) in {"completed", None}]
    return (complete or messages or [{}])[-1]


def _refusal(message: Mapping[str, Any]) -> str | None:
    for part in _content(message):
        if part.get("type") == "refusal":
            return str(part.get("refusal") or "refused")
    return None


def _reasoning(items: Sequence[Mapping[str, Any]]) -> str | None:
    texts = [
        text
        for item in items
        if item.get("type") == "reasoning"
        for text in (text_of(item.get("content")), text_of(item.get("summary")))
        if text
    ]
    return "\n\n".join(texts) or None


def _error_message(body: Mapping[str, Any]) -> str | None:
    message = usage.part(body, "error").get("message")
    return message if isinstance(message, str) else None


def _judge(
    body: Mapping[str, Any], items: Sequence[Mapping[str, Any]], text: str | None, refusal: str | None
) -> tuple[Outcome, str | None]:
    status = word(body.get("status"))
    if status == "cancelled":
        return "cancelled", None
    if status in {"failed", "in_progress", "queued"}:
        code = usage.part(body, "error").get("code")
        return "error", str(code or status)
    if status == "incomplete":
        filtered = usage.part(body, "incomplete_details").get("reason") == "content_filter"
        return ("refused" if filtered or refusal else "truncated"), None
    if refusal:
        return "refused", None
    if text:
        return "ok", None
    called = any(str(item.get("type", "")).endswith("_call") for item in items)
    return "invalid", ("unfinished" if called else "no_text")


def _body_problems(body: Mapping[str, Any]) -> Iterator[str]:
    yield from lint.common(body)
    if not isinstance(body.get("input"), str) or not body["input"]:
        yield from lint.messages(body.get("input"), "input")
    yield from lint.positive(body, _CEILING)
    if body.get("background"):
        yield "background is not supported in batches"
    model = str(body.get("model", ""))
    if models.is_openai(model):
        yield from lint.choice(usage.part(body, "reasoning").get("effort"), lint.OPENAI_EFFORTS, "reasoning.effort")
        yield from openai_sampling(body, model)
    shape = usage.part(usage.part(body, "text"), "format")
    if shape.get("type") == "json_schema":
        yield from lint.schema_name(shape.get("name"))
        if models.is_openai(model) and shape.get("strict"):
            yield from lint.schema(shape.get("schema"), all_required=True)
