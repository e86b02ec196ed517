"""Whole runs through Bedrock's batch inference: the real client, a fake service on loopback, a real S3 server.

Whatever goes wrong, every question is answered, none is executed twice without need, and the bucket is left clean.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from boto3.s3.transfer import TransferConfig

from chimera_batch import api
from chimera_batch.context import Timing
from chimera_batch.errors import AccountRefused, InputError, NeedsDecision, NotFinished, ProviderRefused
from chimera_batch.opening import Options
from chimera_batch.providers import bedrock_staging
from tests.bedrock_host import ROLE
from tests.bedrock_service import Service, bedrock_service
from tests.cli_kit import call
from tests.end_to_end import stage_of, write_pipeline

if TYPE_CHECKING:
    from tests.s3 import Bucket

pytest_plugins = ["tests.s3"]

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TIMING = Timing(poll=0.02, lease=5.0, settle=0.2, queue=0.2)
ROWS = "-- Questions.\n-- reads: nothing\nSELECT 'k' || i AS row_key, i AS number FROM range({rows}) AS t(i)\n"
TABLE = "-- Answers.\n-- reads: answers\nSELECT row_key, text FROM answers ORDER BY row_key\n"


@dataclass
class Site:
    """One manifest, its store on disk, the service, and the bucket between them."""

    folder: Path
    service: Service
    bucket: Bucket
    said: list[str] = field(default_factory=list)

    def write(self, rows: int | str, stage: dict[str, Any] | None = None, tokens: int = 100, **profile: Any) -> Path:
        said = {"region": "us-east-1", "staging": f"s3://{self.bucket.name}/staging", "role": ROLE, **profile}
        manifest = {
            "run": "aws",
            "store": str(self.folder / "store"),
            "providers": {"bedrock": said},
            "models": {"m": {"provider": "bedrock", "model": MODEL, "max_output_tokens": tokens}},
            "stages": [
                {"name": "one", "ask": "m", "prompt": "aws/one.md", "rows": "aws/rows.sql", "table": "aws/table.sql"}
                | (stage or {})
            ],
        }
        prompt = "<!-- user -->\nWhat is {{ number }} squared?\n"
        files = {"prompts/aws/one.md": prompt, "sql/aws/rows.sql": ROWS.format(rows=rows), "sql/aws/table.sql": TABLE}
        return write_pipeline(self.folder, manifest, files)

    @property
    def options(self) -> Options:
        return Options(timing=TIMING, say=self.said.append)

    def run(self, manifest: Path, **more: Any) -> dict[str, Any]:
        return stage_of(api.run(manifest, self.options, **more), "one")

    @property
    def staged(self) -> list[str]:
        """What lies in the bucket beside the neighbour that every bucket of the tests has."""
        found = self.bucket.server.client().list_objects_v2(Bucket=self.bucket.name, Prefix="staging/")
        return [item["Key"] for item in found.get("Contents", [])]


@pytest.fixture
def site(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with bedrock_service(bucket.server.client()) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", service.url)
        monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.02")
        yield Site(tmp_path, service, bucket)


def once(service: Service, rows: int) -> bool:
    """Every question was executed, and none of them twice."""
    return len(service.executed) == rows and set(service.executed.values()) == {1}


def test_a_run_through_the_command_line(site: Site) -> None:
    manifest = site.write(250, max_requests=200)
    checked = call("check", manifest, "--json")
    assert checked.code == 0 and checked.document["warnings"] == []
    assert call("estimate", manifest, "--json").document["now"] == []  # no advice that Bedrock cannot take
    done = call("run", manifest, "--yes", "--json")
    assert done.code == 0, done.err
    stage = stage_of(done.document, "one")
    assert (stage["answered"], stage["outcomes"]) == (250, {"ok": 250})
    assert once(site.service, 250) and site.staged == []
    assert sorted(len(job.shown["jobName"]) <= 63 for job in site.service.jobs.values()) == [True, True]
    assert [job.counts["totalRecordCount"] for job in site.service.jobs.values()] == [125, 125]  # not 200 and 50
    # 20 tokens in, 5 out, at half of $1.1 and $5.5 a million
    assert done.document["usd_spent"] == pytest.approx(250 * (20 * 1.1 + 5 * 5.5) / 2e6, abs=1e-6)
    asked = call("query", "-m", manifest, "SELECT count(*), min(text) FROM one", "--format", "csv").out
    assert asked.splitlines()[1] == "250,re: What is 0 squared?"
    traced = call("trace", manifest, "k7", "--json")
    assert traced.code == 0 and "What is 7 squared?" in traced.out


def test_too_few_requests_are_said_before_any_is_sent(site: Site) -> None:
    manifest = site.write(99)
    shown = call("estimate", manifest, "--json")
    assert any("is likely to ask 99 requests" in line for line in shown.document["warnings"])
    done = call("run", manifest, "--yes", "--json")
    assert done.code == 2
    assert "99 requests are to be asked, and bedrock takes no batch of fewer than 100" in done.error["message"]
    assert "min_requests" in done.error["hint"] and done.error["where"] == "stage one"
    assert site.service.seen["create"] == 0 and site.staged == []


def test_no_window_of_now(site: Site) -> None:
    with pytest.raises(InputError, match="bedrock has no window now, only 24h"):
        site.run(site.write(150, {"window": "now"}))


@pytest.mark.parametrize("replies", [["lost"], ["throttled", "full", "full", "broken"]], ids="-".join)
def test_what_may_pass_at_create_makes_one_job(site: Site, replies: list[str]) -> None:
    site.service.creates = list(replies)
    assert site.run(site.write(120))["answered"] == 120
    assert len(site.service.jobs) == 1 and once(site.service, 120) and site.staged == []
    assert site.service.seen["create"] == (1 if replies == ["lost"] else 5)
    if "full" in replies:  # waited for, longer each time
        assert any("the queue of bedrock" in line or "too many jobs" in line for line in site.said)


def test_what_does_not_pass_is_said_and_leaves_nothing(site: Site) -> None:
    manifest = site.write(120)
    site.service.creates = ["denied", "invalid"]
    with pytest.raises(AccountRefused, match="not authorized"):
        site.run(manifest)
    with pytest.raises(ProviderRefused, match="model identifier is invalid"):
        site.run(manifest)
    assert site.service.jobs == {} and site.staged == []
    assert site.run(manifest)["answered"] == 120 and once(site.service, 120)


@pytest.mark.parametrize("moment", ["kill after", "kill before"])
def test_killed_while_it_creates(site: Site, moment: str) -> None:
    """Before: nothing was created, and the claim is let go. After: the job is found by its key and adopted."""
    manifest = site.write(120)
    site.service.creates = [moment]
    environment = {**os.environ, "CHIMERA_LEASE_SECONDS": "5"}
    line = [sys.executable, "-m", "chimera_batch", "run", str(manifest), "--yes"]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    site.service.killing = lambda: process.send_signal(signal.SIGKILL)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL, said
    assert site.run(manifest)["answered"] == 120
    assert len(site.service.jobs) == 1 and once(site.service, 120) and site.staged == []


@pytest.mark.parametrize(("end", "outcome"), [("Expired", "expired"), ("Stopped", "cancelled")])
def test_what_did_not_run_in_time_is_asked_again(site: Site, end: str, outcome: str) -> None:
    """What ran is read and paid for, whatever the status says."""
    site.service.ends = [(end, 0.25)]
    stage = site.run(site.write(200))
    assert stage["answered"] == 200 and once(site.service, 200) and site.staged == []
    assert [job.counts["processedRecordCount"] for job in site.service.jobs.values()] == [50, 150]
    assert any(f"150 {outcome}" in line for line in site.said)


def test_a_few_that_did_not_run_are_given_up_and_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty records are no job. Nothing is sent along to make up the number; a person lowers the minimum or not."""
    manifest = site.write(200)
    site.service.ends = [("PartiallyCompleted", 0.8)]
    stage = site.run(manifest)
    assert (stage["answered"], stage["given_up"]) == (160, 40)
    (reason,) = stage["reasons"]
    assert reason == "40 requests would be asked again, but bedrock takes no batch of fewer than 100"
    assert stage_of(api.status(manifest, site.options), "one")["reasons"] == [reason]
    monkeypatch.setattr("tests.bedrock_service.LEAST", 40)
    site.write(200, min_requests=40)
    api.retry(manifest, "one", site.options)
    assert site.run(manifest)["answered"] == 200 and once(site.service, 200)


