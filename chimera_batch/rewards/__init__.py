"""Rewards for reinforcement learning on an ``rl`` export: 1.0 for the right final answer, 0.0 for everything else.

Rules decide first, the same ones that label the data. What they leave open goes, part by part, to a judge if
``CHIMERA_JUDGE_URL`` and ``CHIMERA_JUDGE_MODEL`` name one (any host that speaks OpenAI's chat completions;
``CHIMERA_JUDGE_KEY`` is its key), and counts as wrong without one: a reward that is given by mistake is learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from chimera_batch import settings
from chimera_batch.functions.answers_match import answers_match
from chimera_batch.functions.compare_answers import compare_parts
from chimera_batch.functions.final_answer import final_answer
from chimera_batch.functions.screen_trace import screen_trace

Verdict = Literal["yes", "no", "unsure"]

_AT_ONCE = 16  # questions to the judge


def compute_score(
    data_source: str, solution_str: str, ground_truth: str | None, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> float:
    """The reward of one solution, under the name and with the arguments that verl calls."""
    return _score(solution_str, ground_truth, _question(extra_info))


def solved(
    completions: Sequence[Any],
    reward_model: Sequence[Mapping[str, Any]],
    extra_info: Sequence[Mapping[str, Any]] | None = None,
    **_: Any,
) -> list[float]:
    """The rewards of a batch, as TRL's GRPO trainer calls it: every column of the export arrives as a list."""
    infos = extra_info or [{}] * len(completions)
    truths = [one.get("ground_truth") for one in reward_model]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_score, map(said, completions), truths, map(_question, infos)))


def said(completion: Any) -> str:
    """The text of a completion: a string, or the last of its chat messages."""
    if isinstance(completion, str):
        return completion
    last = completion[-1] if completion else {}
    content = last.get("content") if isinstance(last, Mapping) else None
    return content if isinstance(content, str) else ""


def decide(solution: str, reference: str | None) -> tuple[Verdict, str]:
    """What the rules say, and the final answer that they looked at. Thinking that never ended has no answer."""
    if not reference or ("<think>" in solution and "</think>" not in solution):
        return "no", ""
    answer = final_answer(solution) or ""
    return (answers_match(reference, answer) if answer else "no"), answer


def _score(solution: str, reference: str | None, question: str) -> float:
    verdict, answer = decide(solution, reference)
    if verdict == "unsure" and reference:
        verdict = "yes" if _judged(solution, answer, reference, question) else "no"
    return 1.0 if verdict == "yes" else 0.0


def _judged(solution: str, answer: str, reference: str, question: str) -> bool:
    """Whether the judge says yes to every part that is open. What the screen of the traces rejects it never sees."""
    if settings.reward_judge() is None or screen_trace(solution, answer, question) != "ok":
        return False
    from chimera_batch.rewards import judge  # noqa: PLC0415 - its client is slow to import and rarely needed

    parts = [part for part in compare_parts(reference, answer) if part["verdict"] != "yes"]
    return all(judge.same(question, part["part"], part["reference"], part["candidate"]) for part in parts)


def _question(info: Mapping[str, Any] | None) -> str:
    return str((info or {}).get("question") or "")
