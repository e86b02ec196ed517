"""A small pipeline in a folder, and one run of it in a process of its own that can be killed, stopped or tripped.

Processes are forked from a clean one that has imported everything already (``forkserver``), so that a run costs its
own work and not a second of imports. The rehearsal's server lives in the test's process and outlives every kill.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from chimera_batch import api, opening
from chimera_batch.context import Timing
from chimera_batch.errors import ChimeraError
from chimera_batch.opening import Options
from tests.faults.proxies import TrippedHosts, TrippedStore, Wire
from tests.rehearsal_kit import Hall

SPEED = 200_000.0  # virtual seconds a second: a batch takes about 10 ms
TIMING = Timing(poll=0.02, lease=5.0, settle=0.3, queue=0.3, overdue=600.0)
WAIT = 90.0  # seconds after which a run is hung

_DRAFTS_ROWS = """
-- One row per topic.
-- reads: nothing
-- $topics: what to write about
SELECT 'topic-' || topic AS row_key, topic FROM (SELECT unnest($topics) AS topic) ORDER BY row_key
"""
_DRAFTS = """
-- One row per draft.
-- reads: answers
SELECT row_key || '/' || sample AS row_key, topic, answer ->> 'title' AS title FROM answers WHERE outcome = 'ok'
"""
_REVIEWS_ROWS = """
-- One row per draft.
-- reads: drafts
SELECT row_key, title FROM drafts ORDER BY row_key
"""
_REVIEWS = """
-- One row per review.
-- reads: answers
SELECT row_key, title, answer -> 'good' AS good FROM answers WHERE outcome = 'ok'
"""
_DATASET = """
-- Drafts with their reviews.
-- reads: drafts, reviews
SELECT d.row_key, d.topic, d.title, r.good FROM drafts AS d JOIN reviews AS r ON r.row_key = d.row_key
"""
_DRAFT_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
_REVIEW_SCHEMA = {
    "type": "object",
    "properties": {"good": {"type": "boolean"}},
    "required": ["good"],
    "additionalProperties": False,
}
FILES = {
    "sql/small/drafts_rows.sql": _DRAFTS_ROWS,
    "sql/small/drafts.sql": _DRAFTS,
    "sql/small/reviews_rows.sql": _REVIEWS_ROWS,
    "sql/small/reviews.sql": _REVIEWS,
    "sql/small/dataset.sql": _DATASET,
    "prompts/small/drafts.md": "<!-- system -->\nYou name essays.\n<!-- user -->\nAn essay about {{ topic }}.\n",
    "prompts/small/reviews.md": "<!-- system -->\nYou judge titles.\n<!-- user -->\n{{ title }}\n",
    "prompts/small/drafts.json": json.dumps(_DRAFT_SCHEMA),
    "prompts/small/reviews.json": json.dumps(_REVIEW_SCHEMA),
}
TOPICS = ("ants", "bees", "cats", "dogs")


@dataclass(frozen=True)
class Pipeline:
    """The manifest as data; ``write`` puts it into a folder. Three shards: two of drafts, one of reviews."""

    run: str = "small"
    topics: tuple[str, ...] = TOPICS
    per_file: int = 2  # requests in an OpenAI file
    per_anthropic: int | None = None
    samples: int = 1
    window: str = "24h"
    budget: str | None = "5"
    ceiling: int = 2000
    files: Mapping[str, str] = field(default_factory=dict)  # what differs from FILES

    def write(self, folder: Path) -> Path:
        """The manifest's path; the files beside it are written too."""
        for name, text in {**FILES, **self.files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip("\n"))
        path = folder / f"{self.run}.yaml"
        path.write_text(yaml.safe_dump(self._document(), sort_keys=False))
        return path

    def _document(self) -> dict[str, Any]:
        writer = {"provider": "openai", "model": "gpt-6-luna", "max_output_tokens": self.ceiling}
        critic = {"provider": "anthropic", "model": "claude-haiku-5-5", "max_output_tokens": self.ceiling}
        drafts = {"name": "drafts", "ask": "writer", "samples": self.samples, "window": self.window}
        assume = {"rows_per": {"drafts": 1}, "input_tokens": 60, "output_tokens": 100}
        reviews = {"name": "reviews", "ask": "critic", "assume": assume}
        providers: dict[str, dict[str, int]] = {"openai": {"max_requests": self.per_file}}
        if self.per_anthropic is not None:
            providers["anthropic"] = {"max_requests": self.per_anthropic}
        return {
            "run": self.run,
            "store": "./store",
            "params": {"topics": list(self.topics)},
            **({"budget": {"usd": float(self.budget)}} if self.budget else {}),
            "providers": providers,
            "models": {"writer": writer, "critic": critic},
            "stages": [
                {**drafts, **_files("drafts"), "assume": {"output_tokens": 100}},
                {**reviews, **_files("reviews")},
                {"name": "dataset", "sql": "small/dataset.sql"},
            ],
        }


def _files(stage: str) -> dict[str, str]:
    return {
        "prompt": f"small/{stage}.md",
        "rows": f"small/{stage}_rows.sql",
        "schema": f"small/{stage}.json",
        "table": f"small/{stage}.sql",
    }


@dataclass(frozen=True)
class Place:
    """Where one run happens: its manifest, its store, its server's address. Plain data, so that a fork can have it."""

    manifest: str
    store: str
    url: str
    folder: str  # of this place: caches, notes
    timing: Timing = TIMING
    max_usd: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    machine: str | None = None  # the host's name there, so that its processes cannot be looked at from here

    def options(self) -> Options:
        usd = Decimal(self.max_usd) if self.max_usd else None
        return Options(store=self.store, rehearse=True, timing=self.timing, max_usd=usd)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and what it noted."""

    code: int | None
    hit: str | None  # the point at which it was tripped
    calls: int  # how many points it passed
    said: str

    @property
    def killed(self) -> bool:
        """A process that came to its end says so. 255 is the fork server's word for a child whose status it missed."""
        return self.code in {-signal.SIGKILL, LOST} and "CODE " not in self.said


@contextmanager
def hall(state: Path, *, speed: float = SPEED, **settings: Any) -> Iterator[Hall]:
    """A rehearsal's server with the shipped prices."""
    with Hall(state, speed=speed, **{"prices": [], **settings}) as served:
        yield served


def place(folder: Path, manifest: Path, url: str, **more: Any) -> Place:
    return Place(str(manifest), str(more.pop("store", folder / "store")), url, str(folder), **more)


def start(at: Place, wire: Wire | None = None, *, name: str = "run") -> Started:
    """A run in a process of its own, under way."""
    _Fork.set_forkserver_preload(["tests.faults.warm"])
    notes = Path(at.folder) / f"{name}.notes"
    process = _Fork.Process(target=_child, args=(at, wire, str(notes)), daemon=True)
    process.start()
    return Started(process, notes)


_Fork = multiprocessing.get_context("forkserver")
LOST = 255


@dataclass(frozen=True)
class Started:
    process: Any
    notes: Path

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def wait(self, seconds: float = WAIT) -> Ended:
        """Raises AssertionError with what it said if it hangs."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.join()
            raise AssertionError(f"hung for {seconds} s:\n{self._said()}")
        hits = [line[4:] for line in self._said().splitlines() if line.startswith("HIT ")]
        calls = [line[6:] for line in self._said().splitlines() if line.startswith("CALLS ")]
        codes = [line[5:] for line in self._said().splitlines() if line.startswith("CODE ")]
        code = int(codes[-1]) if codes and self.process.exitcode == LOST else self.process.exitcode
        return Ended(code, hits[-1] if hits else None, int(calls[-1]) if calls else 0, self._said())

    def _said(self) -> str:
        return self.notes.read_text() if self.notes.exists() else ""


def run(at: Place, wire: Wire | None = None, *, name: str = "run", seconds: float = WAIT) -> Ended:
    """A run in a process of its own, to its end."""
    return start(at, wire, name=name).wait(seconds)


def _child(at: Place, wire: Wire | None, notes: str) -> None:
    """In the forked process: the whole of ``api.run``, with the store and the hosts behind a trip wire."""
    os.environ.update(at.environment)
    os.environ["CHIMERA_CACHE"] = str(Path(at.folder) / "cache")
    os.environ["CHIMERA_REHEARSAL_URL"] = at.url
    if at.machine is not None:
        socket.gethostname = lambda: str(at.machine)
    with Path(notes).open("w", buffering=1) as out:
        code = _run(at, wire, lambda line: out.write(line + "\n"))
        out.write(f"CODE {code}\n")
        if wire is not None:
            out.write(f"CALLS {wire.count}\n")
    os._exit(code)


def _run(at: Place, wire: Wire | None, say: Any) -> int:
    if wire is not None:
        wire.say = say
        _patch(wire)
    try:
        api.run(at.manifest, replace(at.options(), say=say))
    except ChimeraError as error:
        say(f"{type(error).__name__}: {error}")
        return error.exit_code
    except Exception:  # noqa: BLE001 - what a bug would raise; the note is the only window into this process
        say(traceback.format_exc())
        return 1
    return 0


def _patch(wire: Wire) -> None:
    """Put the wire around every store and every host that a run opens. This process ends with the run."""
    open_side, hosts = opening.open_side, opening.Hosts
    opening.open_side = lambda url, *, rehearse: TrippedStore(open_side(url, rehearse=rehearse), wire)
    opening.Hosts = lambda *args, **more: TrippedHosts(hosts(*args, **more), wire)
