"""Seven nights of one small pipeline under one schedule of faults, and the person who follows the hints."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from chimera_batch import api
from chimera_batch.errors import NeedsDecision, OverBudget
from tests.faults.sim import schedule, truth
from tests.faults.sim.host import HostWorld
from tests.faults.sim.playing import Desk, Ended, simulated
from tests.faults.sim.scene import Scene
from tests.faults.sim.schedule import HOSTS, Fault
from tests.faults.sim.store import Objects, SimStore
from tests.faults.sim.world import World

DAY = 86_400.0
NIGHTS = 7
PATIENCE = 30 * 3600.0  # seconds; longer than any batch that ends
OVERDUE = 26 * 3600.0  # seconds, after which a person cancels a batch
LAST = 25  # commands in which a week must be done once all is quiet
_STUCK = re.compile(r"adopt \S+ --shard (\S+) --batch (\S+)")

Act = Callable[[Any], Any]
ACTS: dict[str, Act] = {"run": api.run, "advance": api.advance, "cancel": api.cancel, "retry": api.retry}


@dataclass
class Report:
    """What came of a week. ``allowed``: what was executed again or charged unseen, and is known to be possible."""

    seed: int
    faults: list[Fault]
    commands: int = 0
    executed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)


class Failed(Exception):
    """Something that must hold does not."""


@dataclass
class Week:
    """The person at the desk. Nothing here knows the schedule, so that the script stays as it is when faults go."""

    desk: Desk
    scene: Scene
    dice: random.Random
    report: Report
    folder: Path
    most: Decimal | None = None  # the highest budget that was ever in force

    @property
    def world(self) -> World:
        return self.desk.world

    def __post_init__(self) -> None:
        self._start = self.world.clock.now

    def nights(self) -> None:
        for night in range(NIGHTS):
            begins = self.world.clock.now + 3600 if night == 0 else self._start + night * DAY
            self.world.clock.now = max(self.world.clock.now, begins)
            for _ in range(self.dice.choice((1, 1, 2, 3))):
                self._command()
                self.world.clock.now += self.dice.choice((5.0, 600.0, 7200.0))
        self._settle()

    def _command(self) -> None:
        kind = self.dice.choices(
            ("run", "advance", "race", "cancel", "retry", "more", "edit"), (10, 6, 6, 1, 1, 1.5, 0.7)
        )[0]
        machine, other = self.dice.randrange(2), self.dice.randrange(2)
        if kind == "more":
            self._change(self.scene.more(self.dice.choice((1, 4))))
        elif kind == "edit":
            self._change(self.scene.edited())
        elif kind == "race":
            self._race(machine, other)
        else:
            self._play(kind, machine)

    def _change(self, scene: Scene) -> None:
        self.scene = scene
        self.desk.project = scene.load(self.folder / "project")
        self.report.log.append(f"{self._time()} the manifest has {scene.rows} rows, version {scene.version}")

    def _race(self, machine: int, other: int) -> None:
        processes = [self.world.process(one, PATIENCE) for one in (machine, other)]
        ended: list[Ended] = []
        self.world.race(
            [(p, lambda p=p: ended.append(self.desk.play(p, "run", ACTS["run"]))) for p in processes]  # type: ignore[misc]
        )
        for one in ended:
            self._ended(one)
        for one in ended:
            self._react(one)

    def _play(self, name: str, machine: int = 0, act: Act | None = None) -> Ended:
        ended = self.desk.play(self.world.process(machine, PATIENCE), name, act or ACTS[name])
        self._ended(ended)
        if act is None:
            self._react(ended)
        return ended

    def _ended(self, ended: Ended) -> None:
        self.report.commands += 1
        how = "killed" if ended.killed else type(ended.error).__name__ if ended.error else "well"
        self.report.ends[how] += 1
        say = f": {ended.error}" if ended.error else ""
        self.report.log += [f"    {line}" for line in ended.said]
        where = f"{ended.process.machine.name} {ended.process.number}"
        self.report.log.append(f"{self._time()} {ended.command} on {where} ended: {how}{say}")
        flaws = [*truth.surface(ended), *truth.told(ended), *self._flaws()]
        if flaws:
            self.report.flaws += flaws
            raise Failed("; ".join(flaws)) from ended.error

    def _time(self) -> str:
        return f"[day {(self.world.clock.now - self._start) / DAY:.3f}]"

    def _flaws(self) -> Iterator[str]:
        now = truth.Truth.of(self.desk.objects, self.desk.hosts)
        yield from now.flaws()
        self.report.allowed, self.report.executed = now.allowed, len(now.bill)
        if self.most is not None and (committed := now.facts.committed("week")) > self.most:
            yield f"${committed} are committed, the budget was never above ${self.most}"
        if self.most is not None and now.charged > self.most and not now.allowed:
            yield f"${now.charged} were charged, the budget was never above ${self.most}"

    # -- the person

    def _react(self, ended: Ended) -> None:
        """What a person does who reads how a command ended."""
        error = ended.error
        if isinstance(error, OverBudget) and self.desk.budget is not None:
            self._budget(self.desk.budget * 2)
        elif isinstance(error, NeedsDecision) and (found := _STUCK.search(error.hint or "")):
            self._decide(found[1], found[2])
        elif isinstance(error, NeedsDecision) and "usable" in error.message:
            self._play("retry", act=ACTS["retry"])
        elif ended.killed:
            self._cancel_overdue()

    def _budget(self, usd: Decimal) -> None:
        self.desk.budget = usd
        self.most = max(usd, self.most or usd)
        self.report.log.append(f"{self._time()} the budget is ${usd} now")

    def _decide(self, shard: str, batch: str) -> None:
        """Look at the host's own pages for the batch, and say what is found there. Some people do not look."""
        facts = truth.facts_of(self.desk.objects)
        stuck = [(s, a) for s, a in facts.attempts() if s.id == shard and a.stand == "stuck"]
        if not stuck:
            return  # somebody was faster
        where, attempt = stuck[0]
        made = self.desk.hosts[where.provider].batches.values()
        mine = [b.id for b in made if b.nonce == attempt.nonce and b.plan.shown <= self.world.clock.now]
        careless = not self.world.quiet and self.dice.random() < 0.15
        known = facts.batch_ids(where.realm) - {attempt.batch}
        chosen = next((one for one in mine if one not in known), None)
        if chosen is None or careless:
            self._play("resend", act=lambda manifest: api.resend(manifest, shard))
        else:
            self._play("adopt", act=lambda manifest: api.adopt(manifest, shard, chosen))

    def _cancel_overdue(self) -> None:
        """Batches that do not end are cancelled; those that do not end then either are given up."""
        for shard, attempt in truth.facts_of(self.desk.objects).attempts():
            since = attempt.submitted_at or attempt.at
            if attempt.stand == "submitted" and self.world.clock.now - since > OVERDUE:
                word, act = ("resend", api.resend) if attempt.cancel_asked else ("cancel one", api.cancel)
                self._play(word, act=lambda manifest, shard=shard.id, act=act: act(manifest, shard))

    # -- the end

    def _settle(self) -> None:
        """The faults are over. Whatever happened, a few more commands must bring the week to its end."""
        self.world.quiet = True
        goal = undisturbed(self.scene, self.report.seed)
        for _ in range(LAST):
            ended = self._play("run")
            if ended.error is None and not ended.killed:
                given_up = sum(stage["given_up"] for stage in ended.document["stages"])
                under_way = truth.facts_of(self.desk.objects).reserved("week")  # of requests that nobody wants any more
                if given_up <= goal.given_up and not under_way:
                    return self._compare(goal, ended.document)
                if given_up > goal.given_up:
                    self._play("retry")
            self.world.clock.now += 6 * 3600.0
            self._cancel_overdue()
        raise Failed(f"not done after {LAST} quiet commands")

    def _compare(self, goal: Goal, document: dict[str, Any]) -> None:
        now = truth.Truth.of(self.desk.objects, self.desk.hosts)
        found = truth.tables(self.desk.objects, now.facts)
        flaws = [f"other bytes: {stage}" for stage in goal.tables if found.get(stage) != goal.tables[stage]]
        flaws += [f"{s['stage']}: {s['in_flight']} in flight" for s in document["stages"] if s["in_flight"]]
        reader = SimStore(self.desk.objects, self.world.process(0, PATIENCE))
        flaws += truth.counted(now, self.desk.hosts)
        flaws += truth.rows_as_charged(now, reader)
        self.report.flaws += flaws
        if flaws:
            raise Failed("; ".join(flaws))


