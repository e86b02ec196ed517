"""The mind that drafts problems: sound ones from the families, and planted faults at their rates."""

from __future__ import annotations

import random

from chimera_batch.rehearsal.minds.catalogue import (
    FIRST_PART,
    LEAKS,
    SECOND_PART,
    both,
    families_of,
    misconception,
)
from chimera_batch.rehearsal.minds.dice import dice, pick_fault, rate, seed_of
from chimera_batch.rehearsal.minds.family import INTRODUCTIONS, VERBS, Family, Params
from chimera_batch.rehearsal.minds.shape import said, words_to_tokens
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near
from chimera_batch.rehearsal.talk import Ask, Said

FAULTS = (
    "wrong_answer",
    "ambiguous",
    "proof_only",
    "multiple_choice",
    "answer_leaked",
    "duplicate_problem",
    "wrong_part",
)
_IN_WORDS = {"proof_only", "multiple_choice", "wrong_part"}
_REFUSAL = "I'm sorry, but I can't help with writing this problem."


def answer(ask: Ask) -> Said:
    """One draft: question, solution, answer, and whether the answer is a number or text."""
    rng = dice(seed_of(ask.settings), "problems", ask.key)
    if rng.random() < rate(ask.settings, "refusal"):
        return Said(_REFUSAL, None, words_to_tokens(_REFUSAL), 0, refused=True, planted="refusal")
    subject = read_tag(ask.user, "subject") or ""
    topic = read_tag(ask.user, "topic") or subject or "the topic at hand"
    fault = pick_fault(rng.random(), ask.settings, FAULTS)
    if fault == "duplicate_problem":
        # The well-worn problem of its area: equal in wording and data, whoever drafts it, except for the topic's name.
        rng = dice(seed_of(ask.settings), "worn", subject, read_tag(ask.user, "area") or "")
    family = rng.choice(families_of(subject))
    params = family.draw(rng)
    question, given = _state(family, params, topic, fault, rng)
    if fault == "wrong_answer" and rng.random() < rate(ask.settings, "misconception"):
        given = misconception(seed_of(ask.settings), question, family.solve(params))
    made = {
        "question": question,
        "solution": _solution(family, params, given, rng),
        "answer": given,
        "answer_kind": "text" if family.kind == "text" or fault in _IN_WORDS else "number",
    }
    return said(ask, "problems", made, fault)


def _state(family: Family, params: Params, topic: str, fault: str | None, rng: random.Random) -> tuple[str, str]:
    """The question and the answer that comes with it."""
    right = family.solve(params)
    if fault == "ambiguous":
        return family.question(params, topic, rng, omit=rng.choice(sorted(params))), right
    if fault in {"proof_only", "wrong_part"}:
        return (_proof if fault == "proof_only" else _parts)(family, params, topic, rng)
    question = family.question(params, topic, rng)
    if fault == "wrong_answer":
        return question, near(right, rng)
    if fault == "multiple_choice":
        return _choices(question, right, rng)
    if fault == "answer_leaked":
        leak = rng.choice(LEAKS)
        return f"{question} {leak}{right}{').' if leak.startswith('(') else ', and it is to be confirmed.'}", right
    return question, right


def _proof(family: Family, params: Params, topic: str, rng: random.Random) -> tuple[str, str]:
    claim = family.claim(params)
    setup = family.setup.format_map(family.shown(params))
    opening = rng.choice(INTRODUCTIONS).replace("{}", topic)
    return f"{opening} {setup} Prove that {claim}.", f"{claim[0].upper()}{claim[1:]}."


def _parts(family: Family, params: Params, topic: str, rng: random.Random) -> tuple[str, str]:
    """Two questions of one family under one opening; one of the two answers is wrong."""
    other = family.draw(rng)
    verb = rng.choice(VERBS)
    opening = rng.choice(INTRODUCTIONS).replace("{}", topic)
    asked = (family.asked(params, verb), family.asked(other, verb))
    answers = [family.solve(params), family.solve(other)]
    wrong = rng.randrange(2)
    answers[wrong] = near(answers[wrong], rng)
    return f"{opening}{FIRST_PART}{asked[0]}{SECOND_PART}{asked[1]}", both(*answers)


def _choices(question: str, right: str, rng: random.Random) -> tuple[str, str]:
    wrong: list[str] = []
    while len(wrong) < 3:
        other = near(right, rng)
        if other not in wrong:
            wrong.append(other)
    place = rng.randrange(4)
    options = [*wrong[:place], right, *wrong[place:]]
    listed = " ".join(f"({letter}) {option}" for letter, option in zip("ABCD", options, strict=True))
    return f"{question} Choose one: {listed}", f"({'ABCD'[place]}) {right}"


def _solution(family: Family, params: Params, given: str, rng: random.Random) -> str:
    data = ", ".join(f"{name} = {text}" for name, text in family.shown(params).items())
    check = rng.choice(("A second computation agrees.", "The size is plausible.", "A small case confirms the method."))
    return f"Write the data as {data}. {family.method} Result: {given.rstrip('.')}. {check}"
