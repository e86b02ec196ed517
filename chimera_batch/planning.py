"""Rows → requests → what is missing → shards. Everything that happens before money is involved.

A round's requests are written down as one object (``asked``); what is missing from the realm is rendered again from
that object and packed, so any machine can carry on from any point, and nothing is packed that is known already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.columns import check_rows
from chimera_batch.context import Context, engine_sql
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import InputError
from chimera_batch.facts import Asked
from chimera_batch.packing import Cutter, Limits
from chimera_batch.project import Stage
from chimera_batch.render import Renderer
from chimera_batch.sampling import LEAST
from chimera_batch.standing import MEMBER_COLUMNS
from chimera_batch.warehouse import Warehouse
from chimera_batch.wire import compress, nonced

CANARY_FROM = 500  # requests; below this a canary costs a turnaround and saves little
CANARY = 50  # requests of the first, small shard: a random sample of the stage
ALL = "~"  # behind every request id
_NONCE = "0" * 8  # as long as a real one, for measuring

_ID_COLUMNS = {
    "position": "BIGINT",
    "row_key": "VARCHAR",
    "sample": "INTEGER",
    "request_id": "VARCHAR",
    "ceiling": "INTEGER",
    "input_tokens": "INTEGER",
    "input_bound": "INTEGER",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A round's requests as a local Parquet file, not yet a fact."""

    path: Path
    rows: int
    requests: int


def renderer(ctx: Context, stage: Stage) -> Renderer:
    assert stage.prompt is not None  # noqa: S101 - the manifest gives every ask stage a prompt
    return Renderer(stage.calls[0], stage.prompt, ctx.project.params)


def draw(ctx: Context, stage: Stage, number: int, warehouse: Warehouse, folder: Path) -> Drawn:
    """Run the rows query of a round, render every request, and write both down side by side.

    Raises InputError naming the SQL line, the row key or the template line at fault.
    """
    assert stage.rows is not None  # noqa: S101 - the manifest gives every ask stage a rows query
    fresh = folder / f"{stage.name}-{number}.rows.parquet"
    params = {**ctx.project.params, "round": number}
    count = warehouse.write(stage.rows, params, fresh)
    warehouse.view("fresh_rows", [fresh])
    check_rows(stage.rows, warehouse)
    requests = 0

    def ids() -> Iterator[tuple[Any, ...]]:
        nonlocal requests
        for identity in _identities(ctx, stage, warehouse):
            requests += 1
            yield identity

    warehouse.load("ids", _ID_COLUMNS, ids())
    path = folder / f"{stage.name}-{number}.asked.parquet"
    warehouse.write(engine_sql("asked"), {"round": number}, path, metadata=ctx.marks)
    return Drawn(path, count, requests)


def _identities(ctx: Context, stage: Stage, warehouse: Warehouse) -> Iterator[tuple[Any, ...]]:
    make = renderer(ctx, stage)
    rows = warehouse.rows(engine_sql("fresh"), {})
    ceiling = stage.calls[0].max_output_tokens
    position = 0
    for values in rows:
        row = dict(zip(rows.columns, values, strict=True))
        for sample in range(1, stage.samples + 1):
            request = make.render(row, sample)
            key = str(row["row_key"])
            yield position, key, sample, request.request_id, ceiling, request.input_tokens, request.input_bound
            position += 1


def keep_asked(ctx: Context, stage: Stage, number: int, fingerprint: str, drawn: Drawn) -> Asked:
    """Make a drawn round a fact."""
    with drawn.path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    key = f"runs/{ctx.run}/{stage.name}/asked-{number}-{content}.parquet"
    ctx.store.create_file(key, drawn.path)
    asked = Asked(number, fingerprint, key, drawn.rows, drawn.requests)
    ctx.ledger.asked(ctx.run, stage.name, asked)
    return ctx.facts.asked[ctx.run, stage.name][number]  # another runner's, if it was first: both must ask the same


def sample_end(warehouse: Warehouse, requests: int) -> str:
    """The last id of a random sample of so many requests of the view ``asked``; ids up to it belong to the sample."""
    return str(warehouse.scalar(engine_sql("sample_end"), {"requests": requests}) or "")


def unpacked(warehouse: Warehouse, upto: str = ALL) -> int:
    """How many requests no shard of the realm holds yet. The views ``asked`` and ``members`` must be current."""
    return int(warehouse.scalar(engine_sql("missing"), {"upto": upto}))


@dataclass(frozen=True, slots=True)
class Extent:
    """What is to be packed. ``upto``: the last id of the sample, or ALL. ``seen``: how many shards the realm had when
    the views were made. ``answered``: requests of the stage that are known already, which make a canary needless."""

    seen: int
    upto: str = ALL
    answered: int = 0


def pack(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path, extent: Extent) -> bool:
    """Pack what no shard of the realm holds yet. The views ``asked`` and ``members`` must be current.

    False when another runner packed since they were made: subtract again.
    """
    for number, packed in enumerate(_shards(ctx, stage, warehouse, folder, extent)):
        if not _keep_shard(ctx, stage, packed, seen_packs=extent.seen + number):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Packed:
    """One shard on local disk."""

    name: str
    bytes: Path
    members: Path
    requests: int
    size: int
    canary: bool


