"""A server that we start, watch, start again and end: the same for every kind of engine that has a command line.

Whoever asks holds ``address``: it comes back with a healthy server or raises. What a dead engine left unanswered is the
caller's to ask again; here only the engine is brought back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from chimera_batch import settings
from chimera_batch.engines import failures, kernel, orphans, process, record
from chimera_batch.engines.base import Launch, Plan
from chimera_batch.engines.holding import Hold
from chimera_batch.engines.probing import healthy
from chimera_batch.engines.process import Process
from chimera_batch.engines.watchdog import Lives
from chimera_batch.engines.watching import Watch
from chimera_batch.errors import EngineFailed
from chimera_batch.providers.base import Engine

_SAY_EVERY = 15.0  # seconds between two lines about a start that takes long
_SETTLE = 10.0  # seconds that a server which was healthy once gets to be healthy again
_DYING = 60.0  # seconds that one may be too busy to say that it is healthy: then it is dead
_PAUSE = 0.2  # seconds between two looks at a start
_PORTS = 3  # times that another program may be faster to take the port of a start
_TAKEN = "address already in use"


class Managed:
    """An engine of this machine by its ``name``; ``folder`` is its own: record, log and the lock of its runner."""

    def __init__(self, plan: Plan, engine: Engine, name: str, folder: Path, say: Callable[[str], None]) -> None:
        self._plan, self._engine, self._name, self._folder, self._say = plan, engine, name, folder, say
        self._turn = threading.Lock()  # one brings it up, the others wait for that
        self._hold = Hold(folder, name)
        self._closing = threading.Event()
        self._launch: Launch | None = None
        self._process: Process | None = None
        self._watch: Watch | None = None  # of that process, once it is healthy
        self._lives: dict[str, Lives] = {}  # by model
        self._gone: dict[str, EngineFailed] = {}  # models that are not tried again

    def address(self, model: str) -> str:
        """See ``base.Server``. Raises NeedsDecision where another runner has the engine."""
        with self._turn:
            watch = self._watch
            if watch is None or not self._serves(watch, model):
                watch = self._bring_up(model)
            watch.asked()
            return f"http://127.0.0.1:{watch.process.record.port}/v1"

    def _serves(self, watch: Watch, model: str) -> bool:
        """Whether this engine can be asked for the model now. Counts its death if it cannot any more."""
        if watch.process.record.model != model:
            return False
        if not watch.stalled and watch.process.alive() and (watch.fresh or self._settles(watch.process, _DYING)):
            watch.seen()
            return True
        self._bury(watch, model)
        return False

    def about(self) -> Mapping[str, str]:
        """See ``base.Server``. Empty before the first address."""
        return dict(self._launch.about) if self._launch else {}

    def finished(self) -> None:
        """See ``base.Server``."""
        if watch := self._watch:
            watch.finished()

    def close(self) -> None:
        """See ``base.Server``. Ends a start that is under way too."""
        self._closing.set()
        with self._turn:
            self._put_down()
            self._hold.release()

    def _bring_up(self, model: str) -> Watch:
        """A healthy server of the model, or EngineFailed, and the same again for everybody who asks later."""
        self._hold.take()
        self._put_down()
        if gone := self._gone.get(model):
            raise EngineFailed(gone.message, why=gone.why, hint=gone.hint)
        if self._closing.is_set():
            raise EngineFailed(f"{self._name}: the run is being ended", why="crash")
        try:
            launch = self._launch = self._plan(self._engine, model)
            running = self._running(launch, model)
        except EngineFailed as failed:
            self._gone[model] = failed
            raise
        self._lives[model] = self._lives.get(model, Lives()).healthy()
        running.ready()
        self._watch = Watch(running, launch.gauges, self._engine.stall_s, self._say)
        return self._watch

    def _running(self, launch: Launch, model: str) -> Process:
        """A healthy process: the one that was left, else a new one. Raises EngineFailed where none can be."""
        ports = _PORTS
        while True:
            found = self._found(launch, model)
            self._process = found or self._started(launch, model)
            failed = self._wait(self._process, self._engine.start_s)
            if failed is None:
                return self._process
            self._put_down()
            if self._closing.is_set():
                raise failed
            if found is None and ports and _TAKEN in failed.message.lower():
                ports -= 1  # no death of the engine's: the next start has another one
            elif found is None:
                self._count(model, failed, answered=False)

    def _found(self, launch: Launch, model: str) -> Process | None:
        """The engine that an earlier runner left, if it is the one that is needed; whatever else it left is ended."""
        left = record.load(self._folder)
        remains = orphans.left_of(left, settings.boot())
        verdict = orphans.fate(left, settings.boot(), (model, launch.digest), remains)
        if left is None or verdict == "nothing":
            self._warn_of_the_unseen(left)
            return None
        found = Process(left, self._folder)
        if verdict == "await" or (verdict == "reuse" and self._settles(found, _SETTLE)):
            self._say(f"{self._name}: an earlier run left its engine of {model} (process {left.pid}): it is used again")
            return found
        if not orphans.end(left, settings.boot(), self._say):
            stay = ", ".join(str(one.pid) for one in orphans.left_of(left, settings.boot()))
            raise EngineFailed(
                f"processes of an earlier engine cannot be ended: {stay}", why="crash", hint=f"kill -9 {stay}"
            )
        record.forget(self._folder)
        return None

    def _warn_of_the_unseen(self, left: record.Record | None) -> None:
        if left is not None and not kernel.can_look() and healthy(left.port):
            self._say(f"something answers at port {left.port}, perhaps an engine that an earlier run left: see lsof -i")

    def _settles(self, found: Process, seconds: float) -> bool:
        """Whether it is healthy, at once or within so many seconds."""
        until = time.monotonic() + seconds
        while found.alive() and time.monotonic() < until:
            if healthy(found.record.port):
                return True
            time.sleep(_PAUSE)
        return False

    def _started(self, launch: Launch, model: str) -> Process:
        """A new process. Raises EngineFailed where the interpreter cannot be run."""
        self._say(f"{self._name}: starting {model}; its log is {self._folder / 'server.log'}")
        try:
            return process.start(self._folder, launch.argv, dict(launch.environment), (model, launch.digest))
        except OSError as error:
            raise EngineFailed(f"{launch.argv[0]} cannot be started: {error}", why="not_installed") from error

    def _wait(self, started: Process, seconds: float) -> EngineFailed | None:
        """Until it is healthy; else why it is not. Says every few seconds what it is at."""
        begun = said = time.monotonic()
        while not (healthy(started.record.port) and started.listens()):
            now = time.monotonic()
            if self._closing.is_set():
                return EngineFailed(f"{self._name}: the run is being ended", why="crash")
            if not started.alive():
                return self._failure(started, starting=True)
            if now - begun > seconds:
                return EngineFailed(
                    f"{self._name} was not ready within start_s: {seconds:g} s. {self._last(started)}",
                    why="stalled",
                    hint=f"look into {started.log}; engine: {{start_s: {2 * seconds:g}}} gives it longer",
                )
            if now - said >= _SAY_EVERY:
                said = now
                self._say(f"{self._name}: starting since {now - begun:.0f} s. {self._last(started)}")
            self._closing.wait(_PAUSE)
        return None

    def _failure(self, dead: Process, *, starting: bool) -> EngineFailed:
        found = failures.classify(dead.code(), dead.tail(), starting=starting)
        done = "does not start" if starting else "died"
        hint = found.hint or f"look into {dead.log}"
        return EngineFailed(f"{self._name} {done}: {found.words} (log: {dead.log})", why=found.why, hint=hint)

    def _last(self, started: Process) -> str:
        lines = [line.strip() for line in re.split(r"[\r\n]+", started.tail()[-2000:]) if line.strip()]
        return lines[-1][-160:] if lines else ""

    def _bury(self, watch: Watch, model: str) -> None:
        """End the engine that was in use and count its death. Raises EngineFailed at the last one."""
        failed = self._failure(watch.process, starting=False)
        if watch.stalled:
            failed = EngineFailed(
                f"{self._name} got stuck: it held requests and made no token for {self._engine.stall_s} s",
                why="stalled",
                hint=f"keep max_model_len within the KV cache; look into {watch.process.log}",
            )
        self._put_down()
        self._count(model, failed, answered=watch.answered)

    def _count(self, model: str, failed: EngineFailed, *, answered: bool) -> None:
        """One death more. Raises what it died of, for good, unless the model may be started again."""
        lives = self._lives[model] = self._lives.get(model, Lives()).died(failed.why, answered=answered)
        if not lives.again(self._engine.restarts):
            self._gone[model] = failed
            raise failed
        self._say(f"{failed.message}: started again ({lives.deaths} of {self._engine.restarts})")

    def _put_down(self) -> None:
        """End what runs, with everything it started."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._process is not None:
            if not self._process.stop():
                self._say(f"{self._name}: processes of its engine are left; the next run tries again to end them")
            self._process = None
