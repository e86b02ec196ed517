"""Digests of everything that shapes a stage's requests or its table. Pure.

An unchanged fingerprint lets a run skip the work behind it; prices, budgets and comments are not in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from chimera_batch.pipeline.project import Source, Stage

_VERSION = 1  # raise it when the engine's own SQL changes what it makes


def digest(value: object) -> str:
    """16 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_round(stage: Stage, params: Mapping[str, Any], inputs: Mapping[str, str], previous: str) -> str:
    """What shapes the requests of one round: the rows, the prompt, the model, and the closed rounds before it.

    Params that only say how many rows a round asks for (``sized_by``) are not in it: a closed round stays what it was.
    """
    sized = stage.rounds.sized_by if stage.rounds else ()
    shaping = {name: value for name, value in params.items() if name not in sized or _fills(stage.prompt, name)}
    return digest(
        [
            _VERSION,
            _text(stage.rows),
            _text(stage.prompt),
            _calls(stage),
            stage.samples,
            _used(shaping, stage.rows, stage.prompt),
            inputs,
            previous,
        ]
    )


def of_rendering(stage: Stage, params: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> str:
    """What makes requests of rows with these columns and types: the same row gives the same requests again."""
    shown = {name: value for name, value in params.items() if _fills(stage.prompt, name)}
    told = shown | _used(params, stage.prompt)
    return digest([_VERSION, _text(stage.prompt), _calls(stage), stage.samples, told, columns])


def of_wave(first: str, previous: str, kept: str) -> str:
    """A later wave: as ``of_round`` of the first one says, then what it was sized from.

    What it was sized from goes on changing, so only the beginning is ever compared.
    """
    return f"{first}:{digest([previous, kept])}"


def of_end(stage: Stage, params: Mapping[str, Any], table: str, kept: str) -> str:
    """What decides whether another wave is asked: ``table``, the fingerprint of the stage's own, and what was kept."""
    assert stage.rounds is not None, stage.name  # noqa: S101 - only a stage with waves is asked about
    until = stage.rounds.until
    return digest([_VERSION, table, kept, stage.rounds.max, _text(until), _used(params, stage.rows, until)])


def of_stage(
    stage: Stage,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    retries: int,
    realm: str | None = None,
    waves: Sequence[str] = (),
) -> str:
    """What shapes the stage's table: its rounds, its retry rules, what a person said, and its table query.

    ``realm``: where its answers come from, so that a table of a mock's answers never stands in for a paid one.
    ``waves``: fingerprints of those that were asked; what decides about further ones does not shape the table.
    """
    until = stage.rounds.until if stage.rounds and not stage.rounds.after else None
    ends = [stage.rounds.max, _text(until)] if stage.rounds and not stage.rounds.after else None
    return digest(
        [
            of_round(stage, params, inputs, "") if stage.kind == "ask" else _VERSION,
            _text(stage.table),
            {name: asdict(rule) for name, rule in stage.retry.items()}
            | ({"pays": 1} if stage.longer_if_it_pays else {}),
            [list(waves)] if stage.rounds and stage.rounds.after else ends,
            _used(params, stage.table, until),
            inputs,
            retries,
            realm,
        ]
    )


def of_making(
    stage: Stage, params: Mapping[str, Any], inputs: Mapping[str, str], realm: str | None, asked: Sequence[str]
) -> str:
    """What makes the stage's table of its answers, and the keys of what was asked: but for how that is answered."""
    return digest([_VERSION, _text(stage.table), _used(params, stage.table), inputs, realm, asked])


def _calls(stage: Stage) -> list[dict[str, Any]]:
    """The model that is asked, the others, and those that the stage left, whose answers stand."""
    return [asdict(call) for call in (*stage.calls, *stage.left)]


def _text(source: Source | None) -> str | None:
    return source.text if source else None


def _used(params: Mapping[str, Any], *sources: Source | None) -> dict[str, Any]:
    """The manifest's params that these files mention, so that changing another one changes nothing here."""
    text = "\n".join(source.text for source in sources if source)
    return {name: value for name, value in params.items() if re.search(rf"\b{re.escape(name)}\b", text)}


def _fills(prompt: Source | None, name: str) -> bool:
    """Whether a prompt shows a param, or hands all of them on."""
    if prompt is None:
        return False
    one = rf"\.\s*{re.escape(name)}\b|\[\s*['\"]{re.escape(name)}['\"]"
    return re.search(rf"\bparams\b\s*(?:{one}|(?![\s.\[]))", prompt.text) is not None
