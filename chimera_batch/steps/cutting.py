"""What is to be packed, in order, into the requests of each shard. Floor 4; ``packing`` decides where to cut."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from chimera_batch.context import engine_sql
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import Stage
from chimera_batch.requests.blocks import Blocks
from chimera_batch.requests.packing import Cutter, Limits, Planned, plan
from chimera_batch.requests.wire import NONCE_LENGTH
from chimera_batch.warehouse import Warehouse

LEAD = NONCE_LENGTH + 1  # bytes that an attempt adds to each line
_PORTION = 20_480  # requests that are cut at once


class Elsewhere(Exception):
    """A request whose line is not among those that were kept."""


@dataclass(slots=True)
class Cut:
    """The requests of one shard: from which one of the view ``fresh_todo`` on, their ids, where their lines are."""

    first: int
    ids: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


class Some(NamedTuple):
    """The next requests to be packed: their ids, where their lines are, bytes on the wire, tokens of prompt."""

    ids: Sequence[str]
    lines: Sequence[int]
    sizes: Sequence[int]
    tokens: Sequence[int]


def portions(warehouse: Warehouse, lines: Blocks, only: int | None) -> Iterator[Some]:
    """The view ``fresh_todo`` in portions; ``only``: the lines are those of this round, by position.

    Raises Elsewhere for a request whose line is not there.
    """
    if only is not None and warehouse.scalar(engine_sql("todo_elsewhere"), {"round": only}):
        raise Elsewhere
    rows = iter(warehouse.rows(engine_sql("todo_placed" if only is None else "todo_positioned"), {}))
    while some := list(islice(rows, _PORTION)):
        at, ids, tokens = (list(column) for column in zip(*some, strict=True))
        sizes = lines.sizes(at)
        if sizes is None:
            raise Elsewhere
        yield Some(ids, at, [size + LEAD for size in sizes], tokens)


def cuts(todo: Iterable[Some], cutter: Cutter | Planned) -> Iterator[Cut]:
    """What is to be packed, shard by shard."""
    cut, current, place = Cut(0), 0, 0
    for some in todo:
        done = 0
        for shard, count in cutter.split(some.sizes, some.tokens):
            if shard != current:
                yield cut
                cut, current = Cut(place + done), shard
            cut.ids += some.ids[done : done + count]
            cut.lines += some.lines[done : done + count]
            done += count
        place += done
    if cut.ids:
        yield cut


def cutter_of(stage: Stage, bounds: Limits, todo: Iterable[Some]) -> Cutter | Planned:
    """Cuts as requests come; for a host that takes no small file, with all of their sizes known before the first cut.

    Raises InputError where no cut serves such a host, before anything is packed, and Elsewhere.
    """
    if bounds.min_requests == 1:
        return Cutter(bounds)
    sizes, tokens = array("q"), array("q")
    for some in todo:
        sizes.extend(some.sizes)
        tokens.extend(some.tokens)
    counts = plan(sizes, tokens, bounds)
    if counts is None:
        raise _too_few(stage, len(sizes), bounds)
    return Planned(counts)


def _too_few(stage: Stage, requests: int, bounds: Limits) -> InputError:
    host, least = stage.calls[0].provider, bounds.min_requests
    found = f"{requests:,} requests are to be asked, and {host} takes no batch of fewer than {least:,}"
    if requests >= least:
        found = f"the {requests:,} requests are too large for batches of {least:,} each, the fewest that {host} takes"
    return InputError(
        f"{found}; none of them was sent",
        where=f"stage {stage.name}",
        hint=f"providers: {{{host}: {{min_requests: N}}}} once the account's quota is lower; or more rows, or another"
        " provider for this stage",
    )
