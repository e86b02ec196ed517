"""A run that calls every endpoint of both protocols, behind the proxy: two stages of batches, two asked at once.

It is played inside the test's own process: real SDKs, real sockets, the rehearsal's server in a thread with a bill of
its own. Time between two tries is a hundred times shorter, and so is the patience with a host that says nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2

from chimera_batch import api
from chimera_batch.context import Timing
from chimera_batch.errors import ChimeraError
from chimera_batch.providers import calling, files
from tests.faults import damages, nights, pipeline
from tests.faults.invariants import Reference, Scene
from tests.faults.pipeline import Pipeline
from tests.faults.wire import ENDPOINTS, Proxy, proxy
from tests.rehearsal_kit import Hall

TIMING = Timing(poll=0.02, lease=20.0, settle=0.3, queue=0.02, overdue=600.0)
PATIENCE = 300.0  # seconds of a real machine, however busy, after which a run counts as hanging
_LETTERS_ROWS = """
-- One row per draft.
-- reads: drafts
SELECT row_key, title FROM drafts ORDER BY row_key
"""
_LETTERS = "-- One row per letter.\n-- reads: answers\nSELECT row_key, answer -> 'good' AS good FROM answers\n"
_PROMPT = "<!-- user -->\n{name}: {{{{ title }}}}\n"
_ASKED = {"calls": "writer", "letters": "critic"}
_FILES = {
    name: text
    for stage in _ASKED
    for name, text in {
        f"sql/small/{stage}_rows.sql": _LETTERS_ROWS,
        f"sql/small/{stage}.sql": _LETTERS,
        f"prompts/small/{stage}.md": _PROMPT.format(name=stage),
        f"prompts/small/{stage}.json": pipeline.FILES["prompts/small/reviews.json"],
    }.items()
}
Order = tuple[str, str, int]
"""(kind of damage, endpoint, which exchange of it)."""


@dataclass(frozen=True)
class Everywhere(Pipeline):
    """Drafts (OpenAI) and reviews (Anthropic) as batches; calls and letters asked at once. Four of each."""

    files: Any = field(default_factory=lambda: dict(_FILES))
    per_file: int = 50

    def _document(self) -> dict[str, Any]:
        said = super()._document()
        assume = {"rows_per": {"drafts": 1}, "input_tokens": 60, "output_tokens": 100}
        known = {"window": "now", "assume": assume}
        asked = [{"name": s, "ask": who, **known, **pipeline._files(s)} for s, who in _ASKED.items()]
        return {**said, "stages": [*said["stages"][:2], *asked, said["stages"][2]]}


@dataclass(frozen=True)
class Unhidden(Scene):
    """A scene without the synchronous calls whose execution was denied to the client."""

    hidden: tuple[str, ...] = ()

    @property
    def bill(self) -> list[dict[str, Any]]:
        found = list(self.served.bill)
        for key in self.hidden:
            found.remove(next(line for line in found if line["custom_id"] == key))
        return found


def hidden(met: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """The ids of those calls, of all that the proxy did."""
    return tuple(key for kind, endpoint, key in met if kind in damages.HIDES and endpoint.endswith(".ask"))


@dataclass
class Played:
    """One run behind the proxy, and what it came to. ``code``: as the command line would exit."""

    scene: Scene
    code: int
    said: list[str]
    struck: Counter[tuple[str, str]]
    status: dict[str, Any]
    executed: int = 0

    @property
    def twice(self) -> int:
        """Requests that the host executed more than once."""
        executed = Counter(str(line["request_id"]) for line in self.scene.bill)
        return sum(times - 1 for times in executed.values())

    @property
    def lost(self) -> int:
        """Synchronous calls of which the client cannot know whether they were executed: they bring another answer."""
        return sum(n for (kind, at), n in self.struck.items() if at.endswith(".ask") and kind in damages.LOSES)

    @property
    def told(self) -> list[str]:
        """Every line that a person was shown, in the progress or in the status."""
        batches = [batch for stage in self.status["stages"] for batch in stage["batches"]]
        return [*self.said, *self.status["notes"], *(batch["reason"] for batch in batches if batch["reason"])]

    def flaws(self, reference: Reference) -> Iterator[str]:
        """Every way in which the run falls short. What a synchronous call may cost is in ``docs/reliability.md``."""
        if self.code:
            yield f"exit {self.code}: {self.said[-1:]}"
        yield from self.scene.faults(None)
        tables, lost = self.scene.tables(), self.lost
        if tables.keys() != reference.tables.keys() or (tables != reference.tables and not lost):
            yield f"other bytes: {[s for s, digest in reference.tables.items() if tables.get(s) != digest]}"
        if self.twice > lost:
            yield f"{self.twice} executed again, {lost} calls were lost"
        if long := [line for line in self.told if "\n" in line or len(line) > 900]:
            yield f"not one readable line: {long}"


@contextmanager
def patience(kinds: Iterable[str]) -> Iterator[None]:
    """Time is short: between two tries, and where something hangs, until it is given up."""
    short = httpx2.Timeout(damages.STALL / 2, connect=5.0)
    with ExitStack() as stack:
        for room in (calling, files):
            stack.enter_context(mock.patch.object(room, "delay", nights._delay))
        if any(kind.startswith("hang") for kind in kinds):
            for name in ("ORDINARY", "UPLOAD", "DOWNLOAD", "ASK"):
                stack.enter_context(mock.patch.object(calling, name, short))
        yield


Act = Callable[[pipeline.Place], Any]


@dataclass
class Road:
    """The proxy, and folders for as many runs as one likes: each has a server of its own, and all ask the same."""

    through: Proxy
    folder: Path
    manifest: Path
    number: int = 0

    @contextmanager
    def stop(self) -> Iterator[tuple[pipeline.Place, Hall]]:
        """A place for one run: its own folder and server, behind the proxy."""
        self.number += 1
        folder = self.folder / f"{self.number:03d}"
        with pipeline.hall(folder / "server") as served:
            self.through.upstream = served.url
            yield pipeline.place(folder, self.manifest, self.through.url, timing=TIMING), served

    def play(self, orders: Sequence[Order], judge: Callable[[Played], Any], act: Act | None = None) -> Any:
        """One run under these orders, to its end; what ``judge`` says while its server is still there.

        ``act``: what the person does, if it is not simply one run.
        """
        with self.stop() as (at, served):
            return judge(self._played(at, served, orders, act))

    def _played(self, at: pipeline.Place, served: Hall, orders: Sequence[Order], act: Act | None) -> Played:
        said: list[str] = []
        code, before, met = 0, self.through.struck.copy(), len(self.through.met)
        self.through.order(orders)
        here = {"CHIMERA_REHEARSAL_URL": at.url, "CHIMERA_CACHE": f"{at.folder}/cache"}
        with mock.patch.dict(os.environ, here), patience(kind for kind, _, _ in orders), nights.deadline(PATIENCE):
            try:
                (act or (lambda place: api.run(place.manifest, replace(place.options(), say=said.append))))(at)
            except ChimeraError as error:
                code = error.exit_code
                said.append(f"exit {code}: {error} -- {error.hint}")
            status = api.status(at.manifest, at.options())
        self.through.order(())
        scene = Unhidden(at, served, hidden(self.through.met[met:]))
        return Played(scene, code, said, self.through.struck - before, status, len(served.bill))


@contextmanager
def road(folder: Path) -> Iterator[tuple[Road, Reference]]:
    """A road, and what an undisturbed run on it leaves behind."""
    with proxy("", damages.ALL) as through:
        made = Road(through, folder, Everywhere().write(folder / "project"))
        yield made, made.play((), lambda played: played.scene.reference())


def sweep(kind: str, number: int = 1) -> list[Order]:
    """That damage to one exchange of every endpoint.

    A list of uploads without ids is left out: it names nothing that could be deleted.
    """
    nameless = {"openai.uploads"} if kind in {"null id", "empty id"} else set()
    return [(kind, endpoint, number) for endpoint in ENDPOINTS if endpoint not in nameless]
