"""The mind that ranks three problems: each has a worth of its own, and a judge may favour a place.

In the settings, ``worth`` adds to a problem's worth by a phrase in it (``{"beyond doubt": 1.5}``), and
``position_bias`` to that of the problem in front, for all judges or by model (``{my-judge: 0.8}``). Both in standard
deviations of what a judge adds by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.rehearsal.chance import normal, uniforms
from chimera_batch.rehearsal.minds.dice import DEFAULT_RATES, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.talk import Ask, Said

CRITERIA = ("clarity", "well_posedness", "depth")


def answer(ask: Ask) -> Said:
    """For each criterion the three numbers, best first."""
    problems = [read_tag(ask.user, f"problem_{place}") or "" for place in (1, 2, 3)]
    made: dict[str, Any] = {"working": "They differ in what is given, what is asked for and how far it goes."}
    return said(ask, "ranking", made | {criterion: _ranked(ask, problems, criterion) for criterion in CRITERIA})


def _ranked(ask: Ask, problems: list[str], criterion: str) -> list[int]:
    seed = seed_of(ask.settings)
    slips = uniforms(seed, "ranking", criterion, ask.key)
    seen = [
        worth(ask.settings, problem, criterion) + normal(slip) + (_bias(ask) if place == 0 else 0.0)
        for place, (problem, slip) in enumerate(zip(problems, slips, strict=False))
    ]
    return sorted((1, 2, 3), key=lambda number: -seen[number - 1])


def worth(settings: Mapping[str, Any], problem: str, criterion: str) -> float:
    """What a problem is worth to every judge: its own draw, and what its phrases add."""
    own = normal(uniforms(seed_of(settings), "worth", criterion, problem)[0])
    told = settings.get("worth")
    return own + (sum(float(told[phrase]) for phrase in told if phrase in problem) if isinstance(told, Mapping) else 0)


def _bias(ask: Ask) -> float:
    told = ask.settings.get("position_bias", DEFAULT_RATES["position_bias"])
    return float(told.get(ask.model, 0.0) if isinstance(told, Mapping) else told)
