"""What every adapter promises, run over each of them: a new dialect is one more fake host."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.errors import AccountRefused, MaybeCreated, ProviderDown, ProviderError, ProviderRefused
from chimera_batch.providers import make
from chimera_batch.providers.profiles import builtin
from chimera_batch.records import OUTCOMES
from tests.bedrock_host import BedrockHost
from tests.provider_hosts import KEY, AnthropicHost, OpenAIHost, intent_for, stream, wire_file

FakeHost = OpenAIHost | AnthropicHost | BedrockHost
HOSTS = (OpenAIHost, AnthropicHost, BedrockHost)
ASKED = (OpenAIHost, AnthropicHost)  # Bedrock takes batches only, and leaves out rows that were not run


@pytest.fixture(params=HOSTS, ids=lambda kind: kind.dialect)
def host(request: pytest.FixtureRequest) -> FakeHost:
    made: FakeHost = request.param()
    return made


@pytest.fixture(params=ASKED, ids=lambda kind: kind.dialect)
def asked(request: pytest.FixtureRequest) -> OpenAIHost | AnthropicHost:
    """A host that takes synchronous calls, names rows that were not run, and is sent a key."""
    made: OpenAIHost | AnthropicHost = request.param()
    return made


def reset() -> httpx2.ReadError:
    return httpx2.ReadError("connection reset by peer")


def send(host: FakeHost, tmp_path: Path) -> str:
    provider, intent = host.provider(), intent_for(host)
    path = wire_file(host, tmp_path)
    return provider.create(intent, path, provider.upload(intent, path))


# --- creating -------------------------------------------------------------------------------------------------------


def test_send_and_follow_to_the_end(host: FakeHost, tmp_path: Path) -> None:
    batch_id = send(host, tmp_path)
    state = host.provider().state(batch_id)
    assert (state.id, state.phase) == (batch_id, "working")
    assert len(host.sent("POST", host.create_path)) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(reset, id="reset"),
        pytest.param(lambda: httpx2.ReadTimeout("too slow"), id="time-out"),
        pytest.param(
            lambda: httpx2.RemoteProtocolError("Server disconnected without sending a response."), id="closed"
        ),
        pytest.param(lambda: httpx2.Response(500, json={"error": {"message": "oh"}}), id="500"),
        pytest.param(lambda: httpx2.Response(529, json={"error": {"type": "overloaded_error"}}), id="529"),
        pytest.param(lambda: httpx2.Response(502, text="<html>Bad gateway</html>"), id="html"),
        pytest.param(lambda: httpx2.Response(503, headers={"retry-after": "1", "x-should-retry": "true"}), id="503"),
        pytest.param(lambda: httpx2.Response(408), id="408"),
        pytest.param(lambda: httpx2.Response(409), id="409"),
        pytest.param(lambda: httpx2.Response(200, text="<html>hello</html>"), id="200 of html"),
        pytest.param(lambda: httpx2.Response(200), id="200 of nothing"),
        pytest.param(lambda: httpx2.Response(200, json={}), id="200 without id"),
        pytest.param(lambda: httpx2.Response(200, json=[1]), id="200 of a list"),
    ],
)
def test_a_lost_reply_to_create_is_sent_once_and_found_again(
    host: FakeHost, tmp_path: Path, trouble: Callable[[], Any]
) -> None:
    host.lose("POST", host.create_path, trouble())
    if host.dialect == "bedrock":  # its key makes a look-up at once exact
        assert [send(host, tmp_path)] == list(host.batches)
    else:
        with pytest.raises(MaybeCreated):
            send(host, tmp_path)
    assert len(host.sent("POST", host.create_path)) == 1
    assert [found.id for found in host.provider().find(intent_for(host))] == list(host.batches)


@pytest.mark.parametrize("error", [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("no answer")])
def test_a_refused_connection_created_nothing(host: FakeHost, tmp_path: Path, error: Exception) -> None:
    host.fail("POST", host.create_path, error)
    with pytest.raises(ProviderDown):
        send(host, tmp_path)
    assert host.provider().find(intent_for(host)) == []


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "invalid_request_error", "no", ProviderRefused),
        (404, "not_found_error", "no", ProviderRefused),
        (413, "request_too_large", "no", ProviderRefused),
        (422, "unprocessable", "no", ProviderRefused),
        (429, "rate_limit_error", "slow down", ProviderDown),
        (429, "insufficient_quota", "You exceeded your current quota", AccountRefused),
        (401, "authentication_error", "API key is invalid.", AccountRefused),
        (403, "not_available_for_plan", "no", AccountRefused),
        (402, "billing_error", "no", AccountRefused),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", AccountRefused),
    ],
)
def test_a_refusal_of_create_is_told_apart(
    host: FakeHost, tmp_path: Path, status: int, code: str, message: str, kind: type[ProviderError]
) -> None:
    host.fail("POST", host.create_path, host.refusal(status, code, message))
    with pytest.raises(kind) as caught:
        send(host, tmp_path)
    assert len(host.sent("POST", host.create_path)) == 1
    assert message in str(caught.value) and type(caught.value) is kind
    if isinstance(caught.value, ProviderRefused):
        assert (caught.value.status, caught.value.code) == (status, code)


def test_429_passes_on_how_long_to_wait(host: FakeHost, tmp_path: Path) -> None:
    host.fail("POST", host.create_path, host.refusal(429, retry_after="37"))
    with pytest.raises(ProviderDown) as caught:
        send(host, tmp_path)
    assert caught.value.retry_after == 37


def test_the_key_is_in_no_message(asked: OpenAIHost | AnthropicHost, tmp_path: Path) -> None:
    asked.fail("POST", asked.create_path, asked.refusal(401, "authentication_error", f"Incorrect API key {KEY}"))
    with pytest.raises(AccountRefused) as caught:
        send(asked, tmp_path)
    assert KEY not in str(caught.value) and KEY not in repr(caught.value.__dict__)
    assert "***" in str(caught.value)


# --- finding --------------------------------------------------------------------------------------------------------


def test_find_reads_all_pages_and_takes_only_its_own(host: FakeHost, tmp_path: Path) -> None:
    batch_id = send(host, tmp_path)
    for number in range(2, 8):
        host.batch(number, **({"request_counts": {"processing": 7}} if host.dialect == "anthropic" else {}))
    assert [found.id for found in host.provider().find(intent_for(host))] == [batch_id]


def test_find_shows_every_candidate(host: FakeHost, tmp_path: Path) -> None:
    first = send(host, tmp_path)
    if host.dialect == "bedrock":
        assert send(host, tmp_path) == first  # the same key is never carried out twice
        return
    second = send(host, tmp_path)
    assert {found.id for found in host.provider().find(intent_for(host))} == {first, second}


def test_find_does_not_go_back_before_the_intent(host: FakeHost) -> None:
    for number in range(1, 9):
        host.batch(number, created_at=1_700_000_000 + number)
    assert host.provider().find(intent_for(host)) == []
    assert len(host.sent("GET", host.list_path)) == 1


def test_a_list_that_goes_round_in_circles_does_not_mean_not_there(host: FakeHost) -> None:
    page = host.circle()
    host.fail("GET", host.list_path, *(httpx2.Response(200, json=page) for _ in range(2)))
    with pytest.raises(ProviderDown, match="repeats itself"):
        host.provider().find(intent_for(host))


ODD_IDS = [None, "", 7, {}, {"a": 1}, ["b"], True]


@pytest.mark.parametrize("ident", ODD_IDS)
def test_a_batch_that_may_be_ours_under_an_id_that_is_none_is_neither_found_nor_not_there(
    host: FakeHost, tmp_path: Path, ident: Any
) -> None:
    """Not there would mean that it is sent again, and paid for twice."""
    if host.dialect == "bedrock":
        return  # AWS's own SDK checks what ids are
    made = host.batches[send(host, tmp_path)]
    host.fail("GET", host.list_path, httpx2.Response(200, json={"data": [{**made, "id": ident}], "has_more": False}))
    with pytest.raises(ProviderDown, match="an id that is none"):
        host.provider().find(intent_for(host))


@pytest.mark.parametrize("ident", ODD_IDS)
def test_a_batch_of_others_under_an_id_that_is_none_is_passed_over(host: FakeHost, tmp_path: Path, ident: Any) -> None:
    if host.dialect == "bedrock":
        return
    mine = host.batches[send(host, tmp_path)]
    others = {"metadata": None, "input_file_id": "x", "request_counts": {"processing": 7}}
    page = {"data": [{**mine, **others, "id": ident}, mine], "has_more": False}
    host.fail("GET", host.list_path, httpx2.Response(200, json=page))
    assert [found.id for found in host.provider().find(intent_for(host))] == [mine["id"]]


@pytest.mark.parametrize("ident", ODD_IDS)
def test_a_state_under_an_id_that_is_none_is_no_state(host: FakeHost, tmp_path: Path, ident: Any) -> None:
    if host.dialect == "bedrock":
        return
    batch_id = send(host, tmp_path)
    odd = httpx2.Response(200, json={**host.batches[batch_id], "id": ident})
    host.fail("GET", f"{host.create_path}/{batch_id}", *(odd for _ in range(9)))
    with pytest.raises(ProviderDown, match="without an id"):
        host.provider().state(batch_id)


# --- polling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["thinking_about_it", "", None, "finalizing", "canceling", "in_progress"])
def test_an_unknown_status_is_not_an_end(host: FakeHost, status: str | None) -> None:
    state = host.provider().state(host.batch(**{host.status_key: status})["id"])
    assert (state.phase, state.status) == ("working", status or "")


def test_polls_are_patient_and_obey_the_host(host: FakeHost) -> None:
    batch_id = host.batch()["id"]
    path = f"{host.create_path}/{batch_id}"
    troubles = [host.refusal(503), host.refusal(429, retry_after="3"), host.refusal(500, retry_after_ms="250"), reset()]
    host.fail("GET", path, *troubles)
    assert host.provider().state(batch_id).id == batch_id
    assert host.waits == [0.5, 3.0, 0.25, 4.0]


def test_polls_give_up_after_a_stated_number(host: FakeHost) -> None:
    path = f"{host.create_path}/{host.batch()['id']}"
    host.fail("GET", path, *(host.refusal(500) for _ in range(9)))
    with pytest.raises(ProviderDown):
        host.provider().state(host.batch()["id"])
    assert len(host.sent("GET", path)) == 5


def test_a_long_wait_is_left_to_the_caller(host: FakeHost) -> None:
    host.fail("GET", f"{host.create_path}/{host.batch()['id']}", host.refusal(429, retry_after="1800"))
    with pytest.raises(ProviderDown) as caught:
        host.provider().state(host.batch()["id"])
    assert caught.value.retry_after == 1800 and host.waits == []


def test_a_404_that_passes_and_one_that_stays(host: FakeHost) -> None:
    batch_id = host.batch()["id"]
    host.fail("GET", f"{host.create_path}/{batch_id}", host.refusal(404, "not_found_error", "not found"))
    assert host.provider().state(batch_id).id == batch_id
    with pytest.raises(ProviderRefused) as caught:
        host.provider().state("nobody")
    assert caught.value.status == 404


def test_a_lost_key_in_the_middle_of_a_run(host: FakeHost) -> None:
    host.fail("GET", f"{host.create_path}/x", host.refusal(401, "authentication_error", "API key is invalid."))
    with pytest.raises(AccountRefused):
        host.provider().state("x")
    assert host.waits == []


# --- cancelling -----------------------------------------------------------------------------------------------------


def test_cancel(host: FakeHost) -> None:
    batch_id = host.batch()["id"]
    host.provider().cancel(batch_id)
    assert len(host.sent("POST", f"{host.create_path}/{batch_id}/{host.cancel_word}")) == 1


@pytest.mark.parametrize("status", [400, 409])
def test_cancelling_what_is_over_is_fine(host: FakeHost, status: int) -> None:
    batch_id = host.finished(host.ok("r1"))
    host.fail(
        "POST", f"{host.create_path}/{batch_id}/{host.cancel_word}", host.refusal(status, "bad", "already completed")
    )
    host.provider().cancel(batch_id)


def test_cancelling_what_is_not_over_but_refused(host: FakeHost) -> None:
    batch_id = host.batch()["id"]
    host.fail("POST", f"{host.create_path}/{batch_id}/{host.cancel_word}", host.refusal(400, "bad", "not now"))
    with pytest.raises(ProviderRefused):
        host.provider().cancel(batch_id)


# --- downloading ----------------------------------------------------------------------------------------------------

ROWS = ("r1", "r2", "r3", "r4", "r5")


def whole(host: FakeHost) -> tuple[str, bytes]:
    batch_id = host.finished(*(host.ok(row) for row in ROWS))
    return batch_id, host.whole


def fetched(host: FakeHost, batch_id: str, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    provider = host.provider()
    return list(provider.fetch(provider.state(batch_id), folder))


def test_a_download_is_the_hosts_bytes(host: FakeHost, tmp_path: Path) -> None:
    batch_id, data = whole(host)
    (path,) = fetched(host, batch_id, tmp_path)
    assert path.read_bytes() == data and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
@pytest.mark.parametrize("how", ["reset", "clean close"])
def test_a_truncated_download_is_noticed(host: FakeHost, tmp_path: Path, cut: int, how: str) -> None:
    batch_id, data = whole(host)
    pieces: list[bytes | Exception] = [data[:cut]] if how == "clean close" else [data[:cut], reset()]
    host.fail("GET", host.content_path, stream(*pieces))
    (path,) = fetched(host, batch_id, tmp_path)
    assert path.read_bytes() == data
    assert len(host.sent("GET", host.content_path)) == 2


def test_a_clean_close_between_two_rows_is_noticed(host: FakeHost, tmp_path: Path) -> None:
    batch_id, data = whole(host)
    host.fail("GET", host.content_path, stream(data[: data.index(b"\n") + 1]))
    (path,) = fetched(host, batch_id, tmp_path)
    assert path.read_bytes() == data


def test_a_download_that_never_works_leaves_no_file(host: FakeHost, tmp_path: Path) -> None:
    batch_id, data = whole(host)
    host.fail("GET", host.content_path, *(stream(data[:50], reset()) for _ in range(30)))
    with pytest.raises(ProviderDown):
        fetched(host, batch_id, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(host.sent("GET", host.content_path)) <= 7


def test_a_download_again_replaces_the_file(host: FakeHost, tmp_path: Path) -> None:
    batch_id, data = whole(host)
    (path,) = fetched(host, batch_id, tmp_path)
    path.write_bytes(b"something older")
    path.with_name(path.name + ".part").write_bytes(b"left by a crash")
    assert fetched(host, batch_id, tmp_path) == [path]
    assert path.read_bytes() == data


def test_line_separators_inside_strings_stay_inside(host: FakeHost, tmp_path: Path) -> None:
    odd = "one\u2028two\u2029three\u0085four"
    batch_id = host.finished(*(host.ok(row, odd) for row in ROWS))
    (path,) = fetched(host, batch_id, tmp_path)
    replies = [host.provider().decode(line) for line in path.read_bytes().split(b"\n") if line]
    assert [(r.custom_id, r.text) for r in replies] == [(row, odd) for row in ROWS]


def test_gzip_on_the_way_is_undone(host: FakeHost, tmp_path: Path) -> None:
    import gzip

    batch_id, data = whole(host)
    packed = gzip.compress(data)
    host.fail("GET", host.content_path, stream(packed[:-20], reset(), content_encoding="gzip"))
    host.fail("GET", host.content_path, stream(packed, content_encoding="gzip"))
    (path,) = fetched(host, batch_id, tmp_path)
    assert path.read_bytes() == data


def test_nothing_follows_an_address_that_the_host_names(host: FakeHost, tmp_path: Path) -> None:
    fetched(host, whole(host)[0], tmp_path)
    assert {request.url.host for request in host.log} == {"host.test"}


# --- decoding -------------------------------------------------------------------------------------------------------


def test_an_answer(host: FakeHost) -> None:
    reply = host.provider().decode(host.ok("r1"))
    assert (reply.custom_id, reply.outcome, reply.text) == ("r1", "ok", "four")
    assert reply.usage is not None and (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 3)


@pytest.mark.parametrize("custom_id", [" leading", "trailing ", "x" * 200, "ü", "a\u2028b"])
def test_ids_come_back_as_they_are(host: FakeHost, custom_id: str) -> None:
    assert host.provider().decode(host.ok(custom_id)).custom_id == custom_id


def test_rows_that_were_not_run(asked: OpenAIHost | AnthropicHost) -> None:
    decode = asked.provider().decode
    for line, outcome in ((asked.expired("r1"), "expired"), (asked.cancelled("r1"), "cancelled")):
        reply = decode(line)
        assert (reply.outcome, reply.transient, reply.account, reply.usage) == (outcome, False, False, None)


@pytest.mark.parametrize(
    ("code", "status", "message", "transient", "account"),
    [
        ("invalid_request_error", 400, "no", False, False),
        ("not_found_error", 404, "model: x", False, False),
        ("rate_limit_error", 429, "slow", True, False),
        ("api_error", 500, "oh", True, False),
        ("overloaded_error", 529, "Overloaded", True, False),
        ("timeout_error", 408, "late", True, False),
        ("authentication_error", 401, "key", False, True),
        ("permission_error", 403, "no", False, True),
        ("billing_error", 402, "no", False, True),
        ("invalid_request_error", 400, "Your credit balance is too low to …", False, True),
    ],
)
def test_errored_rows_by_cause(
    host: FakeHost, code: str, status: int, message: str, transient: bool, account: bool
) -> None:
    reply = host.provider().decode(host.errored("r1", code, status, message))
    assert (reply.outcome, reply.code, reply.message) == ("error", code, message)
    assert (reply.transient, reply.account) == (transient, account)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b"7", b'"text"', b"{}", b'{"custom_id":null}', b'{"custom_id":""}', b'{"custom_id":5}',
     b'\xff\xfe{"custom_id":"a"}', b'{"type":"error","error":{"type":"not_found_error","message":"no results"}}'],
)  # fmt: skip
def test_what_is_not_a_result_is_a_value_error(host: FakeHost, line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        host.provider().decode(line)


def test_carriage_returns_and_spaces_around_a_line_do_not_matter(host: FakeHost) -> None:
    assert host.provider().decode(b"  " + host.ok("r1") + b"\r\n").outcome == "ok"


def test_half_an_emoji_does_not_lose_a_paid_answer(host: FakeHost) -> None:
    line = host.ok("r1", "CUT").replace(b"CUT", b"smile \\ud83d")
    assert host.provider().decode(line).text == "smile \ufffd"


PROVIDERS = st.deferred(lambda: st.sampled_from([kind().provider() for kind in HOSTS]))
"""Made when a test first draws one: their SDKs take a second to import."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "body", "status_code", "type", "code", "message"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(PROVIDERS, st.dictionaries(st.sampled_from(["response", "error", "result", "modelOutput"]), JSON))
def test_any_line_with_an_id_is_exactly_one_outcome(provider: Any, row: dict[str, Any]) -> None:
    reply = provider.decode(json.dumps({"custom_id": "r1", "recordId": "r1", **row}).encode())
    assert reply.custom_id == "r1" and reply.outcome in OUTCOMES and reply.outcome != "ok"
    assert not (reply.transient and reply.account)


