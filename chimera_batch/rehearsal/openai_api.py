"""The OpenAI dialect's routes: files, batches and the synchronous endpoints."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chimera_batch.rehearsal import batches, multipart
from chimera_batch.rehearsal.asks import READERS, Refused, missing
from chimera_batch.rehearsal.batches import Batch
from chimera_batch.rehearsal.desk import Desk
from chimera_batch.rehearsal.faults import find
from chimera_batch.rehearsal.files import MOST_BYTES, TooLarge
from chimera_batch.rehearsal.web import Reply, Request, Route, page, route

_DAY = 86_400
_TERMINAL = {"failed", "completed", "expired", "cancelled"}


class OpenAIApi:
    """What a client of OpenAI, or of a host that copies it, may ask."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes: list[Route] = [
            route("POST", "/v1/files", self.upload),
            route("GET", "/v1/files", self.list_files),
            route("GET", "/v1/files/{}", self.file),
            route("DELETE", "/v1/files/{}", self.delete_file),
            route("GET", "/v1/files/{}/content", self.content),
            route("POST", "/v1/batches", self.create),
            route("GET", "/v1/batches", self.list_batches),
            route("GET", "/v1/batches/{}", self.batch),
            route("POST", "/v1/batches/{}/cancel", self.cancel),
            *(route("POST", path, self.ask) for path in READERS),
        ]

    def upload(self, request: Request) -> Reply:
        fields: dict[str, bytes] = {}
        name, draft = None, None
        most = int(self._desk.settings.get("max_bytes", MOST_BYTES))
        try:
            for part, pieces in _parts(request):
                if part.file_name is None:
                    fields[part.name] = b"".join(pieces)
                else:
                    _drop(draft)  # of several files the last one counts
                    name, draft = part.file_name, self._desk.files.write(pieces, most)
            purpose = fields.get("purpose", b"").decode()
            if draft is None or name is None:
                raise missing("file")
            if not purpose:
                raise missing("purpose")
            if purpose == "batch" and not name.endswith(".jsonl"):
                raise Refused(400, "Invalid file format for Batch API. Must be .jsonl")
            return Reply(body=self._desk.files.keep(draft, name=name, purpose=purpose, expires=_expires(fields)))
        except BaseException as error:
            _drop(draft)
            if isinstance(error, TooLarge | multipart.BadForm | UnicodeDecodeError):
                raise Refused(400, str(error)) from error
            raise

    def list_files(self, request: Request) -> Reply:
        newest = request.query.get("order", "desc") != "asc"
        rows = self._desk.files.all(purpose=request.query.get("purpose"), newest_first=newest)
        limit = request.number("limit", 10_000, 10_000)
        return Reply(body={"object": "list"} | page(rows, after=request.query.get("after"), limit=limit))

    def file(self, request: Request, ident: str) -> Reply:
        told = self._desk.files.told(ident)
        if told is None:
            raise _no_file(ident)
        return Reply(body=told)

    def delete_file(self, request: Request, ident: str) -> Reply:
        if not self._desk.files.delete(ident):
            raise _no_file(ident)
        return Reply(body={"object": "file", "id": ident, "deleted": True})

    def content(self, request: Request, ident: str) -> Reply:
        told, path = self._desk.files.told(ident), self._desk.files.path(ident)
        if told is None or path is None:
            raise _no_file(ident)
        shown = {"content-disposition": f'attachment; filename="{told["filename"]}"'}
        return Reply(file=path, kind="application/octet-stream", headers=shown)

    def create(self, request: Request) -> Reply:
        body = request.json()
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not body.get(name):
                raise missing(name)
        if body["endpoint"] not in tuple(READERS):  # a tuple: what is asked for may be a list
            given = f"Invalid value: '{body['endpoint']}'. Supported values are: {', '.join(map(repr, READERS))}."
            raise Refused(400, given, code="invalid_value", param="endpoint")
        if request.profile == "openai" and body["completion_window"] != "24h":
            message = f"Invalid value: '{body['completion_window']}'. Supported values are: '24h'."
            raise Refused(400, message, code="invalid_value", param="completion_window")
        self._not_too_often()
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            n=0,
            dialect="openai",
            profile=request.profile,
            endpoint=body["endpoint"],
            created=time.time(),
            validate=0,
            work=0,
            finalize=0,
            input_file_id=str(body["input_file_id"]),
            window=str(body["completion_window"]),
            metadata=_metadata(body.get("metadata")),
        )
        return Reply(body=shown(self._desk.works.create(batch), time.time()))

    def _not_too_often(self) -> None:
        most = self._desk.settings.get("batches_per_hour")
        hour = time.time() - 3600 / self._desk.options.speed
        if most is not None and sum(1 for b in self._desk.works.all() if b.created > hour) >= int(most):
            raise Refused(429, "Rate limit reached for batch creation.")

    def list_batches(self, request: Request) -> Reply:
        now = time.time()
        mine = [b for b in self._desk.works.all() if b.dialect == "openai" and b.profile == request.profile]
        rows = [shown(batch, now) for batch in mine]
        limit = request.number("limit", 20, 100)
        return Reply(body={"object": "list"} | page(rows, after=request.query.get("after"), limit=limit))

    def batch(self, request: Request, ident: str) -> Reply:
        return Reply(body=shown(self._get(ident), time.time()))

    def cancel(self, request: Request, ident: str) -> Reply:
        batch, now = self._get(ident), time.time()
        status = batches.status(batch, now)
        if status in _TERMINAL:
            raise Refused(409, f"Cannot cancel a batch with status '{status}'.")
        if batch.cancelled is None:
            batch = self._desk.works.change(ident, lambda b: replace(b, cancelled=now))
        return Reply(body=shown(batch, now) | {"status": "cancelling", "cancelling_at": int(batch.cancelled or now)})

    def ask(self, request: Request) -> Reply:
        body = request.json()
        if body.get("stream"):
            raise Refused(400, "The rehearsal does not stream.", code="unsupported_value", param="stream")
        return Reply(body=self._desk.ask(request, body))

    def _get(self, ident: str) -> Batch:
        batch = self._desk.works.get(ident)
        if batch is None or batch.dialect != "openai":
            raise Refused(404, f"No batch found with id '{ident}'.")
        return batch


