"""Executing a batch: every request once, line by line, into drafts that become files only when all of them are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from chimera_batch.rehearsal.asks import NO_SAMPLING_SINCE, Refused, key_of
from chimera_batch.rehearsal.batches import Batch, Verdict, early
from chimera_batch.rehearsal.caches import Shelf
from chimera_batch.rehearsal.clerk import MESSAGES, Done, Errand
from chimera_batch.rehearsal.faults import find, struck
from chimera_batch.rehearsal.shapes_openai import totals
from chimera_batch.rehearsal.sheets import AnthropicSheets, OpenAISheets, foreign


class Stopped(Exception):
    """The server is going down; the batch is executed from scratch after the restart."""


class Drafts(NamedTuple):
    """Where an execution writes."""

    output: Path
    error: Path
    bill: Path
    planted: Path
    answers: Path  # as an upstream gave them, before they are files


@dataclass
class Sums:
    """What an execution amounted to."""

    ok: int = 0
    failed: int = 0
    unfinished: int = 0
    delivered: bool = True  # False: nothing of it will ever be in a file
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_lines: int = 0
    error_lines: int = 0

    @property
    def usage(self) -> dict[str, Any]:
        return totals(self.input_tokens, self.cached_tokens, self.output_tokens, self.reasoning_tokens)


@dataclass
class Execution:
    """One run through a batch's requests."""

    batch: Batch
    verdict: Verdict
    do: Callable[[Errand], Done]
    attempt_of: Callable[[str], int]
    alive: Callable[[], bool]
    drafts: Drafts
    now: int
    sums: Sums = field(default_factory=Sums)
    shelf: Shelf = field(default_factory=Shelf)  # of this batch; a restart begins with an empty one, and ends the same

    def run(self, requests: Path) -> Sums:
        """Write all drafts. Raises Stopped."""
        batch, sums = self.batch, self.sums
        expired = find(batch.faults, "expire") or {}
        sums.delivered = expired.get("files", True) is not False and find(batch.faults, "lose_output") is None
        if batch.dialect == "openai" and early(batch):
            sums.unfinished = batch.total or 0
            return sums
        sheets = self._sheets()
        with self.drafts.bill.open("wb") as bill, self.drafts.planted.open("wb") as planted:
            for row, (custom_id, body) in enumerate(_requests(requests, batch)):
                if row % 64 == 0 and not self.alive():
                    sheets.close()
                    raise Stopped
                if row >= self.verdict.finished:
                    sheets.unfinished(_ident(batch, row), custom_id, self.verdict.how)
                    sums.unfinished += 1
                    continue
                line, plant = self._one(sheets, row, custom_id, body)
                if line:
                    bill.write(orjson.dumps(line) + b"\n")
                if plant:
                    planted.write(orjson.dumps(plant) + b"\n")
        self._strangers(sheets)
        sheets.close()
        sums.output_lines = sheets.output.lines
        sums.error_lines = sheets.error.lines if isinstance(sheets, OpenAISheets) else 0
        return sums

    def errands(self, requests: Path) -> Iterator[Errand]:
        """What is asked, in order."""
        for custom_id, body in islice(_requests(requests, self.batch), self.verdict.finished):
            yield self._errand(custom_id, body, key_of(custom_id, body))

    def _sheets(self) -> OpenAISheets | AnthropicSheets:
        if self.batch.dialect == "anthropic":
            return AnthropicSheets(self.drafts.output, self.batch.n)
        return OpenAISheets(self.drafts.output, self.drafts.error, self.batch.n)

    def _one(
        self, sheets: OpenAISheets | AnthropicSheets, row: int, custom_id: str, body: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The bill's line and the planted fault of one request; its result is in the sheets."""
        batch, key, ident = self.batch, key_of(custom_id, body), _ident(self.batch, row)
        fault = dict(struck(batch.faults, row, batch.total or 1) or {})
        kind = fault.get("kind")
        try:
            if kind == "error_rows":
                raise _refusal(fault)
            done = self.do(self._errand(custom_id, body, key))
        except Refused as refused:
            self.sums.failed += 1
            sheets.refused(ident, custom_id, refused, fault)
            return None, None
        self._count(done.line, done.thought)
        if kind != "drop_rows":
            _write(sheets, sheets.ok(ident, custom_id, done.body, raw=kind == "raw_u2028"), kind)
        line = done.line | {"delivered": self.sums.delivered and kind not in {"drop_rows", "malformed_line"}}
        plant = {name: line[name] for name in ("request_id", "custom_id", "batch", "attempt", "model")}
        return line, plant | {"planted": done.planted} if done.planted else None

    def _errand(self, custom_id: str, body: Mapping[str, Any], key: str) -> Errand:
        batch = self.batch
        return Errand(
            profile=batch.profile,
            endpoint=batch.endpoint,
            custom_id=custom_id,
            body=body,
            attempt=self.attempt_of(key),
            key=key,
            now=self.now,
            batch=batch.id,
            version=batch.version or NO_SAMPLING_SINCE,
            shelf=self.shelf,
        )

    def _count(self, line: Mapping[str, Any], thought: int) -> None:
        sums = self.sums
        sums.ok += 1
        sums.input_tokens += line["input_tokens"]
        sums.cached_tokens += line["cached_tokens"]
        sums.output_tokens += line["output_tokens"]
        sums.reasoning_tokens += thought

    def _strangers(self, sheets: OpenAISheets | AnthropicSheets) -> None:
        if fault := find(self.batch.faults, "foreign_rows"):
            template = sheets.ok("0" * 32, "", {"id": "foreign", "model": "?", "usage": None})
            for n in range(int(fault.get("n", 1))):
                sheets.output.add(foreign(template, n))


def _requests(path: Path, batch: Batch) -> Iterator[tuple[str, dict[str, Any]]]:
    name = "params" if batch.endpoint == MESSAGES else "body"
    with path.open("rb") as file:
        for line in file:
            request = orjson.loads(line)
            yield request["custom_id"], request[name]


def _write(sheets: OpenAISheets | AnthropicSheets, line: bytes, kind: str | None) -> None:
    sheets.output.add(line[: len(line) // 2] if kind == "malformed_line" else line)
    if kind == "duplicate_rows":
        sheets.output.add(line)


def _refusal(fault: Mapping[str, Any]) -> Refused:
    status = int(fault.get("status", 500))
    message = str(fault.get("message", "The server had an error while processing your request."))
    return Refused(status, message, code=fault.get("code"), param=fault.get("param"))


def _ident(batch: Batch, row: int) -> str:
    return f"{batch.n:08x}{row:024x}"
