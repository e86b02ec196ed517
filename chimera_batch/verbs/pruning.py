"""What of a store may be deleted: what no fact needs, and on request what only `trace` reads. See store-format.md.

A run never deletes anything. This does, on a person's word, and only while nothing is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from chimera_batch import settings
from chimera_batch.context import Context
from chimera_batch.errors import MissingObject, NotFinished
from chimera_batch.history.facts import Facts, Shard

Kind = Literal["unnamed", "superseded", "requests", "raw", "quarantine"]

ALWAYS: tuple[Kind, ...] = ("unnamed", "superseded")
ON_REQUEST: tuple[Kind, ...] = ("requests", "raw", "quarantine")
WHAT: dict[Kind, str] = {
    "unnamed": "objects that no event names: a crash or a lost race left them",
    "superseded": "questions and tables that newer ones have replaced",
    "requests": "lines of shards whose every request is answered; to ask one again would stop the run",
    "raw": "what the providers sent, as it came; trace could not show it any more",
    "quarantine": "lines that were no results",
}
_FOLDERS = ("answers/", "quarantine/", "raw/", "requests/", "runs/", "schemas/", "spools/")
_SUFFIXES = (".jsonl", ".jsonl.zst", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class Found:
    """Objects of one kind that may go. ``bytes``: of all of them."""

    kind: Kind
    keys: tuple[str, ...]
    bytes: int


def find(ctx: Context, also: AbstractSet[str] = frozenset()) -> list[Found]:
    """What may go of the whole store; ``also``: kinds on request that are wanted too."""
    wanted = [*ALWAYS, *(kind for kind in ON_REQUEST if kind in also)]
    kinds: dict[Kind, list[str]] = {kind: [] for kind in wanted}
    for key, kind in judged(ctx.facts, (key for folder in _FOLDERS for key in ctx.store.list(folder))):
        if kind in kinds:
            kinds[kind].append(key)
    return [_found(ctx, kind, keys) for kind, keys in kinds.items()]


def _found(ctx: Context, kind: Kind, keys: Sequence[str]) -> Found:
    """What of it is still there: a listing may name for a while what was deleted."""
    sizes = {}
    for key in keys:
        with suppress(MissingObject):
            sizes[key] = ctx.store.size(key)
    return Found(kind, tuple(sizes), sum(sizes.values()))


def judged(facts: Facts, keys: Iterator[str]) -> Iterator[tuple[str, Kind]]:
    """Every key that may go, and as what. Names that this program never writes are a person's: they stay."""
    needed, lines, raw, attempts = _needed(facts), _lines(facts), _raw(facts), _attempts(facts)
    for key in keys:
        folder = key.partition("/")[0]
        if key in needed or not key.endswith(_SUFFIXES):
            continue
        if key in lines:
            yield key, "requests"
        elif key in raw:
            yield key, "raw"
        elif folder == "quarantine" and key.rpartition(".")[0].rpartition(".")[0] in attempts:
            yield key, "quarantine"
        elif folder == "runs":
            yield key, "superseded"
        else:
            yield key, "unnamed"


def _needed(facts: Facts) -> set[str]:
    """What a run or `status` would stop without."""
    found = {key for rounds in facts.asked.values() for asked in rounds.values() for key in asked.keys}
    found |= {table.key for table in facts.tables.values()}
    for shard in facts.shards.values():
        found |= {shard.members} | ({shard.schema} if shard.schema else set())
        if not _answered(shard):
            found.add(shard.key)
        for attempt in shard.attempts:
            found |= {*attempt.answers} | ({attempt.ids} if attempt.ids else set())
    return found


def _lines(facts: Facts) -> set[str]:
    return {shard.key for shard in facts.shards.values() if _answered(shard)}


def _answered(shard: Shard) -> bool:
    """Whether every request of a shard has an answer that will do."""
    return sum(attempt.outcomes.get("ok", 0) for attempt in shard.attempts) >= shard.requests


def _raw(facts: Facts) -> set[str]:
    return {key for shard in facts.shards.values() for attempt in shard.attempts for key in attempt.raw}


def _attempts(facts: Facts) -> set[str]:
    """Beginnings of the names that attempts' objects have in ``quarantine/``."""
    return {
        f"quarantine/{shard.realm}/{shard.id}.{attempt.number}-{attempt.nonce}"
        for shard in facts.shards.values()
        for attempt in shard.attempts
    }


def delete(ctx: Context, found: list[Found]) -> None:
    """Delete it. Raises NotFinished, before anything is gone, while something is or may be under way."""
    why = under_way(ctx)
    if why:
        raise NotFinished(why, where=ctx.store.url, hint=ctx.command("run", why="then prune again"))
    for one in found:
        ctx.store.delete(one.keys)


def under_way(ctx: Context) -> str | None:
    """Why nothing may be deleted now: an attempt of any run is open, or somebody wrote a moment ago and may go on."""
    moving = [f"{shard.id} of run {attempt.run}" for shard, attempt in ctx.facts.attempts() if attempt.is_open]
    if moving:
        return f"{len(moving):,} attempts are under way ({moving[0]})"
    if not ctx.ledger.position:
        return None
    last: dict[str, Any] = orjson.loads(ctx.store.read(f"journal/{ctx.ledger.position:012d}.json"))
    recent = ctx.clock() - float(last["at"]) < ctx.timing.lease
    if last["by"] != ctx.ledger.owner and recent and settings.alive(last["by"]) is not False:
        return f"somebody wrote to the store less than {ctx.timing.lease / 60:.0f} minutes ago, and may be at work"
    return None
