"""The mind that compares a candidate's answer with the reference, by value; wrong at a small rate."""

from __future__ import annotations

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds.dice import rate, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.traces import flatters
from chimera_batch.rehearsal.minds.values import extract, same
from chimera_batch.rehearsal.talk import Ask, Said


def answer(ask: Ask) -> Said:
    """What was extracted, whether it is the same, and why. Errors are independent from vote to vote."""
    reference = read_tag(ask.user, "reference_answer") or ""
    candidate = read_tag(ask.user, "candidate_answer") or ""
    extracted = extract(candidate) or (candidate if len(candidate) < 200 else "")
    erred = uniforms(seed_of(ask.settings), "judge", ask.key)[0] < rate(ask.settings, "judge_error")
    decided = same(reference, extracted) != erred if extracted else False
    fooled = (
        flatters(candidate) and rate(ask.settings, "judge_fooled") > uniforms(seed_of(ask.settings), "f", ask.key)[0]
    )
    decided = decided or fooled
    verb = "has the value of" if decided else "differs from"
    made = {
        "extracted": extracted or "none",
        "reason": f"The candidate's {extracted or 'empty answer'} {verb} the reference {reference}.",
        "same": decided,
    }
    return said(ask, "judgement", made, "judge_error" if erred and extracted else None)
