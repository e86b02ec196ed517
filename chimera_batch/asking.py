"""``window: now``: a small stage asked synchronously, through the same ledger, decoded by the same code.

Each reply is appended to a spool on this machine as it comes; the spool becomes the attempt's raw object. A process
that dies leaves its spool behind, and what is in it is landed by the next one. Calls that were under way when it died
may have been charged without an answer: that window is the nature of a synchronous call.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from chimera_batch import collecting, recovery, wire
from chimera_batch.context import Context
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import AccountRefused, ProviderDown
from chimera_batch.facts import Attempt, Shard
from chimera_batch.project import Stage

_AT_ONCE = 8  # calls under way


def ask(ctx: Context, stage: Stage) -> None:
    """Ask every request of this process's claims of the stage, and land the replies.

    Raises AccountRefused after landing what came before it.
    """
    for shard, attempt in list(ctx.facts.attempts(ctx.run)):
        if shard.window == "now" and attempt.stage == stage.name and attempt.stand == "claimed":
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
    return collecting.land_spool(ctx, shard, attempt, _mended(_spool(ctx, shard, attempt)))


def _spool(ctx: Context, shard: Shard, attempt: Attempt) -> Path:
    folder = ctx.work / "now"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{shard.id}.{attempt.number}-{attempt.nonce}.jsonl"


def _mended(spool: Path) -> Path:
    """The spool without a last line that was cut off by a crash."""
    if spool.exists():
        data = spool.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            spool.write_bytes(whole)
    else:
        spool.touch()
    return spool


def _ask_shard(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    refused: AccountRefused | None = None
    spool = _spool(ctx, shard, attempt)
    with ctx.scratch() as folder, spool.open("ab") as out:
        try:
            for reply in _replies(ctx, shard, _wire_lines(ctx, shard, attempt, folder)):
                _append(out, reply)
        except AccountRefused as error:
            refused = error
        except ProviderDown as error:
            ctx.say(f"{shard.id}: {error}; what is missing is asked again")
    collecting.land_spool(ctx, shard, attempt, spool)
    spool.unlink(missing_ok=True)
    if refused:
        raise refused


def _wire_lines(ctx: Context, shard: Shard, attempt: Attempt, folder: Path) -> Iterator[bytes]:
    with ctx.warehouse() as (warehouse, _):
        ceilings = collecting.sent_ceilings(ctx, shard, attempt, warehouse)
    path = folder / "now.jsonl"
    raised = frozenset(identity for identity, ceiling in ceilings.items() if ceiling != shard.ceiling)
    letter = wire.Letter(attempt.nonce, ceilings, raised)
    wire.build(ctx.store.fetch(shard.key), path, letter, ENDPOINTS[shard.endpoint].with_ceiling)
    return wire.read_lines(path)


def _replies(ctx: Context, shard: Shard, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Replies in the order of the requests, a bounded number of calls ahead of the one being waited for."""
    host = ctx.host(shard)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(host.ask, line) for line in islice(lines, _AT_ONCE * 2)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                if (line := next(lines, None)) is not None:
                    waiting.append(pool.submit(host.ask, line))
        finally:
            for call in waiting:
                call.cancel()


def _append(out: BinaryIO, reply: bytes) -> None:
    """Durable before the next one is waited for: it has been paid for."""
    out.write(reply.rstrip(b"\n") + b"\n")
    out.flush()
    os.fsync(out.fileno())
