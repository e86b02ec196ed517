"""What reads bytes that others wrote, and what it promises of any of them.

Everywhere: no exception but a ChimeraError reaches the surface, within ten seconds and six gigabytes. Beyond that:

decoders   every line that is not blank is a row or stands in quarantine with its very bytes and place; every id that
           was sent has a row; nothing is below zero; texts and numbers can be stored
manifest   a manifest is refused with its place, or it loads
template   a prompt is refused with its place, or it renders within its allowance
packer     every request is in one shard, in order; no shard of more than one request passes a limit
parameters what goes into a SQL parameter comes out as it was, or is refused
query      a query that is not refused has written nothing, and read no other file
store      a store with a damaged object is read as it is, or is refused with the object's name
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from bench._fuzz_seeds import IDS, LINES, NONCE, SCHEMA, custom_id, words
from bench._fuzz_written import Manifests, Parameters, Queries, Templates
from bench._fuzzing import Flaw, Target
from chimera_batch import api
from chimera_batch.cost import prices
from chimera_batch.errors import ChimeraError
from chimera_batch.opening import Options
from chimera_batch.requests import packing, wire
from chimera_batch.results import decoding
from chimera_batch.results.decoding import File, Sent, Tally

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Decoders:
    """Results files of a dialect; the first line of an input names which, and whether answers have a schema."""

    folder: Path
    name: str = "decoders"
    book: Any = field(default_factory=lambda: prices.load(None, ["openai/tiny-1=2,8,1,4"]))

    def seeds(self) -> Sequence[bytes]:
        found = []
        for dialect, (_, lines) in LINES.items():
            for mode in (b"", b"+schema"):
                found.append(b"\n".join([dialect.encode() + mode, *map(orjson.dumps, lines)]) + b"\n")
        return found

    def words(self) -> Sequence[bytes]:
        return [*(custom_id(number).encode() for number in range(4)), *words(self.name)]

    def run(self, data: bytes, chance: random.Random) -> object:
        head, _, rest = data.partition(b"\n")
        dialect = next((name for name in LINES if head.startswith(name.encode())), "openai")
        path = self.folder / "results.jsonl"
        path.write_bytes(rest)
        apart: list[dict[str, Any]] = []
        row = self.book.price("openai", "tiny-1", on=date(2026, 11, 1))
        sent = Sent("s", 1, NONCE, dict.fromkeys(IDS, 100), "missing", row, batch_price=True)
        tally = Tally(keep_apart=apart.append)
        judge = decoding.judge_of(SCHEMA if b"schema" in head else None)
        files = [File("raw/a", wire.read_pieces(path))]
        columns = [*decoding.landed(files, LINES[dialect][0], sent, judge, tally), decoding.absent(sent, tally)]
        rows = [values for batch in columns for values in zip(*batch, strict=True)]
        _all_lines(rest, rows, apart)
        _sound(rows, tally)
        return dialect, tuple(sorted(tally.outcomes)), tuple(sorted({one["reason"][:40] for one in apart}))


def _all_lines(data: bytes, rows: list[tuple[Any, ...]], apart: list[dict[str, Any]]) -> None:
    """No line is lost, none is made up."""
    lines = data.split(b"\n")
    places = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    for one in apart:
        kept = one["bytes"].encode("latin-1")
        if lines[one["line"] - 1] != kept or places[one["line"] - 1] != one["offset"]:
            raise Flaw(f"quarantine holds line {one['line']} with other bytes, or another place")
    held = {row[-1] for row in rows if row[-1] is not None} | {one["line"] for one in apart}
    lost = [number for number, line in enumerate(lines, 1) if line.strip() and number not in held]
    if lost:
        raise Flaw(f"line {lost[0]} is neither a row nor in quarantine: {lines[lost[0] - 1][:80]!r}")


def _sound(rows: list[tuple[Any, ...]], tally: Tally) -> None:
    ids = [row[2] for row in rows]
    if set(ids) != set(IDS):
        raise Flaw("an id that was sent has no row, or one that was not has one")
    counted = sum(tally.outcomes.values())
    if counted != len(IDS):
        raise Flaw(f"{counted} outcomes are counted of {len(IDS)} ids")
    for row in rows:
        for value in row:
            if isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise Flaw("a text that cannot be stored") from None
            elif isinstance(value, int) and not isinstance(value, bool) and not 0 <= value < 2**63:
                raise Flaw(f"a number that cannot be stored, or below zero: {value}")


@dataclass
class Packer:
    """Limits and requests, read from the bytes as whole numbers."""

    folder: Path
    name: str = "packer"

    def seeds(self) -> Sequence[bytes]:
        return [bytes(range(60)), b"\xff" * 60, b"\x01" * 40, b"\x00" * 40, bytes(range(255, 120, -1))]

    def words(self) -> Sequence[bytes]:
        return [b"\x00\x00", b"\x7f\xff", b"\xff\xff"]

    def run(self, data: bytes, chance: random.Random) -> object:
        numbers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, min(len(data), 1000) - 1, 2)]
        if len(numbers) < 5:
            return None
        most, size, tokens, least, first = numbers[:5]
        requests = [(one % 900 + 1, one // 900) for one in numbers[5:]]
        limits = packing.Limits(
            most % 60 + 1,
            size + 1,
            tokens or None,
            min_requests=least % 5 + 1 if least % 5 < most % 60 + 1 else 1,
            first=first % 30 or None,
            distinct_counts=bool(first & 256),
        )
        sizes, counts = [one for one, _ in requests], [one for _, one in requests]
        if limits.min_requests > 1:
            planned = packing.plan(sizes, counts, limits)
            if planned is None:
                return "none"
            cutter: Any = packing.Planned(planned)
        else:
            cutter = packing.Cutter(limits)
        return self._cut(cutter, limits, requests, chance)

    def _cut(
        self, cutter: Any, limits: packing.Limits, requests: list[tuple[int, int]], chance: random.Random
    ) -> object:
        shards: dict[int, list[tuple[int, int]]] = {}
        at = 0
        while at < len(requests):
            some = requests[at : at + chance.randint(1, 9)]
            done = 0
            for shard, count in cutter.split([one for one, _ in some], [one for _, one in some]):
                shards.setdefault(shard, []).extend(some[done : done + count])
                done += count
            if done != len(some):
                raise Flaw(f"{len(some)} requests went in and {done} are in a shard")
            at += len(some)
        if [one for shard in sorted(shards) for one in shards[shard]] != requests:
            raise Flaw("requests are not in their order")
        for shard in shards.values():
            many = len(shard) > limits.max_requests or sum(one for one, _ in shard) > limits.max_bytes
            if len(shard) > 1 and (many or (limits.max_tokens and sum(one for _, one in shard) > limits.max_tokens)):
                raise Flaw(f"a shard of {len(shard)} requests passes a limit")
        return len(shards), limits.min_requests


@dataclass
class Stores:
    """A store of version 1 with one object damaged; an input is the object's key, a newline, and its bytes."""

    folder: Path
    name: str = "store"

    def __post_init__(self) -> None:
        self.sample = ROOT / "tests" / "data" / "store-v1"

    def seeds(self) -> Sequence[bytes]:
        base = self.sample / "store"
        files = [path for path in sorted(base.rglob("*")) if path.is_file()]
        return [b"%b\n%b" % (str(path.relative_to(base)).encode(), path.read_bytes()) for path in files]

    def words(self) -> Sequence[bytes]:
        return words(self.name)

    def run(self, data: bytes, chance: random.Random) -> object:
        place = self.folder / "damaged"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.sample, place)
        key, _, body = data.partition(b"\n")
        files = {str(path.relative_to(place / "store")).encode(): path for path in (place / "store").rglob("*.*")}
        files.get(key, files[min(files)]).write_bytes(body)
        manifest, options = place / "project" / "essays.yaml", Options(store=str(place / "store"), rehearse=True)
        said = []
        for call in (self._status, self._query, self._trace):
            try:
                said.append(str(call(manifest, options))[:20])
            except ChimeraError as error:
                said.append(error.message[:30])
        return tuple(said)

    @staticmethod
    def _status(manifest: Path, options: Options) -> object:
        return json.dumps(api.status(manifest, options))

    @staticmethod
    def _query(manifest: Path, options: Options) -> object:
        with api.query(manifest, options) as tables:
            return sum(1 for _ in tables.query("SELECT * FROM outcomes"))

    @staticmethod
    def _trace(manifest: Path, options: Options) -> object:
        return api.trace(manifest, "0", options)["usd"]


TARGETS: dict[str, Callable[[Path], Target]] = {
    "decoders": Decoders,
    "manifest": Manifests,
    "template": Templates,
    "packer": Packer,
    "parameters": Parameters,
    "query": Queries,
    "store": Stores,
}
