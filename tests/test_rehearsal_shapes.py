"""What the rehearsal says, held against the SDKs' own models and against recordings of the real APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from anthropic.types.messages import DeletedMessageBatch, MessageBatch, MessageBatchIndividualResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Batch as OpenAIBatch
from openai.types import CreateEmbeddingResponse, FileDeleted, FileObject
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from chimera_batch.rehearsal import shapes_anthropic, shapes_openai
from chimera_batch.rehearsal.anthropic_api import AnthropicApi
from chimera_batch.rehearsal.asks import Heard, Refused
from chimera_batch.rehearsal.batches import Batch, Ended, counts, pack, status, unpack
from chimera_batch.rehearsal.files import Files
from chimera_batch.rehearsal.openai_api import shown
from chimera_batch.rehearsal.talk import Said
from chimera_batch.rehearsal.terms import Terms, Touched
from chimera_batch.rehearsal.web import Request
from tests.conftest import SHARED

GOLDEN = SHARED / "golden"
IDENT = "0123456789abcdef" * 2
HEARD = Heard("plain", "S", "U", None, None, 50)
PROSE, THOUGHT = Said("text", None, 10, 0), Said("text", "why", 30, 20)
NO = Said("No.", None, 5, 0, refused=True)
LONG, MUTE = Said("half", "why", 90, 20), Said("", "why", 90, 60)
ALL_SAID = [PROSE, THOUGHT, NO, LONG, MUTE]
PLAIN, CACHED, WRITTEN = Terms("default"), Terms("default", Touched(1)), Terms("flex", Touched(1, 2, 4))
WIDE = replace(HEARD, user="u" * 400)


def fits(model: Any, told: Any) -> Any:
    """The SDK's model of what was told, strictly: no value may need to be bent into its type."""
    return model.model_validate_json(json.dumps(told), strict=True)


# Answers


@pytest.mark.parametrize("said", ALL_SAID)
@pytest.mark.parametrize("open_host", [True, False])
def test_chat_completions(said: Said, open_host: bool) -> None:
    told = shapes_openai.chat(IDENT, HEARD, said, 1_700_000_000, terms=CACHED, open_host=open_host)
    found = fits(ChatCompletion, told)
    (choice,) = found.choices
    assert choice.finish_reason == ("length" if said.output_tokens > 50 else "stop")
    assert (choice.message.content, choice.message.refusal) == ((None, "No.") if said.refused else (said.text, None))
    assert ("reasoning_content" in told["choices"][0]["message"]) == (open_host and said.reasoning is not None)
    usage = found.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens == min(said.output_tokens, 50)
    assert usage.completion_tokens_details.reasoning_tokens == min(said.reasoning_tokens, 50)
    assert usage.prompt_tokens_details.cached_tokens == 1


@pytest.mark.parametrize("said", ALL_SAID)
def test_responses(said: Said) -> None:
    found = fits(
        Response, shapes_openai.responses(IDENT, HEARD, said, 1_700_000_000, terms=PLAIN) | {"created_at": 1.0}
    )
    short = said.output_tokens > 50
    assert found.status == ("incomplete" if short else "completed")
    assert (found.incomplete_details is not None) == short
    assert found.output_text == ("" if said.refused else said.text)
    kinds = [item.type for item in found.output]
    assert kinds == ["reasoning"] * (said.reasoning is not None) + ["message"] * bool(said.text or not short)
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens


@pytest.mark.parametrize("said", ALL_SAID)
@pytest.mark.parametrize("tier", ["batch", "standard"])
@pytest.mark.parametrize("display", [None, "omitted", "summarized"])
def test_messages(said: Said, tier: str, display: str | None) -> None:
    heard = replace(HEARD, model="claude", options={"display": display})
    found = fits(Message, shapes_anthropic.message(IDENT, heard, said, terms=Terms(tier, Touched(1))))
    assert found.stop_reason == ("refusal" if said.refused else "max_tokens" if said.output_tokens > 50 else "end_turn")
    thinking = [block for block in found.content if block.type == "thinking"]
    assert [block.thinking for block in thinking] == (
        [] if said.reasoning is None else ["" if display == "omitted" else "why"]
    )
    assert "".join(block.text for block in found.content if block.type == "text") == ("" if said.refused else said.text)
    usage = found.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == heard.input_tokens
    assert (usage.output_tokens, usage.service_tier) == (min(said.output_tokens, 50), tier)


