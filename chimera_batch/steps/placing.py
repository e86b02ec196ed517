"""Which shard holds each wanted request: worked out once for the same rounds, and gone on with where shards are added.

What is sent and what lands changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chimera_batch.context import Context, engine_sql
from chimera_batch.pipeline.project import Stage
from chimera_batch.requests.drawn import Placed
from chimera_batch.steps.fingerprints import digest
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import NARROW, Warehouse


def place(
    ctx: Context, stage: Stage, asked: Sequence[Path], members: Sequence[str], warehouse: Warehouse, folder: Path
) -> int:
    """Make the view ``placed_ids``; returns how many different requests are wanted.

    The views ``asked`` (over these files) and ``members`` (over these objects) must be current. A command that may ask
    keeps what it worked out until it ends.
    """
    if stage.left:  # what it keeps of models that it left may grow too: worked out anew each time
        path = folder / f"{stage.name}.placed.parquet"
        warehouse.write(engine_sql("placed_ids"), {}, path, form=NARROW)
        warehouse.view("placed_ids", [path])
        return int(warehouse.scalar(engine_sql("wanted"), {}))
    rounds, shards = tuple(map(str, asked)), tuple(members)
    path = folder / f"{stage.name}.placed-{digest([rounds, shards])}.parquet"
    known = ctx.drawings.placed.get(stage.name) if ctx.drawings else None
    if known is None or known.asked != rounds or known.members != shards[: len(known.members)]:
        if not path.exists():
            warehouse.write(engine_sql("placed_ids"), {}, path, form=NARROW)
        wanted = int(warehouse.scalar(engine_sql("wanted"), {}))
    elif known.members == shards:
        path, wanted = known.path, known.wanted
    else:
        warehouse.view("placed_before", [known.path])
        warehouse.view("fresh_members", list(prefetch(ctx.store, shards[len(known.members) :])))
        warehouse.write(engine_sql(going_on(warehouse)), {}, path, form=NARROW)
        wanted = known.wanted
    found = Placed(rounds, shards, path, wanted)
    if ctx.drawings:
        found = ctx.drawings.keep_placed(stage.name, found)
    warehouse.view("placed_ids", [found.path])
    return found.wanted


def going_on(warehouse: Warehouse) -> str:
    """The query that goes on from the view ``placed_before`` with the shards of ``fresh_members``: the quickest."""
    if warehouse.scalar(engine_sql("placed_count"), {}):
        return "placed_further"
    return "placed_whole" if warehouse.scalar(engine_sql("placed_alike"), {}) else "placed_first"
