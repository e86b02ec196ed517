"""The objects of Bedrock's model invocation jobs: names, lines, states, results. Pure.

A shard keeps the lines of Anthropic's dialect; a job reads ``{"recordId", "modelInput"}``, where ``modelInput`` is the
body of InvokeModel: the same Messages body, without the model, which the job names.
Patterns and statuses: botocore's model of the service; the forms of files: Bedrock's user guide, "batch inference".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.endpoints.usage import count, part
from chimera_batch.providers import faults
from chimera_batch.providers.listing import seconds
from chimera_batch.records import BatchState, Intent, Phase, Problem, Reply, Usage
from chimera_batch.requests.render import encode

VERSION = "bedrock-2023-05-31"  # of the Messages body, the only one that Bedrock knows
RESULTS, TOTALS = ".jsonl.out", "manifest.json.out"
_NAME = 63  # characters of a job's name at most
_RECORD = re.compile(r"([0-9a-f]{8})([0-9a-f]{32})")
_OVER = {"completed", "partiallycompleted", "stopped", "expired"}
_DONE, _FAILED = "successRecordCount", "errorRecordCount"


def job_name(intent: Intent) -> str:
    """A name for the job that a person can read, and that a look-up by nonce finds: letters, digits and dashes."""
    tail = f"-{intent.attempt}-{intent.nonce}"
    shard = re.sub(r"[^A-Za-z0-9]+", "-", intent.shard).strip("-")
    return f"chimera-{shard[: _NAME - len(tail) - len('chimera-')].strip('-')}{tail}"


def token(intent: Intent) -> str:
    """The idempotency key of create: the same for the same intent, and for no other."""
    return f"{intent.nonce}-{intent.attempt}-{intent.sha256}"


def hours(window: str) -> int:
    """A window as the hours that a job may take: ``7d`` is 168."""
    number = int(window[:-1])
    return number * 24 if window.endswith("d") else number


def record(line: bytes, model: str) -> bytes:
    """A wire line as a record of a job's input.

    A record's id is alphanumeric, so the dash behind the nonce goes; ``decode`` puts it back. Raises ValueError for a
    line of another model, since the job names the model and not the line.
    """
    wire = faults.json_object(line)
    body = dict(part(wire, "params"))
    said = body.pop("model", None)
    if said != model:
        raise ValueError(f"a line for {said} in the file of {model}")
    identity = str(wire["custom_id"]).replace("-", "")
    return encode({"recordId": identity, "modelInput": {"anthropic_version": VERSION, **body}})


def job_id(job: Mapping[str, Any]) -> str:
    """The twelve characters by which a job is known inside its account and region. Raises ValueError without any."""
    found = re.search(r"model-invocation-job/([a-z0-9]{12})$", str(job.get("jobArn") or ""))
    if found is None:
        raise ValueError("a job without its ARN")
    return found[1]


def listed(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job of a listing under the names that ``listing`` reads; its id is None where its ARN is none."""
    try:
        known: str | None = job_id(job)
    except ValueError:
        known = None
    return {**job, "id": known, "created_at": submitted(job)}


def is_over(job: Mapping[str, Any]) -> bool:
    """Whether what the job wrote is to be read; a word of tomorrow is not an end."""
    return _phase(job) == "ended"


def _phase(job: Mapping[str, Any]) -> Phase:
    """A failed job of which anything was executed is an end like any other: it is read, and was paid for."""
    status = str(job.get("status") or "").lower()
    if status == "failed":
        return "ended" if count(job.get(_DONE)) or count(job.get(_FAILED)) else "rejected"
    return "ended" if status in _OVER else "working"


def state(job: Mapping[str, Any], files: Iterable[str] = (), usage: Usage | None = None) -> BatchState:
    """A job. ``files``: the results that lie in its output folder; ``usage``: what its totals say of tokens."""
    phase, message, total = _phase(job), job.get("message"), job.get("totalRecordCount")
    problems = (Problem(None, None, str(message or "no reason given")),) if phase == "rejected" else ()
    return BatchState(
        id=job_id(job),
        status=str(job.get("status") or "").lower(),
        phase=phase,
        done=count(job.get(_DONE)) + count(job.get(_FAILED)),
        total=count(total) or None,  # 0 while the input has not been read
        files=tuple(files),
        problems=problems,
        usage=usage,
        created_at=submitted(job),
    )


def submitted(job: Mapping[str, Any]) -> float | None:
    """When a job was submitted, in seconds since the epoch, by the host's clock."""
    at = job.get("submitTime")
    return at.timestamp() if isinstance(at, datetime) else seconds(at)


def is_of(job: Mapping[str, Any], intent: Intent) -> bool:
    """Whether a listed job is this intent's, by its idempotency key; by its name where the list leaves the key out."""
    said = job.get("clientRequestToken")
    return said == token(intent) if said else job.get("jobName") == job_name(intent)


def totals(data: bytes) -> Usage | None:
    """The tokens that ``manifest.json.out`` counts, if every record was processed.

    Its input tokens are of all records that were submitted, so they say nothing of a job that stopped before its end.
    """
    try:
        said = faults.json_object(data)
    except ValueError:
        return None
    if count(said.get("processedRecordCount")) != count(said.get("totalRecordCount")) or count(said.get(_FAILED)):
        return None
    return Usage(input_tokens=count(said.get("inputTokenCount")), output_tokens=count(said.get("outputTokenCount")))


def decode(line: bytes) -> Reply:
    """One line of the results. Raises ValueError when it is not a result that belongs to a request."""
    row = faults.json_object(line)
    identity = row.get("recordId")
    if not isinstance(identity, str) or not identity:
        raise ValueError("a result line without a recordId")
    custom_id = _RECORD.sub(r"\1-\2", identity) if _RECORD.fullmatch(identity) else identity
    output = part(row, "modelOutput")
    if isinstance(output.get("content"), list) and not row.get("error"):
        return ENDPOINTS["/v1/messages"].reply(custom_id, output)
    return _failed(custom_id, part(row, "error"), output)


def _failed(custom_id: str, error: Mapping[str, Any], output: Mapping[str, Any]) -> Reply:
    """A record without an answer. ``errorCode`` is an HTTP status in the guide's example, else an exception's name."""
    said, text = error.get("errorCode"), error.get("errorMessage")
    status = int(str(said)) if re.fullmatch(r"\d{3}", str(said)) else None
    inner, inside = faults.told(part(output, "error"))
    code = str(said or inner or "no_answer")
    message = str(text or inside or "no reason given")
    account = faults.is_account(status, code, message)
    transient = not account and (not (error or output) or faults.is_passing(status, code))
    return Reply(custom_id, "error", code=code, message=message, transient=transient, account=account)
