"""A command about a run, as a person pastes it into a shell: errors, progress and pages all say it by this. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal

Cap = Literal["run", "day"]
CAPS: Mapping[Cap, str] = {"run": "--max-usd", "day": "--max-usd-per-day"}
"""The options that cap a command's USD, by what they cap."""


def capped(caps: Mapping[Cap, Decimal]) -> list[str]:
    """The words that cap a command's USD so; a cap that is not among them is left out."""
    return [word for cap, option in CAPS.items() if cap in caps for word in (option, f"{caps[cap]:f}")]


def said_again(store: str | None, prices: Sequence[str]) -> tuple[str, ...]:
    """The options beside ``--rehearse`` that a line about the same run must repeat."""
    return (*(("--store", store) if store else ()), *(word for price in prices for word in ("--price", price)))


def command(
    verb: str, manifest: Path | str, *words: str, rehearse: bool = False, also: Sequence[str] = (), why: str = ""
) -> str:
    """One line, every word of it quoted where it must be.

    ``rehearse`` and ``also`` are the side that it is about: a line that left them out would do the same to a paid run,
    or to another store. ``why`` stands behind it as a comment.
    """
    named = ["-m", str(manifest)] if verb == "query" else [str(manifest)]
    side = ["--rehearse"] if rehearse else []
    said = shlex.join(["chimera-batch", verb, *side, *also, *named, *words])
    return f"{said}   # {why}" if why else said
