"""What to type next, for the store and the side that the person is working on: hints are pasted as they are. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chimera_batch.cli.said import Said

_ABOUT_A_RUN = "check|estimate|pilot|run|advance|status|cancel|retry|adopt|resend|prune|query|export|trace"
_COMMAND = re.compile(rf"^chimera-batch (?:{_ABOUT_A_RUN})\b")


def mended(hint: str, said: Said) -> str:
    """The hint with the options of this command put into its commands."""
    words = ["--store", shlex.quote(said.store)] if said.store else []
    words += [word for price in said.price for word in ("--price", shlex.quote(price))]
    return "\n".join(_mended_line(line, words, said) for line in hint.splitlines())


def _mended_line(line: str, words: list[str], said: Said) -> str:
    match = _COMMAND.match(line)
    if match is None:
        return line
    side = ["--rehearse"] if said.rehearse and "--rehearse" not in line else []
    return " ".join([match[0], *side, *words]) + line[match.end() :]


def next_lines(status: Mapping[str, Any], manifest: Path, said: Said) -> list[str]:
    """The commands that lead on from a status document."""
    name = shlex.quote(str(manifest))
    if status["needs"]:
        shard = shlex.quote(str(status["needs"][0]).partition(":")[0])
        lines = [f"chimera-batch adopt {name} --shard {shard} --batch ID   # the batch at the provider is that one"]
        lines.append(f"chimera-batch resend {name} --shard {shard}   # the provider made none")
    elif status["state"] == "done":
        last = status["stages"][-1]["stage"]
        lines = [f'chimera-batch query -m {name} "SELECT * FROM {last} LIMIT 10"']  # noqa: S608 - a line to paste
        if any(stage["given_up"] for stage in status["stages"]):
            lines.append(f"chimera-batch retry {name}   # asks again what was given up")
    else:
        lines = [f"chimera-batch run {name}"]
    return [mended(line, said) for line in lines]
