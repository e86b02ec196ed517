"""Rows → requests: a round is drawn, every request of it rendered, linted and counted, and written down as one object.

Rendering is the work of this thread, counting tokens and compressing that of another: both leave Python alone.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from chimera_batch import digests
from chimera_batch.context import Context, engine_sql
from chimera_batch.cost import tokens
from chimera_batch.doing import Doing
from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.history.facts import Asked
from chimera_batch.pipeline.project import Stage
from chimera_batch.requests.blocks import BlockWriter
from chimera_batch.requests.drawn import Drawn
from chimera_batch.requests.render import Batch, Renderer
from chimera_batch.requests.wire import NONCE_LENGTH, nonced
from chimera_batch.steps import adding, fingerprints, leaving
from chimera_batch.steps.columns import check_rows
from chimera_batch.warehouse import QUICK, ROWS, SCRATCH, Rows, Warehouse, give_back, in_step

_BATCH = 1_000_000  # bytes of lines rendered at once: what a processor's cache holds
_FIRST = 100  # rows of the first batch, before it is known how long they are
_MOST = 4_000  # rows of a batch, however short their lines are
_AHEAD = 2  # batches whose tokens are being counted, at most
_MANY = 500_000  # requests of a round: packing them needs the vocabulary's memory more than anybody its half a second
_NONCE = "0" * NONCE_LENGTH  # as long as a real one, for measuring

_ID_COLUMNS = {"place": "BIGINT", "ids": "VARCHAR", "input_tokens": "INTEGER", "input_bound": "INTEGER"}


def renderer(ctx: Context, stage: Stage) -> Renderer:
    assert stage.prompt is not None  # noqa: S101 - the manifest gives every ask stage a prompt
    return Renderer(stage.calls[0], stage.prompt, ctx.project.params)


def draw(
    ctx: Context, stage: Stage, number: int, warehouse: Warehouse, folder: Path, *, keep_lines: bool = False
) -> Drawn:
    """Run the rows query of a round, render every request, and write both down side by side.

    Of a large round that only gained rows, those alone are written. Raises InputError naming the SQL line, the row key
    or the template line at fault.
    """
    stem = folder / f"{stage.name}-{number}"
    return _drawn(ctx, stage, _new_rows(ctx, stage, number, warehouse, stem), warehouse, stem, keep_lines=keep_lines)


def draw_again(ctx: Context, stage: Stage, asked: Asked, warehouse: Warehouse, folder: Path) -> Drawn:
    """The very rows of a round that was asked, for a stage that asks another model by now."""
    stem = folder / f"{stage.name}-{asked.round}"
    warehouse.view("fresh_asked", [ctx.store.fetch(key) for key in asked.keys])
    fresh = stem.with_name(f"{stem.name}.rows.parquet")
    rows = warehouse.write(engine_sql("asked_rows"), {}, fresh, form=SCRATCH)
    warehouse.view("fresh_rows", [fresh])
    columns = warehouse.describe(engine_sql("fresh"), {})
    rendering = fingerprints.of_rendering(stage, ctx.project.params, columns)
    return _drawn(ctx, stage, _New(asked.round, fresh, rows, rendering, "fresh"), warehouse, stem, keep_lines=False)


def _drawn(ctx: Context, stage: Stage, new: _New, warehouse: Warehouse, stem: Path, *, keep_lines: bool) -> Drawn:
    """Render the rows of the view ``fresh_rows`` that are new, and write them down beside their ids."""
    ids, path, blocks = (stem.with_name(f"{stem.name}.{what}") for what in ("ids.csv", "asked.parquet", "blocks"))

    def rows() -> Rows:
        return warehouse.rows(engine_sql(new.query), {"first": new.first})

    with ExitStack() as stack:
        kept = stack.enter_context(BlockWriter(blocks)) if keep_lines else None
        out = stack.enter_context(ids.open("w", encoding="ascii", newline="\n"))
        render_rows(ctx, stage, rows(), out, kept, new.count - new.first)
    warehouse.listed("ids", _ID_COLUMNS, ids)
    leaving.keep_ids(ctx, stage, rows, warehouse, stem)
    if new.query == "fresh_new":
        all_ids = stem.with_name(f"{stem.name}.ids.parquet")
        warehouse.write(engine_sql("fresh_all"), {}, all_ids, form=SCRATCH)
        warehouse.view("ids", [all_ids])
    told = {"round": new.number, "samples": stage.samples, "ceiling": stage.calls[0].max_output_tokens}
    requests = warehouse.write(engine_sql("asked"), told, path, metadata=ctx.marks, form=QUICK)
    if requests != new.count * stage.samples:  # rows and ids are put together by their order alone
        raise ChimeraError(
            f"{new.count} rows of stage {stage.name} were drawn as {requests} requests",
            hint="this is a bug in chimera-batch; nothing was sent: please report it with the rows query",
        )
    for done in (new.rows, ids):
        done.unlink()
    return Drawn(path, new.count, requests, new.rendering, kept.blocks if kept else None, new.before)


@dataclass(frozen=True, slots=True)
class _New:
    """Rows of a round that are to be written down, and the query that gives those of them to render."""

    number: int  # of the round
    rows: Path
    count: int
    rendering: str
    query: str
    before: Asked | None = None  # the round that gains them; None: they are all of it

    @property
    def first(self) -> int:
        return self.before.rows if self.before else 0


def _new_rows(ctx: Context, stage: Stage, number: int, warehouse: Warehouse, stem: Path) -> _New:
    """The view ``fresh_rows``: all rows of a round, or those that it gained, if it is large and lost none."""
    assert stage.rows is not None  # noqa: S101 - as above
    more = adding.added(ctx, stage, number, warehouse, stem)
    if more is not None:
        return _New(number, more.rows, more.count, more.rendering, "fresh_further", more.before)
    fresh = stem.with_name(f"{stem.name}.rows.parquet")
    rows = warehouse.write(stage.rows, {**ctx.project.params, "round": number}, fresh, form=ROWS)
    warehouse.view("fresh_rows", [fresh])
    rendering = fingerprints.of_rendering(stage, ctx.project.params, check_rows(stage.rows, warehouse))
    known = _remember(ctx, stage, number, rendering, warehouse, stem)
    return _New(number, fresh, rows, rendering, "fresh_new" if known else "fresh")


def _remember(ctx: Context, stage: Stage, number: int, rendering: str, warehouse: Warehouse, stem: Path) -> bool:
    """Find the rows that an earlier drawing of the round asked already: the view ``fresh_known`` has the ids of each.

    False where there is none that made its requests in the same way.
    """
    before = ctx.facts.asked.get((ctx.run, stage.name), {}).get(number)
    if before is None or before.rendering != rendering:
        return False
    warehouse.view("fresh_asked", [ctx.store.fetch(key) for key in before.keys])
    known = stem.with_name(f"{stem.name}.known.parquet")
    warehouse.write(engine_sql("fresh_known"), {}, known, form=SCRATCH)
    warehouse.view("fresh_known", [known])
    return True


def keep_asked(ctx: Context, stage: Stage, number: int, fingerprint: str, drawn: Drawn) -> tuple[Asked, bool]:
    """Make a drawn round a fact; the fact, and whether it is this drawing.

    It is another runner's if that was first: both must ask the same.
    """
    key = f"runs/{ctx.run}/{stage.name}/asked-{number}-{digests.of_file(drawn.path)[:16]}.parquet"
    ctx.store.create_file(key, drawn.path, drop=True)
    asked = Asked(number, fingerprint, key, drawn.rows, drawn.requests, drawn.rendering, switches=stage.switches)
    if (before := drawn.before) is not None:
        rows, requests, more = before.rows + drawn.rows, before.requests + drawn.requests, (*before.more, key)
        asked = replace(asked, key=before.key, rows=rows, requests=requests, more=more)
    ctx.ledger.asked(ctx.run, stage.name, asked)
    known = ctx.facts.asked[ctx.run, stage.name][number]
    return known, known.keys == asked.keys


def render_rows(ctx: Context, stage: Stage, rows: Rows, out: IO[str], kept: BlockWriter | None, most: int) -> None:
    """Write ids and tokens of rows down, a line for each row, and keep its requests' lines.

    Where not all rows of the round are given, their first column, ``__place``, says which one each is. ``most``: how
    many there are, or fewer.
    """
    make, samples = renderer(ctx, stage), range(1, stage.samples + 1)
    some, led = _FIRST, rows.columns[0] == "__place"
    columns = rows.columns[led:]
    key = columns.index("row_key")
    numbers, done = itertools.count(), 0
    counting: deque[tuple[list[int], Batch, Future[list[tuple[int, int]]]]] = deque()
    if most >= _MANY:
        give_back()  # what the rows query took, before the vocabulary and the batches come on top of it
    with in_step, ThreadPoolExecutor(1) if kept is None else nullcontext(kept.beside) as beside:
        while values := list(islice(rows, some)):
            places = [row[0] for row in values] if led else list(islice(numbers, len(values)))
            if led:
                values = [row[1:] for row in values]
            batch = make.batch(columns, values, samples)
            lint(ctx, stage, batch, lambda line: values[line // len(samples)][key])  # noqa: B023 - called at once
            counting.append((places, batch, beside.submit(make.count, batch)))
            if kept is not None:
                kept.add_joined(_requests(places, stage.samples), batch.block, batch.sizes)
            if len(counting) > _AHEAD:
                out.writelines(_noted(*counting.popleft(), len(samples)))
            some = next_size(some, len(batch.block))
            done += len(batch.ids)
            ctx.doing([Doing("rendering", stage.name, done, most * len(samples))])
        while counting:
            out.writelines(_noted(*counting.popleft(), len(samples)))
    if done >= _MANY:
        tokens.forget()
        give_back()


def _requests(places: Sequence[int], samples: int) -> Sequence[int]:
    """Where the requests of rows at these places are."""
    return places if samples == 1 else [place * samples + n for place in places for n in range(samples)]


def _noted(places: Sequence[int], batch: Batch, counted: Future[list[tuple[int, int]]], samples: int) -> list[str]:
    """What is kept of the rows of a batch: place, ids, tokens to expect, tokens at most."""
    ids: Iterable[str] = batch.ids
    if samples > 1:
        ids = map(" ".join, zip(*[iter(batch.ids)] * samples, strict=True))
    noted = zip(places, ids, counted.result(), strict=True)
    return [f"{place},{identity},{likely},{most}\n" for place, identity, (likely, most) in noted]


def render_again(ctx: Context, stage: Stage, asked: Iterable[tuple[Any, ...]], kept: BlockWriter) -> None:
    """Keep the lines of requests that were drawn before, given as (place, request id, sample, row) by rising place."""
    make, todo, some = renderer(ctx, stage), iter(asked), _FIRST
    while found := list(islice(todo, some)):
        lines: dict[int, bytes] = {}
        for sample in {item[2] for item in found}:
            mine = [item for item in found if item[2] == sample]
            batch = make.batch(tuple(mine[0][3]), [tuple(row.values()) for _, _, _, row in mine], [sample])
            for identity, (_, drawn, _, row) in zip(batch.ids, mine, strict=True):
                if identity != drawn:  # something outside of the row shapes it: never sent under the old id
                    raise _refused(stage, row["row_key"], "it does not render to the same request twice")
            lint(ctx, stage, batch, lambda place: mine[place][3]["row_key"])  # noqa: B023 - called at once
            lines |= zip((place for place, _, _, _ in mine), batch.lines, strict=True)
        places = sorted(lines)
        kept.add(places, [lines[place] for place in places])
        some = next_size(some, sum(map(len, lines.values())))


def next_size(some: int, size: int) -> int:
    """How many rows make a batch of the wanted size, going by the bytes of the last one."""
    return max(1, min(_MOST, some * _BATCH // max(1, size)))


def lint(ctx: Context, stage: Stage, batch: Batch, key_of: Callable[[int], object]) -> None:
    """Refuse what the provider would refuse. Raises InputError naming the row; ``key_of``: the key of a place's row.

    Lines of one stage differ in their texts alone, which the renderer checks: so one of a batch stands for all, but for
    its length.
    """
    profile, endpoint = ctx.profile(stage), ENDPOINTS[stage.calls[0].endpoint]
    problems, first = endpoint.problems(orjson.loads(nonced(batch.block[: batch.sizes[0]], _NONCE))), 0
    most = profile.max_line_bytes - len(_NONCE) - 1
    if max(batch.sizes) > most:
        first, long = next((n, size) for n, size in enumerate(batch.sizes) if size > most)
        size = long + len(_NONCE) + 1
        problems.append(f"is {size:,} bytes; {profile.name} takes {profile.max_line_bytes:,} a request")
    if problems:
        raise _refused(stage, key_of(first), f"{profile.name} would refuse the request: {'; '.join(problems)}")


def _refused(stage: Stage, key: object, why: str) -> InputError:
    return InputError(
        why,
        where=f"stage {stage.name}, row {key}",
        hint=f"edit {stage.prompt.path if stage.prompt else 'the prompt'} or the rows query, then run again",
    )
