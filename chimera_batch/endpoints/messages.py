"""``/v1/messages``: Anthropic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chimera_batch.endpoints import bodies, lint, usage
from chimera_batch.endpoints.texts import unusable, word
from chimera_batch.records import Call, Message, Outcome, Reply

_CEILING = "max_tokens"
_SAMPLING = ("temperature", "top_p", "top_k")
# Rows of a batch run far apart, so the short (5 minute) life of a cache entry would never be hit.
_CACHE = {"type": "ephemeral", "ttl": "1h"}
_OUTCOMES: dict[str | None, Outcome] = {
    "end_turn": "ok",
    "stop_sequence": "ok",
    None: "ok",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "refusal": "refused",
}


class Messages:
    path = "/v1/messages"
    marks_cache = True

    def body(self, call: Call, messages: Sequence[Message]) -> dict[str, Any]:
        """Without sampling parameters: the API version that the SDK sends refuses them, in every row, after the wait.

        Thinking is left to the model's default, which is adaptive.
        """
        body: dict[str, Any] = {"model": call.model, _CEILING: call.max_output_tokens}
        system = [m.content for m in messages if m.role == "system"]
        if system:
            body["system"] = _system(system, cache=call.cache is True)
        body["messages"] = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
        config: dict[str, Any] = {}
        if call.effort is not None:
            config["effort"] = call.effort
        schema = bodies.schema_of(call)
        if schema is not None:
            config["format"] = {"type": "json_schema", "schema": schema}
        if config:
            body["output_config"] = config
        whole = bodies.with_extra(body, call)
        return {key: value for key, value in whole.items() if key not in _SAMPLING}

    def line(self, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"custom_id": custom_id, "params": dict(body)}

    def ceiling(self, line: Mapping[str, Any]) -> int | None:
        return bodies.whole_number(line["params"].get(_CEILING))

    def with_ceiling(self, line: Mapping[str, Any], n: int) -> dict[str, Any]:
        return bodies.with_field(line, "params", _CEILING, n)

    def with_cache(self, line: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
        """The same question with or without the mark: the same texts in the same order, as ``body`` writes them."""
        system = line["params"].get("system")
        if not system or isinstance(system, str) != on:
            return dict(line)
        texts = [system] if on else [block["text"] for block in system]
        return bodies.with_field(line, "params", "system", _system(texts, cache=on))

    def problems(self, line: Mapping[str, Any]) -> list[str]:
        found = list(lint.fields(line, ("custom_id", "params")))
        params = line.get("params")
        if not isinstance(params, Mapping):
            return [*found, "params is not an object"]
        return [*found, *_param_problems(params)]

    def reply(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        text, thinking = _blocks(body, "text", "text"), _blocks(body, "thinking", "thinking")
        finish = word(body.get("stop_reason"))
        outcome, code = _judge(finish, text)
        return Reply(
            custom_id,
            outcome,
            text=text,
            reasoning=thinking or None,
            finish=finish,
            model=body.get("model") if isinstance(body.get("model"), str) else None,
            usage=usage.of_anthropic(body.get("usage")),
            code=code,
            message=_refusal(body) if outcome == "refused" else unusable(code, finish),
        )


def _system(texts: Sequence[str], *, cache: bool) -> str | list[dict[str, Any]]:
    """One string; or, to cache it, blocks of which the last carries the mark (it covers those before it)."""
    if not cache:
        return "\n\n".join(texts)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    blocks[-1]["cache_control"] = dict(_CACHE)
    return blocks


def _blocks(body: Mapping[str, Any], kind: str, field: str) -> str | None:
    """The text of all blocks of one type, never by position: a thinking block comes first."""
    content = body.get("content")
    if not isinstance(content, list):
        return None
    texts = [block.get(field) for block in content if isinstance(block, Mapping) and block.get("type") == kind]
    strings = [text for text in texts if isinstance(text, str)]
    return "".join(strings) if strings else None


def _judge(finish: str | None, text: str | None) -> tuple[Outcome, str | None]:
    outcome = _OUTCOMES.get(finish)
    if outcome is None:  # tool_use, pause_turn, or a word of tomorrow
        return "invalid", "unfinished"
    if outcome == "ok" and not text:
        return "invalid", "no_text"
    return outcome, None


def _refusal(body: Mapping[str, Any]) -> str | None:
    why = usage.part(body, "stop_details").get("explanation")
    return why if isinstance(why, str) else None


def _param_problems(params: Mapping[str, Any]) -> Iterator[str]:
    yield from lint.common(params)
    if params.get(_CEILING) is None:
        yield f"{_CEILING} is missing"
    yield from lint.positive(params, _CEILING)
    for name in _SAMPLING:
        if name in params:
            yield f"{name} is refused by the Messages API since 2026-10-21: leave it out"
    yield from lint.messages(params.get("messages"))
    turns = params.get("messages")
    if isinstance(turns, list) and turns:
        yield from _turn_problems([str(t.get("role")) if isinstance(t, Mapping) else "" for t in turns])
    config = usage.part(params, "output_config")
    yield from lint.choice(config.get("effort"), lint.ANTHROPIC_EFFORTS, "output_config.effort")
    shape = usage.part(config, "format")
    if shape:
        yield from lint.schema(shape.get("schema"), all_required=False)


def _turn_problems(roles: Sequence[str]) -> Iterator[str]:
    for i, role in enumerate(roles):
        if role not in {"user", "assistant"}:
            yield f"messages[{i}].role is {role!r}; only user and assistant are accepted"
    if roles[0] != "user":
        yield "messages[0] must be from the user"
    if roles[-1] != "user":
        yield "the last message must be from the user: an answer cannot be begun for the model"
