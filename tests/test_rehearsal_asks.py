from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal import asks
from chimera_batch.rehearsal.asks import NO_CEILING, Heard, Refused, key_of
from chimera_batch.rehearsal.clerk import Clerk, Errand
from chimera_batch.rehearsal.shapes_openai import vector
from chimera_batch.rehearsal.talk import Ask, Said
from chimera_batch.rehearsal.tariff import Tariff
from tests.rehearsal_kit import PRICES, SCHEMA

KEY = "0123456789abcdef" * 2
SCHEMA_CHAT = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}
SCHEMA_TEXT = {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}}
SAY = [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "U"}]}]


@pytest.mark.parametrize("custom_id", [KEY, f"deadbeef-{KEY}"])
def test_the_key_is_in_our_custom_ids(custom_id: str) -> None:
    assert key_of(custom_id, {"any": 1}) == KEY


@pytest.mark.parametrize("custom_id", ["", "r1", KEY.upper(), f"xyz-{KEY}", f"deadbeef-{KEY}0", f"deadbeef-{KEY}\n"])
def test_other_ids_are_keyed_by_the_body_without_its_ceiling(custom_id: str) -> None:
    body = {"model": "m", "input": "x"}
    key = key_of(custom_id, body)
    assert key == key_of("", {"input": "x", "max_output_tokens": 9, "model": "m"})
    assert key != key_of("", body | {"input": "y"})
    assert len(key) == 32 and key != KEY


@pytest.mark.parametrize(
    "read, body, heard",
    [
        (
            asks.chat,
            {"messages": SAY, "max_completion_tokens": 5, "response_format": SCHEMA_CHAT},
            ("S", "U", "reply", 5),
        ),
        (asks.chat, {"messages": SAY, "max_tokens": 6}, ("S", "U", None, 6)),
        (asks.chat, {"messages": [{"role": "developer", "content": "D"}, *SAY]}, ("D\n\nS", "U", None, NO_CEILING)),
        (asks.responses, {"input": "U", "instructions": "S", "text": SCHEMA_TEXT}, ("S", "U", "reply", NO_CEILING)),
        (asks.responses, {"input": SAY, "max_output_tokens": 7}, ("S", "U", None, 7)),
        (asks.messages, {"messages": SAY[1:], "system": "S", "max_tokens": 8}, ("S", "U", None, 8)),
        (
            asks.messages,
            {
                "messages": SAY[1:],
                "system": [{"type": "text", "text": "S"}],
                "max_tokens": 8,
                "output_config": SCHEMA_TEXT,
            },
            ("S", "U", "reply", 8),
        ),
    ],
)
def test_bodies_are_understood(read: Any, body: dict[str, Any], heard: tuple[Any, ...]) -> None:
    found: Heard = read({"model": "m"} | body)
    assert (found.system, found.user, found.schema_name, found.ceiling) == heard
    assert (found.schema == SCHEMA) == (heard[2] is not None)


@pytest.mark.parametrize(
    "read, body, code, message",
    [
        (asks.chat, {"messages": SAY}, None, "model parameter"),
        (asks.chat, {"model": "m"}, "missing_required_parameter", "'messages'"),
        (
            asks.chat,
            {"model": "m", "messages": SAY, "max_completion_tokens": 0},
            "invalid_value",
            "max_completion_tokens",
        ),
        (asks.chat, {"model": "gpt-6-luna", "messages": SAY, "temperature": 0.5}, "unsupported_value", "'temperature'"),
        (
            asks.chat,
            {"model": "o3", "messages": SAY, "max_tokens": 5},
            "unsupported_parameter",
            "max_completion_tokens",
        ),
        (asks.responses, {"model": "gpt-5.4", "input": "x", "top_p": 0.5}, "unsupported_value", "'top_p'"),
        (asks.responses, {"model": "m"}, "missing_required_parameter", "'input'"),
        (asks.embeddings, {"model": "m", "input": []}, "missing_required_parameter", "'input'"),
        (asks.embeddings, {"model": "m", "input": "x", "dimensions": 0}, "invalid_value", "dimensions"),
        (asks.messages, {"max_tokens": 5, "messages": SAY}, None, "model: Field required"),
        (asks.messages, {"model": "m", "messages": SAY}, None, "max_tokens: Field required"),
        (asks.messages, {"model": "m", "max_tokens": 5}, None, "messages: Field required"),
        (asks.messages, {"model": "m", "max_tokens": 5, "messages": SAY, "stream": True}, None, "Message Batches"),
        (asks.messages, {"model": "m", "max_tokens": 5, "messages": SAY, "temperature": 1}, None, "temperature"),
    ],
)
def test_refusals(read: Any, body: dict[str, Any], code: str | None, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, code)


