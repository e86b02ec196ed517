"""What every step of a run holds in its hands: the project, the store, the ledger, the hosts, the clock.

Made once per command by ``api``; the steps take it as their first argument and keep no state of their own.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chimera_batch.commands import Cap, capped, command
from chimera_batch.cost.prices import Price, PriceBook, from_row
from chimera_batch.cost.sampling import LEAST
from chimera_batch.doing import Watcher, nobody
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.history.ledger import Ledger
from chimera_batch.pipeline.project import Project, Source, Stage, shipped_root
from chimera_batch.providers.base import Profile, Provider
from chimera_batch.records import Call
from chimera_batch.requests.drawn import Drawings
from chimera_batch.rules.fallback import present
from chimera_batch.rules.routing import Ranked
from chimera_batch.stores.base import Store
from chimera_batch.stores.keys import MAX_SEGMENT

if TYPE_CHECKING:
    from chimera_batch.warehouse import Warehouse

REHEARSAL = "rehearsal"
_NOTED, _NOTES = 3600.0, 20  # seconds for which a line about a shard is not said again; lines about it in that time


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``settle``: how long a host may take to show a batch whose create reply was lost."""

    poll: float = 20.0
    lease: float = 900.0
    settle: float = 120.0
    queue: float = 60.0  # after a host was full or down, doubled each time in a row, an hour at most
    stopping: float = 3600.0  # a host may take so long to stop a batch; what it finished is collected then
    overdue: float = 26 * 3600.0  # a batch still working this long after its submission is reported


@dataclass(slots=True)
class Pilot:
    """How much may be sent before a person has seen what it costs: a random sample of each stage of batches."""

    requests: int
    stage: str | None = None  # the only stage that is asked anything; None: all
    agreed: set[str] = field(default_factory=set)  # stages whose rest may be sent too

    def __post_init__(self) -> None:
        """Raises InputError for a sample that is too small to say anything."""
        if self.requests < LEAST:
            raise InputError(
                f"a sample of {self.requests} says nothing: never fewer than {LEAST}; 100 is good, 200 is better",
                where="-n",
                hint="-n 100",
            )

    def samples(self, stage: Stage, wanted: int, least: int = 1) -> bool:
        """Whether only the sample of a stage with so many requests may be sent; ``least``: what makes a batch."""
        return not stage.synchronous and stage.name not in self.agreed and wanted >= self.requests + least


