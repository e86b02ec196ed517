"""What every script of this folder shares: the job, its rows, and where the result goes. Standard library alone: each
script is run by its tool's own interpreter.

    python use_TOOL.py package|collect|once FOLDER

``FOLDER/job.json`` is the job; the script may keep in FOLDER what its second half needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HALF = sys.argv[1]
FOLDER = Path(sys.argv[2]).absolute()
JOB: dict[str, Any] = json.loads((FOLDER / "job.json").read_bytes())
MODEL: str = JOB["model"]
MOST_REQUESTS = 50_000  # of one batch, at OpenAI
MOST_TOKENS: int = JOB["max_tokens"]


def rows() -> Iterator[dict[str, Any]]:
    with Path(JOB["rows"]).open("rb") as lines:
        yield from map(json.loads, lines)


def parts() -> Iterator[list[dict[str, Any]]]:
    """The rows in parts that one batch may hold, for tools that leave this to their user."""
    part: list[dict[str, Any]] = []
    for row in rows():
        part.append(row)
        if len(part) == MOST_REQUESTS:
            yield part
            part = []
    if part:
        yield part


def messages(row: dict[str, Any]) -> list[dict[str, str]]:
    user = JOB["user"].format(**row)
    return [{"role": "system", "content": JOB["system"]}, {"role": "user", "content": user}]


def keep(value: Any) -> None:
    """For the second half: ids of batches, mostly."""
    (FOLDER / "kept.json").write_text(json.dumps(value))


def kept() -> Any:
    return json.loads((FOLDER / "kept.json").read_bytes())


def done(joined: int, characters: int) -> None:
    """So many rows have their answer beside them; the answers are so long together."""
    (FOLDER / "done.json").write_text(json.dumps({"joined": joined, "characters": characters}))
