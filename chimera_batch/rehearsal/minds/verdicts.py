"""The mind that verifies: it solves the problem again from its text, and errs at known, partly shared rates."""

from __future__ import annotations

from typing import Any

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds.catalogue import Reading, diagnose, recognise
from chimera_batch.rehearsal.minds.dice import common_luck, dice, rate, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near
from chimera_batch.rehearsal.talk import Ask, Said

_CHECKS = ("on_topic", "self_contained", "single_answer", "answer_correct")
_REASONS = {
    "wrong_answer": ("answer_correct", "Solving it afresh gives {own}, not {proposed}."),
    "ambiguous": ("self_contained", "A quantity that the result depends on is not given."),
    "proof_only": ("single_answer", "It asks for a proof, and the proposed answer restates the claim."),
    "multiple_choice": ("single_answer", "It offers choices to pick from."),
    "answer_leaked": ("single_answer", "The question states its own answer."),
    "multi_part": ("single_answer", "It asks for two things at once."),
    "wrong_part": ("single_answer", "It asks for two things at once, and one of the answers is wrong: {own}."),
    "false_alarm": ("answer_correct", "My own result is {own}, which differs from {proposed}."),
}


def answer(ask: Ask) -> Said:
    """Working, own answer, four checks, verdict and reason, from the problem's text and the proposed answer."""
    problem = read_tag(ask.user, "problem") or ""
    proposed = read_tag(ask.user, "proposed_answer")
    found = recognise(problem)
    fault = diagnose(found, problem, proposed)
    erred = _errs(ask, problem, proposed, rate(ask.settings, "verifier_miss" if fault else "verifier_false_alarm"))
    seen = fault if not erred else None if fault else "false_alarm"
    planted = None if not erred else "verifier_miss" if fault else "verifier_false_alarm"
    return said(ask, "verdict", _verdict(ask, found, proposed, seen), planted)


def _errs(ask: Ask, problem: str, proposed: str | None, wanted: float) -> bool:
    """Whether this verifier errs here. With probability rho all verifiers share one draw per problem.

    The errors of any two are then correlated by exactly rho, and repeated votes of one verifier as well.
    """
    shared = common_luck(ask.settings, problem)
    if shared is not None:
        return shared < wanted
    return uniforms(seed_of(ask.settings), "own error", problem, proposed, ask.model, ask.key)[0] < wanted


def _verdict(ask: Ask, found: Reading | None, proposed: str | None, seen: str | None) -> dict[str, Any]:
    right = found.right if found else None
    own = "none" if seen in {"ambiguous", "proof_only"} else right or proposed or "none"
    if seen == "false_alarm":
        own = near(own, dice(seed_of(ask.settings), "slip", own, ask.model)) if own != "none" else "unclear"
    elif seen is None and proposed:
        own = proposed  # a verifier that misses a fault has talked itself into the proposed answer
    method = found.family.method if found else "The statement is read twice and worked through."
    failed, reason = _REASONS[seen] if seen else (None, "The independent result agrees: {own}.")
    return {
        "working": f"{method} The data are inserted and the result is {own}.",
        "own_answer": own,
        **{check: check != failed for check in _CHECKS},
        "verdict": "reject" if seen else "keep",
        "reason": reason.format(own=own, proposed=proposed),
    }
