"""What is Anthropic's own: inline creation, candidates instead of metadata, results counted by rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chimera_batch.errors import ProviderDown, ProviderRefused
from chimera_batch.providers.anthropic_shapes import batch_state, decode
from tests.provider_hosts import AnthropicHost, intent_for, stream, wire_file


@pytest.fixture
def host() -> AnthropicHost:
    return AnthropicHost()


def test_the_wire_file_is_the_body_byte_for_byte(host: AnthropicHost, tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    first, second = host.line("r1"), host.line("r2").replace(b"2+2?", "a\u2028b".encode())
    path.write_bytes(first + b"\n\n" + second)  # a blank line, no final newline
    host.provider().create(intent_for(host), path, None)
    assert host.log[0].content == b'{"requests":[' + first + b"," + second + b"]}"
    assert host.log[0].headers["content-type"] == "application/json"


def test_nothing_is_uploaded_or_discarded(host: AnthropicHost, tmp_path: Path) -> None:
    provider = host.provider()
    assert provider.upload(intent_for(host), wire_file(host, tmp_path)) is None
    provider.discard(["x"])
    assert provider.find_uploads(intent_for(host)) == [] and host.log == []


def test_the_api_version_that_forbids_sampling_parameters_is_the_one_sent(host: AnthropicHost) -> None:
    """endpoints/messages.py strips them for this reason: when the SDK moves on, look again."""
    host.provider().state(host.batch()["id"])
    assert host.log[0].headers["anthropic-version"] == "2026-10-21"
    assert host.log[0].headers["authorization"].startswith("Bearer sk-")
    host.provider(headers=(("anthropic-version", "2023-06-01"),)).state("msgbatch_1")
    assert host.log[1].headers["anthropic-version"] == "2023-06-01"


def test_a_base_url_with_v1_is_meant_without(host: AnthropicHost) -> None:
    from dataclasses import replace

    from chimera_batch.providers.anthropic import AnthropicProvider

    profile = replace(host.provider().profile, base_url="http://host.test/v1/")
    AnthropicProvider(profile, "key", http_client=host.client()).state(host.batch()["id"])
    assert host.log[0].url.path == "/v1/messages/batches/msgbatch_1"


@pytest.mark.parametrize(
    "message",
    [
        "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        "requests: List should have at least 1 item after validation, not 0",
    ],
)
def test_a_refused_create_says_why(host: AnthropicHost, tmp_path: Path, message: str) -> None:
    host.fail("POST", host.create_path, host.refusal(400, "invalid_request_error", message))
    with pytest.raises(ProviderRefused) as caught:
        host.provider().create(intent_for(host), wire_file(host, tmp_path), None)
    assert message in str(caught.value) and caught.value.code == "invalid_request_error"


def test_find_takes_the_same_number_of_requests_only(host: AnthropicHost) -> None:
    done = {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 0}
    host.batch(1, requests=3)
    host.batch(2, requests=2)
    host.batch(3, processing_status="ended", request_counts=done)
    assert {found.id for found in host.provider().find(intent_for(host, requests=2))} == {"msgbatch_2", "msgbatch_3"}


@pytest.mark.parametrize(("seconds_before", "found"), [(0, True), (299, True), (301, False), (4000, False)])
def test_find_allows_for_clocks_but_not_for_more(host: AnthropicHost, seconds_before: int, found: bool) -> None:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(intent_for(host).at - seconds_before, UTC).isoformat()
    host.batch(1, created_at=at)
    assert bool(host.provider().find(intent_for(host))) is found


@pytest.mark.parametrize(("told", "found"), [(True, True), (False, False)])
def test_a_host_whose_clock_is_days_behind_says_so_in_its_replies(
    host: AnthropicHost, monkeypatch: pytest.MonkeyPatch, told: bool, found: bool
) -> None:
    """A lost create that is not found would be sent again, and paid for twice."""
    late = 3 * 86_400
    intent = intent_for(host)
    monkeypatch.setattr("chimera_batch.providers.anthropic.time.time", lambda: intent.at + 60)
    at = datetime.fromtimestamp(intent.at + 1 - late, UTC)
    page = {"data": [host.batch(1, intent.requests, created_at=at.isoformat())], "has_more": False}
    headers = {"date": formatdate(intent.at + 60 - late, usegmt=True)} if told else {}
    host.fail("GET", host.list_path, httpx2.Response(200, json=page, headers=headers))
    assert bool(host.provider().find(intent)) is found


def test_states() -> None:
    counts = {"processing": 1, "succeeded": 2, "errored": 3, "canceled": 4, "expired": 5}
    state = batch_state({"id": "m", "processing_status": "ended", "request_counts": counts})
    assert (state.phase, state.done, state.total, state.files) == ("ended", 14, 15, ("m",))
    canceling = batch_state({"id": "m", "processing_status": "canceling", "created_at": "2025-01-12T05:59:14.5+00:00"})
    assert (canceling.phase, canceling.files, canceling.total) == ("working", (), None)
    assert canceling.created_at == 1736661554.5
    assert batch_state({"id": "m", "request_counts": {"processing": "3"}}).total == 3
    with pytest.raises(ValueError, match="without an id"):
        batch_state({"id": ""})


def run(host: AnthropicHost, folder: Path) -> bytes:
    provider = host.provider()
    (path,) = provider.fetch(provider.state("msgbatch_1"), folder)
    return path.read_bytes()


def ended(host: AnthropicHost, rows: int = 4) -> bytes:
    host.finished(*(host.ok(f"r{i}") for i in range(rows)))
    return host.contents["msgbatch_1"]


def test_a_download_that_stays_short_is_kept_as_it_is(host: AnthropicHost, tmp_path: Path) -> None:
    """The caller reconciles ids; what did come was paid for. The best of the tries is what stays."""
    lines = ended(host).split(b"\n")
    sizes = (1, 3, 2, 2, 1)
    host.fail("GET", host.content_path, *(stream(b"\n".join(lines[:n])) for n in sizes))
    assert run(host, tmp_path) == b"\n".join(lines[:3])
    assert len(host.sent("GET", host.content_path)) == 5


def test_no_rows_at_all_where_there_must_be_some_is_not_an_end(host: AnthropicHost, tmp_path: Path) -> None:
    ended(host)
    host.fail("GET", host.content_path, *(stream(b"") for _ in range(9)))
    with pytest.raises(ProviderDown):
        run(host, tmp_path)


def test_results_that_are_not_there_yet_or_any_more(host: AnthropicHost, tmp_path: Path) -> None:
    data = ended(host)
    none = "Message Batch msgbatch_1 has no available results."
    host.fail("GET", host.content_path, host.refusal(404, "not_found_error", none))
    assert run(host, tmp_path) == data
    host.fail("GET", host.content_path, *(host.refusal(404, "not_found_error", none) for _ in range(9)))
    with pytest.raises(ProviderRefused, match="no available results"):
        run(host, tmp_path)


def test_a_batch_that_says_itself_that_it_has_no_results(host: AnthropicHost, tmp_path: Path) -> None:
    ended(host)
    none = "Message Batch msgbatch_1 has no available results."
    host.fail("GET", host.content_path, *(host.refusal(404, "not_found_error", none) for _ in range(9)))
    host.batches["msgbatch_1"]["results_url"] = None
    provider = host.provider()
    assert list(provider.fetch(provider.state("msgbatch_1"), tmp_path)) == []


def test_blank_lines_do_not_count_as_rows(host: AnthropicHost, tmp_path: Path) -> None:
    data = ended(host)
    host.fail("GET", host.content_path, stream(data[: data.index(b"\n")] + b"\n\n\r\n\n\n"))
    assert run(host, tmp_path) == data


def test_results_url_is_never_followed(host: AnthropicHost, tmp_path: Path) -> None:
    ended(host)
    for url in ("https://elsewhere.test/x", "/doubled/prefix", None):
        host.batches["msgbatch_1"]["results_url"] = url
        run(host, tmp_path)
    assert {r.url.host for r in host.log} == {"host.test"}
    assert len(host.sent("GET", host.content_path)) == 3


def test_a_redirect_does_not_carry_the_key_away() -> None:
    """The adapter's own client follows none."""
    from chimera_batch.providers import make
    from tests.provider_hosts import known_profile

    provider: Any = make(known_profile("anthropic"), "key")
    assert provider._client._client.follow_redirects is False


