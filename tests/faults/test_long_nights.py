"""72 hours of waiting on the virtual clock: memory, handles, journal and log stay small; nothing but UTC matters.

The store is the real one in a folder. What is measured between the twelfth hour and the seventy-first is what grows
with time; the bounds stand in docs/reliability.md.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from chimera_batch.context import Timing
from chimera_batch.errors import StoreDown
from chimera_batch.records import BatchState
from chimera_batch.stores.local import FolderStore
from tests.faults.sim import fates
from tests.faults.sim.host import SimHost
from tests.faults.sim.playing import Desk, Ended
from tests.faults.sim.schedule import Fault
from tests.faults.sim.small import SEED, Calm, Small, once_more
from tests.faults.sim.week import ACTS, placed

pytestmark = pytest.mark.slow

HOUR = 3600.0
NIGHTS = 72 * HOUR
MEGABYTE = 1 << 20


@dataclass
class Meter:
    """Looks at this process now and then. ``act``: what is done at each look with how many hours it has been."""

    desk: Desk
    act: Callable[[float], None] = lambda _: None
    seen: list[tuple[float, int, int]] = field(default_factory=list)  # hours, bytes in memory, handles

    def __post_init__(self) -> None:
        self._start = self.desk.world.clock.now

    def look(self) -> None:
        hours = (self.desk.world.clock.now - self._start) / HOUR
        self.act(hours)
        if not self.seen or hours - self.seen[-1][0] >= 1:
            self.seen.append((hours, resident(), len(list(Path("/proc/self/fd").iterdir()))))

    def grown(self) -> tuple[int, int]:
        """Bytes and handles, from the twelfth hour, when allocators have what they keep, to the last but one."""
        early, late = (next(one for one in self.seen if one[0] >= hour) for hour in (12, 71))
        return late[1] - early[1], late[2] - early[2]


def resident() -> int:
    """Bytes in memory, without what is free already and only not given back."""
    gc.collect()
    with suppress(OSError, AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def night(desk: Desk, meter: Meter | None = None) -> Ended:
    """One ``run`` that is waited for, however long it takes, and looked at whenever it sleeps or asks."""
    process = desk.world.process(0, 10 * NIGHTS)
    if meter is not None:
        sleep = process.sleep

        def watched(seconds: float) -> None:
            meter.look()
            sleep(seconds)

        process.sleep = watched  # type: ignore[method-assign]  # of this one process
    return desk.play(process, "run", ACTS["run"])


@contextmanager
def batches_that_take(seconds: float) -> Iterator[None]:
    real = fates.dice

    def dice(*what: Any) -> float:
        return ((seconds - 300) / 30_000) ** (1 / 3) if what[0] == "took" else real(*what)

    with mock.patch.object(fates, "dice", dice):
        yield


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_three_days_of_polling_cost_nothing_that_grows() -> None:
    scene = Small(rows=300, per_file=(150, 50), batched_at="north", now_at="south")
    with batches_that_take(NIGHTS), placed(scene, SEED, []) as (desk, folder):
        store = FolderStore(folder / "disk")
        desk.stores, desk.timing = lambda _: store, Timing()
        meter = Meter(desk)
        ended = night(desk, meter)
        assert ended.error is None and ended.document["state"] == "done"
        assert desk.world.met["north.state"] > 2 * 71 * 180, "two batches, every 20 seconds"
        memory, handles = meter.grown()
        assert memory < 4 * MEGABYTE
        assert handles == 0
        waiting = [key for key in store.list("journal/") if b'"seen"' in store.read(key)]
        assert len(waiting) <= 2 * (100 + 5), "a count in steps of a hundredth, and the words"
        assert len("\n".join(ended.said)) < 72 * 2 * 100 + 4000, "a line an hour for a batch that is overdue"
        assert not list((folder / "disk" / ".part").iterdir())


def test_three_days_of_words_that_change_at_every_look_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is over without results, then it goes on, then nobody knows the word; and each time for two batches."""
    looks = Counter[str]()

    def fickle(self: SimHost, batch_id: str) -> BatchState:
        found = state(self, batch_id)
        if found.phase == "ended":
            return found
        looks[batch_id] += 1
        said = ("in_progress", "completed", "paused")[looks[batch_id] % 3]
        return replace(found, status=said, phase="ended" if said == "completed" else "working", files=())

    state, scene = SimHost.state, Small(rows=3)
    with batches_that_take(NIGHTS), placed(scene, SEED, []) as (desk, folder):
        store = FolderStore(folder / "disk")
        desk.stores, desk.timing = lambda _: store, Timing(poll=300.0)
        monkeypatch.setattr(SimHost, "state", fickle)
        ended = night(desk)
        assert ended.error is None and ended.document["state"] == "done"
        assert len(looks) == 2 and min(looks.values()) > 71 * 12
        seen = [key for key in store.list("journal/") if b'"seen"' in store.read(key)]
        assert len(seen) <= 2 * (3 + 2 * (72 + 4)), "twice an hour, when it says what it said before"
        assert len(ended.said) <= 2 * 4 * 73, "some lines an hour and batch"
        executed = [one.request for one in desk.hosts["north"].bill()]
        assert len(executed) == len(set(executed)), "what goes on after all was never believed to be over"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_three_days_of_asking_cost_nothing_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 470 calls of ten minutes each, one after the other: every lease is renewed, every reply durable at once."""
    with placed(Small(rows=560, per_file=(500, 500)), SEED, []) as (desk, folder):
        store = FolderStore(folder / "disk")
        desk.stores, desk.timing = lambda _: store, Timing()
        meter, ask = Meter(desk), SimHost.ask

        def slowly(self: SimHost, line: bytes) -> bytes:
            meter.look()
            desk.world.clock.now += 600.0
            return ask(self, line)

        with monkeypatch.context() as patch:
            patch.setattr(SimHost, "ask", slowly)
            ended = night(desk)
        assert ended.error is None and ended.document["state"] == "done"
        memory, handles = meter.grown()
        assert memory < 4 * MEGABYTE
        assert handles == 0
        renewed = [key for key in store.list("journal/") if b'"renewed"' in store.read(key)]
        assert len(renewed) <= 80 * HOUR / (Timing().lease / 2), "twice a lease at the most"
        assert len("\n".join(ended.said)) < 80 * 60 * 80, "a line a minute at the most"


# -- clocks


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.__setitem__("TZ", before)
        time.tzset()


SPRING, AUTUMN = 1_806_192_000.0, 1_792_886_400.0  # a Sunday at 00:00 UTC whose 01:00 changes the clocks of Berlin


def written(moment: float) -> tuple[list[str], dict[str, bytes]]:
    """What a run with a daily budget says and writes that begins shortly before a moment, and goes on after it."""
    with placed(Small(rows=6), SEED, []) as (desk, folder):
        desk.world.clock.now = moment - HOUR
        ended = night(desk)
        assert ended.error is None, ended
        here = str(folder).encode()  # the manifest's path stands in the journal
        return ended.said, {key: data.replace(here, b"") for key, data in desk.objects.data.items()}


@pytest.mark.parametrize("moment", [SPRING, AUTUMN], ids=["into summer time", "out of it"])
def test_a_night_in_which_the_clocks_are_changed_is_like_any_other(moment: float) -> None:
    assert time.gmtime(moment).tm_wday == 6
    with zone("Europe/Berlin"):
        assert time.localtime(moment).tm_isdst != time.localtime(moment + 2 * HOUR).tm_isdst
        berlin = written(moment)
    with zone("UTC"):
        assert berlin == written(moment)


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])
@pytest.mark.parametrize("fault", [None, Fault("north.create", 0, "lost_after"), Fault("store.create", 22, "kill")])
def test_a_clock_that_jumps_by_an_hour_costs_nothing(fault: Fault | None, jump: float) -> None:
    scene = Small()
    with placed(scene, SEED, [fault] if fault else []) as (desk, _):

        def jumps(hours: float) -> None:
            desk.skew = jump if hours > 0.02 else 0.0

        night(desk, Meter(desk, jumps))
        desk.skew = jump
        assert once_more(desk, Calm.of(scene)) == []


# -- a store that is away for a while


def test_a_store_that_does_not_answer_for_an_hour_ends_no_night() -> None:
    """Between two looks at the providers, that is: a bucket has its bad hours too."""
    scene = Small()
    with placed(scene, SEED, []) as (desk, _):
        desk.world._due = {("store.read", number): [Fault("store.read", number, "down")] for number in range(9000)}
        desk.timing, meter = Timing(poll=60.0), Meter(desk)

        def strikes(hours: float) -> None:
            desk.world.quiet = not 0.5 < hours < 1.5

        desk.world.quiet, meter.act = True, strikes
        ended = night(desk, meter)
        assert ended.error is None and ended.document["state"] == "done", ended
        tries = [line for line in ended.said if "trying again" in line]
        assert 30 < len(tries) <= 60
        assert once_more(desk, Calm.of(scene)) == []


def test_a_store_that_stays_away_ends_the_run_with_the_line_to_type() -> None:
    with batches_that_take(NIGHTS), placed(Small(), SEED, []) as (desk, _):
        desk.world._due = {("store.read", number): [Fault("store.read", number, "down")] for number in range(9000)}
        desk.timing, meter = Timing(poll=600.0), Meter(desk)

        def strikes(hours: float) -> None:
            desk.world.quiet = hours < 0.5

        desk.world.quiet, meter.act = True, strikes
        ended = night(desk, meter)
        assert isinstance(ended.error, StoreDown) and ended.error.exit_code == 5 and ended.error.hint
        assert 6 <= meter.seen[-1][0] < 8
