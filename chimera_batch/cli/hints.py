"""What to type next, for the store and the side that the person is working on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chimera_batch.cli.said import Said


def next_lines(status: Mapping[str, Any], manifest: Path, said: Said) -> list[str]:
    """The commands that lead on from a status document."""
    if status["choices"]:
        return list(status["choices"])
    if status["over_budget"]:
        return list(status["over_budget"]["hint"].splitlines())
    if status["state"] != "done":
        return [said.go_on("run", manifest)]
    last = status["stages"][-1]["stage"]
    lines = [said.command("query", manifest, f"SELECT * FROM {last} LIMIT 10")]  # noqa: S608 - a line to paste
    if any(stage["given_up"] for stage in status["stages"]):
        lines.append(said.command("retry", manifest, why="asks again what was given up"))
    return lines
