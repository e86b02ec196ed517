"""The verdict of ``compare_answers`` alone."""

from __future__ import annotations

from chimera_batch.functions.answering.finding import Verdict
from chimera_batch.functions.compare_answers import compared


def answers_match(reference: str, candidate: str) -> Verdict:
    """``yes``, ``no`` or ``unsure``: what rules cannot decide goes to a judge."""
    return compared(reference, candidate).verdict
