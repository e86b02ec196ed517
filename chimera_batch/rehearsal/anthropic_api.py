"""The Anthropic dialect's routes: message batches and messages."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from chimera_batch.rehearsal import batches, faults
from chimera_batch.rehearsal.asks import Refused
from chimera_batch.rehearsal.batches import Batch
from chimera_batch.rehearsal.clerk import MESSAGES
from chimera_batch.rehearsal.desk import Desk
from chimera_batch.rehearsal.state import base62
from chimera_batch.rehearsal.web import Reply, Request, Route, page, route

MOST_REQUESTS = 100_000
MOST_BYTES = 256 * 1024 * 1024
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_START = re.compile(r'\s*\{\s*"requests"\s*:\s*\[\s*')
_NEXT = re.compile(r"\s*,\s*")
_END = re.compile(r"\s*\]\s*\}\s*")


class AnthropicApi:
    """What a client of the Message Batches API may ask."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes: list[Route] = [
            route("POST", "/v1/messages/batches", self.create),
            route("GET", "/v1/messages/batches", self.list_batches),
            route("GET", "/v1/messages/batches/{}", self.batch),
            route("GET", "/v1/messages/batches/{}/results", self.results),
            route("POST", "/v1/messages/batches/{}/cancel", self.cancel),
            route("DELETE", "/v1/messages/batches/{}", self.delete),
            route("POST", "/v1/messages", self.ask),
        ]

    def create(self, request: Request) -> Reply:
        seen: set[str] = set()
        models: set[str] = set()
        lines = _checked(_requests(_text(request)), seen, models)
        draft = self._desk.files.write(lines, most=MOST_BYTES * 2)
        batch = Batch(
            id=f"msgbatch_01{base62(22)}",
            n=0,
            dialect="anthropic",
            profile=request.profile,
            endpoint=MESSAGES,
            created=time.time(),
            validate=0,
            work=0,
            finalize=0,
            version=request.headers.get("anthropic-version", ""),
            model=models.pop() if len(models) == 1 else None,
            total=len(seen),
        )
        return Reply(body=self._shown(request, self._desk.works.create(batch, draft)))

    def list_batches(self, request: Request) -> Reply:
        mine = [b for b in self._desk.works.all() if b.dialect == "anthropic" and b.profile == request.profile]
        rows = [self._shown(request, batch) for batch in mine]
        limit = request.number("limit", 20, 1000)
        if before := request.query.get("before_id"):
            # The rows next to the cursor, newest first like every page: its first id is the cursor of the next one.
            found = page(rows[::-1], after=before, limit=limit)
            turned = {"data": found["data"][::-1], "first_id": found["last_id"], "last_id": found["first_id"]}
            return Reply(body=found | turned)
        return Reply(body=page(rows, after=request.query.get("after_id"), limit=limit))

    def batch(self, request: Request, ident: str) -> Reply:
        told = self._shown(request, self._get(ident))
        return Reply(body=told, headers={} if told["processing_status"] == "ended" else {"retry-after": "10"})

    def results(self, request: Request, ident: str) -> Reply:
        batch = self._get(ident)
        if self._shown(request, batch)["results_url"] is None or not self._desk.works.results(ident).exists():
            raise Refused(404, f"Message Batch {ident} has no available results.")
        shown = {"content-disposition": f'attachment; filename="{ident}_results.jsonl"'}
        return Reply(file=self._desk.works.results(ident), kind="application/x-jsonl", headers=shown)

    def cancel(self, request: Request, ident: str) -> Reply:
        batch, now = self._get(ident), time.time()
        if batches.anthropic_status(batch, now) == "ended":
            raise Refused(400, f"Message Batch {ident} has already ended.")
        if batch.cancelled is None:
            batch = self._desk.works.change(ident, lambda b: replace(b, cancelled=now))
        return Reply(body=self._shown(request, batch))

    def delete(self, request: Request, ident: str) -> Reply:
        if batches.anthropic_status(self._get(ident), time.time()) != "ended":
            raise Refused(400, "In progress batches cannot be deleted. Consider canceling the batch instead.")
        self._desk.works.change(ident, lambda b: replace(b, deleted=True))
        self._desk.works.results(ident).unlink(missing_ok=True)
        return Reply(body={"id": ident, "type": "message_batch_deleted"})

    def ask(self, request: Request) -> Reply:
        return Reply(body=self._desk.ask(request, request.json()))

    def _get(self, ident: str) -> Batch:
        batch = self._desk.works.get(ident)
        if batch is None or batch.dialect != "anthropic":
            raise Refused(404, f"Message Batch {ident} not found.")
        return batch

    def _shown(self, request: Request, batch: Batch) -> dict[str, Any]:
        """The batch object; the results' address is this server's, wherever it listens today."""
        now = time.time()
        status, ended = batches.anthropic_status(batch, now), batch.ended
        over = status == "ended" and ended is not None
        counts = {"processing": batch.total or 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        if over and ended is not None:
            rest = "expired" if ended.how == "expired" else "canceled"
            counts |= {"processing": 0, "succeeded": ended.ok, "errored": ended.failed, rest: ended.unfinished}
            lie = faults.find(batch.faults, "counts_lie") or {}
            counts |= {name: int(lie[name]) for name in counts if name in lie}
        shown = (faults.find(batch.faults, "expire") or {}).get("files", True) is not False
        lost = faults.find(batch.faults, "lose_output") is not None
        prefix = f"http://{request.headers.get('host', '127.0.0.1')}/{batch.profile}/v1/messages/batches"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "ended_at": _rfc3339(batches.ends(batch)) if over else None,
            "created_at": _rfc3339(batch.created),
            "expires_at": _rfc3339(batch.created + 86_400),
            "archived_at": None,
            "cancel_initiated_at": _rfc3339(batch.cancelled) if batch.cancelled is not None else None,
            "results_url": f"{prefix}/{batch.id}/results" if over and shown and not lost else None,
        }


