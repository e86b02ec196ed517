"""Three providers' token counts in one convention (records.Usage): input is the total, cache included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.records import Usage


def count(value: object) -> int:
    """A token or row count as hosts write it: a number, or a string of digits. Anything else counts as 0."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return int(value) if 0 <= value < 1e18 else 0  # NaN and infinity are no counts
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    return 0


def part(value: object, key: str) -> Mapping[str, Any]:
    """``value[key]`` when both are objects, else an empty one: details are often absent or null."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def of_chat(usage: object) -> Usage | None:
    """Usage of chat completions and embeddings; ``prompt_tokens`` includes cached tokens."""
    if not isinstance(usage, Mapping):
        return None
    return _openai(usage, "prompt_tokens", "completion_tokens")


def of_responses(usage: object) -> Usage | None:
    """Usage of /v1/responses, and the total that OpenAI's batch object carries."""
    if not isinstance(usage, Mapping):
        return None
    return _openai(usage, "input_tokens", "output_tokens")


def _openai(usage: Mapping[str, Any], given: str, made: str) -> Usage:
    given_details, made_details = part(usage, f"{given}_details"), part(usage, f"{made}_details")
    written = count(given_details.get("cache_write_tokens"))
    long = count(part(given_details, "cache_write_tokens_details").get("ttl_12h_tokens"))
    return Usage(
        input_tokens=count(usage.get(given)),
        cached_tokens=count(given_details.get("cached_tokens")),
        cache_write_tokens=max(written - long, 0),
        cache_write_long_tokens=long,
        output_tokens=count(usage.get(made)),
        reasoning_tokens=count(made_details.get("reasoning_tokens")),
    )


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
