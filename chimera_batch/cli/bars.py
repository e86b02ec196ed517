"""How far a run is, on stderr: bars on a terminal, elsewhere a line now and then."""

# ruff: noqa: PLC0415 - rich is slow to import and only a terminal needs it

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from chimera_batch.cli.spans import expected
from chimera_batch.cli.texts import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from chimera_batch.doing import Doing

EVERY = 30.0  # seconds between two lines, where there are no bars
MOST = 8  # bars at once; the rest are one together


class Bars:
    """The bars of a terminal: made when there is something to show, gone when anything else is printed."""

    def __init__(self) -> None:
        self._shown: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._lock = Lock()  # two batches may be read at once

    def __call__(self, parts: Sequence[Doing]) -> None:
        """Show these parts and no others."""
        with self._lock:
            self._show(parts)

    def _show(self, parts: Sequence[Doing]) -> None:
        shown = self._shown = self._shown or _progress()
        parts = together(parts)
        keys = {(part.step, part.about) for part in parts}
        for key in [key for key in self._tasks if key not in keys]:
            shown.remove_task(self._tasks.pop(key))
        for part in parts:
            key, note = (part.step, part.about), one_line(_note(part))
            if key in self._tasks:
                shown.update(self._tasks[key], completed=part.done, total=part.total, note=note)
            else:
                said = one_line(f"{part.step} {part.about}")
                self._tasks[key] = shown.add_task(said, completed=part.done, total=part.total, note=note)
        shown.start()

    def line(self, text: str) -> bool:
        """Print a line above the bars; False where there are none."""
        shown = self._shown
        if shown is None:
            return False
        shown.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        return True

    def close(self) -> None:
        """Take the bars off the screen."""
        with self._lock:
            if self._shown is not None:
                self._shown.stop()
            self._shown, self._tasks = None, {}


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", markup=False),
    )
    console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    return Progress(*columns, console=console, transient=True, refresh_per_second=4)


class Lines:
    """The same as lines of text: one where something has moved, and never more than one in ``EVERY`` seconds."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._said, self._last = clock(), ""

    def __call__(self, parts: Sequence[Doing]) -> None:
        if not parts or self._clock() - self._said < EVERY:
            return
        (all_of_it,) = together(parts, most=1)
        text = f"{all_of_it.step} {all_of_it.about} {_count(all_of_it)}"
        if text != self._last:
            self._said, self._last = self._clock(), text
            self._say(f"{all_of_it.step}: {all_of_it.about} {_note(all_of_it)}".rstrip())


def together(parts: Sequence[Doing], most: int = MOST) -> list[Doing]:
    """The parts, the last ones as one where there are too many: it is back when the last of them is."""
    if len(parts) <= most:
        return list(parts)
    from chimera_batch.doing import Doing

    first, rest = list(parts[: most - 1]), parts[most - 1 :]
    done, total = sum(part.done for part in rest), sum(part.total or 0 for part in rest)
    moments = [part.expected_at for part in rest if part.expected_at is not None]
    known = len(moments) == len(rest)
    unknown = next((part.expected_basis for part in rest if part.expected_at is None), None)
    about = f"{len(rest):,} {'more' if first else 'batches'}"
    at, basis = (max(moments), "the last of them") if known else (None, unknown)
    return [*first, Doing(rest[0].step, about, done, total, "", at, basis)]


def _count(part: Doing) -> str:
    return "" if part.total is None else f"{part.done:,} of {part.total:,}"


def _note(part: Doing) -> str:
    """What stands behind the bar."""
    back = expected(part.expected_at, part.expected_basis, time.time()) if part.expected_basis else ""
    when = f"back {back}" if part.expected_at is not None else back
    return " · ".join(text for text in (_count(part), part.note, when) if text)
