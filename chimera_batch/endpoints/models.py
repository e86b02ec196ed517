"""What a model's name alone tells about the parameters that it takes."""

from __future__ import annotations

import re

# "gpt-oss-…" are open weights served by other hosts, which follow the older parameter names.
_OPENAI = re.compile(r"(ft:)?(gpt-(?!oss)|chatgpt-|codex-|o[0-9])")
_REASONING = re.compile(r"(ft:)?(gpt-[5-9]|codex-|o[0-9])")
_EMBEDDING = re.compile(r"text-embedding-")


def is_openai(model: str) -> bool:
    """Whether the name is one of OpenAI's own hosted models (a fine-tuned one included)."""
    return bool(_OPENAI.match(model) or _EMBEDDING.match(model))


def is_openai_reasoning(model: str) -> bool:
    """Whether OpenAI refuses sampling parameters for this model, line by line and only after the wait."""
    return bool(_REASONING.match(model))
