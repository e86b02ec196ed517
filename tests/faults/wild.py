"""One night with real processes and sockets, drawn by its seed: commands that are killed, behind a proxy that spoils.

The command line's own ``main`` runs in a process forked from one that has imported everything, or, in every twentieth
night, in a ``python -m chimera_batch`` of its own. Kills are SIGKILL: at a write or call that the seed has drawn, or by
the parent after a time. When the schedule is over, a few commands must finish the run, and the host's own bill is held
against the ledger, attempt by attempt.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import damages, pipeline
from tests.faults.everywhere import TIMING, Everywhere, Order, Unhidden, hidden, patience
from tests.faults.invariants import Reference, Scene
from tests.faults.pipeline import LOST, Pipeline, Place
from tests.faults.proxies import Wire
from tests.faults.wire import ENDPOINTS, proxy
from tests.rehearsal_kit import Hall


@dataclass(frozen=True)
class Single(Pipeline):
    """One stage of two shards; ``who`` asks it: the writer is OpenAI's, the critic Anthropic's."""

    who: str = "writer"
    per_anthropic: int | None = 2

    def _document(self) -> dict[str, Any]:
        said = super()._document()
        return {**said, "stages": [{**said["stages"][0], "ask": self.who}]}


PIPELINES: Mapping[str, Pipeline] = {
    "openai": Single(),
    "anthropic": Single(who="critic"),
    "openai now": Single(window="now"),
    "anthropic now": Single(who="critic", window="now"),
    "everywhere": Everywhere(),
}
_OFTEN = (*(name for name in PIPELINES for _ in range(4 if name in {"openai", "anthropic"} else 2)),)
_OWN = 20  # every so many nights its processes are not forked
_COMMANDS = 4  # under faults at most
_MORNING = 8  # commands that may be needed when the faults are over
_PATIENCE = 300.0  # seconds of a real machine, however busy, after which a command counts as hanging


@dataclass(frozen=True)
class Command:
    """One command line. ``wire``: (kind, when, at) of a write or call at which it dies; ``after``: seconds until it is
    killed from outside."""

    words: tuple[str, ...]
    wire: tuple[str, str, int] | None = None
    after: float | None = None


@dataclass(frozen=True)
class Night:
    """What a seed has drawn."""

    seed: int
    pipeline: str
    orders: tuple[Order, ...]
    commands: tuple[Command, ...]
    own: bool  # its processes import everything themselves

    @classmethod
    def draw(cls, seed: int) -> Night:
        dice = random.Random(f"wild {seed}")
        name = dice.choice(_OFTEN)
        kinds = sorted(damages.ALL)
        places = [place for place in sorted(ENDPOINTS) if name == "everywhere" or place.startswith(name.split()[0])]
        drawn = range(dice.randint(3, 9))
        orders = {(dice.choice(places), dice.choice((1, 1, 2, 3))): dice.choice(kinds) for _ in drawn}
        own = seed % _OWN == 0
        return cls(
            seed,
            name,
            tuple((kind, endpoint, number) for (endpoint, number), kind in sorted(orders.items())),
            tuple(_command(dice, own=own) for _ in range(dice.randint(1, _COMMANDS))),
            own,
        )


def _command(dice: random.Random, *, own: bool) -> Command:
    words = dice.choice((("run",), ("run",), ("run", "--detach"), ("advance",)))
    fate = dice.random()
    if fate < 0.15:
        return Command(words)
    if own or fate < 0.35:
        return Command(words, after=dice.uniform(0.05, 3.0 if own else 1.5))
    kind, most = dice.choice((("store", 70), ("host", 22)))
    return Command(words, wire=(kind, dice.choice(("before", "after")), dice.randint(1, most)))


@dataclass
class Report:
    """What came of a night."""

    night: Night
    flaws: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    executed: int = 0
    again: int = 0  # executed more than once: calls that were lost
    decided: int = 0  # times that a person had to choose between adopt and resend
    hidden: int = 0  # calls that were executed, and answered with the host's word that they were not
    log: list[str] = field(default_factory=list)


def play(seed: int, folder: Path, references: Mapping[str, Reference], night: Night | None = None) -> Report:
    """The night of a seed, or a given one, in ``folder``."""
    night = night or Night.draw(seed)
    report = Report(night)
    manifest = PIPELINES[night.pipeline].write(folder / "project")
    with pipeline.hall(folder / "server") as served, proxy(served.url, damages.ALL) as through:
        at = pipeline.place(folder, manifest, through.url, timing=TIMING)
        through.order(night.orders)
        for number, command in enumerate(night.commands):
            report.ends[_do(at, command, report, f"{number}")] += 1
        through.order(())
        _morning(at, served, report)
        report.struck = through.struck.copy()
        unseen = hidden(through.met)
        report.hidden = len(unseen)
        report.flaws += _judged(Unhidden(at, served, unseen), references[night.pipeline], report)
    return report


def reference(name: str, folder: Path) -> Reference:
    """What an undisturbed run of a pipeline leaves behind."""
    manifest = PIPELINES[name].write(folder / "project")
    with pipeline.hall(folder / "server") as served:
        scene = Scene(pipeline.place(folder, manifest, served.url, timing=TIMING), served)
        ended = pipeline.run(scene.at)
        assert ended.code == 0, ended.said
        return scene.reference()


def _morning(at: Place, served: Hall, report: Report) -> None:
    """The faults are over: the same command until it is done; a person decides what only a person can."""
    for number in range(_MORNING):
        end = _do(at, Command(("run",)), report, f"morning-{number}")
        if end == "0":
            return
        decisions = list(_decided(at, served)) if end == "4" else []
        if end != "5" and not decisions:
            report.flaws.append(f"the morning ended with {end}")
            return
        report.decided += len(decisions)
        for place, words in enumerate(decisions):
            _do(at, Command(words), report, f"decision-{number}-{place}")
    report.flaws.append(f"not done after {_MORNING} commands")


def _decided(at: Place, served: Hall) -> Iterator[tuple[str, ...]]:
    """What a person says of each claim that several batches could be, having looked at the provider's own pages."""
    for shard, attempt in Scene(at, served).facts.attempts():
        if attempt.stand == "stuck":
            made = next((n["batch"] for n in served.bill if n["custom_id"].startswith(attempt.nonce)), None)
            yield ("adopt", "--shard", shard.id, "--batch", made) if made else ("resend", "--shard", shard.id)


