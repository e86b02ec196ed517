"""Whether two final answers are the same, as far as that is certain without a model, with what decided it."""

from __future__ import annotations

from chimera_batch.functions.finding import UNDECIDED, Finding
from chimera_batch.functions.rules import by_rules

FINDING = "STRUCT(verdict VARCHAR, method VARCHAR, evidence VARCHAR)"
_LONGEST = 2_000  # characters: a longer answer is compared letter by letter only


def compare_answers(reference: str, candidate: str) -> dict[str, str]:
    """verdict (yes, no, unsure), method and evidence. Symmetric in its verdict, but for empty answers."""
    return compared(reference, candidate)._asdict()


def compared(reference: str, candidate: str) -> Finding:
    """``compare_answers`` for Python."""
    if max(len(reference), len(candidate)) > _LONGEST:
        same = reference.split() == candidate.split()
        return Finding("yes", "exact", "the same long text") if same else UNDECIDED
    return by_rules(reference, candidate)
