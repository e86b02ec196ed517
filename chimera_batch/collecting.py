"""Batches that ended → raw objects → landed answers → one fact. Safe to do twice, and from any machine.

Whatever files exist are read, whatever the status says. The raw bytes are kept before they are decoded, the answers
before they are counted; only then is anything removed at the provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from chimera_batch import decoding, wire
from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import AccountRefused, NeedsDecision, ProviderError
from chimera_batch.facts import Attempt, Shard
from chimera_batch.ledger import money
from chimera_batch.records import BatchState, Outcome, Problem
from chimera_batch.standing import LANDED_COLUMNS
from chimera_batch.warehouse import Warehouse

_ABSENT: Mapping[str, Outcome] = {"expired": "expired", "cancelled": "cancelled", "canceled": "cancelled"}


def land_refused_lines(
    ctx: Context, shard: Shard, attempt: Attempt, state: BatchState, bad: Mapping[int, Problem]
) -> None:
    """Book the lines that the provider named as definite errors; the others were not executed and go again."""
    with ctx.warehouse() as (warehouse, folder):
        ceilings = sent_ceilings(ctx, shard, attempt, warehouse)
        sent = _sent(ctx, shard, attempt, ceilings, "missing")
        tally = decoding.Tally(keep_apart=lambda record: None)
        order = (wire.request_id(line) for line in wire.read_lines(ctx.store.fetch(shard.key)))
        numbered = enumerate((identity for identity in order if identity in ceilings), 1)
        rows = (
            decoding.refused_row(sent, identity, bad[number], tally) for number, identity in numbered if number in bad
        )
        key = _write_landing(ctx, shard, attempt, rows, warehouse, folder)
    ctx.ledger.landed(shard, attempt, _landing(key, (), tally, state.status))
    discard(ctx, shard, attempt, state)


def _landing(key: str, raw: Sequence[str], tally: decoding.Tally, status: str) -> dict[str, Any]:
    return {
        "key": key,
        "raw": list(raw),
        "outcomes": {name: count for name, count in tally.outcomes.items() if count},
        "usd": money(tally.usd),
        "quarantined": tally.quarantined,
        "status": status,
        "final": True,
    }


@dataclass(frozen=True, slots=True)
class Fetched:
    """The raw files of a batch: kept in the store, and at hand."""

    keys: Sequence[str]
    paths: Sequence[Path]


def land(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> bool:
    """Download, keep, decode, reconcile, and write the fact. A short download is made again once."""
    with ctx.warehouse() as (warehouse, folder):
        ceilings = sent_ceilings(ctx, shard, attempt, warehouse)
        absent = _ABSENT.get(state.status, "missing")
        for last_try in (False, True):
            fetched = _fetch(ctx, shard, attempt, state, folder)
            if last_try or absent != "missing" or _holds_all(fetched, ceilings):
                break
        sent = _sent(ctx, shard, attempt, ceilings, absent)
        return _land_files(ctx, shard, attempt, state.status, fetched, sent, warehouse, folder)


def land_spool(ctx: Context, shard: Shard, attempt: Attempt, spool: Path) -> bool:
    """Land the replies of synchronous calls. Requests without a reply get no row: they are simply still to be asked."""
    with ctx.warehouse() as (warehouse, folder):
        ceilings = sent_ceilings(ctx, shard, attempt, warehouse)
        sent = _sent(ctx, shard, attempt, ceilings, None)
        fetched = Fetched([f"raw/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}.0.jsonl.zst"], [spool])
        return _land_files(ctx, shard, attempt, "answered now", fetched, sent, warehouse, folder)


def _holds_all(fetched: Fetched, ceilings: Mapping[str, int]) -> bool:
    """Whether the files have at least as many lines as requests were sent."""
    return sum(1 for path in fetched.paths for line in wire.read_lines(path) if line.strip()) >= len(ceilings)


def _fetch(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState, folder: Path) -> Fetched:
    keys: list[str] = []
    paths: list[Path] = []
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    for number, path in enumerate(ctx.host(shard).fetch(state, downloads)):
        keys.append(f"raw/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}.{number}.jsonl.zst")
        paths.append(path)
    return Fetched(keys, paths)


def _land_files(
    ctx: Context,
    shard: Shard,
    attempt: Attempt,
    status: str,
    fetched: Fetched,
    sent: decoding.Sent,
    warehouse: Warehouse,
    folder: Path,
) -> bool:
    for key, path in zip(fetched.keys, fetched.paths, strict=True):
        packed = folder / f"{path.name}.zst"
        wire.compress(wire.read_chunks(path), packed)
        ctx.store.create_file(key, packed)
    apart = folder / "quarantine.jsonl"
    with apart.open("wb") as out:
        tally = decoding.Tally(keep_apart=lambda record: _note(out, record))
        key = _write_landing(ctx, shard, attempt, _rows(ctx, shard, fetched, sent, tally), warehouse, folder)
    if tally.quarantined:
        ctx.store.create_file(f"quarantine/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}.jsonl", apart)
        ctx.say(f"{shard.id}: {tally.quarantined} lines were no results of ours and are kept apart")
    _refuse_foreign(ctx, shard, attempt, tally)
    landing = _landing(key, fetched.keys, tally, status)
    landed = ctx.ledger.landed(shard, attempt, landing)
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.outcomes.items(), key=lambda item: -item[1]))
    ctx.say(f"{shard.id}: {status}: {said}, ${tally.usd:.4f}")
    clean(ctx, shard, attempt)
    if tally.account:
        raise AccountRefused(f"{shard.provider}: {tally.account}", hint="mend the account, then run again")
    return landed


def _rows(
    ctx: Context, shard: Shard, fetched: Fetched, sent: decoding.Sent, tally: decoding.Tally
) -> Iterator[tuple[Any, ...]]:
    schema = ctx.store.read(shard.schema).decode() if shard.schema else None
    host = ctx.host(shard)
    lines = (
        (key, number, line)
        for key, path in zip(fetched.keys, fetched.paths, strict=True)
        for number, line in enumerate(wire.read_lines(path), 1)
    )
    yield from decoding.rows(lines, host.decode, sent, decoding.judge_of(schema), tally)
    yield from decoding.absent_rows(sent, tally)


def _refuse_foreign(ctx: Context, shard: Shard, attempt: Attempt, tally: decoding.Tally) -> None:
    """Results without a single line of ours mean that the wrong batch was adopted: never book it as this attempt."""
    if tally.quarantined and not tally.seen:
        ctx.ledger.stuck(shard, attempt, f"{attempt.batch} holds no line that this attempt sent")
        raise NeedsDecision(
            f"{attempt.batch} holds no line that attempt {attempt.number} of {shard.id} sent",
            hint=f"chimera-batch resend {ctx.project.path} --shard {shard.id}",
        )


def _note(out: Any, record: dict[str, Any]) -> None:
    out.write(orjson.dumps(record) + b"\n")


def _write_landing(
    ctx: Context,
    shard: Shard,
    attempt: Attempt,
    rows: Iterator[tuple[Any, ...]],
    warehouse: Warehouse,
    folder: Path,
) -> str:
    warehouse.load("fresh_landed", LANDED_COLUMNS, rows)
    path = folder / "landed.parquet"
    warehouse.write(engine_sql("fresh_landed"), {}, path, metadata=ctx.marks)
    key = f"answers/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}.parquet"
    ctx.store.create_file(key, path)
    return key


def sent_ceilings(ctx: Context, shard: Shard, attempt: Attempt, warehouse: Warehouse) -> dict[str, int]:
    """The ids of an attempt with their output ceilings."""
    if attempt.ids is None:
        warehouse.view("sent", [ctx.store.fetch(shard.members)])
        return {identity: shard.ceiling for (identity,) in warehouse.rows(engine_sql("sent_ids"), {})}
    warehouse.view("sent", [ctx.store.fetch(attempt.ids)])
    return dict(warehouse.rows(engine_sql("sent"), {}))


def _sent(
    ctx: Context, shard: Shard, attempt: Attempt, ceilings: Mapping[str, int], absent: Outcome | None
) -> decoding.Sent:
    price = ctx.price(shard)
    return decoding.Sent(
        shard.id, attempt.number, attempt.nonce, ceilings, absent, price, batch_price=shard.window != "now"
    )


def clean(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    """Remove what was left at the provider; what fails is tried again on a later pass."""
    host = ctx.host(shard)
    if attempt.batch is None or not host.profile.deletes_files:
        ctx.ledger.cleaned(shard, attempt)
        return
    try:
        discard(ctx, shard, attempt, host.state(attempt.batch))
    except ProviderError:
        return
    ctx.ledger.cleaned(shard, attempt)


def discard(ctx: Context, shard: Shard, attempt: Attempt, state: BatchState) -> None:
    left = [file for file in (attempt.file, *state.files) if file]
    try:
        ctx.host(shard).discard(left)
    except ProviderError as error:
        ctx.say(f"{shard.id}: files left at {shard.provider} could not be removed yet: {error}")