def _judged(scene: Scene, wanted: Reference, report: Report) -> Iterator[str]:
    """A call that was lost and made again brings another answer; without one, every byte must be the reference's."""
    yield from scene.faults(None)
    executed = Counter(str(line["request_id"]) for line in scene.bill)
    report.executed, report.again = executed.total(), sum(times - 1 for times in executed.values())
    other = report.again or report.hidden
    rows = {name: table.rows for (_, name), table in scene.facts.tables.items()}
    if rows != dict.fromkeys(wanted.tables, len(pipeline.TOPICS)):
        yield f"rows are lost: {rows}"
    if not other and (tables := scene.tables()) != wanted.tables:
        yield f"other bytes: {[name for name, digest in wanted.tables.items() if tables.get(name) != digest]}"
    if not other and (foreign := executed.keys() - wanted.requests):
        yield f"{len(foreign)} requests that nobody wanted"
    for line in scene.bill:
        if executed[str(line["request_id"])] > 1 and line["batch"]:
            yield f"a batch's request was executed more than once: {line['custom_id']}"


def _do(at: Place, command: Command, report: Report, name: str) -> str:
    """One command to its end: its exit code, or "killed"."""
    end, said = (_own if report.night.own else _forked)(at, command, name)
    report.log += [f"{' '.join(command.words)}: {end}", *(f"  {line}" for line in said.splitlines()[-6:])]
    if "Traceback" in said:
        report.flaws.append(f"a traceback: {said[-1500:]}")
    if end not in {"0", "4", "5", "killed"}:
        report.flaws.append(f"{' '.join(command.words)} ended with {end}: {said[-500:]}")
    return end


def _words(at: Place, command: Command) -> list[str]:
    return ["--store", at.store, *command.words, at.manifest, "--rehearse"]


def _environment(at: Place) -> dict[str, str]:
    folders = {"CHIMERA_CACHE": f"{at.folder}/cache", "CHIMERA_STATE": f"{at.folder}/state"}
    return {**folders, "CHIMERA_REHEARSAL_URL": at.url, "NO_COLOR": "1"}


def _own(at: Place, command: Command, name: str) -> tuple[str, str]:
    """``python -m chimera_batch``, with nothing of ours in it."""
    notes = Path(at.folder) / f"{name}.notes"
    line = [sys.executable, "-m", "chimera_batch", *_words(at, command)]
    with notes.open("wb") as out:
        process = subprocess.Popen(line, stdout=out, stderr=out, env={**os.environ, **_environment(at)})
        try:
            code = process.wait(command.after if command.after is not None else _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = -signal.SIGKILL if command.after is not None else 99
    return _named(code), notes.read_text(errors="replace")


def _forked(at: Place, command: Command, name: str) -> tuple[str, str]:
    pipeline._Fork.set_forkserver_preload(["tests.faults.warm"])
    notes = Path(at.folder) / f"{name}.notes"
    process = pipeline._Fork.Process(target=_child, args=(at, command, str(notes)), daemon=True)
    process.start()
    if command.after is not None:
        process.join(command.after)
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
    process.join(_PATIENCE)
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
        return "hung", notes.read_text(errors="replace")
    said = notes.read_text(errors="replace") if notes.exists() else ""
    codes = [line[5:] for line in said.splitlines() if line.startswith("CODE ")]
    code = int(codes[-1]) if codes else -signal.SIGKILL if process.exitcode == LOST else int(process.exitcode or 0)
    return _named(code), said


def _named(code: int) -> str:
    return "killed" if code == -signal.SIGKILL else str(code)


def _child(at: Place, command: Command, notes: str) -> None:
    """In the forked process: the command line's main, with shorter times and perhaps a trip wire."""
    from chimera_batch import opening
    from chimera_batch.cli import cli

    os.environ.update(_environment(at))
    out = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    opening.REHEARSAL_TIMING = TIMING
    if command.wire is not None:
        kind, when, point = command.wire
        wire = Wire(kind, "before" if when == "before" else "after", point, "kill", say=lambda line: None)
        pipeline._patch(wire)
    code = 0
    with patience(["hang"]):
        try:
            cli.main(_words(at, command), prog_name="chimera-batch")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    os.write(1, f"\nCODE {code}\n".encode())
    os._exit(code)


def processor() -> float:
    """Seconds of processor time of this process and of all that were forked from the fork server."""
    from multiprocessing import forkserver

    spent = time.process_time() + sum(os.times()[2:4])
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is None:
        return spent
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return spent + sum(int(fields[n]) for n in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")
