"""``window: now`` and ``flex``: a small stage asked synchronously, through the same ledger, decoded by the same code.

Each reply is appended to a spool on this machine as it comes; the spool becomes the attempt's raw object. A process
that dies leaves its spool behind, and what is in it is landed by the next one. Calls that were under way when it died,
or whose reply was lost, may have been charged without an answer: that window is the nature of a synchronous call. The
spool says which calls were begun, so that they are booked as suspected, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from chimera_batch import collecting, preparing, recovery, wire
from chimera_batch.collecting import Known
from chimera_batch.context import Context
from chimera_batch.errors import ProviderDown, ProviderError
from chimera_batch.facts import Attempt, Shard
from chimera_batch.project import Stage
from chimera_batch.settings import alive
from chimera_batch.spooling import Spool

_AT_ONCE = 8  # calls under way
_SILENCES = 5  # attempts in a row without a single reply: the host is down, and to go on asking helps nobody


def ask(ctx: Context, stage: Stage) -> None:
    """Ask every request of this process's claims of the stage, and land the replies.

    Raises AccountRefused after landing what came before it.
    """
    for shard, attempt in list(ctx.facts.attempts(ctx.run)):
        if shard.synchronous and attempt.stage == stage.name and attempt.stand == "claimed":
            if recovery.owner_of(ctx, attempt) != "mine":
                continue
            _ask_shard(ctx, shard, attempt)


def recover(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Land what a dead or silent process had already been told. True when the attempt is settled."""
    owner = recovery.owner_of(ctx, attempt)
    if owner in {"mine", "alive"}:
        return False
    if not ctx.ledger.take_over(shard, attempt, lease_until=ctx.clock() + ctx.timing.lease):
        return False
    spool = _spool(ctx, shard, attempt)
    known = _known(attempt, spool)
    landed = collecting.land_spool(ctx, shard, attempt, spool.mend(), known)
    if landed:
        spool.remove()
    return landed


def _spool(ctx: Context, shard: Shard, attempt: Attempt) -> Spool:
    return Spool(ctx.state / "now" / f"{shard.id}.{attempt.number}-{attempt.nonce}.jsonl")


def _known(attempt: Attempt, spool: Spool) -> Known:
    """Which calls of an attempt may have been made, going by what its owner left on this machine."""
    begun = spool.begun()
    if begun is not None:
        return Known(begun=begun)
    if spool.path.exists():  # of a version that did not note what it began: so many were under way, nobody knows which
        return Known(begun=frozenset(), some=_AT_ONCE)
    first = (attempt.taken_from or [attempt.owner])[0]  # whoever claims makes the calls; who takes over only lands
    elsewhere = alive(first) is None  # its spool, if it has one, is out of sight
    return Known(begun=None if elsewhere else frozenset())


def _ask_shard(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    spool = _spool(ctx, shard, attempt)
    with ctx.scratch() as folder, spool:
        failed = _ask_lines(ctx, shard, attempt, _wire_lines(ctx, shard, attempt, folder), spool)
    heard = spool.mend().stat().st_size > 0
    if collecting.land_spool(ctx, shard, attempt, spool.path, _known(attempt, spool)):
        spool.remove()
    ctx.silences[attempt.stage] = 0 if heard else ctx.silences.get(attempt.stage, 0) + 1
    if failed is None:
        return
    if not _worth_asking_again(ctx, shard, attempt, failed):
        raise failed
    ctx.say(f"{shard.id}: {failed}; what is missing is asked again")


def _worth_asking_again(ctx: Context, shard: Shard, attempt: Attempt, failed: BaseException) -> bool:
    """Soon, that is. Room at the flex tier is waited for; of a host that is down, a person is told."""
    if not isinstance(failed, ProviderDown):
        return False
    if shard.window == "flex" or ctx.silences[attempt.stage] < _SILENCES:
        return True
    failed.hint = f"chimera-batch run {ctx.project.path}   (when it answers again; what was answered is kept)"
    return False


def _wire_lines(ctx: Context, shard: Shard, attempt: Attempt, folder: Path) -> Iterator[bytes]:
    with ctx.warehouse() as (warehouse, _):
        ceilings = collecting.sent_ceilings(ctx, shard, attempt, warehouse)
    path = folder / "now.jsonl"
    letter = preparing.letter_of(shard, attempt.nonce, ceilings, marks=shard.marked(attempt))
    preparing.write(ctx, shard, letter, path)
    return wire.read_lines(path)


def _ask_lines(
    ctx: Context, shard: Shard, attempt: Attempt, lines: Iterable[bytes], spool: Spool
) -> BaseException | None:
    """Ask line after line, a bounded number at once, each reply durable the moment it comes.

    After the first failure, which is returned, no further call begins; those under way are waited for: they are paid.
    """
    host, waiting = ctx.host(shard), iter(lines)

    def ask_one(line: bytes) -> None:
        try:
            reply = host.ask(line)
        except ProviderError as error:
            if not (isinstance(error, ProviderDown) and error.lost):
                spool.uncharged(wire.sent_id(line))
            raise
        spool.reply(reply)

    failures: list[BaseException] = []
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while not failures and _still_ours(ctx, shard, attempt):
            fresh = list(islice(waiting, _AT_ONCE - len(running)))
            if not fresh:
                break
            spool.begin([wire.sent_id(line) for line in fresh])  # together: one wait for the disk
            running |= {pool.submit(ask_one, line) for line in fresh}
            if len(running) >= _AT_ONCE:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                failures += [error for call in done if (error := call.exception())]
        failures += [error for call in wait(running).done if (error := call.exception())]
    return failures[0] if failures else None


def _still_ours(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Keep the claim while calls go on: renew its lease when half of it is over."""
    if attempt.owner != ctx.ledger.owner:
        return False
    if ctx.clock() < attempt.lease_until - ctx.timing.lease / 2:
        return True
    return ctx.ledger.renewed(shard, attempt, ctx.clock() + ctx.timing.lease)