def _text(request: Request) -> str:
    body = bytearray()
    for chunk in request.chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refused(413, "Request exceeds the maximum size")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refused(400, "The request body is not valid JSON: it is not UTF-8.") from error


def _requests(text: str) -> Iterator[Any]:
    """The elements of ``{"requests": […]}`` one at a time: the whole parsed would be many times the body's size."""
    start = _START.match(text)
    if start is None:
        yield from _loosely(text)
        return
    reader, at = json.JSONDecoder(), start.end()
    try:
        if _END.match(text, at):
            return
        while True:
            element, at = reader.raw_decode(text, at)
            yield element
            after = _NEXT.match(text, at)
            if after is None:
                break
            at = after.end()
        if not _END.fullmatch(text, at):
            raise ValueError(f"unexpected text at character {at}")
    except ValueError as error:
        raise Refused(400, f"The request body is not valid JSON: {error}") from error


def _loosely(text: str) -> Iterator[Any]:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("requests"), list):
        raise Refused(400, "requests: Field required")
    yield from body["requests"]


def _checked(requests: Iterator[Any], seen: set[str], models: set[str]) -> Iterator[bytes]:
    """Each request as a line. Only what the real API refuses at once is refused here. Raises Refused."""
    place = -1
    for place, one in enumerate(requests):
        if not isinstance(one, dict) or not isinstance(one.get("params"), dict):
            raise Refused(400, f"requests.{place}.params: Field required")
        custom_id = one.get("custom_id")
        if not isinstance(custom_id, str) or not _ID.fullmatch(custom_id):
            raise Refused(400, f"requests.{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if custom_id in seen:
            message = "requests: custom_id's must be unique within a batch. Duplicate custom_id found:"
            raise Refused(400, f"{message} {custom_id}")
        seen.add(custom_id)
        models.add(str(one["params"].get("model")))
        try:
            yield orjson.dumps({"custom_id": custom_id, "params": one["params"]}) + b"\n"
        except orjson.JSONEncodeError as error:  # half a surrogate pair, or a number beyond 64 bits
            raise Refused(400, f"requests.{place}.params: {error}") from error
    if place < 0:
        raise Refused(400, "requests: List should have at least 1 item after validation, not 0")
    if place >= MOST_REQUESTS:
        raise Refused(400, f"requests: List should have at most {MOST_REQUESTS} items after validation")


def _rfc3339(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds")