def test_sampling_passes_where_the_provider_lets_it() -> None:
    asks.chat({"model": "gpt-4.1", "messages": SAY, "temperature": 0.5})
    asks.chat({"model": "gpt-6-luna", "messages": SAY, "temperature": 1})
    asks.chat({"model": "gpt-5.4", "messages": SAY, "temperature": 0.5, "reasoning_effort": "none"})
    asks.messages({"model": "m", "max_tokens": 5, "messages": SAY, "top_k": 3}, "2023-06-01")


def test_a_model_has_a_largest_ceiling() -> None:
    with pytest.raises(Refused, match="max_tokens: 9 > 8, which is the maximum allowed"):
        asks.messages({"model": "m", "max_tokens": 9, "messages": SAY}, most=8)


def clerk(said: Said) -> Clerk:
    return Clerk(lambda ask: said, Tariff(PRICES), {})


def errand(endpoint: str, body: dict[str, Any], batch: str | None = "b") -> Errand:
    profile = "anthropic" if endpoint == "/v1/messages" else "openai"
    return Errand(profile, endpoint, KEY, body, 1, KEY, 1_700_000_000, batch=batch)


BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "plain", "messages": SAY, "max_completion_tokens": 50},
    "/v1/responses": {"model": "plain", "input": SAY, "max_output_tokens": 50},
    "/v1/messages": {"model": "claude", "messages": SAY[1:], "max_tokens": 50},
}


def text_and_stop(endpoint: str, body: dict[str, Any]) -> tuple[str, str]:
    if endpoint == "/v1/chat/completions":
        return body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]
    if endpoint == "/v1/responses":
        parts = [part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(parts), (body["incomplete_details"] or {}).get("reason", body["status"])
    return "".join(b["text"] for b in body["content"] if b["type"] == "text"), body["stop_reason"]


@pytest.mark.parametrize(
    "endpoint, stop", list(zip(BODIES, ["length", "max_output_tokens", "max_tokens"], strict=True))
)
@pytest.mark.parametrize("output, reasoning, text", [(100, 0, "x" * 200), (70, 20, "x" * 240), (90, 60, "")])
def test_a_long_answer_is_cut_at_the_ceiling_and_billed_to_it(
    endpoint: str, stop: str, output: int, reasoning: int, text: str
) -> None:
    said = Said("x" * 400, "why", output, reasoning)
    done = clerk(said).do(errand(endpoint, BODIES[endpoint]))
    assert text_and_stop(endpoint, done.body) == (text, stop)
    assert (done.line["output_tokens"], done.line["usable"]) == (50, False)
    assert done.thought == min(reasoning, 50)


@pytest.mark.parametrize("endpoint, stop", list(zip(BODIES, ["stop", "completed", "end_turn"], strict=True)))
def test_an_answer_of_exactly_the_ceiling_is_whole(endpoint: str, stop: str) -> None:
    done = clerk(Said("text", None, 50, 5)).do(errand(endpoint, BODIES[endpoint]))
    assert text_and_stop(endpoint, done.body) == ("text", stop)
    assert done.line["usable"]


def test_refused_answers_are_billed_and_not_usable() -> None:
    said = Said("No.", None, 5, 0, refused=True)
    chat = clerk(said).do(errand("/v1/chat/completions", BODIES["/v1/chat/completions"]))
    assert chat.body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "No."}
    answer = clerk(said).do(errand("/v1/responses", BODIES["/v1/responses"]))
    assert answer.body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    claude = clerk(said).do(errand("/v1/messages", BODIES["/v1/messages"]))
    assert (claude.body["stop_reason"], claude.body["content"]) == ("refusal", [])
    assert not any(done.line["usable"] for done in (chat, answer, claude))


@pytest.mark.parametrize(
    "text, planted, usable",
    [
        ('{"a": 1}', None, True),
        ('{"a": 1}', "wrong_answer", True),
        ('{"a": 1}', "invalid_schema", False),
        ('{"a":', None, False),
    ],
)
def test_usable_is_json_where_json_was_asked_for(text: str, planted: str | None, usable: bool) -> None:
    body = BODIES["/v1/chat/completions"] | {"response_format": SCHEMA_CHAT}
    done = clerk(Said(text, None, 5, 0, planted=planted)).do(errand("/v1/chat/completions", body))
    assert (done.line["usable"], done.planted) == (usable, planted)


