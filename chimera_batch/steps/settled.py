"""How the requests of a stage stand that are over, kept on this machine: rows that it gains cost what is new of them.

Kept are the files of the views ``standing`` and ``history``, once every request is answered or given up, with a digest
of all that they rest on. They may be missing, old or broken at any moment: then everything is counted.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimera_batch import digests
from chimera_batch.context import Context, engine_sql
from chimera_batch.history.counts import Standing, last_asked
from chimera_batch.pipeline.project import Stage
from chimera_batch.steps.basis import basis
from chimera_batch.steps.fingerprints import digest
from chimera_batch.steps.remembering import folder_of, recall, remember
from chimera_batch.warehouse import Warehouse

FROM = 20_000  # requests; fewer are counted in less time than it takes to look them up
VIEWS = ("standing", "history")
_UNNAMED = 3600.0  # seconds; a file that is this old and that nothing names was kept by two commands at once


@dataclass(frozen=True, slots=True)
class Settled:
    """The requests of the first files of a stage's rounds, and the shards that hold them."""

    asked: tuple[str, ...]
    shards: frozenset[str]
    wanted: int
    files: Mapping[str, tuple[Path, ...]]  # by view; they lie in the step's own folder
    kept: Mapping[str, Sequence[Sequence[str]]]  # the same, as name and SHA-256, among what is kept


def before(ctx: Context, stage: Stage, asked: Sequence[Path], warehouse: Warehouse, folder: Path) -> Settled | None:
    """What is over of a stage that asks more by now; None where all of it is to be counted.

    A request that is asked again in what it gained makes the view ``asked`` say other things of it: then, too.
    """
    found = _kept(ctx, stage, asked, folder)
    if found is None:
        return None
    warehouse.view("standing_before", found.files["standing"])
    warehouse.view("asked", asked[len(found.asked) :])
    return None if warehouse.scalar(engine_sql("settled_asked"), {}) else found


def keep(
    ctx: Context, stage: Stage, asked: Sequence[Path], counts: Standing, known: Settled | None, folder: Path
) -> None:
    """Keep the two files of ``folder``, if nothing is open any more; ``known``: what they add to."""
    if not counts.settled or counts.wanted < FROM or not _may_be(ctx, stage):
        return
    last, rounds = recall(ctx, _name(stage)), [str(path) for path in asked]
    if last is not None and _holds(ctx, stage, *last) and last[1]["asked"][: len(rounds)] == rounds:
        return  # these are the first rounds of what is kept already
    keys = (key for one in last_asked(ctx.facts, ctx.run, stage) for key in one.keys)
    if not set(rounds) <= {str(ctx.store.fetch(key)) for key in keys}:
        return  # some are drawn and not asked yet: their files will be gone
    with suppress(OSError):
        earlier = known.kept if known else dict.fromkeys(VIEWS, ())
        files = {view: [*earlier[view], _put(ctx, stage, folder / f"{view}.parquet")] for view in VIEWS}
        told = {"asked": rounds, "shards": sorted(counts.placed), "wanted": counts.wanted, "files": files}
        remember(ctx, _name(stage), _key(ctx, stage, told), told)
        _drop(ctx, stage, last, files)


def _kept(ctx: Context, stage: Stage, asked: Sequence[Path], folder: Path) -> Settled | None:
    last = recall(ctx, _name(stage)) if _may_be(ctx, stage) else None
    if last is None:
        return None
    try:
        rounds, value = tuple(map(str, asked)), last[1]
        known = tuple(value["asked"])
        if len(known) >= len(rounds) or known != rounds[: len(known)] or not _holds(ctx, stage, *last):
            return None
        files = {
            view: tuple(_lent(ctx, name, sha256, folder) for name, sha256 in value["files"][view]) for view in VIEWS
        }
        return Settled(known, frozenset(value["shards"]), int(value["wanted"]), files, value["files"])
    except (KeyError, TypeError, ValueError, OSError):  # of another version, or broken
        return None


def _may_be(ctx: Context, stage: Stage) -> bool:
    """Where only a request's own history decides about it: not what others cost, nor how many are open beside it."""
    few = ctx.profile(stage).min_requests > 1 and not stage.synchronous
    return not (stage.left or stage.longer_if_it_pays or few)


def _holds(ctx: Context, stage: Stage, key: str, value: Mapping[str, Any]) -> bool:
    try:
        return key == _key(ctx, stage, value)
    except (KeyError, TypeError):
        return False


def _key(ctx: Context, stage: Stage, value: Mapping[str, Any]) -> str:
    names = set(value["shards"])
    shards = [shard for shard in ctx.facts.in_realm(ctx.realm(stage)) if shard.id in names]
    return digest([value["asked"], sorted(names), value["wanted"], value["files"], basis(ctx, stage, (), shards)])


def _put(ctx: Context, stage: Stage, path: Path) -> list[str]:
    """A second name for a file of this step, among what is kept, and its SHA-256."""
    name = f"{_prefix(ctx, stage)}{path.stem}-{secrets.token_hex(8)}.parquet"
    folder_of(ctx).mkdir(parents=True, exist_ok=True)
    os.link(path, folder_of(ctx) / name)
    return [name, digests.of_file(path)]


def _lent(ctx: Context, name: str, sha256: str, folder: Path) -> Path:
    """A kept file under a name of this step's own: another command may delete the one that it is kept under."""
    path = folder / Path(name).name
    if path.exists():
        return path  # this step has looked at it before
    os.link(folder_of(ctx) / path.name, path)
    whole = False
    try:
        whole = digests.of_file(path) == sha256
    finally:
        if not whole:  # the name says to this step that it was looked at
            path.unlink()
    if not whole:  # a machine that lost its power leaves files of zeros, as long as they were
        raise ValueError(name)
    return path


def _drop(
    ctx: Context,
    stage: Stage,
    last: tuple[str, dict[str, Any]] | None,
    files: Mapping[str, Iterable[Sequence[str]]],
) -> None:
    """Delete what was kept before and is not any more, and what is of this stage and has no name in what is kept.

    Of two commands that keep at once the later one is heard, and nobody knows the files of the other.
    """
    kept = {name for named in files.values() for name, _ in named}
    for path in folder_of(ctx).glob(f"{_prefix(ctx, stage)}*"):
        if path.name not in kept and path.stat().st_mtime < time.time() - _UNNAMED:
            path.unlink(missing_ok=True)
    with suppress(KeyError, TypeError, ValueError):
        for name, _ in (one for view in VIEWS for one in last[1]["files"][view]) if last else ():
            if name not in kept:
                (folder_of(ctx) / Path(name).name).unlink(missing_ok=True)


def _prefix(ctx: Context, stage: Stage) -> str:
    return f"{digest([ctx.store.url, ctx.run, _name(stage), 'files'])}-"


def _name(stage: Stage) -> str:
    return f"settled {stage.name}"
