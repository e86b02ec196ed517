"""What was worked out from facts before, kept on this machine so that it need not be worked out again.

Never a fact: a file may be missing, old, broken or deleted at any moment. A value comes with the digest of all that it
was worked out from, and is only heard where that digest is the same; it is then the same value.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chimera_batch import __version__
from chimera_batch.context import Context, engine_sql
from chimera_batch.steps.fingerprints import digest


def recall(ctx: Context, name: str) -> tuple[str, dict[str, Any]] | None:
    """(digest, value) as kept under a name of this run; None where there is nothing that can be read."""
    try:
        key, value = json.loads(_path(ctx, name).read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return (key, value) if isinstance(key, str) and isinstance(value, dict) else None


def remember(ctx: Context, name: str, key: str, value: Mapping[str, Any]) -> None:
    """Keep a JSON object in place of the one before. What cannot be written is worked out again next time."""
    path = _path(ctx, name)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(json.dumps([key, value], separators=(",", ":")), "utf-8")
            os.replace(part, path)  # noqa: PTH105 - whole or not at all
        finally:
            part.unlink(missing_ok=True)


def code(*names: str) -> list[str]:
    """What the program adds to a digest: its version and the engine's SQL files that the value comes from."""
    return [__version__, *(engine_sql(name).text for name in names)]


def folder_of(ctx: Context) -> Path:
    """Where it is kept; may not be there yet."""
    return ctx.work / "remembered"


def _path(ctx: Context, name: str) -> Path:
    return folder_of(ctx) / f"{digest([ctx.store.url, ctx.run, name])}.json"
