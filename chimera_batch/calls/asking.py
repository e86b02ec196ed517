"""``window: now`` and ``flex``: a stage asked synchronously, through the same ledger, decoded by the same code.

Each reply is appended to a spool on this machine as it comes; the spool becomes the attempt's raw object. A process
that dies leaves its spool behind, and what is in it is landed by the next one. Calls that were under way when it died,
or whose reply was lost, may have been charged without an answer: that window is the nature of a synchronous call. The
spool says which calls were begun, so that they are booked as suspected, and no others. On an engine of one's own they
cost nothing, and are simply made again.

As many calls as the host's profile says are under way at once. A new one begins the moment one ends, over all shards
of the stage, so an engine never waits for the longest answer of a shard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from chimera_batch.calls import desks, mirroring
from chimera_batch.calls.crew import Crew
from chimera_batch.calls.desks import Desk
from chimera_batch.context import Context
from chimera_batch.doing import Doing
from chimera_batch.errors import EngineFailed, ProviderDown
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.rules.fallback import SILENCES
from chimera_batch.steps import collecting, recovery

_TURN = 1.0  # seconds between two looks at leases, landings and copies
_SAY_EVERY = 60.0  # seconds


def ask(ctx: Context, stage: Stage, enough: Callable[[int], bool] = lambda _heard: False) -> None:
    """Ask every request of this process's claims of the stage, and land the replies.

    ``enough``: given how many replies have come, whether no further call begins. Raises AccountRefused and EngineFailed
    after landing what came before it.
    """
    mine = [
        Desk(ctx, shard, attempt)
        for shard, attempt in list(ctx.facts.attempts(ctx.run))
        if shard.synchronous and attempt.stage == stage.name and attempt.stand == "claimed"
        if recovery.owner_of(ctx, attempt) == "mine"
    ]
    if not mine:
        return
    failed = _Session(ctx, stage, mine, enough).go()
    heard = any(desk.heard for desk in mine)
    ctx.silences[stage.name] = 0 if heard else ctx.silences.get(stage.name, 0) + 1
    if failed is None:
        return
    if not _worth_asking_again(ctx, stage, failed):
        raise failed
    ctx.say(f"{stage.name}: {failed}; what is missing is asked again")


def recover(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Land what a dead or silent process had already been told. True when the attempt is settled."""
    owner = recovery.owner_of(ctx, attempt)
    if owner in {"mine", "alive"}:
        return False
    if not ctx.ledger.take_over(shard, attempt, lease_until=ctx.clock() + ctx.timing.lease):
        return False
    spool = desks.spool_of(ctx, shard, attempt)
    if not spool.path.exists() and mirroring.elsewhere(ctx.store):
        mirroring.restore(ctx.store, desks.mirror_of(shard, attempt), spool.path)
    known = desks.known(ctx, shard, attempt, spool)
    landed = collecting.land_spool(ctx, shard, attempt, spool.mend(), known)
    if landed:
        spool.remove()
    return landed


def _worth_asking_again(ctx: Context, stage: Stage, failed: Exception) -> bool:
    """Soon, that is. Room at the flex tier is waited for; of a host that is down, a person is told."""
    if not isinstance(failed, ProviderDown) or isinstance(failed, EngineFailed):
        return False
    if stage.window == "flex" or ctx.silences[stage.name] < SILENCES:
        return True
    failed.hint = ctx.again("when it answers again; what was answered is kept")
    return False


class _Session:
    """All claims of a stage, asked by one crew; this thread hands out the lines and keeps house meanwhile."""

    def __init__(self, ctx: Context, stage: Stage, mine: Sequence[Desk], enough: Callable[[int], bool]) -> None:
        self._ctx, self._stage, self._desks, self._enough = ctx, stage, mine, enough
        self._host = ctx.host(mine[0].shard)
        self._free = all(desk.free for desk in mine)
        self._crew: Crew[tuple[Desk, bytes]] = Crew(self._host.profile.at_once, lambda job: job[0].ask(job[1]))
        self._copied = self._said = time.monotonic()
        self._kept = 0.0

    def go(self) -> Exception | None:
        """Ask everything; the first failure, after which no further call begins. Those under way are waited for."""
        with self._landing():
            for desk in self._desks:
                for line in desk.lines():
                    while not self._crew.give((desk, line), _TURN):
                        self._keep_house()
                    self._keep_house()
                    if self._crew.broken:
                        break
                if self._crew.broken:
                    break
            while not self._crew.rests(_TURN):
                self._keep_house()
        return next(iter(self._crew.failures), None)

    @contextmanager
    def _landing(self) -> Iterator[None]:
        """Whatever happens, what was answered lands. A person who breaks it off does not wait for an engine of their
        own; what is under way at others is paid for, and waited for."""
        try:
            yield
        except BaseException:
            self._crew.stop()
            if self._free:
                self._host.close()
            while not self._crew.rests(_TURN):
                self._keep_house()
            raise
        finally:
            self._crew.dismiss()
            for desk in self._desks:
                if not desk.landed:
                    desk.land()

    def _keep_house(self) -> None:
        """Now and then: keep the claims, land what is over, copy what came, say how far it is."""
        now = time.monotonic()
        if now - self._kept < _TURN:
            return
        self._kept = now
        if self._enough(sum(desk.heard for desk in self._desks)):
            self._crew.stop()
        for desk in self._desks:
            if desk.over and not desk.landed:
                desk.land()
            elif not desk.landed:
                desk.ours()
        if now - self._copied >= mirroring.EVERY:
            self._copied = now
            for desk in self._desks:
                desk.copy()
        answered, asked = sum(d.heard for d in self._desks), sum(d.attempt.requests for d in self._desks)
        self._ctx.doing([Doing("asking", self._stage.name, answered, asked)])
        if now - self._said >= _SAY_EVERY:
            self._said = now
            self._ctx.say(f"{self._stage.name}: {answered:,} of {asked:,} requests have come back")
