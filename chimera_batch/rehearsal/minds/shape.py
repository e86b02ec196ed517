"""What every mind does last: the JSON text in the schema's shape, and the tokens that it took."""

from __future__ import annotations

import json
from typing import Any

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.generic import follow
from chimera_batch.rehearsal.minds.dice import dice, heavy, pick_fault, rate, seed_of
from chimera_batch.rehearsal.talk import Ask, Said

_THOUGHT = {
    "topics": 1200.0,
    "same_topics": 90.0,
    "problems": 900.0,
    "conversions": 600.0,
    "verdict": 450.0,
    "judgement": 60.0,
    "arbitration": 900.0,
    "ranking": 700.0,
}
"""Mean reasoning tokens behind an answer; the reasoning itself is hidden, as most providers do."""

_JSON = json.JSONEncoder(ensure_ascii=False)


def said(ask: Ask, mind: str, made: dict[str, Any], planted: str | None = None) -> Said:
    """The answer as JSON, with the fields of the asked schema; broken JSON at its rate on the first attempt."""
    u, v, *_ = uniforms(seed_of(ask.settings), "shape", ask.key)
    text = _JSON.encode(_fitted(ask, made))
    if ask.attempt <= 1 and pick_fault(u, ask.settings, ("invalid_json",)):
        text, planted = text[: int(len(text) * (0.3 + 0.6 * v))], "invalid_json"
    thought = round(heavy(v, _THOUGHT[mind], rate(ask.settings, "output_cv")))
    return Said(text, None, words_to_tokens(text) + thought, thought, planted=planted)


def words_to_tokens(text: str) -> int:
    """About 1.4 tokens for each blank-separated word, and never none."""
    return int((text.count(" ") + text.count("\n") + 1) * 1.4) + 1


def _fitted(ask: Ask, made: dict[str, Any]) -> dict[str, Any]:
    """What was made, in the order of the schema's properties: fields that it lacks are left out, others filled in."""
    wanted = (ask.schema or {}).get("properties")
    if not wanted or list(wanted) == list(made):
        return made
    missing = {name: schema for name, schema in wanted.items() if name not in made}
    rng = dice(seed_of(ask.settings), "fill", ask.key) if missing else None
    filled = {name: follow(schema, rng, ask.schema) for name, schema in missing.items()} if rng else {}
    return {name: made[name] if name in made else filled[name] for name in wanted}
