"""What must hold after any accident, checked against the server's own bill, request by request."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from chimera_batch import api
from chimera_batch.history.facts import Attempt, Facts
from chimera_batch.history.folding import apply
from chimera_batch.history.journal import Journal
from chimera_batch.history.ledger import Ledger
from chimera_batch.opening import open_side
from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.stores.base import Store
from chimera_batch.verbs import statusing
from tests.faults.pipeline import Place
from tests.rehearsal_kit import Hall


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run left behind."""

    tables: dict[str, str]  # stage -> digest of its table's bytes
    requests: frozenset[str]


@dataclass(frozen=True)
class Scene:
    """One store and the server that its runs were served by."""

    at: Place
    served: Hall

    @property
    def store(self) -> Store:
        return open_side(self.at.store, rehearse=True)

    @property
    def facts(self) -> Facts:
        ledger = Ledger(self.store, owner="a reader")
        ledger.read()
        return ledger.facts

    @property
    def bill(self) -> list[dict[str, Any]]:
        return self.served.bill

    def status(self) -> dict[str, Any]:
        return api.status(self.at.manifest, self.at.options())

    def tables(self) -> dict[str, str]:
        """By stage, from the bytes as they lie in the store."""
        store, facts = self.store, self.facts
        return {s: hashlib.sha256(store.read(t.key)).hexdigest() for (_, s), t in facts.tables.items()}

    def reference(self) -> Reference:
        """Of this scene, which must be undisturbed."""
        faults = list(self.faults(None))
        assert not faults, faults
        return Reference(self.tables(), frozenset(str(line["request_id"]) for line in self.bill))

    def faults(self, reference: Reference | None) -> Iterator[str]:
        """Every way in which the finished run falls short; none is what we want."""
        yield from self.paid_faults()
        facts, status = self.facts, self.status()
        if status["state"] != "done" or not statusing.balances(status):
            yield f"status is {status['state']!r}: {_short(status)}"
        lost = {s["stage"]: s["wanted"] - s["answered"] for s in status["stages"] if s["wanted"] != s["answered"]}
        if lost:
            yield f"requests without an answer: {lost}"
        if reserved := facts.reserved(status["run"]):
            yield f"${reserved} are still reserved"
        if left := self.served.desk.files.all(purpose=None):
            yield f"files left at the provider: {[file['filename'] for file in left]}"
        if reference is not None:
            yield from self._differences(reference)

    def paid_faults(self) -> Iterator[str]:
        """The part that must hold at any moment when no batch is under way."""
        accounts = self.accounts()
        known = {line["custom_id"] for account in accounts for line in account.came}
        if twice := double_payments({**line, "delivered": line["custom_id"] in known} for line in self.bill):
            yield f"paid twice: {[line['custom_id'] for line in twice]}"
        for account in accounts:
            yield from account.faults()
        counted = sum(len(account.came) + len(account.lost) for account in accounts)
        if counted != len(self.bill):
            yield f"{len(self.bill)} requests are on the bill, {counted} of them in the ledger"

    def accounts(self) -> list[Account]:
        """The server's bill, attempt by attempt, beside what the ledger says of each."""
        store, lines = self.store, defaultdict(list)
        for line in self.bill:
            lines[line["custom_id"][:8]].append(line)
        return [
            Account.of(attempt, lines[attempt.nonce], [str(store.fetch(key)) for key in attempt.answers])
            for _, attempt in self.facts.attempts()
        ]

    def most_committed(self) -> Decimal:
        """The most that was ever spent, reserved and suspected at once, by the journal."""
        facts, most = Facts(), Decimal(0)
        journal = Journal(self.store, owner="a reader", clock=lambda: 0.0)
        for event in journal.refresh():
            apply(facts, event)
            runs = {attempt.run for _, attempt in facts.attempts()}
            most = max([most, *(facts.committed(run) for run in runs)])
        return most

    def _differences(self, reference: Reference) -> Iterator[str]:
        executed = Counter(str(line["request_id"]) for line in self.bill)
        if again := {key: times for key, times in executed.items() if times > 1}:
            yield f"executed more than once: {again}"
        if executed.keys() != reference.requests:
            yield f"other requests: {len(executed.keys() ^ reference.requests)} differ"
        tables = self.tables()
        if tables != reference.tables:
            other = [stage for stage, digest in reference.tables.items() if tables.get(stage) != digest]
            yield f"other bytes: {other}"


CENT = Decimal("0.01")


@dataclass(frozen=True)
class Account:
    """One attempt: the lines of the server's bill that we have a row of at that price, and those that we have not."""

    attempt: Attempt
    came: list[dict[str, Any]]
    lost: list[dict[str, Any]]
    unbilled: dict[str, Decimal]  # rows that cost something and are on no bill

    @classmethod
    def of(cls, attempt: Attempt, lines: list[dict[str, Any]], answers: list[str]) -> Account:
        rows: dict[str, Decimal] = {}
        if answers:
            sql = "SELECT request_id, sum(usd) FROM read_parquet(?) GROUP BY ALL"
            with duckdb.connect() as mine:  # the points of a test are tried in several threads
                rows = {key: Decimal(usd) for key, usd in mine.execute(sql, [answers]).fetchall() if usd}
        came, lost = [], []
        for line in lines:
            ours = line["batch"] == attempt.batch and rows.get(line["custom_id"][9:]) == Decimal(line["usd"])
            (came if ours else lost).append(line)
            if ours:
                del rows[line["custom_id"][9:]]
        return cls(attempt, came, lost, rows)

    @property
    def wasted(self) -> Decimal:
        """What the provider charged for and we have no row of."""
        return sum((Decimal(line["usd"]) for line in self.lost), Decimal(0))

    def faults(self) -> Iterator[str]:
        """The bill is exact, nothing that was charged is unknown, and where totals were told nothing is made up."""
        attempt, name = self.attempt, f"{self.attempt.stage}, attempt {self.attempt.number}"
        billed = sum((Decimal(line["usd"]) for line in self.came), Decimal(0))
        if billed != attempt.billed or self.unbilled:
            yield f"{name}: the server billed ${billed}, the ledger has ${attempt.billed} ({self.unbilled})"
        if dropped := [
            n["custom_id"] for n in self.lost if n["delivered"] and n["batch"] and n["batch"] == attempt.batch
        ]:
            yield f"{name}: delivered and not booked: {dropped}"
        if self.wasted > attempt.suspected:
            yield f"{name}: ${self.wasted} were charged for nothing, ${attempt.suspected} are suspected"
        too_much = attempt.suspected - self.wasted
        if attempt.reported is not None and (too_much >= CENT or (not self.lost and too_much)):
            yield f"{name}: ${attempt.suspected} are suspected; by the provider's totals it must be ${self.wasted}"
        if attempt.suspected > attempt.usd * (1 + len(attempt.strays)):
            yield f"{name}: ${attempt.suspected} are suspected, ${attempt.usd} were reserved"


def _short(status: dict[str, Any]) -> dict[str, Any]:
    states = (*statusing.STATES, "wanted")
    return {stage["stage"]: {name: stage[name] for name in states if stage[name]} for stage in status["stages"]}


def dataset(scene: Scene) -> list[tuple[Any, ...]]:
    """The last stage's rows."""
    table = scene.facts.tables[(scene.status()["run"], "dataset")]
    path = scene.store.fetch(table.key)
    return duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
