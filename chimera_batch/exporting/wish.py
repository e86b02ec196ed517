"""What an export is asked for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from chimera_batch.errors import InputError

Form = Literal["sft", "rl", "hf", "parquet", "duckdb"]
Thinking = Literal["inline", "field"]
Shape = Literal["messages", "prompt-completion"]

FORMS: tuple[Form, ...] = get_args(Form)
THINKING: tuple[Thinking, ...] = get_args(Thinking)
SHAPES: tuple[Shape, ...] = get_args(Shape)

INSTRUCTION = Path(__file__).with_name("instruction.txt")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")  # an identifier of the hub, such as cc-by-4.0
_SHARD = 256 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """One export. Raises InputError where its parts do not fit together.

    ``thinking``: in the reply between think tags, or in a field of its own. ``instruction``: put behind every question;
    None: the sentence that asks for a box around the answer, which the reward function looks for.
    """

    form: Form
    directory: Path
    table: str = "dataset"
    force: bool = False
    shape: Shape = "messages"
    thinking: Thinking = "inline"
    with_sft: bool = False
    instruction: str | None = None
    licence: str = "other"
    shard_bytes: int = _SHARD  # of text in one file of ``hf``; compressed it is about a third

    def __post_init__(self) -> None:
        if not _LICENCE.fullmatch(self.licence):
            raise InputError(
                f"{self.licence!r} is no licence identifier", where="--license", hint="--license cc-by-4.0"
            )
        if self.shard_bytes < 1:
            raise InputError("a file holds at least one row", where="--shard-mb", hint="--shard-mb 256")

    @property
    def suffix(self) -> str:
        """What stands behind a question, with the blank line between them; empty for the bare question."""
        said = INSTRUCTION.read_text("utf-8") if self.instruction is None else self.instruction
        return f"\n\n{said.strip()}" if said.strip() else ""
