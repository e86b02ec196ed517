"""The mind that solves a problem without having seen anybody's answer; wrong at a rate of its own, partly shared."""

from __future__ import annotations

from chimera_batch.rehearsal.minds.catalogue import misconception, recognise
from chimera_batch.rehearsal.minds.dice import common_luck, dice, rate, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near, other_form
from chimera_batch.rehearsal.talk import Ask, Said


def answer(ask: Ask) -> Said:
    """Working, whether the problem can be solved as stated, and the final answer; "none" where it cannot.

    An error that is shared ends with the wrong answer that the problem tempts to, so two who share it agree.
    """
    rng = dice(seed_of(ask.settings), "arbitration", ask.key)
    problem = read_tag(ask.user, "problem") or ""
    found = recognise(problem)
    right = found.right if found and "Prove that " not in problem else None
    shared = common_luck(ask.settings, problem)
    erred = right is not None and (rng.random() if shared is None else shared) < rate(ask.settings, "blind_error")
    final = right or "none"
    if erred:
        final = near(final, rng) if shared is None else misconception(seed_of(ask.settings), problem, final)
    elif right and rng.random() < rate(ask.settings, "equivalent_form"):
        final = other_form(final, rng)
    method = found.family.method if found else "The statement is read twice and worked through."
    made = {
        "working": f"{method} The data are inserted and the result is {final}. A second way agrees.",
        "solvable": right is not None,
        "final_answer": final,
    }
    return said(ask, "arbitration", made, "blind_error" if erred else None)
