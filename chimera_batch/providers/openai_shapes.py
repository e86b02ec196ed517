"""The objects of OpenAI's batch API, and of the hosts that copy it more or less closely. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from chimera_batch.endpoints import reader_of
from chimera_batch.endpoints.usage import count, of_responses, part
from chimera_batch.providers import faults
from chimera_batch.providers.listing import seconds
from chimera_batch.records import BatchState, Outcome, Phase, Problem, Reply

# Anything outside these is still working: hosts add words of their own, and "finalizing" can last.
_OVER = {"completed", "expired", "cancelled", "canceled"}

PLAIN = {"/v1/chat/completions": "swept_chat"}
"""By endpoint, the engine's SQL file for those result lines that need no decision: it says what ``decode`` would."""

_ROW_CODES: dict[str | None, Outcome] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
    "batch_canceled": "cancelled",
}


def batch_state(batch: Mapping[str, Any]) -> BatchState:
    """A batch object as hosts really send it. Raises ValueError when it carries no id."""
    if not isinstance(batch.get("id"), str) or not batch["id"]:
        raise ValueError("a batch object without an id")
    status = str(batch.get("status") or "")
    counts = part(batch, "request_counts") or batch  # Novita repeats the counts beside the object's own fields
    done = count(counts.get("completed")) + count(counts.get("failed"))
    files = tuple(str(batch[key]) for key in ("output_file_id", "error_file_id") if batch.get(key))
    nonce = part(batch, "metadata").get("chimera_nonce")
    return BatchState(
        id=batch["id"],
        status=status,
        phase=_phase(status.lower(), anything=bool(files) or count(counts.get("completed")) > 0),
        done=done,
        total=count(counts.get("total")) if counts.get("total") is not None else None,
        files=files,
        problems=_problems(batch.get("errors")),
        usage=of_responses(batch.get("usage")),
        created_at=seconds(batch.get("created_at")),
        nonce=nonce if isinstance(nonce, str) else None,
    )


def _phase(status: str, *, anything: bool) -> Phase:
    """``failed`` with something executed is an end like any other: what was executed is read and was paid for."""
    if status == "failed":
        return "ended" if anything else "rejected"
    return "ended" if status in _OVER else "working"


def _problems(errors: object) -> tuple[Problem, ...]:
    data = errors.get("data") if isinstance(errors, Mapping) else errors
    if isinstance(data, str) and data:
        return (Problem(None, None, data),)
    if not isinstance(data, list):
        return ()
    return tuple(_problem(item) for item in data if isinstance(item, Mapping))


def _problem(item: Mapping[str, Any]) -> Problem:
    code, param, line = item.get("code"), item.get("param"), count(item.get("line"))
    message = str(item.get("message") or "no reason given")
    return Problem(str(code) if code else None, line or None, f"{message} ({param})" if param else message)


def decode(line: bytes) -> Reply:
    """One line of an output or error file. Raises ValueError when it is not a result that belongs to a request.

    An engine of one's own says beside it what answered and how much of the machine's time was this request's:
    ``"engine": {"seconds": "1.5", …}``.
    """
    row = faults.json_object(line)
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise ValueError("a result line without a custom_id")
    reply = _reply(custom_id, row)
    return reply._replace(machine_ns=_nanoseconds(part(row, "engine"))) if "engine" in row else reply


def _nanoseconds(engine: Mapping[str, Any]) -> int | None:
    try:
        seconds = Decimal(str(engine["seconds"]))
    except (KeyError, InvalidOperation):
        return None
    return int(seconds.scaleb(9)) if seconds.is_finite() and seconds >= 0 else None


def _reply(custom_id: str, row: Mapping[str, Any]) -> Reply:
    response, error = part(row, "response"), row.get("error")
    body, status = response.get("body"), response.get("status_code")
    if status is not None:
        status = count(status)
    if not error and isinstance(body, dict) and (status is None or 200 <= status < 300):
        reader = reader_of(body)
        if reader is not None and not (body.get("error") and "status" not in body):
            return reader.reply(custom_id, body)
    return _failed(custom_id, status, error, body)


def _failed(custom_id: str, status: int | None, error: object, body: object) -> Reply:
    """A row that was not answered: its reason stands in ``error``, in the body, or only in the status."""
    code, message = faults.told({"error": error}) if error else faults.told(body)
    ended = _ROW_CODES.get(code)
    if ended:
        return Reply(custom_id, ended, code=code, message=message)
    said = message or (f"HTTP {status}" if status is not None else "no response and no error")
    account = faults.is_account(status, code, said)
    empty = not error and (status is None or 200 <= status < 300)  # executed or not, nothing came of it
    return Reply(
        custom_id,
        "error",
        code=code or (str(status) if status is not None else "no_response"),
        message=said,
        transient=not account and (empty or faults.is_passing(status, code)),
        account=account,
    )
