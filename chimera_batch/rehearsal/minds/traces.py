"""The mind that solves: a long reasoning trace and a short solution, with planted faults."""

from __future__ import annotations

import random
import re

from chimera_batch.rehearsal.minds.catalogue import families, recognise
from chimera_batch.rehearsal.minds.dice import dice, heavy, pick_fault, rate, seed_of
from chimera_batch.rehearsal.minds.shape import words_to_tokens
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.topics import vocabulary
from chimera_batch.rehearsal.minds.values import near, other_form
from chimera_batch.rehearsal.talk import Ask, Said

FAULTS = ("wrong_trace", "other_problem", "no_box", "empty")
_NOTHING = ("", "", ":", "Thought process:")
_STATED = ("\n\nThe final answer is", "\n\nFinal answer:", "\n\nThe answer is", " So the final answer is")
_ENTITY = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]{6,}")
_OPTION = re.compile(r"\(([A-D])\) (.+?)(?= \([A-D]\) |$)")
_BLOCKS = tuple("""\
First I look at what is given about {} and keep it apart from what is asked for.
The role of {} has to be clear before anything is computed, so let me restate it in my own words.
Let me write {} down once more, because a slip at this point would carry through to the end.
If {} were larger, the result would move in the same direction, which is a useful check on the sign.
I could treat {} by a shortcut, but the direct way is short enough and leaves less room for error.
Wait, is {} really meant in that sense here, or does the statement use it in a narrower one?
Reading the statement again, {} is meant literally, so the first interpretation stands.
Now combine this with {} and simplify the expression step by step.
A quick estimate with {} rounded to one digit gives the right order of magnitude.
Next I separate the part that depends on {} from the part that does not.
Suppose for a moment that {} were absent: then the problem would reduce to a standard case.
That limiting case agrees with what is known, so the treatment of {} seems sound.
Let me double-check the arithmetic around {} by doing it in the opposite order.
Both orders lead to the same intermediate value, so {} has been used consistently.
There is a subtle point about {} that is easy to overlook, namely that it enters only once.
Going back to {}, I see no further condition that I have not used yet.
An alternative route would start from {} and work backwards, and it leads to the same relation.
I should keep enough digits here, since {} is sensitive to rounding at an early stage.
Substituting {} into the relation removes the last unknown.
So far every step that involves {} can be justified from the statement alone.
""".splitlines())  # fmt: skip


def answer(ask: Ask) -> Said:
    """A trace and a solution that ends in a box; the answer inside it is right unless a fault is planted."""
    rng = dice(seed_of(ask.settings), "trace", ask.key)
    problem = read_tag(ask.user, "problem") or ""
    fault = pick_fault(rng.random(), ask.settings, FAULTS)
    treated = problem
    final = _final(problem, rng)
    if fault == "other_problem":
        treated, final = _other(problem, final, rng)
    elif fault == "wrong_trace":
        final = near(final, rng)
    elif rng.random() < rate(ask.settings, "equivalent_form") and "Prove that " not in problem:
        final = other_form(final, rng)
    words = heavy(rng.random(), rate(ask.settings, "trace_words"), rate(ask.settings, "output_cv"))
    reasoning = _reasoning(treated, final, words, rng)
    text = rng.choice(_NOTHING) if fault == "empty" else _text(treated, final, fault != "no_box", rng)
    thought = words_to_tokens(reasoning)
    return Said(text, reasoning, thought + words_to_tokens(text), thought, planted=fault)


def _final(problem: str, rng: random.Random) -> str:
    """The right answer to the problem as it stands; a guess where it cannot be solved."""
    found = recognise(problem)
    if "Prove that " in problem:
        return problem.partition("Prove that ")[2].rstrip(". ") or "the claim"
    if found is None:
        return str(rng.randint(3, 9999))
    right = found.right or found.family.solve(found.family.draw(rng))
    options = _OPTION.findall(problem) if "Choose one: " in problem else []
    return next((str(letter) for letter, option in options if option == right), right)


def _other(problem: str, final: str, rng: random.Random) -> tuple[str, str]:
    """Another family's problem; in half of the cases under this problem's own answer, which only reading can tell."""
    here = recognise(problem)
    family = rng.choice([family for family in families() if not here or family.subject != here.family.subject])
    question, params = family.make(rng, rng.choice(vocabulary(family.subject)).topic)
    return question, final if rng.random() < 0.5 else family.solve(params)


def _reasoning(problem: str, final: str, words: float, rng: random.Random) -> str:
    entities = _ENTITY.findall(problem) or ["the statement"]
    blocks = rng.choices(_BLOCKS, k=max(int((words - problem.count(" ")) / 16), 3))
    pieces = " ".join(blocks).split("{}")
    filled = rng.choices(entities, k=len(pieces) - 1)
    told = "".join(part for pair in zip(pieces, filled, strict=False) for part in pair) + pieces[-1]
    return f"The problem reads: {problem}\n\n{told}\n\nSo the final value is {final}."


def _text(problem: str, final: str, boxed: bool, rng: random.Random) -> str:
    found = recognise(problem)
    method = found.family.method if found else "Work through the statement step by step."
    data = f" The data are {', '.join(found.family.shown(found.params).values())}." if found and found.params else ""
    if not boxed:
        return f"{method}{data}{rng.choice(_STATED)} {final}."
    ending = rng.choice(("Final answer:", "Hence", "The answer is", "Therefore"))
    return f"{method}{data} The result was checked by a second computation.\n\n{ending} \\boxed{{{final}}}"
