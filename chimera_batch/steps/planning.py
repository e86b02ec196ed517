"""Requests → what is missing → shards. Nothing is packed that is known already.

The lines come from the process that has just drawn the round; any other renders them again from the rows that the round
was written down with, so any machine can carry on from any point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.cost.sampling import LEAST
from chimera_batch.pipeline.project import Stage
from chimera_batch.requests.blocks import Blocks, BlockWriter
from chimera_batch.requests.packing import Limits
from chimera_batch.steps import drawing
from chimera_batch.steps.cutting import LEAD, Cut, Elsewhere, cuts, cutter_of, portions
from chimera_batch.stores.overlap import Uploads
from chimera_batch.warehouse import NARROW, QUICK, SCRATCH, Warehouse, give_back, in_step

CANARY_FROM = 500  # requests; below this a canary costs a turnaround and saves little
CANARY = 50  # requests of the first, small shard: a random sample of the stage
ALL = "~"  # behind every request id


def sample_end(warehouse: Warehouse, requests: int) -> str:
    """The last id of a random sample of so many requests of the view ``asked``; ids up to it belong to the sample."""
    return str(warehouse.scalar(engine_sql("sample_end"), {"requests": requests}) or "")


def unpacked(warehouse: Warehouse, upto: str = ALL) -> int:
    """How many requests no shard of the realm holds yet. The view ``placed_ids`` must be current."""
    return int(warehouse.scalar(engine_sql("missing"), {"upto": upto}))


@dataclass(frozen=True, slots=True)
class Extent:
    """What is to be packed. ``upto``: the last id of the sample, or ALL. ``seen``: how many shards the realm had when
    the views were made. ``answered``: requests of the stage that are known already, which make a canary needless.
    ``lines``: the lines of one round by position, if this process has just rendered them."""

    seen: int
    upto: str = ALL
    answered: int = 0
    lines: tuple[int, Blocks] | None = None


def pack(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path, extent: Extent) -> bool:
    """Pack what no shard of the realm holds yet. The views ``asked``, ``members`` and ``placed_ids`` must be current.

    False when that has to be looked at again: another runner packed since, or some lines are not among those given.
    """
    bounds, sample = _sampled(ctx, stage, warehouse, extent)
    path = folder / f"{stage.name}.todo.parquet"
    whole = extent.upto == ALL and warehouse.scalar(engine_sql("nothing_packed"), {})
    told = {"upto": extent.upto, "sample": sample}
    warehouse.write(engine_sql("todo_whole" if whole else "todo"), told, path, form=NARROW)
    warehouse.view("fresh_todo", [path])
    number, lines = extent.lines or (None, _render_again(ctx, stage, warehouse, folder))
    with suppress(Elsewhere), in_step, Uploads(ctx.store) as uploads:
        shelf = _Shelf(ctx, stage, uploads, extent.seen)
        cutter = cutter_of(stage, bounds, portions(warehouse, lines, number))
        for place, cut in enumerate(cuts(portions(warehouse, lines, number), cutter)):
            if shelf.overtaken:
                break
            canary = bounds.first is not None and not place and len(cut.ids) <= bounds.first
            shelf.keep(_write_shard(stage, warehouse, folder, cut, lines), canary=canary)
        uploads.wait()
        give_back()  # what many shards took and malloc keeps: a quarter of the peak of ten million
        return not shelf.overtaken
    return False


@dataclass(frozen=True, slots=True)
class _Packed:
    """One shard on local disk."""

    name: str
    bytes: Path
    members: Path
    requests: int
    size: int


def limits(ctx: Context, stage: Stage, missing: int, answered: int = 0) -> Limits:
    """A host's limits for one file of this stage, with a canary where the stage is large enough for one and not as many
    answers are known already."""
    profile = ctx.profile(stage)
    least = profile.min_requests
    size = CANARY if stage.canary is None else stage.canary
    if answered >= min(size, LEAST) or missing < size + least:  # what is left would be too few for a file
        size = 0
    size = size and max(size, least)
    return Limits(
        max_requests=profile.max_requests,
        max_bytes=profile.max_bytes,
        max_tokens=profile.enqueued_tokens,
        distinct_counts=profile.distinct_counts,
        first=size if size and missing >= CANARY_FROM and not stage.synchronous else None,
        min_requests=1 if stage.synchronous else least,
    )


def _sampled(ctx: Context, stage: Stage, warehouse: Warehouse, extent: Extent) -> tuple[Limits, str]:
    """The limits of what is packed now, the first shard being what is missing of the sample, and the sample's end."""
    bounds = limits(ctx, stage, unpacked(warehouse, extent.upto), extent.answered)
    end = extent.upto if extent.upto != ALL else ""
    if not end and bounds.first is not None:
        end = sample_end(warehouse, bounds.first)
    return replace(bounds, first=unpacked(warehouse, end) or None), end


