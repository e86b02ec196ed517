"""What a stage that fell back keeps of the models that it left: their answers, and nothing that is open there.

When it draws a round, a row that is answered at such a model keeps the id that it was asked under; every other row gets
the id of the model that is asked now. When it counts, those answers stand beside what the present host holds. One model
at two hosts gives the same ids at both: then the host makes the difference, never the id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from chimera_batch.context import Context, engine_sql
from chimera_batch.history.facts import Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.records import Call
from chimera_batch.requests.render import Renderer
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import SCRATCH, Rows, Warehouse

_ROWS = 1_000  # rendered at once
MEMBER_COLUMNS = {"shard": "VARCHAR", "request_id": "VARCHAR", "input_tokens": "INTEGER", "input_bound": "INTEGER"}
_AT_LEFT_COLUMNS = {"rank": "INTEGER", "place": "BIGINT", "ids": "VARCHAR"}


# -- drawing


def keep_ids(ctx: Context, stage: Stage, rows: Callable[[], Rows], warehouse: Warehouse, stem: Path) -> None:
    """Put into the view ``ids`` what rows were asked under where that is answered. ``rows``: reads them once more."""
    asked = [(rank, call, found) for rank, call in enumerate(stage.left) if (found := ctx.shards_of(call))]
    if not asked:
        return
    listed = stem.with_name(f"{stem.name}.at-left.csv")
    with listed.open("w", encoding="ascii", newline="\n") as out:
        for rank, call, _ in asked:
            out.writelines(f"{rank},{line}" for line in _ids(ctx, stage, call, rows()))
    warehouse.listed("ids_at_left", _AT_LEFT_COLUMNS, listed)
    known = [path for rank, _, held in asked if (path := _answered(ctx, rank, held, warehouse, stem))]
    if known:
        warehouse.view("ok_at_left", known)
        for name, sql in (("left_ids", "left_ids"), ("ids", "kept_ids")):
            made = stem.with_name(f"{stem.name}.{name}.kept.parquet")
            warehouse.write(engine_sql(sql), {"samples": stage.samples}, made, form=SCRATCH)
            warehouse.view(name, [made])


def _ids(ctx: Context, stage: Stage, call: Call, rows: Rows) -> Iterator[str]:
    """A line for each row: its place and the ids of its requests, as that model is asked."""
    assert stage.prompt is not None  # noqa: S101 - the manifest gives every ask stage a prompt
    make, samples = Renderer(call, stage.prompt, ctx.project.params), range(1, stage.samples + 1)
    led, numbers, source = rows.columns[0] == "__place", itertools.count(), iter(rows)
    while values := list(islice(source, _ROWS)):
        places = [row[0] for row in values] if led else list(islice(numbers, len(values)))
        batch = make.batch(rows.columns[led:], [row[led:] for row in values], samples)
        each = zip(*[iter(batch.ids)] * stage.samples, strict=True)
        yield from (f"{place},{' '.join(ids)}\n" for place, ids in zip(places, each, strict=True))


def _answered(ctx: Context, rank: int, held: Sequence[Shard], warehouse: Warehouse, stem: Path) -> Path | None:
    """Which requests of those rows a model has answered."""
    warehouse.view("members", list(prefetch(ctx.store, (shard.members for shard in held))))
    names = {name for (name,) in warehouse.rows(engine_sql("shards_of_ids"), {"rank": rank})}
    answers = _answers(shard for shard in held if shard.id in names)
    if not answers:
        return None
    warehouse.view("landed", list(prefetch(ctx.store, answers)))
    path = stem.with_name(f"{stem.name}.ok-{rank}.parquet")
    warehouse.write(engine_sql("ok_ids"), {"rank": rank}, path, form=SCRATCH)
    return path


def _answers(found: Iterator[Shard]) -> list[str]:
    return [key for shard in found for attempt in shard.attempts for key in attempt.answers]


# -- counting


def view(ctx: Context, stage: Stage, held: Sequence[Path], warehouse: Warehouse, folder: Path) -> bool:
    """Make ``closed_ids``; and where answers of models that the stage left stand, ``picked``, ``landed_left`` and the
    view ``members`` with them beside ``held``, the present host's. True then.

    The views ``asked`` and ``members`` (of the present host) must be current.
    """
    _view_closed(ctx, stage, warehouse, folder)
    found = ctx.left_shards(stage)
    if not found:
        return False
    here = [*held]
    warehouse.view("members", list(prefetch(ctx.store, (shard.members for shard in found))))
    names = {name for (name,) in warehouse.rows(engine_sql("shards_of_asked"), {})}
    answers = _answers(shard for shard in found if shard.id in names)
    if here:
        warehouse.view("members", here)
    else:
        warehouse.load("members", MEMBER_COLUMNS, ())
    if not answers:
        return False
    warehouse.view("landed_left", list(prefetch(ctx.store, answers)))
    hosts = enumerate(ctx.left_realms(stage))
    warehouse.load("hosts_left", {"rank": "INTEGER", "realm": "VARCHAR"}, hosts)
    for name in ("picked", "picked_members"):
        warehouse.write(engine_sql(name), {}, folder / f"{stage.name}.{name}.parquet", form=SCRATCH)
        warehouse.view(name, [folder / f"{stage.name}.{name}.parquet"])
    warehouse.view("members", [*here, folder / f"{stage.name}.picked_members.parquet"])
    return True


def _view_closed(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> None:
    """``closed_ids``: what only rounds want that were closed before the stage fell back."""
    rounds = ctx.facts.asked.get((ctx.run, stage.name), {})
    closed = [n for n, asked in rounds.items() if asked.switches < stage.switches and n < max(rounds)]
    if not closed:
        warehouse.load("closed_ids", {"request_id": "VARCHAR"}, ())
        return
    warehouse.load("closed_rounds", {"round": "INTEGER"}, ((number,) for number in closed))
    path = folder / f"{stage.name}.closed.parquet"
    warehouse.write(engine_sql("closed_ids"), {}, path, form=SCRATCH)
    warehouse.view("closed_ids", [path])