def test_what_the_cache_did_is_told_in_each_dialects_own_words() -> None:
    chat = fits(ChatCompletion, shapes_openai.chat(IDENT, WIDE, PROSE, 1, terms=WRITTEN, open_host=False))
    assert (chat.usage.prompt_tokens, chat.service_tier) == (101, "flex"), "the cache is part of the input"
    assert chat.usage.prompt_tokens_details.cached_tokens == 1
    assert chat.usage.prompt_tokens_details.cache_write_tokens == 6

    answer = fits(Response, shapes_openai.responses(IDENT, WIDE, PROSE, 1, terms=WRITTEN) | {"created_at": 1.0})
    details = answer.usage.input_tokens_details
    assert (answer.usage.input_tokens, answer.service_tier) == (101, "flex")
    assert (details.cached_tokens, details.cache_write_tokens) == (1, 6)
    assert details.cache_write_tokens_details.ttl_30m_tokens == 2
    assert details.cache_write_tokens_details.ttl_12h_tokens == 4

    usage = fits(Message, shapes_anthropic.message(IDENT, WIDE, PROSE, terms=replace(WRITTEN, tier="batch"))).usage
    assert usage.input_tokens == 101 - 1 - 6, "the cache is beside the input"
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1, 6)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 2
    assert usage.cache_creation.ephemeral_1h_input_tokens == 4


def test_hosts_that_wrote_nothing_say_nothing_of_writes() -> None:
    chat = shapes_openai.chat(IDENT, WIDE, PROSE, 1, terms=CACHED, open_host=False)
    assert "cache_write_tokens" not in chat["usage"]["prompt_tokens_details"]
    answer = shapes_openai.responses(IDENT, WIDE, PROSE, 1, terms=CACHED)
    assert answer["usage"]["input_tokens_details"] == {"cached_tokens": 1, "cache_write_tokens": 0}
    assert (chat["service_tier"], answer["service_tier"]) == ("default", "default")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(encoding: str) -> None:
    heard = Heard("embed", inputs=("a b", "c", ""), options={"dimensions": 8, "encoding_format": encoding})
    told = shapes_openai.embeddings(heard)
    if encoding == "float":
        found = fits(CreateEmbeddingResponse, told)
        assert [one.index for one in found.data] == [0, 1, 2]
        assert {len(one.embedding) for one in found.data} == {8}
    assert all(isinstance(one["embedding"], list if encoding == "float" else str) for one in told["data"])
    assert told["usage"] == {"prompt_tokens": heard.input_tokens, "total_tokens": heard.input_tokens}


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 100))
def test_no_ceiling_is_ever_passed(output: int, thought: int, ceiling: int) -> None:
    heard = replace(HEARD, ceiling=ceiling)
    said = Said("x", None, output, min(thought, output))
    spent = shapes_openai.spent_of(heard, said)
    assert 0 <= spent[1] <= spent[0] <= ceiling
    assert shapes_openai.cut(heard, said) == (output > ceiling) == (spent[0] < output)


# Lines and errors


@pytest.mark.parametrize("text", ["plain", "é – “x”", "\u2028\u0085\u2029", "\x00\x1f", "😀", 'a"b\\c\n'])
def test_lines_hold_any_text(text: str) -> None:
    row = shapes_openai.row(IDENT, "c", 200, {"text": text})
    for raw in (True, False):
        line = shapes_openai.dump(row, raw=raw)
        assert b"\n" not in line and orjson.loads(line) == row
        assert line.isascii() or raw
    claude = shapes_anthropic.dump(shapes_anthropic.succeeded("c", {"text": text}))
    assert b"\n" not in claude and orjson.loads(claude)["result"]["message"]["text"] == text


@pytest.mark.parametrize(
    "told, kind",
    [
        (shapes_anthropic.errored("c", Refused(529, "M")), "errored"),
        (shapes_anthropic.errored("c", Refused(404, "M")), "errored"),
        (shapes_anthropic.unfinished("c", "expired"), "expired"),
        (shapes_anthropic.unfinished("c", "canceled"), "canceled"),
        (
            shapes_anthropic.succeeded("c", shapes_anthropic.message(IDENT, HEARD, PROSE, terms=Terms("batch"))),
            "succeeded",
        ),
    ],
)
def test_anthropic_result_lines(told: dict[str, Any], kind: str) -> None:
    found = fits(MessageBatchIndividualResponse, told)
    assert (found.custom_id, found.result.type) == ("c", kind)
    if kind == "errored":
        assert found.result.error.error.message == "M"


