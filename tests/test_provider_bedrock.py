"""Bedrock's own parts: names, records, results, jobs, its bucket, and what a manifest says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import settings
from chimera_batch.errors import AccountRefused, InputError, MaybeCreated, ProviderDown, ProviderRefused
from chimera_batch.providers import bedrock_aws, bedrock_shapes, missing_access
from chimera_batch.providers.bedrock import BedrockProvider
from chimera_batch.providers.bedrock_aws import fault_of
from chimera_batch.providers.bedrock_staging import parts
from chimera_batch.providers.profiles import builtin, refuses, rehearsed, with_overrides
from chimera_batch.records import Intent, Usage
from tests.bedrock_host import MODEL, ROLE, STAGING, BedrockHost
from tests.provider_hosts import MESSAGE, intent_for, wire_file

SERVICE = botocore.session.get_session().get_service_model("bedrock")
CREATE = SERVICE.operation_model("CreateModelInvocationJob").input_shape.members
NONCE, IDENTITY = "0123abcd", "f" * 32


def intent(shard: str = "solutions-0123456789ab", attempt: int = 1, **changes: Any) -> Intent:
    said = {"nonce": NONCE, "sha256": "e" * 64, "requests": 100, "bytes": 9, "endpoint": "/v1/messages"}
    return Intent(shard, attempt, **{**said, "model": MODEL, "window": "24h", "run": "r", "at": 1.0, **changes})


# -- names


@given(st.from_regex(r"[a-z][a-z0-9_]{0,70}-[0-9a-f]{12}", fullmatch=True), st.integers(1, 9_999))
def test_a_job_has_a_name_and_a_key_that_the_service_takes(shard: str, attempt: int) -> None:
    one = intent(shard, attempt)
    name, key = bedrock_shapes.job_name(one), bedrock_shapes.token(one)
    for said, field in ((name, "jobName"), (key, "clientRequestToken")):
        assert re.fullmatch(CREATE[field].metadata["pattern"], said)
        assert len(said) <= CREATE[field].metadata["max"]
    assert NONCE in name and name.endswith(f"-{attempt}-{NONCE}")


def test_the_key_follows_from_the_intent_and_from_nothing_else() -> None:
    assert bedrock_shapes.token(intent()) == bedrock_shapes.token(intent(run="other", at=2.0))
    others = [intent(attempt=2), intent(nonce="00000000"), intent(sha256="d" * 64)]
    assert len({bedrock_shapes.token(one) for one in [intent(), *others]}) == 4


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("168h", 168), ("7d", 168)])
def test_a_window_is_the_time_that_a_job_may_take(window: str, hours: int) -> None:
    assert bedrock_shapes.hours(window) == hours and window in builtin()["bedrock"].windows


# -- records


def line(**params: Any) -> bytes:
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "2+2?"}], **params}
    return json.dumps({"custom_id": f"{NONCE}-{IDENTITY}", "params": body}).encode()


def test_a_record_is_the_line_without_its_model() -> None:
    made = json.loads(bedrock_shapes.record(line(system="Be brief."), MODEL))
    assert made == {
        "recordId": NONCE + IDENTITY,
        "modelInput": {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "2+2?"}],
            "system": "Be brief.",
        },
    }


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    made = bedrock_shapes.record(line(system="one\u2028two\u0085three\nfour ü"), MODEL)
    assert len(made.decode().splitlines()) == 1
    assert json.loads(made)["modelInput"]["system"] == "one\u2028two\u0085three\nfour ü"


def test_a_line_of_another_model_is_no_record_of_this_job() -> None:
    with pytest.raises(ValueError, match="a line for other"):
        bedrock_shapes.record(line(model="other"), MODEL)


def test_an_id_survives_the_way_there_and_back() -> None:
    sent = json.loads(bedrock_shapes.record(line(), MODEL))
    assert sent["recordId"].isalnum()
    reply = bedrock_shapes.decode(json.dumps({**sent, "modelOutput": MESSAGE}).encode())
    assert (reply.custom_id, reply.outcome) == (f"{NONCE}-{IDENTITY}", "ok")


# -- results


@pytest.mark.parametrize(
    ("error", "code", "transient", "account"),
    [
        ({"errorCode": 400, "errorMessage": "bad request"}, "400", False, False),
        ({"errorCode": 429, "errorMessage": "slow down"}, "429", True, False),
        ({"errorCode": "500", "errorMessage": "oh"}, "500", True, False),
        ({"errorCode": "ThrottlingException", "errorMessage": "slow down"}, "ThrottlingException", True, False),
        ({"errorCode": "ModelTimeoutException"}, "ModelTimeoutException", True, False),
        ({"errorCode": 403, "errorMessage": "no access to the model"}, "403", False, True),
        ({"errorCode": "AccessDeniedException", "errorMessage": "no"}, "AccessDeniedException", False, True),
    ],
)
def test_errors_by_status_or_by_name(error: dict[str, Any], code: str, transient: bool, account: bool) -> None:
    reply = bedrock_shapes.decode(json.dumps({"recordId": "r", "modelInput": {}, "error": error}).encode())
    assert (reply.outcome, reply.code, reply.transient, reply.account) == ("error", code, transient, account)
    assert reply.message == error.get("errorMessage", "no reason given")


def test_an_error_in_the_place_of_the_output() -> None:
    output = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    reply = bedrock_shapes.decode(json.dumps({"recordId": "r", "modelOutput": output}).encode())
    assert (reply.outcome, reply.code, reply.transient) == ("error", "overloaded_error", True)


@pytest.mark.parametrize(
    ("stop", "outcome"), [("max_tokens", "truncated"), ("refusal", "refused"), ("stop_sequence", "ok")]
)
def test_stop_reasons_are_those_of_messages(stop: str, outcome: str) -> None:
    output = {**MESSAGE, "stop_reason": stop}
    assert bedrock_shapes.decode(json.dumps({"recordId": "r", "modelOutput": output}).encode()).outcome == outcome


# -- jobs


@pytest.mark.parametrize(
    ("status", "done", "phase"),
    [
        *((word, 0, "working") for word in ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")),
        *((word, 5, "ended") for word in ("Completed", "PartiallyCompleted", "Stopped", "Expired", "Failed")),
        ("Expired", 0, "ended"),
        ("Failed", 0, "rejected"),
        ("Tomorrow", 5, "working"),
    ],
)
def test_the_phase_of_every_status(status: str, done: int, phase: str) -> None:
    counts = {"totalRecordCount": 9, "successRecordCount": done, "errorRecordCount": 0}
    said = BedrockHost().batch(status=status, message="the input is malformed", **counts)
    state = bedrock_shapes.state(said)
    assert (state.phase, state.status, state.done, state.total) == (phase, status.lower(), done, 9)
    assert [problem.message for problem in state.problems] == ["the input is malformed"] * (phase == "rejected")


def test_every_status_of_the_service_is_known() -> None:
    known = SERVICE.shape_for("ModelInvocationJobStatus").enum
    phases = {word: bedrock_shapes.state(BedrockHost().batch(status=word)).phase for word in known}
    assert set(phases.values()) == {"working", "ended", "rejected"} and len(known) == 10


@pytest.mark.parametrize(
    ("manifest", "usage"),
    [
        ({"totalRecordCount": 2, "processedRecordCount": 2}, Usage(input_tokens=40, output_tokens=10)),
        ({"totalRecordCount": 2, "processedRecordCount": 1}, None),  # its input tokens are of all that was submitted
        ({"totalRecordCount": 2, "processedRecordCount": 2, "errorRecordCount": 1}, None),
    ],
)
def test_totals_count_where_everything_was_executed(manifest: dict[str, int], usage: Usage | None) -> None:
    told = {**manifest, "inputTokenCount": 40, "outputTokenCount": 10}
    assert bedrock_shapes.totals(json.dumps(told).encode()) == usage
    assert bedrock_shapes.totals(b"{") is None


# -- the adapter


def test_what_is_sent_and_where(tmp_path: Path) -> None:
    host = BedrockHost()
    provider, one = host.provider(), intent_for(host)
    path = wire_file(host, tmp_path)
    uri = provider.upload(one, path)
    assert uri == f"{STAGING}/in/{one.file_name}" and provider.find_uploads(one) == [uri]
    provider.create(one, path, uri)
    (created,) = host.sent("POST", host.create_path)
    assert json.loads(created.content) == {
        "jobName": f"chimera-s1-1-{one.nonce}",
        "clientRequestToken": f"{one.nonce}-1-{one.sha256}",
        "roleArn": ROLE,
        "modelId": MODEL,
        "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{STAGING}/out/"}},
        "timeoutDurationInHours": 24,
    }
    records = [json.loads(record) for record in host.objects[f"staging/in/{one.file_name}"].splitlines()]
    assert [record["recordId"] for record in records] == ["r1", "r2"]
    assert list(tmp_path.iterdir()) == [path]  # what was made to be uploaded is gone


def test_discarding_takes_the_totals_along() -> None:
    host = BedrockHost()
    batch_id = host.finished(host.ok("r1"))
    host.objects[f"staging/out/{batch_id}/manifest.json.out"] = b"{}"
    host.objects["staging/in/x.jsonl"] = host.objects["other/neighbour"] = b""
    provider = host.provider()
    provider.discard([f"{STAGING}/in/x.jsonl", *provider.state(batch_id).files])
    assert list(host.objects) == ["other/neighbour"]
    provider.discard([f"{STAGING}/in/x.jsonl"])  # a second time is fine


def test_totals_without_results_are_no_rows_and_go_too(tmp_path: Path) -> None:
    """A job that was stopped before its first record."""
    host = BedrockHost()
    batch_id = host.batch(status="Stopped")["id"]
    host.objects[f"staging/out/{batch_id}/manifest.json.out"] = b'{"totalRecordCount": 9, "processedRecordCount": 0}'
    provider = host.provider()
    state = provider.state(batch_id)
    assert (state.phase, state.usage, list(provider.fetch(state, tmp_path))) == ("ended", None, [])
    provider.discard(state.files)
    assert host.objects == {}


def test_a_create_that_never_answers_is_sent_three_times_with_one_key(tmp_path: Path) -> None:
    """Nor does the list; then it is in doubt, and the look-up of a later pass finds the one job."""
    host = BedrockHost()
    provider, one, path = host.provider(), intent_for(host), wire_file(host, tmp_path)
    host.lose("POST", host.create_path, *(httpx2.ReadError("reset") for _ in range(9)))
    host.fail("GET", host.list_path, *(httpx2.ReadError("reset") for _ in range(15)))
    with pytest.raises(MaybeCreated):
        provider.create(one, path, provider.upload(one, path))
    sent = {request.content for request in host.sent("POST", host.create_path)}
    assert len(host.sent("POST", host.create_path)) == 3 and len(sent) == 1 and len(host.batches) == 1
    assert [state.id for state in provider.find(one)] == list(host.batches)


@pytest.mark.parametrize(
    "then",
    [
        httpx2.ConnectError("network is unreachable"),
        BedrockHost().refusal(429, "ThrottlingException", "slow down"),
        BedrockHost().refusal(403, "ExpiredTokenException", "the token has expired"),
        BedrockHost().refusal(400, "ValidationException", "no"),
    ],
    ids=["offline", "throttled", "logged out", "refused"],
)
def test_what_a_later_try_is_told_says_nothing_of_the_first(tmp_path: Path, then: Any) -> None:
    """The first create was carried out, its reply lost, and the list does not show it yet: that is in doubt for good.

    An error that says "nothing was created" would let the claim go, and its requests be paid again.
    """
    host = BedrockHost()
    provider, one, path = host.provider(), intent_for(host), wire_file(host, tmp_path)
    host.lose("POST", host.create_path, httpx2.ReadError("reset"), then, then)
    host.fail("GET", host.list_path, *(httpx2.ReadError("reset") for _ in range(15)))
    with pytest.raises(MaybeCreated):
        provider.create(one, path, provider.upload(one, path))
    assert len(host.batches) == 1


def test_an_account_that_may_not_list_jobs_leaves_a_lost_create_in_doubt(tmp_path: Path) -> None:
    host = BedrockHost()
    provider, one, path = host.provider(), intent_for(host), wire_file(host, tmp_path)
    host.lose("POST", host.create_path, *(httpx2.ReadError("reset") for _ in range(9)))
    denied = host.refusal(403, "AccessDeniedException", "not authorized to perform: bedrock:ListModelInvocationJobs")
    host.fail("GET", host.list_path, *[denied] * 9)
    with pytest.raises(MaybeCreated):
        provider.create(one, path, provider.upload(one, path))
    assert len(host.batches) == 1


def test_a_key_in_use_means_that_there_is_a_job(tmp_path: Path) -> None:
    host = BedrockHost()
    provider, one, path = host.provider(), intent_for(host), wire_file(host, tmp_path)
    made = provider.create(one, path, None)
    host.fail("POST", host.create_path, host.refusal(400, "ConflictException", "the token is in use"))
    assert provider.create(one, path, None) == made


@pytest.mark.parametrize(
    ("status", "code", "full"), [(400, "ServiceQuotaExceededException", True), (429, "ThrottlingException", False)]
)
def test_a_full_queue_is_not_a_refusal(tmp_path: Path, status: int, code: str, full: bool) -> None:
    host = BedrockHost()
    host.fail("POST", host.create_path, host.refusal(status, code, "later"))
    with pytest.raises(ProviderDown) as caught:
        host.provider().create(intent_for(host), wire_file(host, tmp_path), None)
    assert (caught.value.full, caught.value.lost, host.batches) == (full, False, {})


def test_a_job_is_found_by_its_name_where_the_list_leaves_the_key_out(tmp_path: Path) -> None:
    host = BedrockHost()
    provider, one = host.provider(), intent_for(host)
    made = provider.create(one, wire_file(host, tmp_path), None)
    del host.batches[made]["clientRequestToken"]
    assert [state.id for state in provider.find(one)] == [made]


@pytest.mark.parametrize("arn", ["", "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/Of-Tomorrow"])
def test_a_job_of_ours_by_an_arn_that_is_none_is_neither_found_nor_not_there(tmp_path: Path, arn: str) -> None:
    """Not there would mean that it is sent again, and paid for twice."""
    host = BedrockHost()
    provider, one = host.provider(), intent_for(host)
    mine = host.batches[provider.create(one, wire_file(host, tmp_path), None)]
    host.batch(2, jobArn=arn, jobName=f"another-{one.nonce}")
    assert [state.id for state in provider.find(one)] == [mine["id"]]
    mine["jobArn"] = arn
    with pytest.raises(ProviderDown, match="an id that is none"):
        provider.find(one)


def test_results_that_have_gone_are_a_refusal(tmp_path: Path) -> None:
    host = BedrockHost()
    provider = host.provider()
    state = provider.state(host.finished(host.ok("r1")))
    host.objects.clear()
    with pytest.raises(ProviderRefused, match="it is not there"):
        list(provider.fetch(state, tmp_path))


def test_what_a_gateway_repeats_is_taken_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The token of a session is sent with every request."""
    _environment(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-sessions-token")
    made = bedrock_aws.clients(_without(base_url="http://host.test"))
    assert list(made.secrets()) == ["very-secret", "a-sessions-token"]
    host = BedrockHost()
    known = host.provider()
    provider = BedrockProvider(known.profile, clients=replace(known._clients, secrets=made.secrets))
    echo = "X-Amz-Security-Token: a-sessions-token, and very-secret"
    host.fail("GET", f"{host.create_path}/x", host.refusal(403, "AccessDeniedException", echo))
    with pytest.raises(AccountRefused) as caught:
        provider.state("x")
    assert "X-Amz-Security-Token: ***, and ***" in str(caught.value)


def test_it_takes_batches_only() -> None:
    with pytest.raises(ProviderRefused, match="takes batches only"):
        BedrockHost().provider().ask(b"{}")
    assert builtin()["bedrock"].lacks("now") and not builtin()["bedrock"].lacks("48h")


def test_an_address_of_an_object() -> None:
    assert parts("s3://b/a/c.jsonl") == ("b", "a/c.jsonl")
    for wrong in ("https://b/a", "s3://b", "s3://b/", ""):
        with pytest.raises(ValueError, match="not an address"):
            parts(wrong)


def test_what_botocore_itself_refuses_was_not_sent() -> None:
    from botocore.exceptions import NoCredentialsError, ParamValidationError

    nobody, wrong = fault_of(NoCredentialsError()), fault_of(ParamValidationError(report="jobName"))
    assert nobody.account and not nobody.sent and not nobody.lost
    assert (wrong.status, wrong.sent, wrong.passing) == (400, False, False)


# -- what a manifest says


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("staging", "https://bucket/x", "an address like s3://bucket/prefix"),
        ("staging", "s3://Bucket/x", "an address like s3://bucket/prefix"),
        ("staging", "s3://bucket/x/", "an address like s3://bucket/prefix"),
        ("role", "batches", "a role's ARN"),
        ("min_requests", 0, "a whole number above 0"),
        ("region", "", "text"),
    ],
)
def test_a_field_that_cannot_be(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        with_overrides(builtin()["bedrock"], "bedrock", {field: value})
    assert caught.value.where == f"providers.bedrock.{field}"


def test_a_second_region_is_a_host_of_its_own() -> None:
    europe = with_overrides(None, "europe", {"dialect": "bedrock", "region": "eu-west-1", "role": ROLE})
    assert settings.located(europe).base_url == "https://bedrock.eu-west-1.amazonaws.com"
    assert (europe.min_requests, europe.endpoints, europe.asks) == (100, ("/v1/messages",), False)


def test_region_role_and_address_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("CHIMERA_BEDROCK_ROLE", ROLE)
    found = settings.located(builtin()["bedrock"])
    assert (found.region, found.role, found.base_url) == ("us-west-2", ROLE, "https://bedrock.us-west-2.amazonaws.com")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", "http://127.0.0.1:9/")
    assert settings.located(builtin()["bedrock"]).base_url == "http://127.0.0.1:9"
    assert settings.api_key(found) == ""


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        (MODEL, True),
        ("anthropic.claude-haiku-5-5", True),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3", True),
        ("us.amazon.nova-lite-v1:0", False),
        ("openai.gpt-oss-120b-1:0", False),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-3-70b-instruct-v1:0", False),
    ],
)
def test_models_that_it_cannot_ask(model: str, fits: bool) -> None:
    said = refuses(builtin()["bedrock"], model)
    assert (said is None) == fits and refuses(builtin()["openai"], model) is None
    assert said is None or ("Anthropic's models" in said and model in said)


