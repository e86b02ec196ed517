"""Rounds that this command has drawn and not asked yet: a run quotes them first, and what was rendered then is sent.

Files on this machine; another command knows nothing of them and draws again. Floor 3.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chimera_batch.history.facts import Asked

if TYPE_CHECKING:  # a command that draws nothing does without what compresses
    from chimera_batch.requests.blocks import Blocks


@dataclass(frozen=True, slots=True)
class Drawn:
    """A round's requests as a local Parquet file, not yet a fact, and their lines by position where they were kept.

    ``before``: the round as it was asked, if the file only holds what it gains; its rows and requests are those of the
    file.
    """

    path: Path
    rows: int
    requests: int
    rendering: str  # digest of what made its requests of its rows
    lines: Blocks | None = None
    before: Asked | None = None

    def moved(self, folder: Path) -> Drawn:
        """The same with its files in another folder of the same disk."""
        path = self.path.rename(folder / self.path.name)
        return replace(self, path=path, lines=self.lines and self.lines.moved(folder))

    def remove(self) -> None:
        """Delete its files."""
        self.path.unlink(missing_ok=True)
        if self.lines is not None:
            self.lines.remove()


@dataclass(frozen=True, slots=True)
class Placed:
    """Which shard holds each request of a stage, as a local Parquet file, and what that rests on: files of its rounds,
    and keys of the shards' ids. ``wanted``: different requests."""

    asked: tuple[str, ...]
    members: tuple[str, ...]
    path: Path
    wanted: int


class Drawings:
    """The latest drawing of each round of each stage, by the fingerprint of all that shapes it; and where the requests
    of each stage were ``placed`` last."""

    def __init__(self, folder: Path) -> None:
        self.placed: dict[str, Placed] = {}
        self._taken: dict[str, str] = {}
        self._folder = folder
        self._drawn: dict[tuple[str, int], tuple[str, Drawn]] = {}

    def keep(self, stage: str, number: int, mark: str, drawn: Drawn) -> Drawn:
        """Take a drawing's files over, in place of those of an earlier one of the round."""
        if (stage, number) in self._drawn:
            self._drawn.pop((stage, number))[1].remove()
        self.forget(stage)  # its file may have the name of the earlier one
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = drawn.moved(self._folder)
        self._drawn[stage, number] = mark, kept
        return kept

    def look(self, stage: str, number: int, mark: str) -> Drawn | None:
        """The drawing of a round, if what shapes it is as it was; it stays here."""
        found = self._drawn.get((stage, number))
        return found[1] if found and found[0] == mark else None

    def take(self, stage: str, number: int, mark: str, folder: Path) -> Drawn | None:
        """The same, its files moved to ``folder``: it is asked now."""
        found = self.look(stage, number, mark)
        if found is None:
            return None
        del self._drawn[stage, number]
        self._taken[stage] = str(found.path)
        return found.moved(folder)

    def asked(self, stage: str, path: Path) -> None:
        """What was taken last is this file by now: where its requests are is known already."""
        placed, taken = self.placed.get(stage), self._taken.pop(stage, None)
        if placed is not None and taken in placed.asked:
            asked = tuple(str(path) if one == taken else one for one in placed.asked)
            self.placed[stage] = replace(placed, asked=asked)

    def keep_placed(self, stage: str, placed: Placed) -> Placed:
        """Take over the file that says where a stage's requests are, in place of an earlier one."""
        before = self.placed.get(stage)
        if before is not None and before.path == placed.path:
            return before
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = replace(placed, path=placed.path.rename(self._folder / placed.path.name))
        self.placed[stage] = kept
        if before is not None:
            before.path.unlink(missing_ok=True)
        return kept

    def forget(self, stage: str) -> None:
        """Where the requests of a stage are: other ones are asked now."""
        self._taken.pop(stage, None)
        if (placed := self.placed.pop(stage, None)) is not None:
            placed.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete what nobody asked."""
        shutil.rmtree(self._folder, ignore_errors=True)


def sweep(work: Path, before: float) -> None:
    """Delete what killed commands left in the scratch folder: all that nobody has touched since ``before`` (a time)."""
    for entry in work.iterdir() if work.is_dir() else ():
        with suppress(OSError):  # another command sweeps too
            if entry.stat().st_mtime < before:
                shutil.rmtree(entry)