def limits(ctx: Context, stage: Stage, missing: int, answered: int = 0) -> Limits:
    """A host's limits for one file of this stage, with a canary where the stage is large enough for one and not as many
    answers are known already."""
    profile = ctx.profile(stage)
    size = CANARY if stage.canary is None else stage.canary
    if answered >= min(size, LEAST):
        size = 0
    return Limits(
        max_requests=profile.max_requests,
        max_bytes=profile.max_bytes,
        max_tokens=profile.enqueued_tokens,
        distinct_counts=profile.distinct_counts,
        first=size if size and missing >= CANARY_FROM and not stage.synchronous else None,
    )


def _shards(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path, extent: Extent) -> Iterator[_Packed]:
    bounds, sample = _sampled(ctx, stage, warehouse, extent)
    cutter = Cutter(bounds)
    lead = len(_NONCE) + 1
    rendered = _rendered(ctx, stage, warehouse, {"upto": extent.upto, "sample": sample})
    numbered = ((cutter.add(len(line) + lead, member[1]), line, member) for line, member in rendered)
    for number, group in groupby(numbered, key=lambda item: item[0]):
        stem = folder / f"{stage.name}.shard-{number}"
        canary = bounds.first is not None and number == 0
        yield _write_shard(stage, warehouse, stem, ((line, member) for _, line, member in group), canary=canary)


def _sampled(ctx: Context, stage: Stage, warehouse: Warehouse, extent: Extent) -> tuple[Limits, str]:
    """The limits of what is packed now, the first shard being what is missing of the sample, and the sample's end."""
    bounds = limits(ctx, stage, unpacked(warehouse, extent.upto), extent.answered)
    end = extent.upto if extent.upto != ALL else ""
    if not end and bounds.first is not None:
        end = sample_end(warehouse, bounds.first)
    return replace(bounds, first=unpacked(warehouse, end) or None), end


def _rendered(
    ctx: Context, stage: Stage, warehouse: Warehouse, ends: Mapping[str, str]
) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """Missing requests as (shard line, (id, input tokens, input bound)), linted as the provider would."""
    make = renderer(ctx, stage)
    profile = ctx.profile(stage)
    endpoint = ENDPOINTS[stage.calls[0].endpoint]
    for row, sample, identity, tokens, bound in warehouse.rows(engine_sql("todo"), ends):
        request = make.render(row, sample)
        sent = nonced(request.line, _NONCE)
        problems = endpoint.problems(orjson.loads(sent))
        if len(sent) > profile.max_line_bytes:
            problems.append(f"is {len(sent):,} bytes; {profile.name} takes {profile.max_line_bytes:,} a request")
        if request.request_id != identity:
            problems.append("does not render to the same request twice")
        if problems:
            raise InputError(
                f"{profile.name} would refuse the request: {'; '.join(problems)}",
                where=f"stage {stage.name}, row {row['row_key']}",
                hint=f"edit {stage.prompt.path if stage.prompt else 'the prompt'} or the rows query, then run again",
            )
        yield request.line, (identity, tokens, bound)


def _write_shard(
    stage: Stage,
    warehouse: Warehouse,
    stem: Path,
    items: Iterator[tuple[bytes, tuple[Any, ...]]],
    *,
    canary: bool,
) -> _Packed:
    digest = hashlib.sha256()
    members: list[tuple[Any, ...]] = []

    def lines() -> Iterator[bytes]:
        for line, member in items:
            digest.update(line)
            members.append(member)
            yield line

    path = stem.with_name(f"{stem.name}.jsonl.zst")
    size = compress(lines(), path)
    name = f"{stage.name}-{digest.hexdigest()[:12]}"
    ids = stem.with_name(f"{stem.name}.ids.parquet")
    warehouse.load("fresh_members", MEMBER_COLUMNS, ((name, *member) for member in members))
    warehouse.write(engine_sql("fresh_members"), {}, ids)
    return _Packed(name, path, ids, len(members), size + len(members) * (len(_NONCE) + 1), canary)


def _keep_shard(ctx: Context, stage: Stage, packed: _Packed, *, seen_packs: int) -> bool:
    realm = ctx.realm(stage)
    stem = f"requests/{realm}/{packed.name}"
    ctx.store.create_file(f"{stem}.jsonl.zst", packed.bytes)
    ctx.store.create_file(f"{stem}.ids.parquet", packed.members)
    schema = _keep_schema(ctx, stage)
    call = stage.calls[0]
    shard: Mapping[str, Any] = {
        "realm": realm,
        "shard": packed.name,
        "stage": stage.name,
        "key": f"{stem}.jsonl.zst",
        "members": f"{stem}.ids.parquet",
        "requests": packed.requests,
        "bytes": packed.size,
        "provider": call.provider,
        "model": call.model,
        "endpoint": call.endpoint,
        "window": stage.window,
        "ceiling": call.max_output_tokens,
        "schema": schema,
        "cache": call.cache is True,
        "canary": packed.canary,
    }
    return ctx.ledger.pack(shard, seen_packs=seen_packs)


def _keep_schema(ctx: Context, stage: Stage) -> str | None:
    """The schema that answers are held against, kept beside the requests: a later edit must not judge old answers."""
    text = stage.calls[0].schema
    if text is None:
        return None
    key = f"schemas/{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    ctx.store.create(key, text.encode())
    return key