@pytest.mark.parametrize(
    ("result", "outcome", "code", "transient"),
    [
        ({"type": "something_new"}, "error", "unknown_result", True),
        ({}, "error", "unknown_result", True),
        ({"type": "errored", "error": None}, "error", "errored", False),
        ({"type": "errored", "error": {"type": "overloaded_error", "message": "m"}}, "error", "overloaded_error", True),
        ({"type": "succeeded"}, "invalid", "no_text", False),
        ({"type": "succeeded", "message": {"stop_reason": "max_tokens", "content": []}}, "truncated", None, False),
        ({"type": "succeeded", "message": {"stop_reason": "refusal", "content": []}}, "refused", None, False),
    ],
)
def test_odd_rows(result: dict[str, Any], outcome: str, code: str | None, transient: bool) -> None:
    reply = decode(json.dumps({"custom_id": "r1", "result": result}).encode())
    assert (reply.outcome, reply.code, reply.transient) == (outcome, code, transient)


def test_an_errored_row_as_recorded() -> None:
    line = (
        b'{"custom_id":"r2","result":{"type":"errored","error":{"type":"error","error":{"details":'
        b'{"error_visibility":"user_facing"},"type":"not_found_error","message":"model: x"},"request_id":null}}}'
    )
    reply = decode(line)
    assert (reply.code, reply.message, reply.transient) == ("not_found_error", "model: x", False)


def test_a_body_cut_inside_a_download_is_counted_out(host: AnthropicHost, tmp_path: Path) -> None:
    """Five bytes short, cleanly closed: the last row does not parse, so it is no row."""
    data = ended(host)
    host.fail("GET", host.content_path, stream(data[:-5]), httpx2.ReadError("reset"))
    assert run(host, tmp_path) == data
