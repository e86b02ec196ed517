"""The judge behind the rules: one question to a host that speaks OpenAI's chat completions. Off unless it is named."""

from __future__ import annotations

import json
import logging
from functools import cache, lru_cache
from typing import Any

import openai

from chimera_batch import settings, template
from chimera_batch.shipped import shipped_root
from chimera_batch.stage import Source

_LOG = logging.getLogger(__name__)
_COLUMNS = ("question", "reference", "candidate")
_TOKENS = 2_000  # of a reply
_SECONDS = 60.0


def same(question: str, reference: str, candidate: str) -> bool:
    """Whether the judge says that both answers are one. No judge, no reply or one that cannot be read: they are not."""
    if settings.reward_judge() is None:
        return False
    try:
        return _asked(question, reference, candidate)
    except openai.OpenAIError as error:
        _LOG.warning("the judge did not answer, so an answer counts as wrong: %s", error)
        return False


@lru_cache(1 << 16)
def _asked(question: str, reference: str, candidate: str) -> bool:
    """Equal questions are asked once: tries of one problem often end alike. Raises OpenAIError, which is not kept."""
    client, model = _client()
    reply = client.chat.completions.create(
        model=model,
        messages=_messages(question, reference, candidate),
        response_format=_form(),
        max_completion_tokens=_TOKENS,
    )
    return verdict(reply.choices[0].message.content if reply.choices else None)


def verdict(text: str | None) -> bool:
    """True only for a JSON object whose ``same`` is true."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("same") is True


@cache
def _client() -> tuple[Any, str]:
    named = settings.reward_judge()
    assert named is not None  # noqa: S101 - asked before
    url, model, key = named
    return openai.OpenAI(base_url=url, api_key=key, timeout=_SECONDS, max_retries=3), model


def _messages(question: str, reference: str, candidate: str) -> Any:
    parts = template.parse(_file("judge.md"), {})
    row = (question, reference, candidate)
    return [{"role": part.role, "content": part.texts(_COLUMNS, [row])[0]} for part in parts]


@cache
def _form() -> Any:
    schema = json.loads(_file("judge.json").text)
    return {"type": "json_schema", "json_schema": {"name": "reward_judgement", "strict": True, "schema": schema}}


@cache
def _file(name: str) -> Source:
    path = shipped_root() / "prompts" / "rewards" / name
    return Source(f"rewards/{name}", path, path.read_text(encoding="utf-8"))