@dataclass(frozen=True, slots=True)
class Context:
    """One command's view of one run."""

    told: Project  # as the manifest has it
    store: Store
    ledger: Ledger
    prices: PriceBook
    work: Path  # scratch on this machine; nothing in it is needed again
    state: Path  # paid replies of this machine that are not in the store yet
    hosts: Callable[[str], Provider]  # profile name -> provider
    timing: Timing = field(default_factory=Timing)
    rehearse: bool = False
    also: tuple[str, ...] = ()  # further options that every command about this run must repeat
    budget_usd: Decimal | None = None  # the manifest's budget or --max-usd, whichever is less
    budget_day_usd: Decimal | None = None  # of what is claimed on one UTC day; --max-usd-per-day, likewise
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = lambda _line: None  # one line of progress for a person
    doing: Watcher = nobody  # told what the run does at the moment, and how far it is
    until: str | None = None  # the last stage that was asked for; None: all
    begun: float = 0.0  # when a person said: run, so that a host that was down before is tried again at once
    pilot: Pilot | None = None
    routes: Mapping[str, tuple[Ranked, ...]] = field(default_factory=dict)  # stage that routes -> its models compared
    drawings: Drawings | None = None  # of a command that may ask: what its quote drew is not drawn again
    silences: dict[str, int] = field(default_factory=dict)  # stage -> attempts in a row that its host left unanswered
    notes: dict[str, str] = field(default_factory=dict)  # shard -> why it waits, as far as this process knows
    troubles: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (stage, provider, model) -> what it is
    _said: dict[str, dict[str, float]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _seen: dict[int, Project] = field(default_factory=dict, init=False, repr=False, compare=False)

    def note(self, shard: Shard, text: str) -> None:
        """Say why a shard waits, once until it changes; of what goes back and forth, a few lines an hour."""
        if self.notes.get(shard.id) == text:
            return
        self.notes[shard.id] = text
        now, said = self.clock(), self._said.setdefault(shard.id, {})
        for old in [line for line, at in said.items() if at <= now - _NOTED]:
            del said[old]
        if text not in said and len(said) < _NOTES:
            self.say(f"{shard.id}: {text}")
            said[text] = now

    @property
    def facts(self) -> Facts:
        return self.ledger.facts

    @property
    def run(self) -> str:
        return self.told.run

    @property
    def project(self) -> Project:
        """The project as the run has it by now: stages that fell back ask another model, whoever decided it."""
        moved = {stage: found for (run, stage), found in self.facts.switches.items() if run == self.run}
        count = sum(map(len, moved.values()))
        if count not in self._seen:
            self._seen[count] = present(self.told, moved)
        return self._seen[count]

    def command(self, verb: str, *words: str, why: str = "") -> str:
        """A line about this run to paste into a shell."""
        return command(verb, self.told.path, *words, rehearse=self.rehearse, also=self.also, why=why)

    def go_on(self, verb: str, *words: str, why: str = "") -> str:
        """The same for one that sends, with the caps that were typed: a line without them may spend more."""
        return self.command(verb, *words, *capped(self.caps_typed), why=why)

    def again(self, why: str = "") -> str:
        """The line that goes on with what was typed."""
        verb, *words = self.typed
        return self.go_on(verb, *words, why=why)

    @property
    def typed(self) -> tuple[str, ...]:
        """What was typed, less what it said of money: a line that is pasted must not send more than was asked for."""
        until = ("--until", self.until) if self.until else ()
        if self.pilot is None:
            return "run", *until
        only = self.pilot.stage
        which = ("pilot", "--stage", only) if only else ("run", *until, "--pilot")
        return *which, "-n", str(self.pilot.requests)

    @property
    def to_the_end(self) -> bool:
        """Whether every stage was asked for."""
        return self.until in {None, self.told.stages[-1].name}

    @property
    def caps_typed(self) -> dict[Cap, Decimal]:
        """USD of the caps in force that are not the manifest's own."""
        known, found = self.told, dict[Cap, Decimal]()
        if self.budget_usd is not None and self.budget_usd != known.budget_usd:
            found["run"] = self.budget_usd
        if self.budget_day_usd is not None and self.budget_day_usd != known.budget_day_usd:
            found["day"] = self.budget_day_usd
        return found

    @property
    def marks(self) -> dict[str, str]:
        """What every Parquet file of this run says of its origin."""
        return {"chimera_run": self.run, "chimera_side": REHEARSAL if self.rehearse else "paid"}

    def profile(self, stage: Stage) -> Profile:
        return self.told.profiles[stage.calls[0].provider]

    def realm(self, stage: Stage) -> str:
        """Where the stage's answers come from; answers are shared only inside one realm."""
        return self.realm_at(stage.calls[0])

    def realm_at(self, call: Call) -> str:
        return realm_of(self.told.profiles[call.provider], rehearse=self.rehearse)

    def shards_of(self, call: Call) -> list[Shard]:
        """All that this store has asked a model at its host."""
        realm = self.facts.in_realm(self.realm_at(call))
        return [shard for shard in realm if (shard.model, shard.endpoint) == (call.model, call.endpoint)]

    def left_realms(self, stage: Stage) -> list[str]:
        """Where the answers of the models lie that a stage left, the first of its list first."""
        return list(dict.fromkeys(self.realm_at(call) for call in stage.left))

    def left_shards(self, stage: Stage) -> list[Shard]:
        """What lies of these models at other hosts than the one that is asked now."""
        here = self.realm(stage)
        return [shard for call in stage.left if self.realm_at(call) != here for shard in self.shards_of(call)]

    def realms(self) -> set[str]:
        """Of all stages, also where answers came from before a stage fell back."""
        asking = [stage for stage in self.project.stages if stage.kind == "ask"]
        return {self.realm_at(call) for stage in asking for call in (stage.calls[0], *stage.left)}

    def stuck(self) -> list[tuple[Shard, Attempt]]:
        """Attempts that a person must decide, this run's first; another run's can hold requests that this one wants."""
        realms = self.realms()
        stuck = [pair for pair in self.facts.attempts() if pair[1].stand == "stuck"]
        found = [pair for pair in stuck if pair[1].run == self.run or pair[0].realm in realms]
        return sorted(found, key=lambda pair: pair[1].run != self.run)

    def blocked(self, *, in_flight: bool) -> list[tuple[Shard, Attempt]]:
        """What only a person can free: this run's own, and another run's where that is all that this one waits for.

        ``in_flight``: whether requests that the run wants are under way, whoever sent them.
        """
        own = [pair for pair in self.stuck() if pair[1].run == self.run]
        return own if own or not in_flight or self.moving() else self.stuck()

    def moving(self, run: str | None = None) -> list[Attempt]:
        """Attempts under way at this run's hosts (``run``: of that run alone) that end by themselves."""
        realms = self.realms()
        return [a for s, a in self.facts.attempts(run) if a.is_open and a.stand != "stuck" and s.realm in realms]

    def host(self, shard: Shard) -> Provider:
        return self.hosts(shard.provider)

    def price(self, shard: Shard) -> Price:
        """The price in force today for a shard's model. Raises InputError for an unknown one."""
        return self.price_of(shard.provider, shard.model)

    def claimed_price(self, shard: Shard, attempt: Attempt) -> Price:
        """The price that an attempt was claimed at, whatever the table says now."""
        return from_row(attempt.price, f"the claim of {shard.id}") if attempt.price else self.price(shard)

    def price_of(self, provider: str, model: str) -> Price:
        return self.prices.price(provider, model, self.today)

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine that is gone afterwards."""
        self.work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.work, prefix="step-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @contextmanager
    def warehouse(self, *, threads: int = 2) -> Iterator[tuple[Warehouse, Path]]:
        """An in-memory DuckDB with a scratch folder beside it."""
        from chimera_batch.warehouse import Warehouse  # noqa: PLC0415 - duckdb is slow to import

        with self.scratch() as folder, Warehouse(folder / "spill", threads=threads) as warehouse:
            yield warehouse, folder


def unnamed(what: str, realm: str) -> str:
    """What is said of something that is at a host which the manifest no longer names."""
    return f"{what} is at {realm}, which the manifest no longer names: put it back"


def realm_of(profile: Profile, *, rehearse: bool) -> str:
    """``profile@host``, or ``profile@rehearsal``: another host or a mock never stands in for a paid answer."""
    if rehearse:
        return f"{profile.name}@{REHEARSAL}"
    nowhere = "local" if profile.local else "unknown"  # an engine that we start has no address of its own
    host = urlsplit(profile.base_url).hostname or nowhere  # without the port: a local server may come back on another
    realm = re.sub(r"[^A-Za-z0-9._@=-]", "-", f"{profile.name}@{host}")
    if len(realm) <= MAX_SEGMENT:
        return realm
    return f"{realm[: MAX_SEGMENT - 17]}-{hashlib.sha256(host.encode()).hexdigest()[:16]}"


def prices_of(book: PriceBook, stage: Stage, today: date) -> dict[tuple[str, str], Price]:
    """What each model of a stage costs, by provider and model. Raises InputError, with the stage, where not known."""
    try:
        return {(call.provider, call.model): book.price(call.provider, call.model, today) for call in stage.calls}
    except InputError as error:
        error.where = error.where or stage.where
        raise


@cache
def engine_sql(name: str) -> Source:
    """One of the engine's own SQL files."""
    path = shipped_root() / "sql" / "engine" / f"{name}.sql"
    return Source(name=f"engine/{name}.sql", path=path, text=path.read_text(encoding="utf-8"))
