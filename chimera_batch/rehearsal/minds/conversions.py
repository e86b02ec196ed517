"""The mind that makes checkable problems of drafts that are none; it declines, and errs, at small rates of its own."""

from __future__ import annotations

import re
from typing import Any

from chimera_batch.rehearsal.minds.catalogue import LEAKS, recognise, truth
from chimera_batch.rehearsal.minds.dice import dice, pick_fault, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near
from chimera_batch.rehearsal.talk import Ask, Said

FAULTS = ("conversion_declined", "conversion_wrong")
_CLAIM = re.compile(r"Prove that (.+) equals [^ ]+(?: [^ ]+){0,3}?\.$")
_PARTS = re.compile(r"(?:^|\s)\(([a-f])\) ")
_OPTION = re.compile(r"\([A-D]\) (.*)", re.S)
Problem = tuple[str, str]


def answer(ask: Ask) -> Said:
    """Problems of the draft's data with the draft's results, which are solved again where the draft gave none."""
    rng = dice(seed_of(ask.settings), "conversions", ask.key)
    made = convert(read_tag(ask.user, "draft") or "", read_tag(ask.user, "draft_answer") or "")
    fault = pick_fault(rng.random(), ask.settings, FAULTS) if made else None
    if fault == "conversion_declined":
        made = []
    if fault == "conversion_wrong":
        at = rng.randrange(len(made))
        made[at] = (made[at][0], near(made[at][1], rng))
    return said(ask, "conversions", _form(made), fault)


def convert(question: str, given: str) -> list[Problem]:
    """The (question, answer) pairs that a draft of ours holds; none if it is not one of ours."""
    if "Prove that " in question:
        asked = _CLAIM.sub(r"Determine \1.", question)
        right = truth(asked)
        return [(asked, right)] if right else []
    stem, options, _ = question.partition(" Choose one: ")
    if options:
        found = _OPTION.fullmatch(given)
        return [(stem, found[1])] if found else []
    for leak in LEAKS:
        if leak in question:
            return [(question.partition(leak)[0].rstrip(), given)]
    return _parts(question, given)


def _parts(question: str, given: str) -> list[Problem]:
    """Each part under the opening of all, with its own part of the answer, right or wrong."""
    opening, *parts = _PARTS.split(question)
    _, *answers = _PARTS.split(given)
    if len(parts) < 4 or parts[::2] != answers[::2]:
        return []
    pairs = zip(parts[1::2], answers[1::2], strict=True)
    return [(f"{opening} {asked.strip()}", told.strip().rstrip(";")) for asked, told in pairs]


def _form(made: list[Problem]) -> dict[str, Any]:
    return {
        "working": "The data stay as they are; what is asked for is one result, which is computed from them.",
        "possible": bool(made),
        "problems": [
            {"question": asked, "solution": _solution(asked, told), "answer": told, "answer_kind": _kind(told)}
            for asked, told in made
        ],
        "why_not": "" if made else "Nothing definite remains once the claim is taken away.",
    }


def _solution(question: str, result: str) -> str:
    found = recognise(question)
    method = found.family.method if found else "Work through the statement step by step."
    return f"{method} Result: {result}. A second computation agrees."


def _kind(result: str) -> str:
    return "number" if re.match(r"-?\d", result) else "text"
