"""The judge behind the rules: one question to a host that speaks OpenAI's chat completions, with the prompt and the
schema by which the pipeline labels its traces.
"""

from __future__ import annotations

import json
import logging
from functools import cache, lru_cache
from typing import Any

import openai

from chimera_batch import settings
from chimera_batch.pipeline.shipped import shipped_root
from chimera_batch.pipeline.stage import Source
from chimera_batch.requests import template

_LOG = logging.getLogger(__name__)
_COLUMNS = ("question", "part", "reference_answer", "candidate_answer")
_NOTHING = {"", ":", ".", "none", "n/a", "null"}  # what a judge writes that found no answer to compare
_TOKENS = 2_000  # of a reply
_SECONDS = 60.0


def same(question: str, part: str, reference: str, candidate: str) -> bool:
    """Whether the judge says that both answers are one. No reply, or one that cannot be read: they are not."""
    try:
        return _asked(question, part or "the whole answer", reference, candidate)
    except openai.OpenAIError as error:
        _LOG.warning("the judge did not answer, so an answer counts as wrong: %s", error)
        return False


@lru_cache(1 << 16)
def _asked(*row: str) -> bool:
    """Equal questions are asked once: tries of one problem often end alike. Raises OpenAIError, which is not kept."""
    client, model = _client()
    reply = client.chat.completions.create(
        model=model,
        messages=_messages(row),
        response_format=_form(),
        max_completion_tokens=_TOKENS,
    )
    return verdict(reply.choices[0].message.content if reply.choices else None)


def verdict(text: str | None) -> bool:
    """True only for a JSON object whose ``same`` is true and that found an answer to compare."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or found.get("same") is not True:
        return False
    return str(found.get("extracted", "")).strip().casefold() not in _NOTHING


@cache
def _client() -> tuple[Any, str]:
    named = settings.reward_judge()
    assert named is not None  # noqa: S101 - asked before
    url, model, key = named
    return openai.OpenAI(base_url=url, api_key=key, timeout=_SECONDS, max_retries=3), model


def _messages(row: tuple[str, ...]) -> Any:
    parts = template.parse(_file("judgement.md"), {})
    return [{"role": part.role, "content": part.texts(_COLUMNS, [row])[0]} for part in parts]


@cache
def _form() -> Any:
    schema = json.loads(_file("judgement.json").text)
    return {"type": "json_schema", "json_schema": {"name": "judgement", "strict": True, "schema": schema}}


@cache
def _file(name: str) -> Source:
    path = shipped_root() / "prompts" / "chimera" / name
    return Source(f"chimera/{name}", path, path.read_text(encoding="utf-8"))
