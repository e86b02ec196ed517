"""A process that dies at every place where it touches the store or a host, in one run: each time a copy of it does.

Before each effect the interpreter forks. The copy takes the process for dead, without a finally or an except of it
being run, as after ``kill -9``; what it leaves is what had become durable by then. It types the line again, judges,
says what it found and is gone. The original goes on undisturbed. A kill after one effect is a kill before the next.
"""

from __future__ import annotations

import json
import os
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.sim.scene import Scene
from tests.faults.sim.schedule import Fault
from tests.faults.sim.small import SEED, Calm, Struck, once_more, run
from tests.faults.sim.week import placed
from tests.faults.sim.world import Process, World

_READS = {"read", "fetch", "list", "state", "find", "find_uploads"}
"""Verbs that change nothing outside: a kill before one of them is a kill before the next effect."""


@dataclass
class Forking(World):
    """``dies``: what a copy does with the rest of its life, told where it is; ``found`` gets what each one says."""

    dies: Callable[[str], list[str]] | None = None
    found: list[Struck] = field(default_factory=list)
    only: str = ""  # places whose name begins so

    def meet(self, process: Process, spot: str) -> Fault | None:
        fault = super().meet(process, spot)
        if self.dies is not None and spot.startswith(self.only) and spot.rpartition(".")[2] not in _READS:
            self.found.append(self._copy(f"{spot} #{self.met[spot] - 1}", self.dies))
        return fault

    def _copy(self, where: str, dies: Callable[[str], list[str]]) -> Struck:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                flaws = dies(where)
            except BaseException:  # noqa: BLE001 - the copy has nobody above it; the original tells what it said
                flaws = [traceback.format_exc()]
            with os.fdopen(writing, "w") as out:
                json.dump(flaws, out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            text = said.read()
        os.waitpid(child, 0)
        return Struck(f"kill before {where}", "killed", json.loads(text or '["the copy said nothing"]'))


def kills(scene: Scene, calm: Calm, only: str = "") -> list[Struck]:
    """A kill before every effect of one run, or before those whose place's name begins with ``only``."""
    with placed(scene, SEED, [], Forking) as (desk, folder):
        world = desk.world
        assert isinstance(world, Forking)

        def dies(where: str) -> list[str]:
            world.dies = None
            for process in world.processes:
                process.dead = process.over = True
            machine = world.machines[0]
            machine.folder = _copied(machine.folder, folder / f"copy-{os.getpid()}")
            return once_more(desk, calm)

        world.dies, world.only = dies, only
        ended = run(desk)
        assert ended.error is None, ended
        return world.found


def _copied(folder: Path, to: Path) -> Path:
    """The machine's disk: the copy's second command must not change what the original works on."""
    if (folder / "state").exists():
        shutil.copytree(folder / "state", to / "state")
    to.mkdir(exist_ok=True)
    return to
