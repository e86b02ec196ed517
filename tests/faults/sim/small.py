"""A run as small as one can be that still does everything, broken at one place and typed again.

Two batches, calls at once, two tables: every write of the store's protocol is made. What a fault leaves is judged as
a simulated week is, and more strictly: the second command must finish with the bytes of an undisturbed run, having
executed each request once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from chimera_batch.context import Timing
from chimera_batch.errors import ChimeraError
from chimera_batch.stores import s3
from chimera_batch.stores.keys import SPOOL
from tests.faults.sim import buckets, disks, truth
from tests.faults.sim.buckets import Bucket
from tests.faults.sim.disks import FailingFolder
from tests.faults.sim.playing import Desk, Ended
from tests.faults.sim.scene import FILES, TOKENS, Scene, files_of
from tests.faults.sim.schedule import Fault
from tests.faults.sim.week import ACTS, PATIENCE, placed

SEED = 4
TIMING = Timing(poll=4 * 3600.0, lease=900.0, settle=120.0)  # a batch is looked at a few times, not a few hundred
_ROWS = "-- One row per draft.\n-- reads: drafts\nSELECT row_key, n FROM drafts\n"
_DATASET = """
-- Drafts with their verdicts.
-- reads: drafts, verdicts
SELECT d.row_key, d.n, v.n AS verdict FROM drafts AS d LEFT JOIN verdicts AS v ON starts_with(v.row_key, d.row_key)
ORDER BY ALL
"""


@dataclass(frozen=True)
class Small(Scene):
    """Drafts in two batches of the north, a verdict on each asked at once of the south, and the dataset."""

    rows: int = 3
    samples: int = 1
    per_file: tuple[int, int] = (2, 50)
    south: dict[str, Any] = field(
        default_factory=lambda: {"dialect": "openai", "base_url": "https://south.example", "api_key_env": "SOUTH_KEY"},
        hash=False,
    )
    north_keeps: bool = True
    now_at: str = "south"
    totals: tuple[bool, bool] = (True, True)
    ceiling: int = 40
    batched_at: str = "north"

    @property
    def files(self) -> dict[str, str]:
        return {**FILES, "sql/week/verdicts_rows.sql": _ROWS, "sql/week/dataset.sql": _DATASET}

    def _stages(self) -> list[dict[str, Any]]:
        assumed = {**TOKENS, "rows_per": {"drafts": 1}}
        return [
            {"name": "drafts", "ask": self.batched_at, "samples": self.samples, "assume": TOKENS, **files_of("drafts")},
            {"name": "verdicts", "ask": self.now_at, "window": "now", "assume": assumed, **files_of("verdicts")},
            {"name": "dataset", "sql": "week/dataset.sql"},
        ]


@dataclass(frozen=True)
class Calm:
    """What an undisturbed run leaves behind, and how often it passes each spot."""

    tables: dict[str, str]
    requests: frozenset[str]
    passed: Counter[str]

    @classmethod
    def of(cls, scene: Scene) -> Calm:
        with placed(scene, SEED, []) as (desk, _):
            ended = run(desk)
            assert ended.error is None and ended.document["state"] == "done", ended
            now = truth.Truth.of(desk.objects, desk.hosts)
            assert not list(now.flaws())
            requests = [one.request for one in now.bill]
            assert len(requests) == len(set(requests)) == 2 * scene.rows
            return cls(truth.tables(desk.objects, now.facts), frozenset(requests), Counter(desk.world.met))


@dataclass(frozen=True)
class Struck:
    """One place, one fault: how the command ended that met it, and what was wrong after the next one."""

    where: str
    ended: str
    flaws: list[str]

    def __str__(self) -> str:
        return f"{self.where:44s} {self.ended:60.60s} {'; '.join(self.flaws) or 'as undisturbed'}"


def run(desk: Desk) -> Ended:
    """One command, typed by a person who then waits for it."""
    desk.timing = TIMING
    return desk.play(desk.world.process(0, PATIENCE), "run", ACTS["run"])


Objects = Callable[[], dict[str, bytes]]


def once_more(desk: Desk, calm: Calm, objects: Objects | None = None, *, calls_lost: bool = False) -> list[str]:
    """Type the line again, the faults being over; every way in which what it leaves falls short.

    ``objects``: what lies in the store afterwards, if it is not the simulated one. ``calls_lost``: the fault lay in a
    call at once, which may have been charged without an answer.
    """
    desk.world.quiet = True
    ended = run(desk)
    if objects is not None:
        desk.objects.data = objects()
    if ended.error is not None or ended.killed or ended.document["state"] != "done":
        return [f"the second command ended with {ended.error or ended.document['state']}"]
    now = truth.Truth.of(desk.objects, desk.hosts)
    flaws = list(now.flaws())
    if now.allowed and not (calls_lost and set(now.allowed) == {truth.CALLS}):
        flaws.append(f"excused: {dict(now.allowed)}")
    executed = Counter(one.request for one in now.bill)
    if executed.keys() != calm.requests or (max(executed.values()) > 1 and not calls_lost):
        flaws.append(f"executed {dict(executed)}")
    if (made := truth.tables(desk.objects, now.facts)) != calm.tables:
        flaws.append(f"other bytes: {[stage for stage, digest in calm.tables.items() if made.get(stage) != digest]}")
    if reserved := now.facts.reserved("week"):
        flaws.append(f"${reserved} are still reserved")
    if left := [name for host in desk.hosts.values() for name, _, _ in host.files.values()]:
        flaws.append(f"left at the provider: {left}")
    if len({key.lower() for key in desk.objects.data}) != len(desk.objects.data):
        flaws.append("two keys that a file system without capitals takes for one")
    return flaws


def struck(scene: Scene, fault: Fault, calm: Calm) -> Struck | None:
    """One run that meets one fault of the simulated store or of a host, and another one. None when none was met."""
    with placed(scene, SEED, [fault]) as (desk, _):
        ended = run(desk)
        if not desk.world.struck:
            return None
        flaws = once_more(desk, calm, calls_lost=fault.spot.endswith(".ask"))
        return Struck(f"{fault.spot} #{fault.nth}: {fault.kind}", how(ended), flaws)


def on_a_disk(scene: Scene, at: int, kind: str, calm: Calm) -> Struck | None:
    """As ``struck``, on the real store in a folder, whose ``at``-th write meets a fault of the disk."""
    with placed(scene, SEED, []) as (desk, folder):
        store = FailingFolder(folder / "disk", at, kind)
        desk.stores = lambda _: store
        ended = run(desk)
        if not store.struck:
            return None
        flaws = said_well(ended, disks.KINDS[kind].exits)
        flaws += [f"a half-written file stays: {part.name}" for part in (folder / "disk").glob(f"{SPOOL}/*")]
        flaws += once_more(desk, calm, lambda: {key: store.read(key) for key in store.list("")})
        return Struck(f"folder, write #{at}: {kind}", how(ended), flaws)


def in_a_bucket(scene: Scene, verb: str, at: int, kind: str, calm: Calm) -> Struck | None:
    """As ``struck``, on the real S3 store, whose ``at``-th put or get meets a fault of the bucket's server."""
    fault = buckets.KINDS[verb][kind]
    with placed(scene, SEED, []) as (desk, folder), mock.patch.object(s3.time, "sleep"):
        bucket = Bucket(verb, at, fault)
        desk.stores = lambda process: bucket.store(folder / f"cache-{process.number}")
        ended = run(desk)
        if not bucket.struck:
            return None
        flaws = said_well(ended, (*fault.exits, 0) if bucket.there else fault.exits)
        bucket.fault = None
        flaws += once_more(desk, calm, bucket.data)
        return Struck(f"bucket, {verb} #{at}: {kind}", how(ended), flaws)


def how(ended: Ended) -> str:
    return "killed" if ended.killed else f"{type(ended.error).__name__}: {ended.error}" if ended.error else "well"


def said_well(ended: Ended, expected: tuple[int, ...]) -> list[str]:
    """What a person is told: an error of ours with the line to type, and the exit code that it must have."""
    error = ended.error
    if not expected or ended.killed:
        return []
    if error is None:
        waited = 5 in expected and any("trying again" in line for line in ended.said)  # while providers worked
        return [] if waited or 0 in expected else ["it ended as if nothing had happened"]
    if not isinstance(error, ChimeraError):
        return [f"it raised {error!r}"]
    flaws = [] if error.exit_code in expected else [f"exit {error.exit_code}: {error}"]
    return flaws if error.hint else [*flaws, f"no line to type: {error}"]