def test_nothing_of_a_job_ran(site: Site) -> None:
    site.service.ends = [("Expired", 0.0)]
    assert site.run(site.write(120))["answered"] == 120
    assert once(site.service, 120) and len(site.service.jobs) == 2


def test_records_that_fail_are_rows_that_failed(site: Site) -> None:
    site.service.bad = lambda question: question.endswith(" 3 squared?")
    stage = site.run(site.write(150))
    assert (stage["answered"], stage["given_up"], stage["outcomes"]) == (149, 1, {"error": 1, "ok": 149})
    assert any("this record is malformed" in line for line in site.said)


def test_a_job_that_fails_as_a_whole_is_a_persons(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bedrock_service.LEAST", 1_000)  # an account of the older quota
    with pytest.raises(ProviderRefused, match="150 records; the minimum is 1000"):
        site.run(site.write(150))
    assert site.service.executed.total() == 0 and site.staged == []


def test_a_cancelled_run_stops_its_job(site: Site) -> None:
    manifest = site.write(120)
    site.service.ends = [("Completed", 0.0)]
    with pytest.raises(NotFinished):
        site.run(manifest, detach=True)
    api.cancel(manifest, options=site.options)
    with pytest.raises(NeedsDecision, match="the run was cancelled"):
        api.advance(manifest, site.options)
    assert site.service.seen["stop"] == 1 and site.service.executed.total() == 0
    assert site.run(manifest)["answered"] == 120 and once(site.service, 120)


def test_a_rehearsal_needs_no_account(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback server plays Bedrock's Messages in Anthropic's protocol, at Bedrock's prices."""
    for name in ("AWS_ENDPOINT_URL_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    manifest = site.write(120, tokens=4_000)
    done = call("run", manifest, "--rehearse", "--yes", "--json")
    assert done.code == 0, done.err
    assert stage_of(done.document, "one")["answered"] == 120 and done.document["usd_spent"] > 0
    assert site.service.seen.total() == 0 and site.staged == []
    assert call("run", site.write("500, 560"), "--rehearse", "--yes").code == 2  # the minimum is rehearsed too


def test_without_credentials_check_warns_and_run_refuses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    manifest = site.write(120)
    (warning,) = call("check", manifest, "--json").document["warnings"]
    assert "bedrock needs AWS credentials" in warning
    done = call("run", manifest, "--yes")
    assert done.code == 2 and "aws configure" in done.err and site.service.seen.total() == 0


def test_a_pilot_and_a_canary_are_jobs_too(site: Site) -> None:
    """The canary of a large stage is as large as a job must be, and so is what a pilot leaves."""
    manifest = site.write(700)
    piloted = call("pilot", manifest, "--stage", "one", "-n", "120", "--yes", "--json")
    assert piloted.code == 0, piloted.err
    assert site.run(manifest)["answered"] == 700 and once(site.service, 700)
    assert [job.counts["totalRecordCount"] for job in site.service.jobs.values()] == [120, 580]
    again = write_pipeline(site.folder, _renamed(site.write("1000, 1600")), {})
    assert stage_of(api.run(again, site.options), "one")["answered"] == 600
    assert [job.counts["totalRecordCount"] for job in site.service.jobs.values()][2:] == [100, 500]


def _renamed(manifest: Path) -> dict[str, Any]:
    """The same run with another name, so that its stage is asked anew."""
    return {**yaml.safe_load(manifest.read_text("utf-8")), "run": "again"}


def test_over_a_server_that_checks_signatures_and_keeps_parts(
    seaweed_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long prompts: the file goes up in parts, and comes back with every prompt in it."""
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=2)
    monkeypatch.setattr(bedrock_staging, "_PARTS", parts)
    with bedrock_service(seaweed_bucket.server.client()) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", service.url)
        site = Site(tmp_path, service, seaweed_bucket)
        manifest = site.write(120)
        (tmp_path / "prompts/aws/one.md").write_text(
            f"<!-- system -->\n{'A long text. ' * 8_000}\n<!-- user -->\nWhat is {{{{ number }}}} squared?\n"
        )
        service.ends = [("Stopped", 0.0), ("Completed", 1.0)]
        service.creates = ["lost"]
        assert site.run(manifest)["answered"] == 120 and once(service, 120)
        assert len(service.jobs) == 2 and site.staged == []
