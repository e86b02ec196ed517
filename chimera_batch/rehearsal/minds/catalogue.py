"""All families, and what a question's text alone tells: which family it is, its right answer, its fault."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from chimera_batch.rehearsal.minds.dice import dice
from chimera_batch.rehearsal.minds.family import Family, Params
from chimera_batch.rehearsal.minds.subjects import (
    biology,
    chemistry,
    computer_science,
    history,
    linguistics,
    literature,
    mathematics,
    physics,
)
from chimera_batch.rehearsal.minds.values import near, same

LEAKS = ("It is known that the result is ", "(A colleague has already found ")
"""How a question with the fault ``answer_leaked`` begins to tell its answer."""

FIRST_PART, SECOND_PART = " (a) ", " (b) "
"""What stands before each of the two parts of a question, and of its answer."""

_FAMILIES = (
    *mathematics.FAMILIES,
    *computer_science.FAMILIES,
    *chemistry.FAMILIES,
    *physics.FAMILIES,
    *literature.FAMILIES,
    *history.FAMILIES,
    *biology.FAMILIES,
    *linguistics.FAMILIES,
)
_BY_ANCHOR = tuple((family.anchor, family) for family in _FAMILIES)


def families() -> tuple[Family, ...]:
    """Every family, in a fixed order."""
    return _FAMILIES


@cache
def families_of(subject: str) -> tuple[Family, ...]:
    """A subject's families; all of them for a subject that is not one of the eight."""
    wanted = subject.casefold()
    return tuple(family for family in _FAMILIES if family.subject.casefold() == wanted) or _FAMILIES


class Reading(NamedTuple):
    """What a question's text says: its family, the data, and the right answer (None where the data are incomplete)."""

    family: Family
    params: Params | None
    right: str | None


def recognise(question: str) -> Reading | None:
    """The question, solved again from its text; None if it is not one of ours.

    Of a question with two parts: the first one's family and data, and both answers.
    """
    if not has_parts(question):
        return _recognise(question)
    first, second = map(_recognise, question.split(SECOND_PART, 1))
    if first is None or second is None:
        return None
    right = both(first.right, second.right) if first.right and second.right else None
    return Reading(first.family, first.params, right)


def has_parts(question: str) -> bool:
    """Whether it asks for two things."""
    return FIRST_PART in question.partition(SECOND_PART)[0] and SECOND_PART in question


def both(first: str, second: str) -> str:
    """The answer to a question with two parts."""
    return f"{FIRST_PART.lstrip()}{first};{SECOND_PART}{second}"


def misconception(seed: str, question: str, right: str) -> str:
    """The wrong answer that everybody gives who falls for what this problem tempts to."""
    return near(right, dice(seed, "misconception", question))


def _recognise(question: str) -> Reading | None:
    for anchor, family in _BY_ANCHOR:
        if anchor in question:
            try:
                params = family.parse(question)
                if params is not None and not family.holds(params):
                    return None  # somebody else's numbers: they may have no answer, or take for ever
                return Reading(family, params, None if params is None else family.solve(params))
            except (ArithmeticError, ValueError):
                return None
    return None


def truth(question: str) -> str | None:
    """The right answer, solved again from the text alone; None if the text is not one of ours or cannot be solved."""
    found = recognise(question)
    return found.right if found else None


def fingerprint(question: str) -> str | None:
    """Equal for two questions that are one problem (same family, same data), whatever topic and wording surround it."""
    if has_parts(question):
        prints = [fingerprint(part) for part in question.split(SECOND_PART, 1)]
        return " & ".join(filter(None, prints)) if all(prints) else None
    found = recognise(question)
    if found is None or found.params is None:
        return None
    shown = found.family.shown(found.params)
    return "|".join((found.family.name, *(f"{name}={shown[name]}" for name in sorted(shown))))


def fault_of(question: str, answer: str | None = None) -> str | None:
    """What is wrong with a problem, by the name of its planted fault; None if it is sound or not one of ours.

    Without an answer, only the faults of the statement are looked for. Duplicates need the other problem: compare
    ``fingerprint``.
    """
    return diagnose(recognise(question), question, answer)


def diagnose(found: Reading | None, question: str, answer: str | None) -> str | None:
    """``fault_of`` for a question that is already recognised."""
    if found is None:
        return None
    if "Prove that " in question:
        return "proof_only"
    if found.right is None:
        return "ambiguous"
    if "(A) " in question and "(B) " in question:
        return "multiple_choice"
    if any(leak in question for leak in LEAKS):
        return "answer_leaked"
    right = answer is None or answer == found.right or same(answer, found.right)
    said = ("multi_part", "wrong_part") if has_parts(question) else (None, "wrong_answer")
    return said[not right]
