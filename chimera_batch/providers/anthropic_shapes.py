"""The objects of Anthropic's Message Batches. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.endpoints.usage import count, part
from chimera_batch.providers import faults
from chimera_batch.providers.listing import seconds
from chimera_batch.records import BatchState, Reply

_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def batch_state(batch: Mapping[str, Any]) -> BatchState:
    """A message batch. ``ended`` is its only end, whatever became of the rows. Raises ValueError without an id."""
    if not isinstance(batch.get("id"), str) or not batch["id"]:
        raise ValueError("a batch object without an id")
    status = str(batch.get("processing_status") or "")
    total = requests(batch)
    ended = status == "ended"
    return BatchState(
        id=batch["id"],
        status=status,
        phase="ended" if ended else "working",
        done=(total or 0) - count(part(batch, "request_counts").get("processing")),
        total=total,
        files=(batch["id"],) if ended else (),  # never results_url, which may lead the key to another host
        created_at=seconds(batch.get("created_at")),
    )


def requests(batch: Mapping[str, Any]) -> int | None:
    """How many requests a message batch has; None where it does not say."""
    counts = part(batch, "request_counts")
    return sum(count(counts.get(name)) for name in _COUNTS) if counts else None


def decode(line: bytes) -> Reply:
    """One line of the results. Raises ValueError when it is not a result that belongs to a request."""
    row = faults.json_object(line)
    custom_id, result = row.get("custom_id"), part(row, "result")
    if not isinstance(custom_id, str) or not custom_id:
        raise ValueError("a result line without a custom_id")
    kind = result.get("type")
    if kind == "succeeded":
        return ENDPOINTS["/v1/messages"].reply(custom_id, part(result, "message"))
    if kind == "canceled":
        return Reply(custom_id, "cancelled", code="canceled")
    if kind == "expired":
        return Reply(custom_id, "expired", code="expired")
    if kind != "errored":
        return Reply(custom_id, "error", code="unknown_result", message=f"a result of type {kind!r}", transient=True)
    code, message = faults.told(result.get("error"))
    said = message or "no reason given"
    account = faults.is_account(None, code, said)
    transient = not account and faults.is_passing(None, code)
    return Reply(custom_id, "error", code=code or "errored", message=said, transient=transient, account=account)