@pytest.mark.parametrize("text, usable", [("", False), (" \n", False), (":", True)])
def test_an_empty_answer_is_billed_and_may_be_asked_for_again(text: str, usable: bool) -> None:
    done = clerk(Said(text, "why", 50, 49)).do(errand("/v1/chat/completions", BODIES["/v1/chat/completions"]))
    assert (done.line["output_tokens"], done.line["usable"]) == (50, usable)


def test_the_bill_is_exact_and_dearer_when_synchronous() -> None:
    body = BODIES["/v1/chat/completions"]
    said = Said("text", None, 11, 0)
    cached = Clerk(lambda ask: said, Tariff(PRICES), {"cached_share": 0.5})
    batch = cached.do(errand("/v1/chat/completions", body | {"messages": [{"role": "user", "content": "x" * 30}]}))
    assert (batch.line["input_tokens"], batch.line["cached_tokens"]) == (8, 4)
    assert float(batch.line["usd"]) == pytest.approx((4 * 1 + 4 * 0.5 + 11 * 5) / 1e6, rel=1e-12)
    sync = clerk(said).do(errand("/v1/chat/completions", body, batch=None))
    assert (sync.line["usd"], sync.line["sync"], sync.line["batch"]) == ("0.000112", True, None)


def test_thinking_goes_with_its_tokens_when_it_is_disabled() -> None:
    body = BODIES["/v1/messages"]
    said = Said("text", "why", 30, 20)
    usual = clerk(said).do(errand("/v1/messages", body))
    assert [block["type"] for block in usual.body["content"]] == ["thinking", "text"]
    off = clerk(said).do(errand("/v1/messages", body | {"thinking": {"type": "disabled"}}))
    assert [block["type"] for block in off.body["content"]] == ["text"]
    assert (off.body["usage"]["output_tokens"], usual.body["usage"]["output_tokens"]) == (10, 30)
    hidden = clerk(said).do(errand("/v1/messages", body | {"thinking": {"type": "adaptive", "display": "omitted"}}))
    assert hidden.body["content"][0]["thinking"] == ""


def test_an_open_host_shows_its_reasoning() -> None:
    one = errand("/v1/chat/completions", BODIES["/v1/chat/completions"])
    said = Said("text", "why", 30, 20)
    assert "reasoning_content" not in clerk(said).do(one).body["choices"][0]["message"]
    there = Errand(
        "deepinfra", *[getattr(one, name) for name in ("endpoint", "custom_id", "body", "attempt", "key", "now")]
    )
    assert clerk(said).do(there).body["choices"][0]["message"]["reasoning_content"] == "why"


def test_a_mind_that_fails_is_a_server_error() -> None:
    def broken(ask: Ask) -> Said:
        raise ZeroDivisionError

    with pytest.raises(Refused) as caught:
        Clerk(broken, Tariff(PRICES), {}).do(errand("/v1/responses", BODIES["/v1/responses"]))
    assert caught.value.status == 500


def test_a_model_without_a_price_does_not_exist() -> None:
    with pytest.raises(Refused) as caught:
        clerk(Said("", None, 0, 0)).do(errand("/v1/responses", BODIES["/v1/responses"] | {"model": "gone"}))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@given(st.text(), st.integers(1, 200))
def test_vectors_have_length_one(text: str, dimensions: int) -> None:
    values = vector(text, dimensions)
    assert len(values) == dimensions
    assert math.isclose(sum(v * v for v in values), 1.0, rel_tol=1e-9)


def test_texts_that_share_words_are_close() -> None:
    def likeness(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(vector(a, 64), vector(b, 64), strict=True))

    topic = "Galois theory of finite fields"
    assert likeness(topic, "finite fields and galois theory") > 0.7
    assert abs(likeness(topic, "Sonnets by Shakespeare")) < 0.4
    assert likeness(topic, topic) == pytest.approx(1.0)


def test_an_anthropic_schema_is_named_by_its_title() -> None:
    shaped = {"format": {"type": "json_schema", "schema": SCHEMA | {"title": "verdict"}}}
    assert (
        asks.messages({"model": "m", "max_tokens": 5, "messages": SAY, "output_config": shaped}).schema_name
        == "verdict"
    )
