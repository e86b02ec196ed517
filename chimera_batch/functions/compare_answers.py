"""Whether two final answers are the same, as far as that is certain without a model, with what decided it."""

from __future__ import annotations

from chimera_batch.functions.answer_parts import paired
from chimera_batch.functions.answering.amounts import compared_amounts
from chimera_batch.functions.answering.finding import UNDECIDED, Finding, short
from chimera_batch.functions.answering.quantity import bare_number
from chimera_batch.functions.answering.rules import by_rules

FINDING = "STRUCT(verdict VARCHAR, method VARCHAR, evidence VARCHAR)"
PARTS = (
    "STRUCT(part VARCHAR, reference VARCHAR, candidate VARCHAR, verdict VARCHAR, method VARCHAR, evidence VARCHAR)[]"
)
_LONGEST = 2_000  # characters: a longer part is compared letter by letter only


def compare_answers(reference: str, candidate: str) -> dict[str, str]:
    """verdict (yes, no, unsure), method and evidence over all parts: yes if all are, no if one is."""
    return compared(reference, candidate)._asdict()


def compare_parts(reference: str, candidate: str) -> list[dict[str, str]]:
    """Every part of the reference beside the candidate's, with its finding; one without a label for a simple answer."""
    return [
        {"part": label, "reference": one, "candidate": other, **compared_part(one, other)._asdict()}
        for label, one, other in paired(reference, candidate)
    ]


def compared(reference: str, candidate: str) -> Finding:
    """``compare_answers`` for Python."""
    if (one := bare_number(reference)) and (other := bare_number(candidate)):
        if reference == candidate:
            return Finding("yes", "exact", short(reference))
        return compared_amounts((one, reference), (other, candidate))  # the commonest case, many times faster
    pairs = paired(reference, candidate)
    if len(pairs) == 1:
        return compared_part(reference, candidate)
    found = [(label, compared_part(one, other)) for label, one, other in pairs]
    wrong = next((item for item in found if item[1].verdict == "no"), None)
    if wrong:
        return Finding("no", "parts", f"{short(wrong[0])}: {wrong[1].evidence}")
    if all(finding.verdict == "yes" for _, finding in found):
        return Finding("yes", "parts", f"{len(found)} parts agree")
    return UNDECIDED


def compared_part(reference: str, candidate: str) -> Finding:
    """The finding on one part."""
    if max(len(reference), len(candidate)) > _LONGEST:
        same = reference.split() == candidate.split()
        return Finding("yes", "exact", "the same long text") if same else UNDECIDED
    return by_rules(reference, candidate)