def _render_again(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> Blocks:
    """The lines of the view ``fresh_todo`` by place, from the rows that were asked: another process drew them."""
    rows = folder / f"{stage.name}.todo-rows.parquet"
    warehouse.write(engine_sql("todo_rows"), {}, rows, order_by="place", form=SCRATCH)
    warehouse.view("fresh_rows", [rows])
    with BlockWriter(folder / f"{stage.name}.todo.blocks") as kept:
        drawing.render_again(ctx, stage, warehouse.rows(engine_sql("todo_ordered"), {}), kept)
    rows.unlink()
    return kept.blocks


def _write_shard(stage: Stage, warehouse: Warehouse, folder: Path, cut: Cut, lines: Blocks) -> _Packed:
    call = stage.calls[0]
    # With these two, its requests' ids say all that is in its bytes.
    told = f"{call.max_output_tokens} {call.cache is True} {''.join(cut.ids)}"
    name = f"{stage.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    path, ids = folder / f"{name}.jsonl.zst", folder / f"{name}.ids.parquet"
    count = len(cut.ids)
    told_of = {"shard": name, "first": cut.first, "end": cut.first + count}
    path.unlink(missing_ok=True)  # left by a call that failed, it may be an object of the store by now
    with path.open("wb") as out, ThreadPoolExecutor(1) as beside:
        copied = beside.submit(lines.copy, cut.lines, out)
        warehouse.write(engine_sql("packed"), told_of, ids, form=QUICK)
        size = copied.result()
    return _Packed(name, path, ids, count, size + count * LEAD)


@dataclass(slots=True)
class _Shelf:
    """Makes shards facts, one after the other, each once its objects are there; the next one is written meanwhile."""

    ctx: Context
    stage: Stage
    uploads: Uploads
    packs: int  # how many the realm has, as far as this process knows
    overtaken: bool = False  # another runner packed: what is missing must be looked at again

    def keep(self, packed: _Packed, *, canary: bool) -> None:
        """Hand a shard's objects over; its fact follows them."""
        realm, call = self.ctx.realm(self.stage), self.stage.calls[0]
        stem = f"requests/{realm}/{packed.name}"
        self.uploads.create_file(f"{stem}.jsonl.zst", packed.bytes, drop=True)
        self.uploads.create_file(f"{stem}.ids.parquet", packed.members, drop=True)
        shard: Mapping[str, Any] = {
            "realm": realm,
            "shard": packed.name,
            "stage": self.stage.name,
            "key": f"{stem}.jsonl.zst",
            "members": f"{stem}.ids.parquet",
            "requests": packed.requests,
            "bytes": packed.size,
            "provider": call.provider,
            "model": call.model,
            "endpoint": call.endpoint,
            "window": self.stage.window,
            "ceiling": call.max_output_tokens,
            "schema": _keep_schema(self.ctx, self.stage),
            "cache": call.cache is True,
            "canary": canary,
        }
        self.uploads.then(lambda: self._pack(shard))

    def _pack(self, shard: Mapping[str, Any]) -> None:
        if not self.overtaken:  # a later shard of ours must not slip in where the other runner's was counted
            self.overtaken = not self.ctx.ledger.pack(shard, seen_packs=self.packs)
            self.packs += 1


def _keep_schema(ctx: Context, stage: Stage) -> str | None:
    """The schema that answers are held against, kept beside the requests: a later edit must not judge old answers."""
    text = stage.calls[0].schema
    if text is None:
        return None
    key = f"schemas/{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    ctx.store.create(key, text.encode())
    return key
