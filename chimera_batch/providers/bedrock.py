"""AWS Bedrock's batch inference, through boto3: a file in S3, a model invocation job over it, its results in S3.

The one host with an idempotency key on create: the same key is never carried out twice, so a create whose reply was
lost is repeated with it, and a job is looked up by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from chimera_batch.errors import MaybeCreated, ProviderError, ProviderRefused
from chimera_batch.providers import bedrock_aws, bedrock_shapes, calling, faults, files, listing
from chimera_batch.providers.base import Profile
from chimera_batch.providers.bedrock_aws import Clients
from chimera_batch.providers.bedrock_shapes import RESULTS, TOTALS
from chimera_batch.providers.bedrock_staging import Staging
from chimera_batch.providers.faults import Fault
from chimera_batch.records import BatchState, Intent, Reply, Usage

_SKEW = 600.0  # seconds that the host's clock may be behind ours
_CREATES = 3  # times that one idempotency key is sent


class BedrockProvider:
    """Batch inference in one region. ``clients`` and ``sleep`` are for tests."""

    def __init__(
        self,
        profile: Profile,
        *,
        clients: Clients | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.profile = profile
        self._clients = clients or bedrock_aws.clients(profile)
        self._calls = calling.Caller(profile.name, bedrock_aws.CAUGHT, "", sleep, self._fault)
        self._jobs, self._staging = self._clients.jobs, Staging(self._clients.objects)

    def _fault(self, error: Exception) -> Fault:
        fault = bedrock_aws.fault_of(error)
        for secret in self._clients.secrets():
            fault = faults.without(secret, fault)
        return fault

    def upload(self, intent: Intent, path: Path) -> str | None:
        """The wire file as a job reads it, in the bucket; its address, which holds the intent's file name."""
        uri = self._input(intent)
        with NamedTemporaryFile(dir=path.parent, prefix="bedrock-", suffix=".jsonl") as made:
            with path.open("rb") as lines:
                made.writelines(bedrock_shapes.record(line, intent.model) + b"\n" for line in lines)
            made.flush()
            self._calls.patiently(f"uploading {intent.file_name}", lambda: self._staging.put(uri, Path(made.name)))
        return uri

    def create(self, intent: Intent, path: Path, file_id: str | None) -> str:
        """Sent again with the same idempotency key where the reply is lost and the job does not show yet.

        From then on nothing but a job ends the doubt: what a later try is refused for says nothing of the first.
        """
        doing = f"{self.profile.name}: creating the job of {intent.file_name}"
        lost: list[Fault] = []
        for tried in range(_CREATES):
            if lost:
                self._calls.sleep(calling.delay(tried - 1, lost[-1].retry_after))
            got = self._calls.attempt(partial(self._create, intent, file_id or self._input(intent)))
            if not isinstance(got, Fault):
                return got
            if not lost and not _perhaps_created(got):
                raise faults.as_create_error(got, doing)
            if found := self._found(intent):
                return found[0].id
            lost.append(got)
        said = f"{doing}: {lost[0].message}"
        raise MaybeCreated(said, hint="run again: the job is looked up before anything is sent")

    def _create(self, intent: Intent, uri: str) -> str:
        said = self._jobs.create_model_invocation_job(
            jobName=bedrock_shapes.job_name(intent),
            clientRequestToken=bedrock_shapes.token(intent),
            roleArn=self.profile.role,
            modelId=intent.model,
            inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": uri}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{self.profile.staging}/out/"}},
            timeoutDurationInHours=bedrock_shapes.hours(intent.window),
        )
        return bedrock_shapes.job_id(said)

    def _found(self, intent: Intent) -> list[BatchState]:
        """What a look-up shows right now; nothing where it cannot be made, or the account may not make it."""
        try:
            return self.find(intent)
        except ProviderError:
            return []

    def find(self, intent: Intent) -> list[BatchState]:
        """By name and idempotency key: exact."""
        listed = listing.since(partial(self._page, intent), intent.at - _SKEW, self.profile.name)
        mine = (job for job in listed if bedrock_shapes.is_of(job, intent))
        return [bedrock_shapes.state(job) for job in listing.named(mine, self.profile.name)]

    def _page(self, intent: Intent, after: str | None) -> Mapping[str, Any]:
        """One page of jobs that were submitted since the intent and have its nonce in their names, newest first."""

        def ask() -> dict[str, Any]:
            cursor: dict[str, Any] = {"nextToken": after} if after is not None else {}
            return {
                **self._jobs.list_model_invocation_jobs(
                    nameContains=intent.nonce,
                    submitTimeAfter=datetime.fromtimestamp(intent.at - _SKEW, UTC),
                    sortBy="CreationTime",
                    sortOrder="Descending",
                    maxResults=100,
                    **cursor,
                )
            }

        said = self._calls.patiently("listing jobs", ask)
        jobs = list(map(bedrock_shapes.listed, said.get("invocationJobSummaries") or []))
        return {"data": jobs, "has_more": bool(said.get("nextToken")), "last_id": said.get("nextToken")}

    def state(self, batch_id: str) -> BatchState:
        job = self._job(batch_id)
        if not bedrock_shapes.is_over(job):
            return bedrock_shapes.state(job)
        written = self._calls.patiently(
            f"listing the results of {batch_id}", lambda: self._staging.below(_folder(job, batch_id))
        )
        ours = [uri for uri in written if uri.endswith((RESULTS, f"/{TOTALS}"))]
        return bedrock_shapes.state(job, ours, self._totals(batch_id, ours))

    def _job(self, batch_id: str) -> dict[str, Any]:
        return self._calls.patiently(
            f"polling {batch_id}",
            lambda: {**self._jobs.get_model_invocation_job(jobIdentifier=batch_id)},
            again=calling.if_passing_or_404,
        )

    def _totals(self, batch_id: str, written: Iterable[str]) -> Usage | None:
        """What the job itself counted; only ever held against its rows."""
        found = next((uri for uri in written if uri.endswith(f"/{TOTALS}")), None)
        if found is None:
            return None
        doing = f"reading the totals of {batch_id}"
        return bedrock_shapes.totals(self._calls.patiently(doing, lambda: self._staging.read(found)))

    def fetch(self, batch: BatchState, folder: Path) -> Iterator[Path]:
        for uri in (uri for uri in batch.files if uri.endswith(RESULTS)):
            doing = f"downloading {uri}"
            target = folder / f"{calling.safe_name(uri.rpartition('/')[2])}.jsonl"
            size = self._calls.patiently(doing, partial(self._staging.size, uri))
            if size is None:
                raise ProviderRefused(f"{self.profile.name}: {doing}: it is not there", status=404)
            yield files.download(self._calls, doing, self._staging.opening(uri), target, size)

    def decode(self, line: bytes) -> Reply:
        return bedrock_shapes.decode(line)

    def cancel(self, batch_id: str) -> None:
        def send() -> None:
            self._jobs.stop_model_invocation_job(jobIdentifier=batch_id)

        calling.cancel(self._calls, batch_id, send, self.state)

    def discard(self, file_ids: Iterable[str]) -> None:
        """Delete objects of the bucket: what was uploaded, the results, the totals beside them."""
        for uri in file_ids:
            self._calls.patiently(f"deleting {uri}", partial(self._staging.delete, uri))

    def find_uploads(self, intent: Intent) -> list[str]:
        uri = self._input(intent)
        size = self._calls.patiently(f"looking up {uri}", lambda: self._staging.size(uri))
        return [] if size is None else [uri]

    def close(self) -> None:
        self._clients.jobs.close()
        self._clients.objects.close()

    def ask(self, line: bytes) -> bytes:
        raise ProviderRefused(f"{self.profile.name} takes batches only", status=400, hint="window: 24h")

    def _input(self, intent: Intent) -> str:
        return f"{self.profile.staging}/in/{intent.file_name}"


def _folder(job: Mapping[str, Any], batch_id: str) -> str:
    """Where a job writes. Raises ValueError for a job that does not say."""
    out = job.get("outputDataConfig") or {}
    uri = str((out.get("s3OutputDataConfig") or {}).get("s3Uri") or "")
    if not uri.startswith("s3://"):
        raise ValueError("a job without its output folder")
    return f"{uri.rstrip('/')}/{batch_id.rpartition('/')[2]}/"


def _perhaps_created(fault: Fault) -> bool:
    """A refusal that leaves open whether there is a job; that the key is in use says that there is one."""
    if fault.code == "ConflictException":
        return True
    if fault.account or not fault.sent or fault.status == 429:
        return False
    return fault.status is None or fault.status in {200, 408, 409} or fault.status >= 500
