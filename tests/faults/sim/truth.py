"""The store held against the hosts' own account: what must hold after every command, and at the end of a week."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from chimera_batch.errors import ChimeraError
from chimera_batch.history.facts import Attempt, Facts, Shard
from chimera_batch.history.folding import apply
from chimera_batch.history.journal import Journal
from chimera_batch.stores.base import Store
from chimera_batch.verbs import statusing
from tests.faults.sim.host import Execution, HostWorld
from tests.faults.sim.playing import Ended
from tests.faults.sim.store import Objects
from tests.faults.sim.world import ERRORS
from tests.support import MemoryStore

RESEND = "a person said: resend"
PAUSED = "window 1: suspended between the look at its lease and its create"
CALLS = "window 2: a synchronous call whose reply was lost, or whose spool lies on another machine"
LISTED = "window 3: a host that lists a batch later than settle"
UNTOLD = "window 5: executed in a batch that ended early, not delivered, in no totals"
CUT = "window 6: two downloads in a row that ended early without an error, from a host that tells no sizes"


@dataclass
class Truth:
    """Both sides of one moment. ``allowed``: what was executed again, or charged unseen, and why that is known."""

    facts: Facts
    bill: list[Execution]
    attempts: dict[str, tuple[Shard, Attempt]]
    allowed: Counter[str]

    @classmethod
    def of(cls, objects: Objects, hosts: Mapping[str, HostWorld]) -> Truth:
        facts = facts_of(objects)
        bill = [one for host in hosts.values() for one in host.bill()]
        return cls(facts, bill, {a.nonce: (s, a) for s, a in facts.attempts()}, Counter())

    @property
    def charged(self) -> Decimal:
        return sum((one.usd for one in self.bill), Decimal(0))

    def flaws(self) -> Iterator[str]:
        """Every way in which the two sides differ; none is what we want."""
        yield from self._unseen()
        yield from self._twice()

    def _unseen(self) -> Iterator[str]:
        """What was charged is billed, suspected or still reserved, attempt by attempt; and the bill holds no more."""
        charged: dict[str, list[Execution]] = defaultdict(list)
        for one in self.bill:
            charged[one.nonce].append(one)
        for nonce, lines in charged.items():
            if nonce not in self.attempts:
                yield f"{len(lines)} requests were executed that no claim names"
                continue
            shard, attempt = self.attempts[nonce]
            usd = sum((one.usd for one in lines), Decimal(0))
            reserved = attempt.usd if attempt.is_open else Decimal(0)
            if usd > attempt.billed + attempt.suspected + reserved:
                yield from self._more_than_known(shard, attempt, lines, usd)
        for nonce, (shard, attempt) in self.attempts.items():
            if attempt.billed > sum((one.usd for one in charged[nonce]), Decimal(0)):
                yield f"{shard.id}.{attempt.number}: billed ${attempt.billed}, the host charged less"

    def _more_than_known(self, shard: Shard, attempt: Attempt, lines: list[Execution], usd: Decimal) -> Iterator[str]:
        known = attempt.billed + attempt.suspected
        ended = [one for one in lines if one.batch and not one.delivered and one.batch.plan.word != "completed"]
        if ended and not any(one.batch and one.batch.totals for one in ended):
            lost = sum((one.usd for one in ended), Decimal(0))
            if usd - lost <= known:
                self.allowed[UNTOLD] += len(ended)
                return
        if reason := next((why for one in lines if (why := _window(one, attempt))), None):
            self.allowed[f"charged unseen: {reason}"] += 1
            return
        yield f"{shard.id}.{attempt.number} ({attempt.stand}): ${usd} were charged, ${known} are billed or suspected"

    def _twice(self) -> Iterator[str]:
        """Nothing is executed again after a usable answer that was delivered, but for what is known."""
        before: dict[str, list[Execution]] = defaultdict(list)
        for one in self.bill:
            for earlier in before[one.request]:
                if earlier.usable and earlier.delivered:
                    why = self._why(earlier) or self._why(one)
                    if why is None:
                        yield f"executed again: {self._named(earlier)}, then {self._named(one)}"
                    else:
                        self.allowed[why] += 1
                elif earlier.usable and earlier.batch is None:
                    self.allowed[CALLS] += 1
            before[one.request].append(one)

    def _why(self, one: Execution) -> str | None:
        """Why a usable answer may have been asked for again."""
        _, attempt = self.attempts[one.nonce]
        if attempt.written_off or attempt.blind:
            return RESEND
        if one.batch is None:
            return CALLS if attempt.taken_from or attempt.stand == "claimed" else None
        return _window(one, attempt)

    def _named(self, one: Execution) -> str:
        shard, attempt = self.attempts[one.nonce]
        batch = f"{one.batch.id} {sorted(one.batch.kinds)}" if one.batch else "a call"
        return f"{one.request[:8]} of {shard.id}.{attempt.number} ({attempt.stand}, {batch})"


def _window(one: Execution, attempt: Attempt) -> str | None:
    """The residual window of docs/reliability.md that a batch went through: most are of one that no receipt names."""
    if one.batch is None:
        return None
    if one.batch.id == attempt.batch:
        return CUT if one.batch.cuts > 1 else None
    if "pause" in one.batch.kinds:
        return PAUSED
    return LISTED if "batch_listed_very_late" in one.batch.kinds else None


def facts_of(objects: Objects) -> Facts:
    """What the journal says, read without a fault."""
    store: Any = MemoryStore()
    store.objects = objects.data
    facts = Facts()
    for event in Journal(store, owner="a reader", clock=lambda: 0.0).refresh():
        apply(facts, event)
    return facts


def surface(ended: Ended) -> Iterator[str]:
    """What a person sees of one command: an error of ours, in one line, with the right state beside it."""
    error = ended.error
    if error is not None and not isinstance(error, ChimeraError):
        yield f"{ended.command} raised {type(error).__name__}: {error}"
        return
    document = ended.document if error is None else error.document
    if isinstance(error, ChimeraError):
        if not error.message or "\n" in error.message:
            yield f"{ended.command} says {error.message!r}"
        if error.exit_code == 1:
            yield f"{ended.command} ended unexpectedly: {type(error).__name__}: {error}"
    if isinstance(document, dict) and "stages" in document:
        if not statusing.balances(document):
            yield f"{ended.command}: the sums do not balance"
        if error is None and ended.command in {"run", "advance"} and document["state"] != "done":
            yield f"{ended.command} ended well and is {document['state']!r}"
    elif error is None and not ended.killed and ended.command in {"run", "advance"}:
        yield f"{ended.command} ended without a document"


_SILENT = {"discard", "cancel", "state", "find_uploads"}  # tried again by the next pass, and passed over by some


def told(ended: Ended) -> Iterator[str]:
    """Every call that failed left a line: of progress, or in the error that the command ended with.

    Of several in a command that failed, the last one is what it says: an earlier one may have been waiting to be said.
    """
    said = "\n".join([*ended.said, str(ended.error)])
    failed = [
        one
        for one in ended.process.met
        if one.kind.removesuffix("_after") in ERRORS and one.spot.partition(".")[2] not in _SILENT
    ]
    for fault in () if ended.killed else failed if ended.error is None else failed[-1:]:
        word = "credentials" if fault.kind == "credentials" else fault.spot
        if word not in said:
            yield f"{ended.command} says nothing of {fault}"


def counted(truth: Truth, hosts: Mapping[str, HostWorld]) -> Iterator[str]:
    """Of every batch that was read whole, the status shows what became of each request and of each odd line."""
    for shard, attempt in truth.facts.attempts():
        batch = hosts[shard.provider].batches.get(attempt.batch or "")
        if attempt.stand != "landed" or batch is None or batch.cuts or batch.problems:
            continue
        if sum(attempt.outcomes.values()) != attempt.requests:
            yield f"{shard.id}.{attempt.number}: {attempt.outcomes} of {attempt.requests} requests"
        odd = 0 if batch.plan.no_files else batch.odd_lines()
        if attempt.quarantined != odd:
            yield f"{shard.id}.{attempt.number}: {attempt.quarantined} lines are in quarantine, {odd} belong there"


def tables(objects: Objects, facts: Facts) -> dict[str, str]:
    """Digests of the tables' bytes, by stage."""
    return {stage: hashlib.sha256(objects.data[t.key]).hexdigest() for (_, stage), t in facts.tables.items()}


def rows_as_charged(truth: Truth, store: Store) -> Iterator[str]:
    """Every landed row that cost something costs what the host charged for it in that very attempt."""
    charged = {(one.nonce, one.request): one for one in truth.bill}
    with duckdb.connect() as mine:
        for nonce, (shard, attempt) in truth.attempts.items():
            if not attempt.answers:
                continue
            files = [str(store.fetch(key)) for key in attempt.answers]
            sql = "SELECT request_id, sum(usd), count(*) FROM read_parquet(?) GROUP BY ALL"
            for request, usd, _ in mine.execute(sql, [files]).fetchall():
                one = charged.get((nonce, request))
                if usd and (one is None or one.usd != Decimal(usd)):
                    yield f"{shard.id}.{attempt.number}: ${usd} for {request[:8]}, the host says {one and one.usd}"
