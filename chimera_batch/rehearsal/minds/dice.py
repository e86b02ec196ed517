"""What the minds leave to chance: the rates of planted faults, and generators that give the same draws everywhere."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, Final

from chimera_batch.rehearsal.chance import digest, normal, uniforms

DEFAULT_RATES: Final[Mapping[str, float]] = {
    # topics: share of the listed topics
    "duplicate_topic": 0.06,  # another spelling or word order of a topic that is already listed
    "near_duplicate_topic": 0.02,  # a listed topic in other words: abbreviated, a synonym, "Y and X in modern research"
    "narrower_topic": 0.0,  # "Quantum …" before a listed topic: looks like one, and is another
    "same_topic_error": 0.01,  # of the answers whether two topics are one
    "vague_topic": 0.01,  # "Emerging directions": names nothing
    # problems: share of the drafts; at most one of these per draft
    "wrong_answer": 0.08,  # the answer is off by a digit, by one, or by its sign
    "misconception": 0.25,  # of the wrong answers: the one that everybody falls for who is wrong about this problem
    "ambiguous": 0.04,  # a quantity that is needed is not given
    "proof_only": 0.03,  # "Prove that …", and the answer restates the claim
    "multiple_choice": 0.02,
    "answer_leaked": 0.02,  # the question states its answer
    "duplicate_problem": 0.02,  # one of a few well-worn problems of the subject, drafted again and again
    "wrong_part": 0.02,  # it asks for two things, and the answer to one of them is wrong
    "refusal": 0.002,  # of the drafts; a refusal stays one on every attempt
    "invalid_json": 0.005,  # of all answers to a schema, on the first attempt only
    # conversions of drafts that nobody could check: at most one of these per draft
    "conversion_declined": 0.05,  # nothing is made of it
    "conversion_wrong": 0.03,  # the answer of one of the new problems is wrong
    # verifiers: both rates are per problem
    "verifier_miss": 0.10,  # a bad problem is kept
    "verifier_false_alarm": 0.03,  # a good problem is rejected
    "rho": 0.3,  # correlation of the errors of any two that work on one problem: verifiers, solver, arbiter
    "blind_error": 0.04,  # the arbiter, who is shown no answer, arrives at a wrong one
    # traces: at most one of these per trace
    "wrong_trace": 0.08,  # the final answer is wrong
    "other_problem": 0.02,  # the trace treats another problem; half of them end with this problem's right answer
    "no_box": 0.03,  # the answer is right and stated in words
    "empty": 0.005,  # nothing, or ":" or "Thought process:"
    "claims_agreement": 0.005,  # the final answer is wrong, and the last line says that it is the known one
    "addresses_judge": 0.005,  # the final answer is wrong or none, and whoever grades it is told to accept it
    "equivalent_form": 0.15,  # right, and written in another way: no fault, and not named as planted
    # judges
    "judge_error": 0.01,  # the decision is turned round
    "position_bias": 0.3,  # what a ranking judge adds to the problem in front, in standard deviations of its chance
    "judge_fooled": 0.5,  # a text that only claims or orders, or says nothing, is taken at its word
    # new problems after failed ones; at most one of these, or "ambiguous", each
    "variant_copy": 0.04,  # the failed problem once more, word for word
    "variant_astray": 0.04,  # of another kind than the failed one
    # rewritten texts; at most one of these each
    "rewrite_number": 0.06,  # a number is another one
    "rewrite_omission": 0.04,  # a sentence with a number is missing
    "rewrite_claim": 0.05,  # a claim, in words, that the text does not make
    "rewrite_bare": 0.02,  # a section is empty
    # lengths
    "trace_words": 300.0,  # mean words of a reasoning trace
    "output_cv": 0.6,  # standard deviation over mean of lengths; lognormal
}
"""Every rate that a settings mapping may override by the same name. ``seed`` (default 0) is the other setting."""


def rate(settings: Mapping[str, Any], name: str) -> float:
    return float(settings.get(name, DEFAULT_RATES[name]))


def seed_of(settings: Mapping[str, Any]) -> str:
    return str(settings.get("seed", 0))


def common_luck(settings: Mapping[str, Any], problem: str) -> float | None:
    """The draw in [0, 1) that all who work on this problem share, with probability rho; None: each draws by itself.

    Whoever errs at rate p errs where the draw lies below p, so the errors of any two at equal rates have the
    correlation rho, and whoever errs seldom errs only where those err who err often.
    """
    coin, shared, *_ = uniforms(seed_of(settings), "shared error", problem)
    return shared if coin < rate(settings, "rho") else None


def dice(*parts: object) -> random.Random:
    """A generator of its own for these parts; equal parts give equal draws in every process."""
    return random.Random(int.from_bytes(digest(*parts)[:16], "big"))  # noqa: S311 - planted faults, no secrets


def heavy(u: float, mean: float, cv: float) -> float:
    """The lognormal value of this mean and coefficient of variation at quantile ``u``."""
    if mean <= 0 or cv <= 0:
        return max(mean, 0.0)
    sigma = math.sqrt(math.log1p(cv * cv))
    return mean * math.exp(sigma * normal(u) - sigma * sigma / 2)


def pick_fault(u: float, settings: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Which of these mutually exclusive faults the draw ``u`` falls on, if any."""
    for name in names:
        u -= rate(settings, name)
        if u < 0:
            return name
    return None
