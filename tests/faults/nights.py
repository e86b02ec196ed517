"""How an ordinary bad night is played: one small run, one thing that goes wrong at the provider, what became of it.

The run goes through the real SDKs to the rehearsal server, which was told what to break. Afterwards both sides are
heard: our ledger, and the server's own bill, because what the server executed is what would have been paid.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import duckdb

from chimera_batch import api, rehearsal
from chimera_batch.context import Timing
from chimera_batch.errors import ChimeraError
from chimera_batch.opening import Options, open_run
from chimera_batch.providers import calling, files
from chimera_batch.rehearsal.bill import double_payments
from tests.faults.night_project import FILES, KILLED, MANIFEST

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
ROWS = 100
SPEED = 1e6  # a day of the provider's in a tenth of a second
TIMING = Timing(poll=0.02, lease=5.0, settle=0.3, queue=0.1)
PATIENCE = 30.0  # seconds after which a run counts as hanging

Fault = Mapping[str, Any]


class Hung(BaseException):
    """A run did not come back. Not an Exception, so that nothing on the way takes it for a fault that passes."""


@dataclass(frozen=True)
class Night:
    """What goes wrong, and what must come of it."""

    name: str
    what: str  # for people
    faults: tuple[Fault, ...] = ()
    sent: tuple[int, ...] = (ROWS,)  # requests of each batch that was created, in order
    told: str = r": 100 ok"  # a pattern that one line of progress or of the status must match
    lost: int = 0  # executed by the provider and in no file: its mistake, on its bill
    refused: int = 0  # never executed and not asked again
    apart: int = 0  # lines kept in quarantine
    odd: str = ""  # characters that some answers must hold
    act: Callable[[House], None] = lambda house: house.run()
    dialects: tuple[str, ...] = ("openai", "anthropic")
    doubt: tuple[str, ...] = ()  # the dialects in which the status must say that dollars may be lost
    alone: bool = False  # needs a provider that no other night uses
    speed: float = SPEED  # of that provider
    quick: tuple[str, ...] = ()  # the dialects in which it is played on every change; in the others by CI


@dataclass(frozen=True)
class Report:
    """What both sides say after a night."""

    status: dict[str, Any]
    answers: list[tuple[str, str]]  # row_key, note
    bill: list[dict[str, Any]]  # the provider's: a line for each request that it executed
    said: list[str]
    seconds: float
    dialect: str = "openai"

    @property
    def stage(self) -> dict[str, Any]:
        return dict(self.status["stages"][0])

    @property
    def sent(self) -> tuple[int, ...]:
        return tuple(batch["requests"] for batch in self.stage["batches"] if batch["id"])

    @property
    def twice(self) -> int:
        """Requests executed again after a usable answer could be had: what must never happen."""
        return len(double_payments(self.bill))

    @property
    def lost(self) -> int:
        return sum(not line["delivered"] for line in self.bill)

    @property
    def charged(self) -> Decimal:
        """Dollars for what was delivered."""
        return sum((Decimal(line["usd"]) for line in self.bill if line["delivered"]), Decimal(0))

    @property
    def wasted(self) -> Decimal:
        """Dollars for what was executed and never delivered: what must be suspected, at least."""
        return sum((Decimal(line["usd"]) for line in self.bill if not line["delivered"]), Decimal(0))

    @property
    def suspected(self) -> Decimal:
        return Decimal(str(self.status["usd_suspected"]))

    def line(self, pattern: str) -> str:
        """The first line that told a person, or the empty text."""
        reasons = [f"status: {batch['reason']}" for batch in self.stage["batches"] if batch["reason"]]
        return next((line for line in [*self.said, *reasons] if re.search(pattern, line)), "")


def flaws(night: Night, report: Report) -> list[str]:
    """What is not as it must be; [] is a good morning."""
    stage, wanted = report.stage, ROWS + (night.sent[-1] if night.name == "one-row-added" else 0)
    answered = wanted - night.refused
    held = sum(any(character in note for character in night.odd) for _, note in report.answers)
    checks = {
        "state": (report.status["state"], "done"),
        "wanted": (stage["wanted"], wanted),
        "answered": (stage["answered"], answered),
        "given up": (stage["given_up"], night.refused),
        "rows in the table": (len({key for key, _ in report.answers}), answered),
        "batches": (report.sent, night.sent),
        "executed": (len(report.bill), answered + night.lost),
        "executed and lost": (report.lost, night.lost),
        "paid twice": (report.twice, 0),
        "dollars": (round(Decimal(str(report.status["usd_spent"])), 6), round(report.charged, 6)),
        "still reserved": (report.status["usd_reserved"], 0.0),
        "dollars in doubt": (report.status["usd_suspected"] > 0, report.dialect in night.doubt),
        "suspected": (_fits(night, report), True),
        "kept apart": (sum(batch["quarantined"] for batch in stage["batches"]), night.apart),
        "answers with odd characters": (held, 10 if night.odd else 0),
        "told": (bool(report.line(night.told)), True),
    }
    return [f"{name}: {found!r}, not {right!r}" for name, (found, right) in checks.items() if found != right]


def _fits(night: Night, report: Report) -> bool:
    """Whether enough is suspected; and no more than the provider charged, where its totals tell.

    To the sixth digit, as the status rounds. Totals leave cache writes out, and where no row came that would show
    whether there are any, the input may have cost a quarter more.
    """
    digit = Decimal("0.000001")
    told = report.dialect == "openai" and not any(fault["kind"] == "no_usage" for fault in night.faults)
    unseen = told and report.lost == report.sent[0]  # of a batch without a single row
    most = report.wasted * (Decimal("1.25") if unseen else 1) + digit if told else Decimal("Infinity")
    return report.wasted - digit <= report.suspected <= most


@dataclass
class House:
    """A project, a store and a provider for one night."""

    folder: Path
    dialect: str
    server: rehearsal.Running
    state: Path  # the server's folder
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, text in FILES.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        self.write(ROWS)
        self.before = self.billed()

    @property
    def manifest(self) -> Path:
        return self.folder / "night.yaml"

    @property
    def store(self) -> str:
        return str(self.folder / "store")

    @property
    def options(self) -> Options:
        return Options(store=self.store, rehearse=True, say=self.said.append, timing=TIMING)

    @property
    def environment(self) -> dict[str, str]:
        return {"CHIMERA_REHEARSAL_URL": self.server.url, "CHIMERA_CACHE": str(self.folder / "cache")}

    def write(self, rows: int) -> None:
        """The manifest, for so many rows. The folder's name is in every prompt: no night answers another's."""
        told = {"rows": rows, "night": str(self.folder), "provider": self.dialect, "model": MODELS[self.dialect]}
        self.manifest.write_text(MANIFEST.format(**told), encoding="utf-8")

    def order(self, *faults: Fault) -> None:
        """These faults, and no other that still waits."""
        place = urlsplit(self.server.url)
        for method, body in (("DELETE", b""), ("POST", json.dumps(faults).encode())):
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
            try:
                connection.request(method, "/_rehearsal/faults", body)
                reply = connection.getresponse()
                assert reply.status == 200, reply.read()
            finally:
                connection.close()

    def call(self, verb: Callable[..., Any], **given: Any) -> Any:
        """One verb of ``api``; what stops it is said, as the command line would."""
        with self._here(), deadline(PATIENCE):
            try:
                return verb(self.manifest, options=self.options, **given)
            except ChimeraError as error:
                self.said.append(f"exit {error.exit_code}: {error} -- {error.hint}")

    def run(self, **given: Any) -> None:
        self.call(api.run, **given)

    def run_killed(self, at: str) -> None:
        """A run in a process of its own that dies, as by ``kill -9``, where it would write that fact."""
        code = KILLED.format(at=at, manifest=str(self.manifest), store=self.store)
        environment = {**os.environ, **self.environment}
        done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=PATIENCE, check=False)
        assert done.returncode == -signal.SIGKILL, done

    def report(self, seconds: float) -> Report:
        """The morning after."""
        status = self.call(api.status)
        return Report(status, self._answers(), self._bill()[self.before :], self.said, seconds, self.dialect)

    def billed(self) -> int:
        """How many requests the provider has executed, whoever asked."""
        return len(self._bill())

    def _answers(self) -> list[tuple[str, str]]:
        with self._here(), open_run(self.manifest, self.options) as ctx:
            table = ctx.facts.tables.get(("night", "notes"))
            path = str(ctx.store.fetch(table.key)) if table else None
        if path is None:
            return []
        return duckdb.execute("SELECT row_key, answer ->> 'note' FROM read_parquet(?)", [path]).fetchall()

    @contextmanager
    def _here(self) -> Iterator[None]:
        """This house's addresses, and time between two tries a hundred times shorter."""
        with (
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(calling, "delay", _delay),
            mock.patch.object(files, "delay", _delay),
        ):
            yield

    def _bill(self) -> list[dict[str, Any]]:
        path = self.state / "billing.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def play(night: Night, house: House) -> Report:
    """Order what goes wrong, run, and ask both sides what became of it."""
    house.order(*night.faults)
    begun = time.monotonic()
    night.act(house)
    return house.report(time.monotonic() - begun)


def _delay(attempt: int, retry_after: float | None = None) -> float:
    return calling.LONGEST_WAIT if (retry_after or 0) > 1 else 0.005 * 2**attempt


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises Hung inside the block when it takes longer. Main thread only."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
