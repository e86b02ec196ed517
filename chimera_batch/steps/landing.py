"""The result files of one attempt → its raw objects in the store and its landed rows on this machine. Floor 4.

Three things go on at once: Python decodes, DuckDB compresses what was decoded, and the files as they came are
compressed and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from chimera_batch import digests
from chimera_batch.context import Context
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.requests import wire
from chimera_batch.results import decoding
from chimera_batch.results.decoding import Columns, File, Reader, Sent, Tally
from chimera_batch.steps.standing import LANDED_COLUMNS
from chimera_batch.warehouse import QUICK, Warehouse

_RAW_LEVEL = 1  # what is read once in a year is not worth twice the time
_PIECE = 1 << 20  # bytes: few enough to be nothing, so many that a thread seldom has to wait for its turn at Python
_KINDS = {"text": "text", "reasoning": "text", "answer": "text", "embedding": "floats", "request_id": "text"} | (
    dict.fromkeys(("shard", "outcome", "finish", "model", "code", "message", "raw"), "few")
)  # all others are whole numbers


@dataclass(frozen=True, slots=True)
class Decoded:
    """The results of one attempt on this machine."""

    raw: list[str]  # keys of the files that they come from, kept already
    answers: Path
    apart: Path  # what was no result
    tally: Tally

    @property
    def found(self) -> int:
        """How many of the ids sent have a line."""
        return len(self.tally.seen)

    @property
    def lines(self) -> int:
        """How many came, odd ones included and blank ones not."""
        return self.found + self.tally.quarantined


@dataclass(frozen=True, slots=True)
class Results:
    """What one attempt brought, and where it is kept. ``folder``: scratch of this machine."""

    ctx: Context
    shard: Shard
    attempt: Attempt
    warehouse: Warehouse
    folder: Path

    def decode(self, paths: Iterable[Path], sent: Sent) -> Decoded:
        """Read the files into landed rows on this machine, and keep them as they are meanwhile."""
        files = [(self._key("raw", path, "jsonl.zst"), path) for path in paths]
        apart = self.folder / "quarantine.jsonl"
        with ThreadPoolExecutor(1) as beside, apart.open("wb") as out:  # compressing leaves Python alone
            kept = [beside.submit(self._keep_raw, *one) for one in files]
            tally = Tally(keep_apart=lambda record: _note(out, record))
            decodable = [File(key, wire.read_pieces(path)) for key, path in files]
            answers = self.write(self._batches(decodable, sent, tally), sent)
            for job in kept:
                job.result()
        return Decoded([key for key, _ in files], answers, apart, tally)

    def _batches(self, files: Sequence[File], sent: Sent, tally: Tally) -> Iterator[Columns]:
        schema = self.ctx.store.read(self.shard.schema).decode() if self.shard.schema else None
        host = self.ctx.host(self.shard)
        reader = Reader(host.decode, getattr(host, "plain", None))
        yield from decoding.landed(files, reader, sent, decoding.judge_of(schema), tally)
        yield decoding.absent(sent, tally)

    def write(self, batches: Iterable[Columns], sent: Sent) -> Path:
        """Landed rows as a file of this machine."""
        path = self.folder / "landed.parquet"
        kinds = {name: (_KINDS.get(name, "integer"), final) for name, final in LANDED_COLUMNS.items()}
        kinds["usd"] = (f"decimal:{sent.meter.places}", LANDED_COLUMNS["usd"])
        self.warehouse.stream(kinds, batches, QUICK.target(path, self.ctx.marks))
        return path

    def keep_answers(self, path: Path) -> str:
        """A file of landed rows as an object of the store; its key."""
        return self._keep(self._key("answers", path, "parquet"), path)

    def _keep_raw(self, key: str, path: Path) -> None:
        packed = self.folder / f"{path.name}.zst"
        wire.compress(wire.read_again(path, _PIECE), packed, level=_RAW_LEVEL)
        self._keep(key, packed)

    def _key(self, shelf: str, path: Path, suffix: str) -> str:
        """Names the content of a file, before it is compressed."""
        content = digests.of_file(path)[:12]
        name = f"{self.shard.id}.{self.attempt.number}-{self.attempt.nonce}.{content}.{suffix}"
        return f"{shelf}/{self.shard.realm}/{name}"

    def _keep(self, key: str, path: Path) -> str:
        self.ctx.store.create_file(key, path)
        return key


def _note(out: Any, record: dict[str, Any]) -> None:
    out.write(orjson.dumps(record) + b"\n")