def test_a_rehearsal_speaks_anthropics_protocol_and_keeps_the_minimum() -> None:
    played = rehearsed(builtin()["bedrock"])
    assert (played.dialect, played.keeps_metadata, played.deletes_files) == ("anthropic", False, False)
    assert (played.name, played.min_requests, played.windows) == ("bedrock", 100, builtin()["bedrock"].windows)
    assert rehearsed(builtin()["openai"]) is builtin()["openai"]


def _without(**changes: str) -> Any:
    whole = {"region": "us-east-1", "staging": STAGING, "role": ROLE, **changes}
    return replace(builtin()["bedrock"], **whole)


@pytest.mark.parametrize("field", ["region", "staging", "role"])
def test_what_is_missing_is_said_with_the_line_to_type(field: str) -> None:
    lacking = missing_access(_without(**{field: ""}))
    assert lacking is not None and lacking.message == f"bedrock needs a {field}"
    assert "staging: s3://BUCKET/PREFIX" in str(lacking.hint)


def _environment(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")


def _shared_file(patch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "credentials"
    path.write_text("[default]\naws_access_key_id = key-id\naws_secret_access_key = very-secret\n")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


def _container(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/never-called")


@pytest.mark.parametrize("found", [_environment, _shared_file, _container])
def test_credentials_are_looked_for_without_calling_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Callable[[pytest.MonkeyPatch, Path], None]
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    lacking = missing_access(_without())
    assert lacking is not None and "finds none" in lacking.message and "aws configure" in str(lacking.hint)
    found(monkeypatch, tmp_path)
    assert missing_access(_without()) is None


def test_a_profile_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    lacking = missing_access(_without())
    assert lacking is not None and "nobody" in lacking.message