def shown(batch: Batch, now: float) -> dict[str, Any]:
    """The batch object."""
    status, ended = batches.status(batch, now), batch.ended
    over = status in _TERMINAL
    blank = find(batch.faults, "empty_error_id")
    output = ended.output if ended and over else None
    error = ended.error if ended and over else None
    began = batch.total is not None and now >= batch.begins and not batch.problems and not batches.early(batch)
    worked = batch.billed and ended is not None and status in {"finalizing", "completed", "expired"}
    errors = {"object": "list", "data": list(batch.problems)} if status == "failed" else None
    done = batches.ends(batch) if over and ended else batch.begins
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model if over else None,
        "errors": errors,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.window,
        "status": status,
        "output_file_id": "" if blank and blank.get("output") and over and output is None else output,
        "error_file_id": "" if blank and over and error is None else error,
        "created_at": int(batch.created),
        "in_progress_at": int(batch.begins) if began else None,
        "expires_at": int(batch.created) + _DAY,
        "finalizing_at": int(max(batch.due, ended.at)) if worked and ended else None,
        "completed_at": int(done) if status == "completed" else None,
        "failed_at": int(done) if status == "failed" else None,
        "expired_at": int(done) if status == "expired" else None,
        "cancelling_at": int(batch.cancelled) if batch.cancelled is not None else None,
        "cancelled_at": int(done) if status == "cancelled" else None,
        "request_counts": batches.counts(batch, now),
        "metadata": batch.metadata,
        **({} if find(batch.faults, "no_usage") else {"usage": ended.usage if ended and over else None}),
    }


def _parts(request: Request) -> Any:
    """(part, its pieces) in turn; the pieces of one part must be taken before the next."""
    boundary = multipart.boundary_of(request.headers.get("content-type", ""))
    events = multipart.events(request.chunks, boundary)
    waiting = next(events, None)
    while isinstance(waiting, multipart.Part):
        part, waiting = waiting, None

        def pieces() -> Any:
            nonlocal waiting
            for event in events:
                if isinstance(event, multipart.Part):
                    waiting = event
                    return
                yield event

        taken = pieces()
        yield part, taken
        for _ in taken:
            pass


def _expires(fields: Mapping[str, bytes]) -> int:
    """Seconds until an upload is gone: an hour to thirty days. Raises Refused."""
    name = "expires_after[seconds]"
    told = fields.get(name, str(30 * _DAY).encode())
    if not told.isdigit() or len(told) > 9 or not 3600 <= int(told) <= 30 * _DAY:
        raise Refused(400, f"Invalid '{name}': must be between 3600 and {30 * _DAY}.", code="invalid_value", param=name)
    return int(told)


def _metadata(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Refused(400, "Invalid type for 'metadata': expected an object.", code="invalid_type", param="metadata")
    if len(given) > 16 or any(len(str(k)) > 64 or len(str(v)) > 512 for k, v in given.items()):
        raise Refused(400, "Invalid 'metadata': at most 16 pairs of 64 and 512 characters.", param="metadata")
    return {str(name): str(value) for name, value in given.items()}


def _no_file(ident: str) -> Refused:
    return Refused(404, f"No such File object: {ident}", param="id")


def _drop(draft: Path | None) -> None:
    if draft is not None:
        draft.unlink(missing_ok=True)
