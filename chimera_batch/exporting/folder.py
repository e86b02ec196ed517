"""A folder that appears whole or not at all, and never takes the place of something that is no export."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from chimera_batch.errors import InputError

MARK = "export.json"
"""Every export has this file: what it holds, and the sign by which ``--force`` knows it."""


@contextmanager
def whole_folder(directory: Path, *, force: bool) -> Iterator[Path]:
    """A folder to write into, beside ``directory``, that takes its place at the end.

    Raises InputError, before anything is written, where ``directory`` holds something; ``force`` replaces an earlier
    export, and nothing else.
    """
    target = directory.resolve()
    _refuse(target, directory, force=force)
    part = target.with_name(f".{target.name}.part-{token_hex(4)}")
    try:
        part.mkdir(parents=True)
        yield part
        _take_place(part, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be written: {reason}", where=str(directory)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _refuse(target: Path, said: Path, *, force: bool) -> None:
    another = "name a folder that is empty or not there yet"
    if target.exists() and not target.is_dir():
        raise InputError("is a file, not a folder", where=str(said), hint=another)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if (target / MARK).is_file():
        if not force:
            raise InputError(
                "holds an export already", where=str(said), hint=f"{another}, or add --force to replace it"
            )
        return
    why = "and is no earlier export, so --force does not replace it" if force else "already"
    raise InputError(f"holds files {why}", where=str(said), hint=another)


def _take_place(part: Path, target: Path) -> None:
    """Put the new folder there; the old one goes only when the new one stands."""
    old = target.with_name(f".{target.name}.old-{token_hex(4)}")
    if target.is_dir():
        target.rename(old)
    try:
        part.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