@pytest.mark.parametrize("status_code", [400, 401, 403, 404, 409, 413, 429, 500, 503, 529])
def test_error_bodies_of_both_dialects(status_code: int) -> None:
    refused = Refused(status_code, "M", code="c", param="p")
    openai = shapes_openai.refusal(refused)["error"]
    assert set(openai) == {"message", "type", "param", "code"}
    assert (openai["message"], openai["param"], openai["code"]) == ("M", "p", "c")
    assert (openai["type"] == "server_error") == (status_code >= 500)
    anthropic = shapes_anthropic.refusal(refused, IDENT)
    assert (anthropic["type"], set(anthropic["error"])) == ("error", {"type", "message"})
    assert anthropic["request_id"].startswith("req_01")


# The batch object over time


def batch(**change: Any) -> Batch:
    """Created at 1000, in progress from 1010, due at 1110, finalizing takes 5."""
    usual: dict[str, Any] = {
        "id": "batch_" + "0" * 32, "n": 1, "dialect": "openai", "profile": "openai", "endpoint": "/v1/responses",
        "created": 1000.0, "validate": 10.0, "work": 100.0, "finalize": 5.0, "total": 50, "input_file_id": "file-in",
        "metadata": {"a": "b"}, "model": "plain",
    }  # fmt: skip
    return Batch(**usual | change)


USAGE = shapes_openai.totals(10, 2, 30, 5)


def over(how: Any = "completed", at: float = 1111.0, **change: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"output": "file-o", "error": None, "ok": 50, "failed": 0, "unfinished": 0, "usage": USAGE}
    return {"ended": Ended(at=at, how=how, **usual | change), "billed": True}


PROBLEM = {"code": "invalid_url", "message": "M", "param": "url", "line": 3}
LIVES: dict[str, dict[str, Any]] = {
    "usual": over(),
    "slow to execute": over(at=1300.0),
    "never executed": {},
    "bad file": {"problems": (PROBLEM,), "total": 0},
    "not looked at": {"total": None},
    "expired": over("expired", error="file-e", ok=45, unfinished=5),
    "cancelled": {"cancelled": 1050.0} | over("cancelled", 1051.0, error="file-e", ok=20, unfinished=30),
    "cancelled early": {"cancelled": 1001.0} | over("cancelled", 1002.0, output=None, ok=0, unfinished=50),
    "cancelled late": {"cancelled": 1112.0} | over(),
    "cancelled by the provider": {"faults": ({"kind": "cancel"},)} | over("cancelled"),
    "all failed": over(output=None, error="file-e", ok=0, failed=50),
    "lies": {"faults": ({"kind": "counts_lie", "completed": 3, "total": 9},)} | over(),
    "blank": {"faults": ({"kind": "empty_error_id", "output": True},)} | over(output=None),
    "stuck": {"faults": ({"kind": "stuck"},)},
    "odd word": {"faults": ({"kind": "unknown_status", "status": "paused"},)} | over(),
}


def at(one: Batch, now: float) -> Batch:
    """The record as it was at that moment: nothing in it that had not happened yet."""
    known = one.ended is not None and one.ended.at <= now
    one = one if known else replace(one, ended=None, billed=False)
    return one if one.cancelled is None or one.cancelled <= now else replace(one, cancelled=None)


TERMINAL = {"completed", "failed", "expired", "cancelled"}
MOMENTS = (1000, 1005, 1009.9, 1010, 1040, 1050, 1055, 1109, 1112, 1116, 1120, 1400)


@pytest.mark.parametrize("life", LIVES)
def test_the_batch_object_at_any_moment(life: str) -> None:
    for now in MOMENTS:
        one = at(batch(**LIVES[life]), now)
        told = shown(one, now)
        word = told["status"]
        if word != "paused":
            fits(OpenAIBatch, told)
        assert word == status(one, now)
        done = word in TERMINAL
        if not done:
            for name in ("output_file_id", "error_file_id", "usage", "model", "errors", "completed_at", "failed_at"):
                assert told[name] is None, name
            assert told["expired_at"] is None and told["cancelled_at"] is None
        assert [told[f"{name}_at"] is not None for name in sorted(TERMINAL)] == [
            name == word for name in sorted(TERMINAL)
        ]
        assert (told["errors"] is not None) == (word == "failed")
        assert (told["cancelling_at"] is not None) == (one.cancelled is not None)
        assert told["expires_at"] - told["created_at"] == 86_400
        assert (told["created_at"], told["metadata"], told["input_file_id"]) == (1000, {"a": "b"}, "file-in")
        order = [
            told[f"{name}_at"] for name in ("created", "in_progress", "finalizing", word) if told.get(f"{name}_at")
        ]
        assert order == sorted(order), "no moment lies before the one that led to it"
        assert all(moment <= now or moment == told["expires_at"] for moment in order)


