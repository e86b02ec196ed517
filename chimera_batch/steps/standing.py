"""Where each wanted request of a stage stands, from the objects that the ledger names.

Prepares the views that the engine's SQL reads (``asked``, ``members``, ``landed``, ``forgiven``, ``flying``,
``flying_shards``, ``whole_shards``) and decides what is asked again. The sums are checked here: a stage that does not
balance is a bug, never "done".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chimera_batch.context import Context, engine_sql
from chimera_batch.errors import ChimeraError
from chimera_batch.history.counts import STATES, Standing, last_asked
from chimera_batch.history.facts import Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.rules.retry import History, always, choose
from chimera_batch.steps import leaving, settled
from chimera_batch.steps.leaving import MEMBER_COLUMNS
from chimera_batch.steps.paying import LongerTries, longer_tries
from chimera_batch.steps.placing import place
from chimera_batch.steps.settled import Settled
from chimera_batch.stores.overlap import prefetch
from chimera_batch.warehouse import NARROW, Warehouse

LANDED_COLUMNS = {
    "shard": "VARCHAR",
    "attempt": "INTEGER",
    "request_id": "VARCHAR",
    "outcome": "VARCHAR",
    "transient": "BOOLEAN",
    "ceiling": "INTEGER",
    "text": "VARCHAR",
    "reasoning": "VARCHAR",
    "answer": "VARCHAR",
    "embedding": "FLOAT[]",
    "finish": "VARCHAR",
    "model": "VARCHAR",
    "code": "VARCHAR",
    "message": "VARCHAR",
    "input_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "cache_write_tokens": "BIGINT",
    "cache_write_long_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    "usd": "DECIMAL(24,12)",
    "raw": "VARCHAR",
    "line": "BIGINT",
}
"""One landed result: whose, what became of it, its tokens and dollars, and where its raw line lies."""

_CHOICE_COLUMNS = {"request_id": "VARCHAR", "state": "VARCHAR", "ceiling": "INTEGER"}
_CAUSES = ("truncated", "refused", "invalid", "error", "transient", "expired", "cancelled", "missing")


def view_or_empty(warehouse: Warehouse, name: str, files: Sequence[Path], columns: dict[str, str]) -> None:
    """A view over Parquet files, or an empty table of the same shape when there are none."""
    if files:
        warehouse.view(name, files)
    else:
        warehouse.load(name, columns, ())


def prepare(
    ctx: Context,
    stage: Stage,
    asked: Sequence[Path],
    warehouse: Warehouse,
    folder: Path,
    over: frozenset[str] = frozenset(),
) -> int:
    """Make the views that the engine's SQL reads for this stage; returns how many requests it wants. ``asked``: its
    rounds' files, at least one.

    Of the realm's answers only those of shards are read that hold its requests, or that it has sent, but for the latter
    of those that are ``over``. A stage that fell back keeps answers of the models that it left: they are in the views
    too.
    """
    realm = list(ctx.facts.in_realm(ctx.realm(stage)))
    warehouse.view("asked", asked)
    members = [shard.members for shard in realm]
    held_here = list(prefetch(ctx.store, members))
    view_or_empty(warehouse, "members", held_here, MEMBER_COLUMNS)
    beside = leaving.view(ctx, stage, held_here, warehouse, folder)
    wanted = place(ctx, stage, asked, members, warehouse, folder)
    held = _held(warehouse)
    shards = [one for one in realm if one.id in held or (one.id not in over and _sent(ctx, stage, one))]
    _view_results(ctx, stage, shards, warehouse, "landed_here" if beside else "landed")
    if beside:
        warehouse.define("landed", engine_sql("landed_all"))
    return wanted


def _held(warehouse: Warehouse) -> set[str]:
    return {name for (name,) in warehouse.rows(engine_sql("held_shards"), {})}


def _sent(ctx: Context, stage: Stage, shard: Shard) -> bool:
    return any((attempt.run, attempt.stage) == (ctx.run, stage.name) for attempt in shard.attempts)


def _view_results(ctx: Context, stage: Stage, shards: Sequence[Shard], warehouse: Warehouse, landed: str) -> None:
    """What is known of the requests of some shards, and what is under way of them."""
    answers = [key for shard in shards for attempt in shard.attempts for key in attempt.answers]
    view_or_empty(warehouse, landed, list(prefetch(ctx.store, answers)), LANDED_COLUMNS)
    mine = (ctx.run, stage.name)
    forgiven = [(s.id, a.number) for s in shards for a in s.attempts if mine in a.forgiven]
    warehouse.load("forgiven", {"shard": "VARCHAR", "attempt": "INTEGER"}, forgiven)
    warehouse.load("whole_shards", {"shard": "VARCHAR"}, ((shard.id,) for shard in shards if _whole(shard)))
    under_way = [(shard.id, attempt.ids) for shard in shards if (attempt := shard.current) is not None]
    warehouse.load("flying_shards", {"shard": "VARCHAR"}, ((name,) for name, ids in under_way if ids is None))
    partly = [ids for _, ids in under_way if ids is not None]
    view_or_empty(warehouse, "flying", list(prefetch(ctx.store, partly)), {"request_id": "VARCHAR"})


def _widen(ctx: Context, stage: Stage, asked: Sequence[Path], known: Settled, warehouse: Warehouse) -> None:
    """Let the views tell of what was over before, too. They must tell of the rest."""
    held = _held(warehouse) | known.shards
    shards = [one for one in ctx.facts.in_realm(ctx.realm(stage)) if one.id in held or _sent(ctx, stage, one)]
    warehouse.view("asked", asked)
    _view_results(ctx, stage, shards, warehouse, "landed")


def _whole(shard: Shard) -> bool:
    """Whether the first attempt was sent with all of the shard and has landed with a row for every id: then only rows
    that are not ``ok`` tell anything that is not known of a request by its shard alone."""
    first = shard.attempts[0] if shard.attempts else None
    if first is None or first.stand != "landed" or first.ids is not None or len(first.answers) != 1:
        return False
    return sum(first.outcomes.values()) == first.requests == shard.requests


def stand(ctx: Context, stage: Stage, asked: Sequence[Path], warehouse: Warehouse, folder: Path) -> Standing:
    """Make the views, decide for every unanswered request, and count. ``asked``: the files of the stage's rounds."""
    position = ctx.ledger.position
    known = settled.before(ctx, stage, asked, warehouse, folder)
    rest, over = (asked[len(known.asked) :], known.shards) if known else (asked, frozenset[str]())
    wanted = prepare(ctx, stage, rest, warehouse, folder, over) + (known.wanted if known else 0)
    _materialise(warehouse, folder, "history")
    tries = longer_tries(ctx, stage, warehouse)
    warehouse.load("choices", _CHOICE_COLUMNS, _choices(stage, warehouse, tries))
    _materialise(warehouse, folder, "standing")
    few = _give_up_few(ctx, stage, warehouse, folder)
    if known:
        _widen(ctx, stage, asked, known, warehouse)
        for view in settled.VIEWS:
            warehouse.view(view, [*known.files[view], folder / f"{view}.parquet"])
    reasons = (*(why for _, why in sorted(tries.reasons.items())), *few) if tries else few
    standing = _counted(warehouse, reasons, position)
    if standing.wanted != wanted:
        raise ChimeraError(
            f"{wanted} requests are wanted, but {standing.wanted} are accounted for: {standing.states}",
            where=f"stage {stage.name}",
            hint="this is a bug in chimera-batch; nothing was lost: please report it with the output of status --json",
        )
    settled.keep(ctx, stage, asked, standing, known, folder)
    return standing


