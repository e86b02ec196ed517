"""Digests of everything that shapes a stage's requests or its table. Pure.

An unchanged fingerprint lets a run skip the work behind it; prices, budgets and comments are not in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chimera_batch.project import Source, Stage

_VERSION = 1  # raise it when the engine's own SQL changes what it makes


def digest(value: object) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_round(stage: Stage, params: Mapping[str, Any], inputs: Mapping[str, str], previous: str) -> str:
    """What shapes the requests of one round: the rows, the prompt, the model, and the closed rounds before it."""
    return digest(
        [
            _VERSION,
            _text(stage.rows),
            _text(stage.prompt),
            [asdict(call) for call in stage.calls],
            stage.samples,
            _used(params, stage.rows, stage.prompt),
            inputs,
            previous,
        ]
    )


def of_stage(
    stage: Stage, params: Mapping[str, Any], inputs: Mapping[str, str], retries: int, realm: str | None = None
) -> str:
    """What shapes the stage's table: its rounds, its retry rules, what a person said, and its table query.

    ``realm``: where its answers come from, so that a table of a mock's answers never stands in for a paid one.
    """
    until = stage.rounds.until if stage.rounds else None
    return digest(
        [
            of_round(stage, params, inputs, "") if stage.kind == "ask" else _VERSION,
            _text(stage.table),
            {name: asdict(rule) for name, rule in stage.retry.items()},
            [stage.rounds.max, _text(until)] if stage.rounds else None,
            _used(params, stage.table, until),
            inputs,
            retries,
            realm,
        ]
    )


def _text(source: Source | None) -> str | None:
    return source.text if source else None


def _used(params: Mapping[str, Any], *sources: Source | None) -> dict[str, Any]:
    """The manifest's params that these files mention, so that changing another one changes nothing here."""
    text = "\n".join(source.text for source in sources if source)
    return {name: value for name, value in params.items() if re.search(rf"\b{re.escape(name)}\b", text)}
