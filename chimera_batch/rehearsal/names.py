"""What a request asks for, by name: the schema's, where the protocol carries one, else the one its properties tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TEXT: Final = "text"
"""The name of an answer without a schema, where lengths are set by name."""

_MARKS = {
    "chimera_topics": {"topics"},
    "chimera_same_topics": {"only_first", "relation"},
    "chimera_problems": {"question", "answer_kind"},
    "chimera_conversions": {"possible", "problems"},
    "chimera_verdict": {"own_answer", "verdict"},
    "chimera_judgement": {"extracted", "same"},
    "augmentation_problems": {"difficulty", "question"},
    "rewriting_articles": {"background", "definitions"},
    "quality_ranking": {"well_posedness", "depth"},
    "rewriting_verdict": {"unsupported", "faithful"},
    "chimera_arbitration": {"solvable", "final_answer"},
}
"""Properties that tell a schema where the protocol carries no name for it, as Anthropic's does."""


def schema_name(told: str | None, schema: Mapping[str, Any] | None) -> str | None:
    """The name that the request carries, else that of the schema whose properties it has."""
    if told is not None or schema is None:
        return told
    properties = set(schema.get("properties", ()))
    return next((name for name, marks in _MARKS.items() if marks <= properties), None)
