"""One attempt of a synchronous stage while it is asked: its lines, its spool, its lease, its landing. Floor 4."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from chimera_batch.calls import mirroring
from chimera_batch.calls.mirroring import Mirror
from chimera_batch.calls.spooling import Spool
from chimera_batch.context import Context
from chimera_batch.cost.metering import Meter
from chimera_batch.errors import ChimeraError, ProviderDown, ProviderError
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.requests import wire
from chimera_batch.settings import alive
from chimera_batch.steps import collecting, preparing
from chimera_batch.steps.collecting import Known

_OLD_AT_ONCE = 8  # calls under way in a version that did not note which
_ONCE_MORE = 2  # times that a lost call is made again where that costs nothing


def spool_of(ctx: Context, shard: Shard, attempt: Attempt) -> Spool:
    return Spool(ctx.state / "now" / f"{shard.id}.{attempt.number}-{attempt.nonce}.jsonl")


def mirror_of(shard: Shard, attempt: Attempt) -> str:
    """Where the spool's copy lies in the store."""
    return f"spools/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}"


def costs_nothing(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Whether a call without an answer is on nobody's bill: an engine of one's own that is not paid by the token."""
    price = ctx.claimed_price(shard, attempt)
    own = ctx.host(shard).profile.local
    return own and (price.gpu is not None or not price.most(1_000_000, 1_000_000, batch=False))


def known(ctx: Context, shard: Shard, attempt: Attempt, spool: Spool) -> Known:
    """Which calls of an attempt may have been charged without an answer."""
    return Known(begun=frozenset()) if costs_nothing(ctx, shard, attempt) else calls_made(attempt, spool)


def calls_made(attempt: Attempt, spool: Spool) -> Known:
    """Which calls were made, or may have been, going by what is left on this machine."""
    begun = spool.begun()
    if begun is not None:
        return Known(begun=begun)
    if spool.path.exists():  # of a version that did not note what it began: so many were under way, nobody knows which
        return Known(begun=frozenset(), some=_OLD_AT_ONCE)
    first = (attempt.taken_from or [attempt.owner])[0]  # whoever claims makes the calls; who takes over only lands
    elsewhere = alive(first) is None  # its spool, if it has one, is out of sight
    return Known(begun=None if elsewhere else frozenset())


class Desk:
    """``ask`` is for many threads, everything else for the one that hands out the lines."""

    def __init__(self, ctx: Context, shard: Shard, attempt: Attempt) -> None:
        self.ctx, self.shard, self.attempt = ctx, shard, attempt
        self.given_out = False  # no further line
        self.landed = False
        self.heard = 0  # replies
        self.free = costs_nothing(ctx, shard, attempt)
        self._host = ctx.host(shard)
        self._spool = spool_of(ctx, shard, attempt)
        copies = self.free and mirroring.elsewhere(ctx.store)
        self._mirror = Mirror(ctx.store, mirror_of(shard, attempt), self._spool.path) if copies else None
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._under_way = 0
        price = ctx.claimed_price(shard, attempt)
        self._meter = Meter(price)
        self._hourly = price.gpu is not None and bool(price.gpu.usd_per_hour)
        self._nanoseconds = 0

    def lines(self) -> Iterator[bytes]:
        """The wire lines to ask, until the machine's time that was reserved is used up, or the claim is lost."""
        self._open.enter_context(self._spool)
        folder = self._open.enter_context(self.ctx.scratch())
        for line in self._wire(folder):
            if self._used_up() or not self.ours():
                break
            with self._lock:
                self._under_way += 1
            yield line
        self.given_out = True

    def _wire(self, folder: Path) -> Iterator[bytes]:
        with self.ctx.warehouse() as (warehouse, _):
            ceilings = collecting.sent_ceilings(self.ctx, self.shard, self.attempt, warehouse)
        path = folder / "now.jsonl"
        letter = preparing.letter_of(self.shard, self.attempt.nonce, ceilings, marks=self.shard.marked(self.attempt))
        preparing.write(self.ctx, self.shard, letter, path)
        return wire.read_lines(path)

    def ask(self, line: bytes) -> None:
        """One call; its reply is durable on return. Raises ProviderError."""
        try:
            reply = self._call(line)
            self._spool.reply(reply)
            with self._lock:
                self.heard += 1
                if self._hourly:
                    self._nanoseconds += self._host.decode(reply).machine_ns or 0
        finally:
            with self._lock:
                self._under_way -= 1

    def _call(self, line: bytes) -> bytes:
        if self.free:
            return self._call_freely(line)
        identity = wire.sent_id(line)
        self._spool.begin([identity])
        try:
            return self._host.ask(line)
        except ProviderError as error:
            if not (isinstance(error, ProviderDown) and error.lost):
                self._spool.uncharged(identity)
            raise

    def _call_freely(self, line: bytes) -> bytes:
        for _ in range(_ONCE_MORE):
            try:
                return self._host.ask(line)
            except ProviderDown as error:
                if not error.lost:
                    raise
        return self._host.ask(line)

    def _used_up(self) -> bool:
        """A machine slower than its price row says is not asked on beyond what was reserved: the budget rules again."""
        if not self._hourly or self._meter.usd(self._meter.machine(self._nanoseconds)) < self.attempt.usd:
            return False
        self.ctx.say(
            f"{self.shard.id}: ${self.attempt.usd:.4f} of machine time are used up, as much as its tokens were to take:"
            " the rest goes into the next attempt (the price row's tokens per second are above those of this machine)"
        )
        return True

    def ours(self) -> bool:
        """Keep the claim while calls go on: renew its lease when half of it is over. False: it was taken over."""
        ctx, attempt = self.ctx, self.attempt
        if attempt.owner != ctx.ledger.owner:
            return False
        if ctx.clock() < attempt.lease_until - ctx.timing.lease / 2:
            return True
        return ctx.ledger.renewed(self.shard, attempt, ctx.clock() + ctx.timing.lease)

    @property
    def over(self) -> bool:
        """Whether nothing of it is under way, and nothing more will be."""
        with self._lock:
            return self.given_out and not self._under_way

    def copy(self) -> None:
        """The spool's copy in the store; a store that cannot be written now is tried again at the next turn."""
        if self._mirror is not None:
            with suppress(ChimeraError, OSError):
                self._mirror.copy()

    def land(self) -> None:
        """Close the spool and make its replies a fact."""
        self.given_out = self.landed = True
        self._open.close()
        one = self.ctx, self.shard, self.attempt
        if collecting.land_spool(*one, self._spool.mend(), known(*one, self._spool)):
            self._spool.remove()
