"""A host in memory that keeps its own account and fails as hosts do: what a budget must hold against.

Its bill is made from what it executed, whatever it delivered, and never from what the engine thinks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson

from chimera_batch.errors import MaybeCreated, ProviderDown
from chimera_batch.providers.base import Profile
from chimera_batch.records import BatchState, Intent, Usage
from tests.support import Batch, Clock, FakeHost, answered, failed

RATES = (Decimal(1), Decimal(4))  # USD per million batch tokens: input, output (``support.PRICE``)


@dataclass(frozen=True)
class Luck:
    """Shares of what goes wrong."""

    lost_reply: float = 0.15  # the batch is there, the reply is not
    lost_create: float = 0.1  # neither is
    busy: float = 0.1  # 429 at create: certainly nothing
    expired: float = 0.15  # of the batches: executed in part only
    dropped: float = 0.06  # of the requests: executed and in no file
    twice: float = 0.06
    refused: float = 0.04  # a definite error, not executed
    broken: float = 0.08  # 500, not executed
    truncated: float = 0.08  # at the full ceiling


QUIET = Luck(*[0.0] * 9)


@dataclass
class Charge:
    """One executed request."""

    at: float  # when its batch was made
    usd: Decimal
    delivered: bool = True


@dataclass
class _Fate:
    ends: float
    status: str
    results: list[bytes] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


class Meter(FakeHost):
    """``bill``: what it executed. ``meanwhile`` is called between its calls: another runner may come in there.

    Every second one (by its seed) says of a batch that has ended how many tokens it was. One that does not drops
    nothing from a batch that expired: what of such a batch was executed and not delivered, only its invoice says.
    """

    def __init__(self, profile: Profile, clock: Clock, seed: int, luck: Luck) -> None:
        super().__init__(profile, clock)
        self.luck, self.dice, self.totals = luck, random.Random(seed), seed % 2 == 0
        self.meanwhile: Callable[[], None] = lambda: None
        self._fates: dict[str, _Fate] = {}

    @property
    def bill(self) -> list[Charge]:
        """What it has executed by now; a batch that nobody ended is executed to its end all the same."""
        return [charge for fate in self._fates.values() for charge in fate.charges]

    @property
    def charged(self) -> Decimal:
        return sum((charge.usd for charge in self.bill), Decimal(0))

    def _strike(self, verb: str) -> None:
        if verb in {"upload", "create", "created", "state", "fetch"}:
            self.meanwhile()
        if verb == "created" and self._happens(self.luck.lost_reply):
            raise MaybeCreated("the reply was lost")
        if verb == "create" and self._happens(self.luck.lost_create):
            raise MaybeCreated("the request was lost")
        if verb == "create" and self._happens(self.luck.busy):
            raise ProviderDown("429")
        super()._strike(verb)

    def _happens(self, share: float) -> bool:
        return self.dice.random() < share

    def begin(self, intent: Intent, sent: bytes = b"", file: str | None = None) -> Batch:
        batch = super().begin(intent, sent, file)
        expires = self._happens(self.luck.expired)
        fate = _Fate(self.clock() + self.dice.uniform(30, 4000), "expired" if expires else "completed")
        self._fates[batch.id] = fate
        for line in batch.lines:
            if not (expires and self._happens(0.5)):
                self._execute(line, fate)
        return batch

    def _execute(self, line: dict[str, Any], fate: _Fate) -> None:
        identity, most = line["custom_id"], int(line["body"]["max_completion_tokens"])
        if self._happens(self.luck.refused):
            fate.results.append(failed(identity))
            return
        if self._happens(self.luck.broken):
            fate.results.append(failed(identity, 500, "server_error"))
            return
        truncated = self._happens(self.luck.truncated)
        tokens = 10, most if truncated else min(most, int(self.dice.lognormvariate(3.0, 1.0)) + 1)
        charge = Charge(self.clock(), (RATES[0] * tokens[0] + RATES[1] * tokens[1]) / 1_000_000)
        fate.charges.append(charge)
        fate.usage = Usage(fate.usage.input_tokens + tokens[0], output_tokens=fate.usage.output_tokens + tokens[1])
        if self._happens(self.luck.dropped) and (self.totals or fate.status == "completed"):
            charge.delivered = False
            return
        reply = answered(identity, finish="length" if truncated else "stop", tokens=tokens)
        fate.results += [reply] * (2 if self._happens(self.luck.twice) else 1)

    def _state(self, batch: Batch) -> BatchState:
        fate = self._fates[batch.id]
        if batch.status == "in_progress" and self.clock() >= fate.ends:
            batch.status, batch.results = fate.status, tuple(fate.results)
        state = super()._state(batch)
        return replace(state, usage=fate.usage) if self.totals and batch.status != "in_progress" else state

    def ask(self, line: bytes) -> bytes:
        """A synchronous call, at the synchronous price: twice that of a batch."""
        asked = orjson.loads(line)
        self.log.append(("ask", asked["custom_id"]))
        fate = self._fates.setdefault("calls", _Fate(0, "completed"))
        before = len(fate.results)
        self._execute(asked, fate)
        if len(fate.results) == before:
            return failed(asked["custom_id"], 500, "server_error")
        fate.charges[-1].usd *= 2
        return fate.results[before]
