"""The result files of one attempt → its raw objects in the store and its landed rows on this machine. Floor 4.

DuckDB reads the lines by itself where it knows the host's, and Python says what it does not know; else Python reads
them all, and DuckDB compresses what it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from chimera_batch import digests
from chimera_batch.context import Context
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.requests import wire
from chimera_batch.results import decoding
from chimera_batch.results.decoding import Columns, File, Sent, Tally, judge_of
from chimera_batch.results.sweeping import Reading, UnsweptError, sweepable
from chimera_batch.steps import sweeping
from chimera_batch.steps.standing import LANDED_COLUMNS
from chimera_batch.warehouse import QUICK, Warehouse

_RAW_LEVEL = 1  # what is read once in a year is not worth twice the time
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
        """Keep the files as they are, and read them into landed rows on this machine."""
        files = [(self._keep_raw(path), path) for path in paths]
        apart = self.folder / "quarantine.jsonl"
        tally = self._swept(files, sent, apart) or self._read(files, sent, apart)
        return Decoded([key for key, _ in files], self._answers, apart, tally)

    def _swept(self, files: Sequence[tuple[str, Path]], sent: Sent, apart: Path) -> Tally | None:
        """By DuckDB; None where that is not possible or does not pay."""
        plain = getattr(self.ctx.host(self.shard), "plain", {}).get(self.shard.endpoint)
        if plain is None or self.attempt.requests < sweeping.LEAST or not sweepable(sent):
            return None
        sweep = sweeping.Sweep(self.warehouse, plain, self.shard.ceiling, QUICK.target(self._answers, self.ctx.marks))
        reading = Reading(self.ctx.host(self.shard).decode, sent, self._schema())
        with apart.open("wb") as out:
            tally = Tally(keep_apart=lambda record: _note(out, record))
            try:
                sweep.run(files, reading, tally, self._answers)
            except UnsweptError as error:
                self.ctx.say(f"{self.shard.id}: its results are read line by line, which takes longer: {error}")
                return None
        return tally

    def _read(self, files: Sequence[tuple[str, Path]], sent: Sent, apart: Path) -> Tally:
        """By Python, line by line."""
        with apart.open("wb") as out:
            tally = Tally(keep_apart=lambda record: _note(out, record))
            self.write(self._batches([File(key, wire.read_pieces(path)) for key, path in files], sent, tally), sent)
        return tally

    def _batches(self, files: Sequence[File], sent: Sent, tally: Tally) -> Iterator[Columns]:
        yield from decoding.landed(files, self.ctx.host(self.shard).decode, sent, judge_of(self._schema()), tally)
        yield decoding.absent(sent, tally)

    def _schema(self) -> str | None:
        return self.ctx.store.read(self.shard.schema).decode() if self.shard.schema else None

    @property
    def _answers(self) -> Path:
        return self.folder / "landed.parquet"

    def write(self, batches: Iterable[Columns], sent: Sent) -> Path:
        """Landed rows as a file of this machine."""
        kinds = {name: (_KINDS.get(name, "integer"), final) for name, final in LANDED_COLUMNS.items()}
        kinds["usd"] = (f"decimal:{sent.meter.places}", LANDED_COLUMNS["usd"])
        self.warehouse.stream(kinds, batches, QUICK.target(self._answers, self.ctx.marks))
        return self._answers

    def keep_answers(self, path: Path) -> str:
        """A file of landed rows as an object of the store; its key."""
        return self._keep(self._key("answers", digests.of_file(path), "parquet"), path)

    def _keep_raw(self, path: Path) -> str:
        packed = self.folder / f"{path.name}.zst"
        content = wire.pack(path, packed, level=_RAW_LEVEL)
        return self._keep(self._key("raw", content, "jsonl.zst"), packed)

    def _key(self, shelf: str, content: str, suffix: str) -> str:
        """``content``: the digest of a file, before it is compressed."""
        name = f"{self.shard.id}.{self.attempt.number}-{self.attempt.nonce}.{content[:12]}.{suffix}"
        return f"{shelf}/{self.shard.realm}/{name}"

    def _keep(self, key: str, path: Path) -> str:
        self.ctx.store.create_file(key, path, drop=True)
        return key


def _note(out: Any, record: dict[str, Any]) -> None:
    out.write(orjson.dumps(record) + b"\n")