def _counted(warehouse: Warehouse, reasons: tuple[str, ...], position: int) -> Standing:
    states = dict.fromkeys(STATES, 0)
    outcomes: dict[str, int] = {}
    placed: dict[str, int] = {}
    for state, outcome, shard, requests in warehouse.rows(engine_sql("standing_counts"), {}):
        states[state] += requests
        if outcome:
            outcomes[outcome] = outcomes.get(outcome, 0) + requests
        if shard is not None:
            placed[shard] = placed.get(shard, 0) + requests
    return Standing(states, dict(sorted(outcomes.items())), reasons, placed, position)


def _give_up_few(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> tuple[str, ...]:
    """Give up what is open of shards where it is too little for a batch of the host's; returns why, for people.

    Requests of several shards are never put together, and nothing is sent along only to make up a number. It follows
    from the facts and the manifest alone: where a lower minimum is said, they are open again.
    """
    least = ctx.profile(stage).min_requests
    if least == 1 or stage.synchronous:
        return ()
    path = folder / "standing_few.parquet"
    warehouse.write(engine_sql("standing_few"), {"least": least}, path, form=NARROW)
    given_up = int(warehouse.scalar(engine_sql("standing_given_up"), {}))
    warehouse.view("standing", [path])
    more = int(warehouse.scalar(engine_sql("standing_given_up"), {})) - given_up
    host = stage.calls[0].provider
    return (f"{more:,} requests would be asked again, but {host} takes no batch of fewer than {least}",) if more else ()


def as_asked(ctx: Context, stage: Stage, warehouse: Warehouse, folder: Path) -> Standing | None:
    """How a stage stands as it was last asked, from the store alone, with its views; None before it asked anything."""
    asked = last_asked(ctx.facts, ctx.run, stage)
    if not asked:
        return None
    return stand(ctx, stage, list(prefetch(ctx.store, (key for one in asked for key in one.keys))), warehouse, folder)


def keep_sample(warehouse: Warehouse, folder: Path, upto: str) -> bool:
    """Leave only the sample's requests, those with ids up to ``upto``, in the view ``standing``; are all settled?"""
    path = folder / "standing_sample.parquet"
    warehouse.write(engine_sql("standing_sample"), {"upto": upto}, path, form=NARROW)
    warehouse.view("standing", [path])
    states = {state for state, *_ in warehouse.rows(engine_sql("standing_counts"), {})}
    return states <= {"answered", "given_up"}


def _materialise(warehouse: Warehouse, folder: Path, name: str) -> None:
    path = folder / f"{name}.parquet"
    warehouse.write(engine_sql(name), {}, path, form=NARROW)
    warehouse.view(name, [path])


def _choices(stage: Stage, warehouse: Warehouse, tries: LongerTries | None) -> Iterator[tuple[Any, ...]]:
    for identity, ceiling, last, transient, last_ceiling, *counts in warehouse.rows(engine_sql("unanswered"), {}):
        history = History(
            ok=False,
            last=last,
            last_transient=bool(transient),
            last_ceiling=last_ceiling,
            counts=dict(zip(_CAUSES, counts, strict=True)),
        )
        choice = choose(history, stage.retry, ceiling, pays=tries.pay if tries else always)
        yield identity, choice.state, choice.ceiling
