"""One command of a person or of cron, played by a process of the simulated world through ``chimera_batch.api``."""

from __future__ import annotations

import random
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

from chimera_batch import api
from chimera_batch.calls import asking, desks
from chimera_batch.context import Context, Timing
from chimera_batch.cost import prices
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline.project import Project
from chimera_batch.steps import recovery, sweeping
from chimera_batch.stores import overlap
from chimera_batch.stores.base import Store
from chimera_batch.warehouse import connection, core
from chimera_batch.warehouse.connection import Connection
from chimera_batch.warehouse.scan import quote
from tests.faults.sim import answers
from tests.faults.sim.host import HostWorld, SimHost
from tests.faults.sim.scene import KEYS
from tests.faults.sim.store import Objects, SimStore
from tests.faults.sim.world import Killed, Process, World

TIMING = Timing(poll=300.0, lease=900.0, settle=120.0)
_BOOK = prices.load(None, [f"{host}/tiny-1={answers.PRICE}" for host in ("north", "south")])


@dataclass
class Ended:
    """How a command ended. ``error`` None: well, or killed."""

    command: str
    process: Process
    error: BaseException | None = None
    killed: bool = False
    document: Any = None
    said: list[str] = field(default_factory=list)


@dataclass
class Desk:
    """What commands need beside the world: the store's objects, the hosts, the manifest as it is now, the budget."""

    world: World
    objects: Objects
    hosts: dict[str, HostWorld]
    project: Project
    budget: Decimal | None = None
    timing: Timing = TIMING
    stores: Callable[[Process], Store] | None = None  # None: the simulated one
    skew: float = 0.0  # seconds by which the machines' clocks differ from the hosts'

    def clock(self) -> float:
        """What the machines take for the time."""
        return self.world.clock() + self.skew

    def context(self, process: Process, say: Callable[[str], None]) -> Context:
        """As ``opening`` would make it."""
        store: Store = self.stores(process) if self.stores else SimStore(self.objects, process)
        folder = process.machine.folder
        hosts = {name: SimHost(host, process) for name, host in self.hosts.items()}
        return Context(
            told=self.project,
            store=store,
            ledger=Ledger(store, owner=process.owner, clock=self.clock),
            prices=_BOOK,
            work=folder / "work",
            state=folder / "state",
            hosts=hosts.__getitem__,
            timing=self.timing,
            budget_usd=self.budget,
            clock=self.clock,
            sleep=process.sleep,
            say=say,
        )

    def play(self, process: Process, name: str, act: Callable[[Any], Any]) -> Ended:
        """Let a process run one function of ``api``; whatever it raises is kept."""
        ended = Ended(name, process)
        _HERE.process = process

        @contextmanager
        def opened(*, write: bool) -> Iterator[Context]:
            ctx = self.context(process, ended.said.append)
            ctx.ledger.read()
            if write:
                ctx.ledger.open()
            yield ctx

        _HERE.opened = opened
        try:
            ended.document = act(self.project.path)
        except Killed:
            ended.killed = True
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what reaches the surface is what is looked at
            ended.error = error
        ended.killed |= process.dead
        process.over = True
        return ended


class _Here(threading.local):
    """Who is at work in this thread."""

    process: Process
    opened: Any


_HERE = _Here()


def _opened(manifest: Any, options: Any, *, write: bool = False) -> Any:
    """In place of ``open_run``: the context of whoever is at work in this thread."""
    return _HERE.opened(write=write)


class InTurn:
    """An executor that does at once, and in order, whatever it is given."""

    def __init__(self, *_: object, **__: object) -> None:
        """As many at once as one likes."""

    def submit(self, act: Callable[..., Any], *args: Any) -> Done:
        done = Done()
        try:
            done.set_result(act(*args))
        except Exception as error:  # noqa: BLE001 - as an executor does
            done.set_exception(error)
        return done

    def shutdown(self, *_: object, **__: object) -> None:
        """Nothing runs."""

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs."""


class CrewInTurn:
    """``crew.Crew`` in one thread: a job is over when it has been handed out."""

    def __init__(self, size: int, work: Callable[[Any], None]) -> None:
        self.failures: list[Exception] = []
        self._size, self._work, self._begun, self._stopped = size, work, 0, False

    @property
    def broken(self) -> bool:
        return self._stopped or (bool(self.failures) and self._begun >= self._size)

    def give(self, job: Any, timeout: float) -> bool:
        if not self.broken:
            self._begun += 1
            try:
                self._work(job)
            except Exception as error:  # noqa: BLE001 - as a crew does
                self.failures.append(error)
        return True

    def rests(self, timeout: float) -> bool:
        return True

    def stop(self) -> None:
        self._stopped = True

    dismiss = stop


class Done(Future[Any]):
    """A set of them is in the order in which they were made: a night must be the same every time."""

    _made = 0

    def __init__(self) -> None:
        super().__init__()
        Done._made += 1
        self._number = Done._made

    def __hash__(self) -> int:
        return self._number


class Pooled:
    """A database that is emptied and kept when it is closed: opening one takes as long as ten statements."""

    _free: ClassVar[list[Connection]] = []

    def __init__(self, temp: Path, **_: object) -> None:
        temp.mkdir(parents=True, exist_ok=True)
        self._real = self._free.pop() if self._free else _CONNECT(_OPENED, memory_limit="256MB", threads=1)
        self._real.execute("SET enable_external_file_cache = false")  # files of this size are read faster anew
        self._real.execute("SET async_threads = 0")  # a process that forks has one thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def close(self) -> None:
        for kind in ("view", "table"):
            sql = f"SELECT {kind}_name FROM duckdb_{kind}s() WHERE NOT internal AND NOT temporary"
            for (name,) in self._real.execute(sql).fetchall():
                self._real.execute(f"DROP {kind} IF EXISTS {quote(name)} CASCADE")
        self._free.append(self._real)


_OPENED = Path(tempfile.gettempdir())
_CONNECT = connection.connect


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """While this is open, ``api`` works in the simulated world, in one thread a process, and chance is the seed's."""
    dice = random.Random(f"secrets {world.seed}")
    patches = [
        mock.patch.object(api, "open_run", _opened),
        mock.patch.object(secrets, "token_hex", lambda size: f"{dice.getrandbits(8 * size):0{2 * size}x}"),
        mock.patch.dict("os.environ", KEYS),
    ]
    living = lambda owner: world.living(owner, _HERE.process)  # noqa: E731 - it stands for a function
    patches += [mock.patch.object(room, "alive", living) for room in (recovery, desks)]
    patches += [
        mock.patch.object(asking, "Crew", CrewInTurn),
        mock.patch.object(asking, "time", SimpleNamespace(monotonic=world.clock)),
    ]
    patches.append(mock.patch.object(core.edge, "connect", Pooled))
    patches.append(mock.patch.object(overlap, "ThreadPoolExecutor", InTurn))
    if world.seed % 2:
        patches.append(mock.patch.object(sweeping, "LEAST", 1))  # DuckDB reads what Python would, so few lines are
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield
