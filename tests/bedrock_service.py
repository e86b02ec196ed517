"""Bedrock's batch inference on loopback: an HTTP server that the real botocore client talks to, over a real S3 server.

It keeps what the service promises and nothing more: jobs, an idempotency key on create, statuses, files in and out of
the bucket, and a bill of every record that it executed. A test says what goes wrong: at create, or how a job ends.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LEAST = 100  # records of a job
_NAME = re.compile(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}")
_TOKEN = re.compile(r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}")
_RECORD = re.compile(r"[a-zA-Z0-9]+")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
_S3 = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?")


class Refused(Exception):
    """What the service answers instead."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Vanished(Exception):
    """The connection is closed without a reply."""


@dataclass
class Job:
    """``said``: the request of create. ``end``: the status it will end with; ``share``: of its records, executed."""

    id: str
    said: dict[str, Any]
    at: float
    end: str
    share: float
    status: str = "Submitted"
    polls: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    message: str | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """As ``get`` gives it, and ``list`` too."""
        names = ("jobName", "modelId", "roleArn", "clientRequestToken", "inputDataConfig", "outputDataConfig")
        at = datetime.fromtimestamp(self.at, UTC).isoformat().replace("+00:00", "Z")
        arn = f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{self.id}"
        told = {name: self.said[name] for name in names if name in self.said}
        note = {"message": self.message} if self.message else {}
        return {**told, **self.counts, **note, "jobArn": arn, "status": self.status, "submitTime": at}


