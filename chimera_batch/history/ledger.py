"""What happened to each shard: the only writer of facts about batches.

Every method is one decision and one event. The decision is taken on the facts as they are at that journal position;
if another runner wrote first, the facts are read again and the decision is taken again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from chimera_batch.history.facts import Asked, Attempt, Ended, Facts, Shard, Stand, Table, shard_name
from chimera_batch.history.folding import apply
from chimera_batch.history.journal import Event, Journal
from chimera_batch.history.sightings import Look, news
from chimera_batch.history.undone import OutOfMoney
from chimera_batch.records import Usage
from chimera_batch.stores.base import Store

Decide = Callable[[Facts], Mapping[str, Any] | None]


class Ledger:
    """The facts of one store, kept up to date, and the verbs that change them. Safe to use from several threads."""

    def __init__(self, store: Store, *, owner: str, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.owner = owner
        self.clock = clock
        self.facts = Facts()
        self._journal = Journal(store, owner=owner, clock=clock)
        self._lock = threading.RLock()

    def open(self) -> Ledger:
        """Begin to write: the store must be usable and of our format."""
        self._journal.open()
        self.refresh()
        return self

    def read(self) -> bool:
        """Begin to read; False when nothing was ever written there."""
        known = self._journal.check()
        if known:
            self.refresh()
        return known

    def refresh(self) -> Facts:
        with self._lock:
            for event in self._journal.refresh():
                apply(self.facts, event)
            return self.facts

    @property
    def position(self) -> int:
        """How many events the facts are made of."""
        return self._journal.position

    def write(self, decide: Decide) -> Event | None:
        """Append what ``decide`` says, or nothing if it says None. ``decide`` must not have side effects."""
        with self._lock:
            while True:
                self.refresh()
                payload = decide(self.facts)
                if payload is None:
                    return None
                event = self._journal.append(payload)
                if event is not None:
                    apply(self.facts, event)
                    return event

    def shard(self, realm: str, shard: str) -> Shard:
        return self.facts.shards[shard_name(realm, shard)]

    def begin(self, run: str, manifest: str, *, resume: bool = True) -> None:
        """Remember which manifest this folder ran last, so that ``query`` and ``status`` need no name.

        ``resume``: a person starts it, so a run that was cancelled, or stopped by a budget, goes on. Nobody does where
        cron looks at it again and again: then such a run stays as it is.
        """

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            stopped = run in facts.halted or run in facts.out_of_money
            if stopped and not resume:
                return None
            if facts.last_run == run and facts.manifests.get(run) == manifest and not stopped:
                return None
            return {"type": "run", "run": run, "manifest": manifest}

        self.write(decide)

    def asked(self, run: str, stage: str, asked: Asked) -> None:
        def decide(facts: Facts) -> Mapping[str, Any] | None:
            known = facts.asked.get((run, stage), {}).get(asked.round)
            if known is not None and known.stands_for(asked):
                return None
            return {"type": "asked", "run": run, "stage": stage, **asdict(asked)}

        self.write(decide)

    def ended(self, run: str, stage: str, ended: Ended) -> None:
        """No further wave of this stage is asked, as things are."""

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            if facts.ended.get((run, stage)) == ended:
                return None
            fields = {"fingerprint": ended.fingerprint, "rounds": ended.rounds, "reason": ended.reason}
            return {"type": "ended", "run": run, "stage": stage, **fields}

        self.write(decide)

    def pack(self, shard: Mapping[str, Any], *, seen_packs: int) -> bool:
        """Register a shard. False when the realm gained shards since the subtraction: subtract and pack again."""
        realm = shard["realm"]

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            return {"type": "packed", **shard} if facts.packs.get(realm, 0) == seen_packs else None

        return self.write(decide) is not None

    def table(self, run: str, stage: str, table: Table) -> None:
        def decide(facts: Facts) -> Mapping[str, Any] | None:
            if facts.tables.get((run, stage)) == table:
                return None
            return {"type": "table", "run": run, "stage": stage, **asdict(table)}

        self.write(decide)

    def quoted(self, run: str, stages: Sequence[Mapping[str, Any]], fingerprint: str, *, anew: bool) -> None:
        """Remember what a run was said to cost. ``anew``: also if the same manifest was quoted before."""

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            known = {quote.fingerprint for (name, _), quotes in facts.quotes.items() if name == run for quote in quotes}
            if fingerprint in known and not anew:
                return None
            return {
                "type": "quoted",
                "run": run,
                "stages": [dict(stage) for stage in stages],
                "fingerprint": fingerprint,
            }

        self.write(decide)

    def take_over(self, shard: Shard, attempt: Attempt, *, lease_until: float) -> bool:
        """Claim an attempt whose owner fell silent; False when somebody else moved it meanwhile."""
        owner = attempt.owner
        return self._move(
            shard, attempt, {"type": "taken", "lease_until": lease_until}, when=lambda now: now.owner == owner
        )

    def uploaded(self, shard: Shard, attempt: Attempt, file: str, lease_until: float) -> bool:
        """The file is at the provider. False when the claim was taken over; else the lease begins anew."""
        payload = {"type": "uploaded", "file": file, "lease_until": lease_until}
        return self._move(shard, attempt, payload, when=self._mine)

    def renewed(self, shard: Shard, attempt: Attempt, lease_until: float) -> bool:
        """The owner is still at it; False when the claim was taken over."""
        return self._move(shard, attempt, {"type": "renewed", "lease_until": lease_until}, when=self._mine)

    def doubted(self, shard: Shard, attempt: Attempt) -> None:
        """From now on it is not known whether the provider made a batch."""
        self._move(shard, attempt, {"type": "doubted"}, when=lambda now: now.stand == "claimed")

    def disowned(self, shard: Shard, attempt: Attempt, batch: str) -> None:
        """The batch that was adopted is another's: the attempt is a claim without a receipt again."""
        payload = {"type": "disowned", "batch": batch}
        self._move(shard, attempt, payload, when=lambda now: now.batch == batch)

    def stray(self, shard: Shard, attempt: Attempt, batch: str) -> None:
        """A batch was made for an attempt that had been settled otherwise."""
        payload = {"type": "stray", "batch": batch}
        self._move(shard, attempt, payload, when=lambda now: batch not in now.strays, still_open=False)

    def stray_over(self, shard: Shard, attempt: Attempt, batch: str, suspected: Decimal) -> None:
        """A stray has ended, and what it cost is known: no longer all that its attempt reserved."""
        payload = {"type": "stray_over", "batch": batch, "suspected": money(suspected)}
        self._move(shard, attempt, payload, when=lambda now: batch not in now.strays_over, still_open=False)

    def submitted(self, shard: Shard, attempt: Attempt, batch: str, *, adopted: bool = False) -> bool:
        """The receipt. False when the attempt was settled otherwise meanwhile.

        ``adopted``: the batch was found, not told by create, so it must not be another attempt's.
        """

        def free(now: Attempt) -> bool:
            # its own is free: after it was stuck, a person may say: look again
            taken = self.facts.batch_ids(shard.realm) - {now.batch}
            return now.stand in {"claimed", "stuck"} and not (adopted and batch in taken)

        return self._move(shard, attempt, {"type": "submitted", "batch": batch, "adopted": adopted}, when=free)

    def seen(self, shard: Shard, attempt: Attempt, look: Look) -> None:
        """What its provider says of a batch, where it is news."""
        payload = {"type": "seen", **look._asdict()}
        self._move(shard, attempt, payload, when=lambda now: now.stand == "submitted" and news(now, look, self.clock()))

    def stuck(self, shard: Shard, attempt: Attempt, reason: str) -> None:
        self._move(shard, attempt, {"type": "stuck", "reason": reason}, when=lambda now: now.stand != "stuck")

    def landed(self, shard: Shard, attempt: Attempt, landing: Mapping[str, Any]) -> bool:
        key = landing["key"]
        return self._move(shard, attempt, {"type": "landed", **landing}, when=lambda now: key not in now.answers)

    def dropped(
        self, shard: Shard, attempt: Attempt, reason: str, *, when: Stand | None = None, queue_full: bool = False
    ) -> bool:
        """Nothing of this attempt was executed: its reservation is released, its requests may be sent again.

        ``queue_full``: the host takes no more of this model for now.
        """
        none = {"wait": None, **doubt(Decimal(0), None)}
        payload = {"type": "dropped", "reason": reason, "queue_full": queue_full, **none}
        return self._move(shard, attempt, payload, when=lambda now: when is None or now.stand == when)

    def turned_away(self, shard: Shard, attempt: Attempt, reason: str, wait: float | None) -> bool:
        """``dropped``, since the host is down. ``wait``: seconds that it asked to be left alone, if it did."""
        none = {"queue_full": False, **doubt(Decimal(0), None)}
        payload = {"type": "dropped", "reason": reason, "wait": wait or 0.0, **none}
        return self._move(shard, attempt, payload, when=lambda now: now.stand == "claimed")

    def written_off(self, shard: Shard, attempt: Attempt, reason: str, cost: tuple[Decimal, Usage | None]) -> bool:
        """A person gives a stuck attempt up. ``cost``: what it may have cost, and the provider's totals."""
        payload = {"type": "dropped", "reason": reason, "queue_full": False, "wait": None, **doubt(*cost)}
        return self._move(shard, attempt, payload, when=lambda now: now.stand in {"claimed", "stuck"})

    def cleaned(self, shard: Shard, attempt: Attempt) -> None:
        self._move(shard, attempt, {"type": "cleaned"}, when=lambda now: not now.cleaned, still_open=False)

    def cancel(self, shard: Shard, attempt: Attempt, reason: str | None = None) -> None:
        """``reason``: of a rule; None: a person's."""
        self._move(shard, attempt, {"type": "cancel", "reason": reason}, when=lambda now: not now.cancel_asked)

    def halt(self, run: str) -> None:
        """Let nothing more of this run be sent until somebody starts it again."""
        self.write(lambda facts: None if run in facts.halted else {"type": "halted", "run": run})

    def out_of_money(self, run: str, stopped: OutOfMoney) -> None:
        """A run stopped with nothing in the way but a budget; not written where another runner has claimed since."""

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            claimed = any(attempt.is_open for _, attempt in facts.attempts(run))
            if claimed or facts.out_of_money.get(run) == stopped:
                return None
            return {"type": "out_of_money", "run": run, **stopped.fields()}

        self.write(decide)

    def told(self, run: str, mark: str) -> None:
        """A person was told how the run stands; ``mark`` is a digest of what."""
        self.write(lambda facts: None if facts.told.get(run) == mark else {"type": "told", "run": run, "mark": mark})

    def retry(self, run: str, stage: str) -> None:
        self.write(lambda facts: {"type": "retry", "run": run, "stage": stage})

    def _mine(self, attempt: Attempt) -> bool:
        return attempt.owner == self.owner

    def _move(
        self,
        shard: Shard,
        attempt: Attempt,
        payload: Mapping[str, Any],
        *,
        when: Callable[[Attempt], bool],
        still_open: bool = True,
    ) -> bool:
        """Write an event about an attempt if it is (still) open and ``when`` holds at that journal position."""
        address = {"realm": shard.realm, "shard": shard.id, "attempt": attempt.number}

        def decide(facts: Facts) -> Mapping[str, Any] | None:
            now = facts.shards[shard_name(shard.realm, shard.id)].attempts[attempt.number - 1]
            if (still_open and not now.is_open) or not when(now):
                return None
            return {**payload, **address}

        return self.write(decide) is not None


def doubt(suspected: Decimal, reported: Usage | None) -> dict[str, Any]:
    """The fields that say what may have been charged without a row, and what the provider says of its tokens."""
    return {"suspected": money(suspected), "reported": None if reported is None else reported._asdict()}


def money(amount: Decimal) -> str:
    """Decimal dollars as they stand in events: exact, never in scientific notation."""
    return format(amount, "f")