@pytest.mark.parametrize("life", LIVES)
def test_a_terminal_batch_never_changes(life: str) -> None:
    one = batch(**LIVES[life])
    told = [shown(at(one, now), now) for now in MOMENTS]
    first = next((place for place, seen in enumerate(told) if seen["status"] in TERMINAL), len(told))
    assert all(seen == told[first] for seen in told[first:])
    assert (first < len(told)) == (life not in {"never executed", "not looked at", "stuck"})


@pytest.mark.parametrize("life", LIVES)
def test_counts_are_a_part_of_the_total_and_do_not_fall(life: str) -> None:
    one = batch(**LIVES[life])
    seen = [counts(at(one, now), now) for now in MOMENTS]
    for count in seen:
        assert set(count) == {"total", "completed", "failed"}
        assert min(count.values()) >= 0
        assert count["completed"] + count["failed"] <= count["total"]
    if life in {"usual", "slow to execute", "all failed", "never executed"}:
        done = [count["completed"] + count["failed"] for count in seen]
        assert done == sorted(done)
        assert done[-1] == (49 if life == "never executed" else 50)


@pytest.mark.parametrize("life", LIVES)
def test_every_life_survives_a_restart(life: str) -> None:
    one = batch(**LIVES[life])
    again = unpack(orjson.loads(orjson.dumps(pack(one))))
    assert again == one
    assert [shown(again, now) for now in MOMENTS] == [shown(one, now) for now in MOMENTS]


def test_a_record_of_an_older_version_is_read() -> None:
    told = pack(batch())
    del told["deleted"], told["version"]
    assert unpack(told | {"something": "newer"}) == batch()


