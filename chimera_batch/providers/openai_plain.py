"""Result lines of OpenAI-style hosts as nearly all of them are, read for what is needed of them and nothing else. Pure.

A line is plain when nothing about it needs a decision: status 200, no error, one choice that ended with ``stop``, text,
usage. ``openai_shapes.decode`` would say the same of it, three times as slowly; it reads all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

from chimera_batch.endpoints.usage import MOST
from chimera_batch.records import Plain

_Count = Annotated[int, Meta(ge=0, lt=MOST)]


class _Given(Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: None = None
    cache_write_tokens_details: None = None


class _Made(Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: Annotated[int, Meta(ge=1, lt=MOST)]
    completion_tokens: _Count
    prompt_tokens_details: _Given | None = None
    completion_tokens_details: _Made | None = None


class _Message(Struct, gc=False):
    content: Annotated[str, Meta(min_length=1)]
    refusal: None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(Struct, gc=False):
    message: _Message
    finish_reason: Literal["stop"]


class _Body(Struct, gc=False):
    object: Literal["chat.completion"]
    choices: tuple[_Choice]
    usage: _Usage
    model: str | None = None
    service_tier: str | None = None
    error: None = None


class _Response(Struct, gc=False):
    status_code: Literal[200]
    body: _Body


class _Row(Struct, gc=False):
    custom_id: str
    response: _Response
    error: None = None
    engine: None = None  # of an engine of one's own: its time is on the bill


_decode = Decoder(_Row).decode


def plain(lines: Sequence[bytes]) -> Plain:
    """As many of the first lines as are plain, in columns."""
    rows: list[_Row] = []
    with suppress(ValueError, RecursionError):  # what is read of the lines before it stays
        rows.extend(map(_decode, lines))
    rows = rows[: _valid(lines, len(rows))]
    bodies = [row.response.body for row in rows]
    messages = [body.choices[0].message for body in bodies]
    used = [body.usage for body in bodies]
    given, made = [one.prompt_tokens_details for one in used], [one.completion_tokens_details for one in used]
    none = [0] * len(rows)
    return Plain(
        [row.custom_id for row in rows],
        [message.content for message in messages],
        [message.reasoning or message.reasoning_content for message in messages],
        "stop",
        [body.model for body in bodies],
        [body.service_tier for body in bodies],
        (
            [one.prompt_tokens for one in used],
            [(one.cached_tokens or 0) if one else 0 for one in given],
            none,
            none,
            [one.completion_tokens for one in used],
            [(one.reasoning_tokens or 0) if one else 0 for one in made],
        ),
    )


def _valid(lines: Sequence[bytes], most: int) -> int:
    """How many of the first lines are UTF-8: of what it passes over, the decoder does not say."""
    for number, line in enumerate(lines[:most]):
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return most
