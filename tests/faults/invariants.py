"""What must hold after any accident, checked against the server's own bill."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from chimera_batch import api, statusing
from chimera_batch.facts import Facts
from chimera_batch.folding import apply
from chimera_batch.journal import Journal
from chimera_batch.ledger import Ledger
from chimera_batch.opening import open_side
from chimera_batch.rehearsal.bill import double_payments
from chimera_batch.stores.base import Store
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
        if twice := double_payments(self.bill):
            yield f"paid twice: {[line['custom_id'] for line in twice]}"
        billed = sum((Decimal(line["usd"]) for line in self.bill), Decimal(0))
        booked = sum((attempt.billed for _, attempt in self.facts.attempts()), Decimal(0))
        if billed != booked:
            yield f"the server billed ${billed}, the ledger has ${booked}"

    def most_committed(self) -> Decimal:
        """The most that was ever spent and reserved at once, by the journal."""
        facts, most = Facts(), Decimal(0)
        journal = Journal(self.store, owner="a reader", clock=lambda: 0.0)
        for event in journal.refresh():
            apply(facts, event)
            runs = {attempt.run for _, attempt in facts.attempts()}
            most = max([most, *(facts.spent(run) + facts.reserved(run) for run in runs)])
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


def _short(status: dict[str, Any]) -> dict[str, Any]:
    states = (*statusing.STATES, "wanted")
    return {stage["stage"]: {name: stage[name] for name in states if stage[name]} for stage in status["stages"]}


def dataset(scene: Scene) -> list[tuple[Any, ...]]:
    """The last stage's rows."""
    table = scene.facts.tables[(scene.status()["run"], "dataset")]
    path = scene.store.fetch(table.key)
    return duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