@dataclass(frozen=True)
class Goal:
    """What an undisturbed run leaves behind."""

    tables: dict[str, str]
    given_up: int


_GOALS: dict[tuple[int, int, int], Goal] = {}


def undisturbed(scene: Scene, seed: int) -> Goal:
    """The same questions on a quiet night."""
    key = (seed, scene.rows, scene.version)
    if key not in _GOALS:
        _GOALS.clear()
        with placed(scene, seed, []) as (desk, _):
            ended = desk.play(desk.world.process(0, 10 * DAY), "run", ACTS["run"])
            assert ended.document and ended.document["state"] == "done", ended
            given_up = sum(stage["given_up"] for stage in ended.document["stages"])
            _GOALS[key] = Goal(truth.tables(desk.objects, truth.facts_of(desk.objects)), given_up)
    return _GOALS[key]


@contextmanager
def placed(scene: Scene, seed: int, faults: Sequence[Fault], make: type[World] = World) -> Iterator[tuple[Desk, Path]]:
    """A world with its hosts, in a folder of memory where the system has one."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="nights-", dir=shared if shared.is_dir() else None))
    try:
        world = make(folder, seed, faults)
        project = scene.load(folder / "project")
        hosts = {
            name: HostWorld(name, world, project.profiles[name], totals)
            for name, totals in zip(HOSTS, scene.totals, strict=True)
        }
        with simulated(world):
            yield Desk(world, Objects(), hosts, project), folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(seed: int, faults: Sequence[Fault] | None = None) -> Report:
    """One week. ``faults``: instead of the seed's own; the script of commands stays the seed's."""
    scene = Scene.draw(seed)
    drawn = list(schedule.draw(seed) if faults is None else faults)
    report = Report(seed, drawn)
    with placed(scene, seed, drawn) as (desk, folder):
        dice = random.Random(f"week {seed}")
        week = Week(desk, scene, dice, report, folder)
        if dice.random() < 0.3:
            rough = Decimal(scene.rows * scene.samples * 2 * (30 + 4 * scene.ceiling)) / 1_000_000
            week._budget(round(rough * Decimal(str(round(dice.uniform(0.5, 1.3), 2))), 6))
        try:
            week.nights()
        except Failed as failed:
            if not report.flaws:
                report.flaws.append(str(failed))
        report.struck = list(desk.world.struck)
    return report