class FakeDesk:
    """As much of a desk as showing a batch takes."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}


CLAUDE = {"dialect": "anthropic", "profile": "anthropic", "endpoint": "/v1/messages"}


@pytest.mark.parametrize(
    "life", [name for name in LIVES if name not in {"bad file", "not looked at", "blank", "odd word"}]
)
def test_the_anthropic_batch_object_at_any_moment(life: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in MOMENTS:
        one = at(batch(**CLAUDE | LIVES[life]), now)
        monkeypatch.setattr("chimera_batch.rehearsal.anthropic_api.time.time", lambda now=now: now)
        api = AnthropicApi(FakeDesk())  # type: ignore[arg-type]  # only showing is asked of it
        request = Request("GET", "/v1/messages/batches/x", "anthropic", {}, {"host": "h:1"}, iter([]))
        told = api._shown(request, one)
        found = fits(MessageBatch, told)
        count = found.request_counts
        if life != "lies":
            assert sum(count.model_dump().values()) == 50
        if found.processing_status == "ended":
            assert count.processing == 0
            assert told["results_url"] == f"http://h:1/anthropic/v1/messages/batches/{one.id}/results"
            assert found.ended_at is not None and found.ended_at.timestamp() <= now
            assert one.ended is not None
            if life != "lies":
                assert (count.succeeded, count.errored) == (one.ended.ok, one.ended.failed)
                assert (count.expired, count.canceled) == ((5, 0) if life == "expired" else (0, one.ended.unfinished))
        else:
            assert (count.processing, found.results_url, found.ended_at) == (50, None, None)
            canceling = one.cancelled is not None or status(one, now) == "cancelling"
            assert found.processing_status == ("canceling" if canceling else "in_progress")
        assert (found.cancel_initiated_at is not None) == (one.cancelled is not None)
        assert (found.expires_at - found.created_at).total_seconds() == 86_400


def test_files_and_deletions_are_the_sdks(tmp_path: Path) -> None:
    files = Files(tmp_path)
    kept = files.keep(files.write([b"x"], 1), name="a.jsonl", purpose="batch", expires=3600)
    assert fits(FileObject, kept).expires_at == kept["created_at"] + 3600
    fits(FileDeleted, {"id": "f", "object": "file", "deleted": True})
    fits(DeletedMessageBatch, {"id": "m", "type": "message_batch_deleted"})


# Recordings


def recorded(pattern: str) -> Iterator[dict[str, Any]]:
    for path in sorted(GOLDEN.glob(pattern)):
        for line in path.read_bytes().split(b"\n"):
            if line.strip():
                yield json.loads(line)


def objects(pattern: str, kind: str, value: str) -> list[dict[str, Any]]:
    """Every object of a kind in the bodies of a recording, those inside list pages included."""
    found = []
    for told in recorded(pattern):
        body = told["body"]
        if isinstance(body, dict):
            found += [one for one in [body, *(body.get("data") or [])] if one.get(kind) == value]
    if not found:
        pytest.skip("the recordings are not here")
    return found


def keys(told: Any, where: str = "") -> set[str]:
    if not isinstance(told, dict):
        return set()
    inner = (keys(value, f"{where}.{name}") for name, value in told.items() if name != "metadata")
    return {f"{where}.{name}" for name in told}.union(*inner)


def test_every_recorded_key_of_an_openai_batch_is_in_ours() -> None:
    real = objects("*openai/*.exchanges.jsonl", "object", "batch")
    ours = keys(shown(batch(**LIVES["usual"]), 2000)) | keys(shown(batch(**LIVES["bad file"]), 2000))
    assert set().union(*map(keys, real)) <= ours
    for one in real:
        name = {"completed": "usual", "cancelled": "cancelled", "cancelling": "stuck", "in_progress": "stuck"}
        assert one["status"] in {*name, "validating", "finalizing", "failed", "expired"}


def test_moments_are_null_where_the_recordings_have_null() -> None:
    real = objects("*openai/*.exchanges.jsonl", "object", "batch")
    moments = {"validating": 1005, "in_progress": 1040, "finalizing": 1112, "completed": 1200}
    for one in real:
        if one["status"] in moments:
            ours = shown(at(batch(**LIVES["usual"]), moments[one["status"]]), moments[one["status"]])
            assert ours["status"] == one["status"]
            for name in ("in_progress_at", "finalizing_at", "completed_at", "cancelling_at", "failed_at", "expired_at"):
                assert (ours[name] is None) == (one[name] is None), (one["status"], name)


def test_every_recorded_key_of_an_anthropic_batch_is_in_ours() -> None:
    real = objects("*anthropic/*.exchanges.jsonl", "type", "message_batch")
    api = AnthropicApi(FakeDesk())  # type: ignore[arg-type]  # only showing is asked of it
    request = Request("GET", "/v1/messages/batches/x", "anthropic", {}, {}, iter([]))
    ours = api._shown(request, batch(**CLAUDE | LIVES["usual"]))
    for one in real:
        assert keys(one) == keys(ours)
        for name in ("created_at", "expires_at"):
            assert len(one[name]) == len(ours[name]), "the same notation of time"


def test_rows_are_those_of_the_recordings() -> None:
    pages = [told["response"]["body"] for told in recorded("curator-openai/*.file-*.jsonl") if told.get("response")]
    if not pages:
        pytest.skip("the recordings are not here")
    ours = shapes_openai.row(IDENT, "c", 200, shapes_openai.chat(IDENT, HEARD, PROSE, 1, terms=PLAIN, open_host=False))
    for told in recorded("curator-openai/*.file-*.jsonl"):
        assert list(told) == list(ours)
        assert set(told["response"]) == set(ours["response"])
        body, mine = told["response"]["body"], ours["response"]["body"]
        assert set(body) <= set(mine)
        assert keys(body["usage"]) == keys(mine["usage"])
        for choice in body["choices"]:
            assert set(choice) == set(mine["choices"][0])
            assert set(choice["message"]) - {"annotations"} <= set(mine["choices"][0]["message"])


def test_anthropic_rows_are_those_of_the_recordings() -> None:
    rows = list(recorded("curator-anthropic/*.msgbatch_*.jsonl"))
    if not rows:
        pytest.skip("the recordings are not here")
    for told in rows:
        message = told["result"]["message"]
        thinks = message["content"][0]["type"] == "thinking"
        ours = shapes_anthropic.message(IDENT, HEARD, THOUGHT if thinks else PROSE, terms=Terms("batch"))
        assert set(message) == set(ours)
        assert set(message["usage"]) <= set(ours["usage"])
        assert [set(block) for block in message["content"]] == [set(block) for block in ours["content"]]
        assert set(told) == {"custom_id", "result"} and set(told["result"]) == {"type", "message"}
        assert message["id"][:6] == ours["id"][:6] == "msg_01"
        assert len(message["id"]) == len(ours["id"])


def test_list_pages_are_those_of_the_recordings() -> None:
    pages = [
        told["body"]
        for told in recorded("ruby-*/*list*.exchanges.jsonl")
        if isinstance(told["body"], dict) and "data" in told["body"]
    ]
    if not pages:
        pytest.skip("the recordings are not here")
    for one in pages:
        assert set(one) <= {"object", "data", "first_id", "last_id", "has_more"}
        if "first_id" in one and one["data"]:
            assert (one["first_id"], one["last_id"]) == (one["data"][0]["id"], one["data"][-1]["id"])