@dataclass
class Service:
    """``creates``: what happens to the next creates (see ``_create``); ``ends``: (status, share) of the next jobs."""

    objects: Any  # a boto3 client of the bucket's server
    url: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    executed: Counter[str] = field(default_factory=Counter)  # question -> times
    creates: list[str] = field(default_factory=list)
    ends: list[tuple[str, float]] = field(default_factory=list)
    bad: Callable[[str], bool] = lambda _question: False  # questions that fail as records
    seen: Counter[str] = field(default_factory=Counter)  # operations, refused ones too
    killing: Callable[[], None] = lambda: None  # for "kill" among ``creates``
    lock: Any = field(default_factory=threading.RLock)

    # -- the operations

    def create(self, said: dict[str, Any]) -> dict[str, Any]:
        self.seen["create"] += 1
        what = self.creates.pop(0) if self.creates else ""
        if what in _REFUSALS:
            raise _REFUSALS[what]
        if what == "kill before":
            self.killing()
            raise Vanished
        job = self._created(said)
        if what == "kill after":
            self.killing()
        if what in {"lost", "kill after"}:
            raise Vanished
        return {"jobArn": job.shown["jobArn"]}

    def _created(self, said: dict[str, Any]) -> Job:
        """The job of an idempotency key, made once. The same key with another request is a conflict."""
        fits = (_NAME.fullmatch(said["jobName"]), _TOKEN.fullmatch(said["clientRequestToken"]))
        addresses = (said["inputDataConfig"]["s3InputDataConfig"], said["outputDataConfig"]["s3OutputDataConfig"])
        if not all(fits) or not _ROLE.fullmatch(said["roleArn"]) or len(said["jobName"]) > 63:
            raise Refused(400, "ValidationException", f"a malformed field in {said}")
        if not all(_S3.fullmatch(one["s3Uri"]) for one in addresses) or not 24 <= said["timeoutDurationInHours"] <= 168:
            raise Refused(400, "ValidationException", f"a malformed field in {said}")
        for job in self.jobs.values():
            if job.said["clientRequestToken"] == said["clientRequestToken"]:
                if job.said != said:
                    raise Refused(400, "ConflictException", "the token was used with another request")
                return job
        end, share = self.ends.pop(0) if self.ends else ("Completed", 1.0)
        job = Job(f"{len(self.jobs) + 1:012x}", said, time.time(), end, share)
        self.jobs[job.id] = job
        return job

    def get(self, job: Job) -> dict[str, Any]:
        """Each look moves a job on by one status."""
        self.seen["get"] += 1
        job.polls += 1
        if job.status in {"Submitted", "InProgress"}:
            job.status = "InProgress" if job.polls == 1 else job.end
            if job.polls > 1:
                self._execute(job)
        elif job.status == "Stopping":
            job.status = "Stopped"
            self._execute(job)
        return job.shown

    def list(self, query: dict[str, str]) -> dict[str, Any]:
        self.seen["list"] += 1
        after = datetime.fromisoformat(query["submitTimeAfter"]).timestamp() if "submitTimeAfter" in query else 0.0
        found = [j for j in self.jobs.values() if query.get("nameContains", "") in j.said["jobName"] and j.at >= after]
        newest = sorted(found, key=lambda job: -job.at)
        return {"invocationJobSummaries": [job.shown for job in newest[: int(query.get("maxResults", "100"))]]}

    def stop(self, job: Job) -> dict[str, Any]:
        self.seen["stop"] += 1
        if job.status not in {"Submitted", "InProgress"}:
            raise Refused(400, "ConflictException", f"the job is {job.status}")
        job.status = "Stopping"
        return {}

    # -- a job's work

    def _execute(self, job: Job) -> None:
        try:
            lines = self._read(job)
            records = [json.loads(line) for line in lines]
            _check(records, job)
        except Refused as problem:
            job.status, job.message = "Failed", str(problem)
            return
        done = records[: round(len(records) * job.share)]
        rows = [self._answer(record) for record in done]
        failed = sum("error" in row for row in rows)
        counts = {"totalRecordCount": len(records), "processedRecordCount": len(done)}
        job.counts = {**counts, "successRecordCount": len(done) - failed, "errorRecordCount": failed}
        self._write(job, rows)

    def _read(self, job: Job) -> list[bytes]:
        bucket, key = _parts(job.said["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        try:
            body = self.objects.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self.objects.exceptions.NoSuchKey:
            raise Refused(400, "ValidationException", "the input file is not there") from None
        return [line for line in body.split(b"\n") if line]

    def _answer(self, record: dict[str, Any]) -> dict[str, Any]:
        question = record["modelInput"]["messages"][-1]["content"]
        self.executed[question] += 1
        if self.bad(question):
            return {**record, "error": {"errorCode": 400, "errorMessage": "this record is malformed"}}
        usage = {"input_tokens": 20, "output_tokens": 5}
        text = [{"type": "text", "text": f"re: {question}"}]
        message = {"type": "message", "role": "assistant", "model": "claude", "content": text, "usage": usage}
        return {**record, "modelOutput": {**message, "stop_reason": "end_turn"}}

    def _write(self, job: Job, rows: list[dict[str, Any]]) -> None:
        """The results in another order than the input, and the totals beside them."""
        bucket, prefix = _parts(job.said["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        name = job.said["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].rpartition("/")[2]
        body = b"".join(json.dumps(row).encode() + b"\n" for row in reversed(rows))
        answered = job.counts["successRecordCount"]
        tokens = {"inputTokenCount": 20 * answered, "outputTokenCount": 5 * answered}
        folder = f"{prefix.rstrip('/')}/{job.id}"
        if rows:
            self.objects.put_object(Bucket=bucket, Key=f"{folder}/{name}.out", Body=body)
        manifest = json.dumps({**job.counts, **tokens}).encode()
        self.objects.put_object(Bucket=bucket, Key=f"{folder}/manifest.json.out", Body=manifest)


_REFUSALS = {
    "throttled": Refused(429, "ThrottlingException", "Too many requests"),
    "full": Refused(400, "ServiceQuotaExceededException", "too many jobs are in progress or waiting"),
    "denied": Refused(403, "AccessDeniedException", "not authorized to perform: bedrock:CreateModelInvocationJob"),
    "invalid": Refused(400, "ValidationException", "The provided model identifier is invalid."),
    "broken": Refused(500, "InternalServerException", "an internal error"),
}


def _check(records: list[dict[str, Any]], job: Job) -> None:
    """What Bedrock validates after create. Raises Refused."""
    if not LEAST <= len(records) <= 50_000:
        raise Refused(400, "ValidationException", f"{len(records)} records; the minimum is {LEAST}")
    if len({record["recordId"] for record in records}) != len(records):
        raise Refused(400, "ValidationException", "two records have the same id")
    for record in records:
        body = record["modelInput"]
        if set(record) != {"recordId", "modelInput"} or not _RECORD.fullmatch(record["recordId"]):
            raise Refused(400, "ValidationException", f"malformed record in {job.said['jobName']}")
        if body.get("anthropic_version") != "bedrock-2023-05-31" or "model" in body or "max_tokens" not in body:
            raise Refused(400, "ValidationException", f"malformed input in {job.said['jobName']}")


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        try:
            with self.service.lock:
                self._reply(200, self._route(body))
        except Refused as refused:
            self._reply(refused.status, {"message": str(refused)}, refused.code)
        except Vanished:
            self.close_connection = True

    def _route(self, body: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(self.path)
        if url.path == "/model-invocation-job":
            return self.service.create(body)
        if url.path == "/model-invocation-jobs":
            return self.service.list({name: values[0] for name, values in parse_qs(url.query).items()})
        _, _, name, *verb = unquote(url.path).split("/")
        job = self.service.jobs.get(name)
        if job is None:
            raise Refused(404, "ResourceNotFoundException", f"no job {name}")
        return self.service.stop(job) if verb else self.service.get(job)

    def _reply(self, status: int, document: dict[str, Any], code: str | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def bedrock_service(objects: Any) -> Iterator[Service]:
    """The service on a port of loopback, until the block ends."""
    service = Service(objects)
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
