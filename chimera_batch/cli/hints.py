"""What to type next, for the store and the side that the person is working on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chimera_batch.cli.said import Said


def next_lines(status: Mapping[str, Any], manifest: Path, said: Said) -> list[str]:
    """The commands that lead on from a status document."""
    if status["needs"]:
        stuck = ["--shard", str(status["needs"][0]).partition(":")[0]]
        return [
            said.command("adopt", manifest, *stuck, "--batch", "ID", why="the batch at the provider is that one"),
            said.command("resend", manifest, *stuck, why="the provider made none"),
        ]
    if status["over_budget"]:
        return list(status["over_budget"]["hint"].splitlines())
    if status["state"] != "done":
        return [said.go_on("run", manifest)]
    last = status["stages"][-1]["stage"]
    lines = [said.command("query", manifest, f"SELECT * FROM {last} LIMIT 10")]  # noqa: S608 - a line to paste
    if any(stage["given_up"] for stage in status["stages"]):
        lines.append(said.command("retry", manifest, why="asks again what was given up"))
    return lines