# --- asking now -----------------------------------------------------------------------------------------------------


def test_ask_comes_back_in_the_form_of_a_batch(asked: OpenAIHost | AnthropicHost) -> None:
    provider = asked.provider()
    line = provider.ask(asked.line("r9"))
    assert b"\n" not in line
    reply = provider.decode(line)
    assert (reply.custom_id, reply.outcome, reply.text) == ("r9", "ok", "four")
    wire = json.loads(asked.line("r9"))
    assert json.loads(asked.log[0].content) == (wire.get("body") or wire["params"])


def test_ask_refused_is_an_error_row(asked: OpenAIHost | AnthropicHost) -> None:
    asked.fail("POST", asked.ask_path, asked.refusal(400, "bad_parameter", "temperature: no"))
    provider = asked.provider()
    reply = provider.decode(provider.ask(asked.line()))
    assert (reply.outcome, reply.code, reply.transient) == ("error", "bad_parameter", False)
    assert "temperature: no" in str(reply.message)


def test_ask_waits_for_capacity_but_never_buys_a_lost_answer_again(asked: OpenAIHost | AnthropicHost) -> None:
    asked.fail(
        "POST", asked.ask_path, asked.refusal(429, retry_after="2"), asked.refusal(529), httpx2.ConnectError("no")
    )
    assert asked.provider().decode(asked.provider().ask(asked.line())).outcome == "ok"
    assert asked.waits == [2.0, 1.0, 2.0]
    asked.log.clear()
    asked.lose("POST", asked.ask_path, reset())
    with pytest.raises(ProviderDown):
        asked.provider().ask(asked.line())
    assert len(asked.log) == 1


