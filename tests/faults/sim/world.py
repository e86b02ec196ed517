"""Machines, processes and one clock: where faults strike, processes die or sleep, and two runners take turns.

Every call of a process to its store or to a host goes through ``Process.call``. Only one process moves at a time; when
it hands over to another one is drawn, so the same seed plays the same night to the letter.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chimera_batch.errors import (
    AccountRefused,
    ChimeraError,
    InputError,
    MaybeCreated,
    ProviderDown,
    ProviderRefused,
    StoreDown,
)
from tests.faults.sim.schedule import Fault
from tests.support import NOW

CALL = 0.05  # seconds that a call takes
PAUSE = 3000.0  # seconds that a process sleeps where it is suspended: longer than any lease
HAND_OVER = 0.06  # share of calls at which another runner may go on instead


class Killed(BaseException):
    """The process is gone: whatever it still tries has no effect."""


class Stopped(Killed):
    """A person has waited long enough and pressed Ctrl-C."""


def _down(spot: str) -> ChimeraError:
    if spot.startswith("store."):
        return StoreDown(f"the store cannot be reached ({spot}: 503 SlowDown)", hint="wait and run again")
    return ProviderDown(f"{spot}: HTTP 503", hint="wait and run again")


def _lost(spot: str) -> ChimeraError:
    if spot.endswith(".create"):
        return MaybeCreated(f"{spot}: no reply (ReadTimeout)", hint="run again")
    return ProviderDown(f"{spot}: no reply (ReadTimeout)", hint="wait and run again", lost=True)


ERRORS: Mapping[str, Callable[[str], BaseException]] = {
    "interrupt": KeyboardInterrupt,
    "down": _down,
    "oserror": lambda spot: OSError(5, "Input/output error", spot),
    "lost": _lost,
    "gone": lambda spot: ProviderRefused(f"{spot}: HTTP 404: not found", status=404),
    "refused": lambda spot: ProviderRefused(f"{spot}: HTTP 400: invalid request", status=400),
    "account": lambda spot: AccountRefused(f"{spot}: HTTP 401: the key is invalid", hint="check the key"),
    "credentials": lambda spot: InputError("the store's credentials have expired", hint="aws sso login"),
}


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Machine:
    """A computer with a disk of its own."""

    name: str
    folder: Path

    def owner(self, number: int) -> str:
        """Of a process here, in the form that settings.owner has."""
        return f"{self.name}:boot:{number}:1"


@dataclass(eq=False)
class Process:
    """One command at work on a machine."""

    world: World
    machine: Machine
    number: int
    patience: float  # seconds after which a person stops it
    dead: bool = False
    wakes: float = 0.0
    over: bool = False
    met: list[Fault] = field(default_factory=list)  # the faults of its calls

    def __post_init__(self) -> None:
        self.until = self.world.clock() + self.patience

    @property
    def owner(self) -> str:
        return self.machine.owner(self.number)

    @contextmanager
    def call(self, spot: str) -> Iterator[Fault | None]:
        """Around a call: what is raised before it takes effect, what it is told to do, what is raised afterwards."""
        fault = self.world.meet(self, spot)
        kind = fault.kind if fault else ""
        if kind == "kill":
            self.die()
        if kind in ERRORS:
            raise ERRORS[kind](spot)
        yield fault
        if kind == "kill_after":
            self.die()
        if kind.endswith("_after"):
            raise ERRORS[kind.removesuffix("_after")](spot)

    def die(self, error: type[Killed] = Killed) -> None:
        self.dead = True
        raise error

    def sleep(self, seconds: float) -> None:
        self.alive()
        self.world.sleep(self, seconds)
        if self.world.clock() > self.until:
            self.die(Stopped)

    def alive(self) -> None:
        if self.dead:
            raise Killed


@dataclass
class World:
    """``met``: how often every spot was reached; ``struck``: the faults that came to pass."""

    folder: Path
    seed: int
    schedule: Sequence[Fault]
    clock: Clock = field(default_factory=Clock)
    met: Counter[str] = field(default_factory=Counter)
    struck: list[Fault] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    quiet: bool = False  # no more faults

    def __post_init__(self) -> None:
        self.machines = [Machine(name, self.folder / name) for name in ("desk", "server")]
        self._dice = random.Random(f"world {self.seed}")
        self._turn = threading.Condition()
        self._holder: Process | None = None
        self._racing: list[Process] = []
        self._due: dict[tuple[str, int], list[Fault]] = {}
        for fault in self.schedule:
            self._due.setdefault((fault.spot, fault.nth), []).append(fault)

    def process(self, machine: int, patience: float) -> Process:
        made = Process(self, self.machines[machine], 1000 + len(self.processes), patience)
        self.processes.append(made)
        return made

    def living(self, owner: str, asking: Process) -> bool | None:
        """What settings.alive would say to a process: it sees only its own machine."""
        for process in self.processes:
            if process.owner == owner:
                return not process.over and not process.dead if process.machine is asking.machine else None
        return None

    def due(self, spot: str) -> list[Fault]:
        """The faults that are due where a spot is reached now."""
        number = self.met[spot]
        self.met[spot] += 1
        return [] if self.quiet else self._due.get((spot, number), [])

    def strike(self, fault: Fault) -> None:
        self.struck.append(fault)

    def meet(self, process: Process, spot: str) -> Fault | None:
        process.alive()
        self._wait(process)
        process.alive()
        if len(self._racing) > 1 and self._dice.random() < HAND_OVER:
            self._hand_over(process)
        self.clock.now += CALL
        fault = next(iter(self.due(spot)), None)
        if fault is not None:
            self.strike(fault)
            process.met.append(fault)
            if fault.kind == "pause":
                self.sleep(process, PAUSE)
        return fault

    # -- turns

    def sleep(self, process: Process, seconds: float) -> None:
        process.wakes = self.clock.now + seconds
        self._wait(process)
        self._hand_over(process)
        self.clock.now = max(self.clock.now, process.wakes)

    def _wait(self, process: Process) -> None:
        with self._turn:
            while len(self._racing) > 1 and self._holder is not process:
                self._turn.wait()

    def _hand_over(self, process: Process) -> None:
        """Let another runner go on if it is awake before this one is."""
        others = [other for other in self._racing if other is not process]
        if not others:
            return
        other = min(others, key=lambda one: one.wakes)
        if other.wakes <= max(process.wakes, self.clock.now):
            with self._turn:
                self._holder = other
                self._turn.notify_all()
            self._wait(process)

    def race(self, acts: Sequence[tuple[Process, Callable[[], None]]]) -> None:
        """Several processes at once, one of which moves at a time. An act raises nothing."""
        self._racing = [process for process, _ in acts]
        self._holder = self._racing[0]
        threads = [threading.Thread(target=self._one, args=act) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._racing, self._holder = [], None

    def _one(self, process: Process, act: Callable[[], None]) -> None:
        self._wait(process)
        try:
            act()
        finally:
            with self._turn:
                self._racing.remove(process)
                self._holder = self._racing[0] if self._racing else None
                self._turn.notify_all()
