"""Three providers' token counts in one convention (records.Usage): input is the total, cache included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.records import Usage

_new = tuple.__new__  # of a named tuple: a third of the time, as there is one for every result line


MOST = 10**12
"""More tokens are no count: no request has a millionth of it, and its price would not fit the column of dollars."""


def count(value: object) -> int:
    """A token or row count as hosts write it: a number, or a string of digits. Anything else counts as 0."""
    if type(value) is int:  # which a bool is not; first, because it is nearly always so
        return value if 0 <= value < MOST else 0
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return int(value) if 0 <= value < MOST else 0  # NaN and infinity are no counts
    if isinstance(value, str) and len(text := value.strip()) < 20 and text.isascii() and text.isdigit():
        return count(int(text))
    return 0


def part(value: object, key: str) -> Mapping[str, Any]:
    """``value[key]`` when both are objects, else an empty one: details are often absent or null."""
    if type(value) is dict and type(inner := value.get(key)) is dict:  # asking for a Mapping takes ten times as long
        return inner
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def of_chat(usage: object) -> Usage | None:
    """Usage of chat completions and embeddings; ``prompt_tokens`` includes cached tokens."""
    return _openai(usage, _CHAT)


def of_responses(usage: object) -> Usage | None:
    """Usage of /v1/responses, and the total that OpenAI's batch object carries."""
    return _openai(usage, _RESPONSES)


_CHAT = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
_RESPONSES = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


def _openai(usage: object, names: tuple[str, str, str, str]) -> Usage | None:
    if type(usage) is not dict and not isinstance(usage, Mapping):
        return None
    given, made, of_given, of_made = names
    details, written, long = part(usage, of_given), 0, 0
    if "cache_write_tokens" in details or "cache_write_tokens_details" in details:  # few hosts charge for writes
        written = count(details.get("cache_write_tokens"))
        long = count(part(details, "cache_write_tokens_details").get("ttl_12h_tokens"))
        written = max(written - long, 0)
    cached, thought = details.get("cached_tokens"), part(usage, of_made).get("reasoning_tokens")
    read, wrote = count(usage.get(given)), count(usage.get(made))
    return _new(Usage, (read, count(cached) if cached else 0, written, long, wrote, count(thought) if thought else 0))


def of_anthropic(usage: object) -> Usage | None:
    """Usage of a Message; there ``input_tokens`` excludes what was read from or written to the cache."""
    if not isinstance(usage, Mapping):
        return None
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    long = count(part(usage, "cache_creation").get("ephemeral_1h_input_tokens"))
    return Usage(
        input_tokens=count(usage.get("input_tokens")) + read + written,
        cached_tokens=read,
        cache_write_tokens=max(written - long, 0),
        cache_write_long_tokens=long,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(part(usage, "output_tokens_details").get("thinking_tokens")),
    )
