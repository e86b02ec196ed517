"""The mind that solves as well as its model may: ``skill`` in the settings, a model's chance to be right.

    skill: {my-4b: 0.6, my-4b-sft: {default: 0.75, Physics: 0.2, buffer: 0.0}}

A number, or one by family, subject and ``default``. Half of a chance hangs on the question, so that some are easy for
every model and some hard: what makes pass@k rise with k. A model that has no skill set is the mind of ``traces``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds.catalogue import Reading, recognise
from chimera_batch.rehearsal.minds.dice import dice, rate, seed_of
from chimera_batch.rehearsal.minds.shape import words_to_tokens
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near, other_form
from chimera_batch.rehearsal.talk import Ask, Said

_OPTION = re.compile(r"^\(([A-Z])\) (.+)$", re.MULTILINE)


def plays(ask: Ask) -> bool:
    """Whether the settings give this model a skill."""
    told = ask.settings.get("skill")
    return isinstance(told, Mapping) and ask.model in told


def chance(settings: Mapping[str, Any], model: str, question: str) -> float:
    """How probable it is that one try of this model at the question is right. The mean over questions is its skill."""
    told, found = settings["skill"][model], recognise(question)
    skill = float(_of(told, found) if isinstance(told, Mapping) else told)
    hard = uniforms(seed_of(settings), "hard", question)[0]  # of the question alone: the same for every model
    return skill + (1 - 2 * hard) * min(skill, 1 - skill)


def _of(told: Mapping[str, Any], found: Reading | None) -> Any:
    names = (found.family.name, found.family.subject, "default") if found else ("default",)
    return next((told[name] for name in names if name in told), 0.5)


def answer(ask: Ask) -> Said:
    """A solution that ends in a box; a question with options is answered by a letter."""
    rng = dice(seed_of(ask.settings), "trial", ask.key)
    problem = read_tag(ask.user, "problem") or ""
    found = recognise(problem)
    options = {text.strip(): letter for letter, text in _OPTION.findall(problem)}
    right = rng.random() < chance(ask.settings, ask.model, problem)
    final = _final(ask, found, options, right, rng)
    method = found.family.method if found else "Work through the statement step by step."
    reasoning = f"The problem reads: {problem}\n\n{method} A second computation leads to the same value."
    data = ", ".join(found.family.shown(found.params).values()) if found and found.params else "as given"
    text = f"{method} The data are {data}.\n\nTherefore \\boxed{{{final}}}"
    thought = words_to_tokens(reasoning)
    planted = None if right else "wrong_trace"
    return Said(text, reasoning, thought + words_to_tokens(text), thought, planted=planted)


def _final(ask: Ask, found: Reading | None, options: Mapping[str, str], right: bool, rng: random.Random) -> str:
    """The right answer or another one. To somebody else's question nobody here knows the answer: a guess."""
    true = found.right if found else None
    if options:
        mine = options.get(true or "")
        others = sorted(letter for letter in options.values() if letter != mine)
        return mine if right and mine else rng.choice(others or ["A"])
    if true is None:
        return str(rng.randint(3, 9999))
    if not right:
        return near(true, rng)
    return other_form(true, rng) if rng.random() < rate(ask.settings, "equivalent_form") else true
