"""``window: now``: a small stage asked synchronously, through the same ledger, decoded by the same code.

Each reply is appended to a spool on this machine as it comes; the spool becomes the attempt's raw object. A process
that dies leaves its spool behind, and what is in it is landed by the next one. Calls that were under way when it died
may have been charged without an answer: that window is the nature of a synchronous call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO

from chimera_batch import collecting, recovery, wire
from chimera_batch.context import Context
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import ProviderDown
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
    spool = _mended(_spool(ctx, shard, attempt))
    landed = collecting.land_spool(ctx, shard, attempt, spool)
    if landed:
        spool.unlink()
    return landed


def _spool(ctx: Context, shard: Shard, attempt: Attempt) -> Path:
    folder = ctx.state / "now"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    spool = _spool(ctx, shard, attempt)
    with ctx.scratch() as folder, spool.open("ab") as out:
        failed = _ask_lines(ctx, shard, attempt, _wire_lines(ctx, shard, attempt, folder), out)
    if collecting.land_spool(ctx, shard, attempt, spool):
        spool.unlink(missing_ok=True)
    if isinstance(failed, ProviderDown):
        ctx.say(f"{shard.id}: {failed}; what is missing is asked again")
    elif failed is not None:
        raise failed


def _wire_lines(ctx: Context, shard: Shard, attempt: Attempt, folder: Path) -> Iterator[bytes]:
    with ctx.warehouse() as (warehouse, _):
        ceilings = collecting.sent_ceilings(ctx, shard, attempt, warehouse)
    path = folder / "now.jsonl"
    letter = wire.Letter.of(attempt.nonce, ceilings, shard.ceiling)
    wire.build(ctx.store.fetch(shard.key), path, letter, ENDPOINTS[shard.endpoint].with_ceiling)
    return wire.read_lines(path)


def _ask_lines(
    ctx: Context, shard: Shard, attempt: Attempt, lines: Iterable[bytes], out: BinaryIO
) -> BaseException | None:
    """Ask line after line, a bounded number at once, each reply durable the moment it comes.

    After the first failure, which is returned, no further call begins; those under way are waited for: they are paid.
    """
    host, lock = ctx.host(shard), threading.Lock()

    def ask_one(line: bytes) -> None:
        reply = host.ask(line)
        with lock:
            _append(out, reply)

    failures: list[BaseException] = []
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for line in lines:
            if len(running) >= _AT_ONCE:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                failures += [error for call in done if (error := call.exception())]
                if failures or not _still_ours(ctx, shard, attempt):
                    break
            running.add(pool.submit(ask_one, line))
        failures += [error for call in wait(running).done if (error := call.exception())]
    return failures[0] if failures else None


def _still_ours(ctx: Context, shard: Shard, attempt: Attempt) -> bool:
    """Keep the claim while calls go on: renew its lease when half of it is over."""
    if ctx.clock() < attempt.lease_until - ctx.timing.lease / 2:
        return True
    return ctx.ledger.renewed(shard, attempt, ctx.clock() + ctx.timing.lease)


def _append(out: BinaryIO, reply: bytes) -> None:
    out.write(reply.rstrip(b"\n") + b"\n")
    out.flush()
    os.fsync(out.fileno())