@pytest.mark.parametrize("status", [408, 502, 504, 524])
def test_a_gateway_that_stopped_waiting_says_nothing_of_the_host(
    asked: OpenAIHost | AnthropicHost, status: int
) -> None:
    """The host may be at work, and charge: the call is not made again at once, and what it may cost is suspected."""
    asked.lose("POST", asked.ask_path, httpx2.Response(status, text="<html>gateway</html>"))
    with pytest.raises(ProviderDown) as caught:
        asked.provider().ask(asked.line())
    assert caught.value.lost and len(asked.log) == 1


def test_ask_stops_at_the_account(asked: OpenAIHost | AnthropicHost) -> None:
    asked.fail("POST", asked.ask_path, asked.refusal(429, "insufficient_quota", "quota"))
    with pytest.raises(AccountRefused):
        asked.provider().ask(asked.line())


# --- the rest -------------------------------------------------------------------------------------------------------


def test_make_gives_the_adapter_of_the_dialect(host: FakeHost) -> None:
    profile = replace(builtin()[host.dialect], region="us-east-1", base_url="http://host.test")
    made = make(profile, KEY)
    assert made.profile is profile and type(made) is type(host.provider())


def test_discarding_nothing_and_looking_for_nothing(host: FakeHost) -> None:
    host.provider().discard([])
    assert host.provider().find_uploads(intent_for(host)) == []
