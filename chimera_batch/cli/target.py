"""Which run a command is about when no manifest is named: the one that this folder's store saw last."""

# ruff: noqa: PLC0415 - imports where they are used: --help answers at once

from __future__ import annotations

from pathlib import Path

from chimera_batch.cli.said import Said


def target(manifest: Path | None, said: Said) -> Path:
    """The manifest; a last run that was a rehearsal also sets ``--rehearse``. Raises InputError if there is no run."""
    if manifest is not None:
        return manifest
    from chimera_batch import api

    last, rehearsed = api.last_run(said.options())
    said.rehearse = said.rehearse or rehearsed
    said.store = said.store or "./runs"  # where the run was found, whatever its manifest says now
    return Path(last)
