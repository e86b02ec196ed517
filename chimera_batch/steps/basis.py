"""What the standing of a stage rests on, as a digest: where that is the same, so is what was counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from chimera_batch.context import Context
from chimera_batch.history.facts import Asked, Attempt, Shard
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps.fingerprints import digest
from chimera_batch.steps.remembering import code

_PLACED = ("placed_ids", "placed_first", "placed_further", "placed_alike", "placed_whole", "held_shards")
_LEFT = ("closed_ids", "shards_of_asked", "picked", "picked_members", "landed_all", "orphaned_left")
_SQL = (*_PLACED, *_LEFT, "history", "unanswered", "standing", "standing_few", "standing_counts", "lengths", "orphaned")


def basis(ctx: Context, stage: Stage, asked: Iterable[Asked], shards: Iterable[Shard]) -> str:
    """The digest of everything that a standing rests on."""
    mark = (ctx.run, stage.name)
    seen = [
        [one.realm, one.id, one.members, one.requests, [_told(attempt, mark) for attempt in one.attempts]]
        for one in shards
    ]
    rules = {name: asdict(rule) for name, rule in stage.retry.items()}
    rounds = [[one.keys, one.switches] for one in asked]
    where = [ctx.realm(stage), ctx.left_realms(stage), stage.switches, ctx.profile(stage).min_requests]
    return digest([code(*_SQL), where, rounds, rules, _paying(ctx, stage), seen])


def _paying(ctx: Context, stage: Stage) -> list[Any]:
    if not stage.longer_if_it_pays:
        return []
    from chimera_batch.steps import paying  # noqa: PLC0415 - it takes what renders prompts with it

    return paying.basis(ctx, stage)


def _told(one: Attempt, mark: tuple[str, str]) -> list[Any]:
    told = [one.number, one.run, one.stage, one.stand, one.requests, one.ids, one.answers, one.outcomes]
    return [*told, mark in one.forgiven]
