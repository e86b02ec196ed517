"""Whatever JSON is sent as a body, an endpoint answers or refuses: what crashes it would hang a batch for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chimera_batch.rehearsal import asks, generic
from chimera_batch.rehearsal.asks import NO_CEILING, Heard, Refused, key_of
from chimera_batch.rehearsal.clerk import MESSAGES, Clerk, Errand
from chimera_batch.rehearsal.tariff import Tariff
from chimera_batch.rehearsal.validate import MOST_PROBLEMS, check
from tests.rehearsal_kit import PRICES, Hall, ask_claude, chat_line, custom_id, finished, jsonl, rows, submit

READERS: dict[str, Callable[[dict[str, Any]], Heard]] = {**asks.READERS, MESSAGES: asks.messages}
SAY = [{"role": "user", "content": "U"}]
USUAL: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "plain", "messages": SAY},
    "/v1/responses": {"model": "plain", "input": "U"},
    "/v1/embeddings": {"model": "embed", "input": "U"},
    MESSAGES: {"model": "claude", "messages": SAY, "max_tokens": 50},
}
FIELDS = (
    *("model", "messages", "input", "instructions", "system", "max_tokens", "max_completion_tokens"),
    *("max_output_tokens", "temperature", "top_p", "top_k", "response_format", "text", "reasoning", "reasoning_effort"),
    *("output_config", "output_format", "thinking", "dimensions", "encoding_format", "stream"),
)
WORDS = ("role", "content", "type", "json_schema", "format", "schema", "name", "title", "effort", "display", "text")

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-2, 2), st.sampled_from(["", "x", "user", "o3"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def refusal(read: Callable[..., Heard], body: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        read(body)
    return caught.value


@pytest.mark.parametrize("endpoint", READERS)
@settings(max_examples=40, deadline=None)
@given(change=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
@example(change={"messages": [1]})
@example(change={"messages": [{"role": ["user"], "content": 5}], "temperature": [1], "model": "o3"})
@example(change={"input": 5})
def test_any_body_is_heard_or_refused(endpoint: str, change: dict[str, Any]) -> None:
    try:
        heard = READERS[endpoint](USUAL[endpoint] | change)
    except Refused as refused:
        assert 400 <= refused.status < 500 and refused.message
    else:
        assert isinstance(heard.model, str) and heard.model
        assert isinstance(heard.system, str) and isinstance(heard.user, str)
        assert heard.schema is None or isinstance(heard.schema, dict)
        assert heard.schema_name is None or isinstance(heard.schema_name, str)
        assert type(heard.ceiling) is int and heard.ceiling >= 1
        assert heard.input_tokens >= 0


@pytest.mark.parametrize(
    "endpoint, change, param",
    [
        ("/v1/chat/completions", {"messages": ["hi"]}, "messages[0]"),
        ("/v1/chat/completions", {"messages": [*SAY, None]}, "messages[1]"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "content": {"a": 1}}]}, "messages[0].content"),
        ("/v1/chat/completions", {"response_format": "json"}, "response_format"),
        ("/v1/chat/completions", {"response_format": {"json_schema": []}}, "json_schema"),
        ("/v1/chat/completions", {"response_format": {"json_schema": {"schema": "x"}}}, "schema"),
        ("/v1/chat/completions", {"response_format": {"json_schema": {"name": ["n"]}}}, "name"),
        ("/v1/responses", {"input": 7}, "input"),
        ("/v1/responses", {"input": {"role": "user"}}, "input"),
        ("/v1/responses", {"input": [["user", "hi"]]}, "messages[0]"),
        ("/v1/responses", {"text": "plain"}, "text"),
        ("/v1/responses", {"text": {"format": "json"}}, "format"),
        ("/v1/responses", {"model": "gpt-5", "reasoning": "low"}, "reasoning"),
        ("/v1/embeddings", {"input": 7}, "input"),
        ("/v1/embeddings", {"input": {"a": "b"}}, "input"),
        (MESSAGES, {"system": 5}, "system"),
        (MESSAGES, {"thinking": "enabled"}, "thinking"),
        (MESSAGES, {"output_config": []}, "output_config"),
        (MESSAGES, {"output_config": {"format": 1}}, "format"),
        (MESSAGES, {"messages": ["hi"]}, "messages[0]"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_name(endpoint: str, change: dict[str, Any], param: str) -> None:
    refused = refusal(READERS[endpoint], USUAL[endpoint] | change)
    assert (refused.status, refused.code, refused.param) == (400, "invalid_type", param)
    assert f"'{param}'" in refused.message


@pytest.mark.parametrize("value", [True, False, 1.5, "5", [5], 0, -1])
@pytest.mark.parametrize(
    "endpoint, name",
    [
        ("/v1/chat/completions", "max_completion_tokens"),
        ("/v1/responses", "max_output_tokens"),
        (MESSAGES, "max_tokens"),
    ],
)
def test_a_ceiling_is_a_whole_number_from_one(endpoint: str, name: str, value: object) -> None:
    assert refusal(READERS[endpoint], USUAL[endpoint] | {name: value}).param == name
    assert READERS[endpoint](USUAL[endpoint] | {name: 1}).ceiling == 1


@pytest.mark.parametrize("value", [0, 4097, True, 2.0, "64", None])
def test_dimensions_are_a_whole_number_in_range(value: object) -> None:
    assert refusal(asks.embeddings, {"model": "embed", "input": "x", "dimensions": value}).param == "dimensions"


@pytest.mark.parametrize("model", [None, "", 5, ["m"], {"m": 1}, False])
@pytest.mark.parametrize("endpoint", READERS)
def test_a_model_is_a_text(endpoint: str, model: object) -> None:
    assert "model" in refusal(READERS[endpoint], USUAL[endpoint] | {"model": model}).message


@pytest.mark.parametrize(
    "body, passes",
    [
        ({"temperature": None, "top_p": None}, True),
        ({"temperature": 1.0}, True),
        ({"temperature": 0}, False),
        ({"temperature": [1]}, False),
        ({"top_p": 0.99}, False),
        ({"temperature": 0, "reasoning_effort": "none"}, True),
        ({"temperature": 0, "reasoning_effort": "low"}, False),
    ],
)
@pytest.mark.parametrize("model", ["gpt-5", "gpt-6-luna", "o1", "o4-mini"])
def test_reasoning_models_take_only_the_default_sampling(model: str, body: dict[str, Any], passes: bool) -> None:
    asked = {"model": model, "messages": SAY} | body
    if passes:
        assert asks.chat(asked).model == model
    else:
        assert refusal(asks.chat, asked).code == "unsupported_value"
    assert asks.chat(asked | {"model": "gpt-4o"}).model == "gpt-4o"


@pytest.mark.parametrize(
    "version, passes", [("2023-06-01", True), ("2026-10-20", True), ("2026-10-21", False), ("2027-01-01", False)]
)
@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_the_version_decides_about_sampling(version: str, passes: bool, name: str) -> None:
    body = USUAL[MESSAGES] | {name: 1}
    if passes:
        assert asks.messages(body, version).model == "claude"
    else:
        with pytest.raises(Refused, match=f"{name}: Extra inputs are not permitted"):
            asks.messages(body, version)


@pytest.mark.parametrize("content", ["U", [{"type": "text", "text": "U"}], [{"text": "U"}, "skipped", {"text": None}]])
def test_content_is_text_or_blocks(content: Any) -> None:
    heard = asks.chat({"model": "m", "messages": [{"role": "user", "content": content}]})
    assert heard.user.strip() == "U"


def test_turns_are_joined_by_role_and_the_assistant_is_not_repeated() -> None:
    turns = [
        {"role": "system", "content": "S1"},
        {"role": "user", "content": "U1"},
        {"role": "assistant", "content": "A"},
        {"content": "U2"},
        {"role": "developer", "content": "S2"},
    ]
    heard = asks.chat({"model": "m", "messages": turns})
    assert (heard.system, heard.user, heard.ceiling) == ("S1\n\nS2", "U1\n\nU2", NO_CEILING)


def test_an_explicit_name_wins_over_the_title_of_the_schema() -> None:
    def name(**shape: Any) -> str | None:
        return asks.messages(USUAL[MESSAGES] | {"output_config": {"format": shape}}).schema_name

    assert name(schema={"title": "t"}) == "t"
    assert name(schema={"title": "t"}, name="n") == "n"
    assert name(schema={"title": 5}) is None
    assert name(schema={}) is None


def test_the_older_field_for_a_schema_is_read_too() -> None:
    assert asks.messages(USUAL[MESSAGES] | {"output_format": {"schema": {"title": "t"}}}).schema == {"title": "t"}


# Identity


@given(
    st.dictionaries(st.sampled_from(["model", "input", "user", "text"]), st.text(max_size=5), max_size=4),
    st.dictionaries(st.sampled_from(asks.CEILINGS), st.integers(1, 9), max_size=3),
    st.randoms(use_true_random=False),
)
def test_the_key_forgets_the_ceiling_and_the_order_of_fields(
    body: dict[str, str], ceilings: dict[str, int], rng: Any
) -> None:
    mixed = list((body | ceilings).items())
    rng.shuffle(mixed)
    assert key_of("", dict(mixed)) == key_of("any other id", body)
    assert key_of("", body | {"seed": "new"}) != key_of("", body)


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_attempts_of_one_request_share_their_key(request_id: str, nonce: str) -> None:
    assert key_of(request_id, {}) == key_of(f"{nonce}-{request_id}", {"other": 1}) == request_id


# Whole files


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(asks.READERS)), st.lists(json_values, max_size=3), json_values, json_values)
def test_validation_survives_any_line(endpoint: str, lines: list[Any], ident: Any, body: Any) -> None:
    wrapped = {"custom_id": ident, "method": "POST", "url": endpoint, "body": body}
    data = [orjson.dumps(line) + b"\n" for line in [*lines, wrapped, wrapped]]
    found = check(data, endpoint, lambda model: True)
    assert found.total == len(data)
    assert len(found.problems) <= MOST_PROBLEMS
    for one in found.problems:
        assert set(one) == {"code", "message", "param", "line"}
        assert one["line"] is None or 1 <= one["line"] <= len(data)


@given(st.binary(max_size=40))
def test_validation_survives_any_bytes(line: bytes) -> None:
    found = check([line], "/v1/responses", lambda model: True)
    assert found.problems


@pytest.mark.parametrize("ident", [5, ["a"], {"a": 1}, True, 1.5])
def test_a_custom_id_is_a_text(ident: object) -> None:
    found = check([jsonl([chat_line(1) | {"custom_id": ident}])], "/v1/chat/completions", lambda model: True)
    assert [(one["code"], one["param"]) for one in found.problems] == [("invalid_type", "custom_id")]


@pytest.mark.parametrize("model", [5, ["plain"], {"a": 1}])
def test_the_model_of_a_line_is_a_text(model: object) -> None:
    found = check([jsonl([chat_line(1, model=model)])], "/v1/chat/completions", lambda model: True)
    assert [(one["code"], one["param"]) for one in found.problems] == [("invalid_request", "body.model")]
    assert found.model is None


def test_a_bad_first_line_does_not_decide_the_model() -> None:
    data = [b"{\n", jsonl([chat_line(1)]), jsonl([chat_line(2, model="other")])]
    found = check(data, "/v1/chat/completions", lambda model: True)
    assert found.model == "plain"
    assert [(one["code"], one["line"]) for one in found.problems] == [
        ("invalid_json_line", 1),
        ("mismatched_model", 3),
    ]


def test_an_unknown_model_is_told_once_and_every_other_line_is_looked_at() -> None:
    data = [jsonl([chat_line(n, model="gone")]) for n in range(3)]
    codes = [one["code"] for one in check(data, "/v1/chat/completions", lambda model: False).problems]
    assert codes == ["model_not_found"]


def test_tokens_are_counted_of_good_lines_only() -> None:
    good, bad = jsonl([chat_line(1)]), jsonl([chat_line(2, stream=True)])
    one = check([good], "/v1/chat/completions", lambda model: True).input_tokens
    both = check([good, bad], "/v1/chat/completions", lambda model: True).input_tokens
    assert one == both == generic.tokens("Question 1?")


@pytest.mark.parametrize("most, codes", [(2, []), (1, ["too_many_tasks"])])
def test_exactly_as_many_requests_as_allowed(most: int, codes: list[str]) -> None:
    data = [jsonl([chat_line(n)]) for n in range(2)]
    found = check(data, "/v1/chat/completions", lambda model: True, most)
    assert [one["code"] for one in found.problems] == codes


# Through a batch: the rows fail, the batch ends


def test_rows_that_make_no_sense_fail_by_themselves(tmp_path: Path) -> None:
    lines = [chat_line(n) for n in range(5)]
    lines[1]["body"]["messages"] = ["not a turn"]
    lines[2]["body"]["messages"] = [{"role": "user", "content": 5}]
    lines[3]["body"]["response_format"] = {"json_schema": {"schema": 5}}
    with Hall(tmp_path / "s") as hall, hall.openai() as client:
        done = finished(client, submit(client, jsonl(lines)).id)
        error = rows(client, done.error_file_id)
        answered = {row["custom_id"] for row in rows(client, done.output_file_id)}
    assert (done.status, done.request_counts.failed, len(hall.bill)) == ("completed", 3, 2)
    assert answered == {custom_id(0), custom_id(4)}
    assert {row["response"]["body"]["error"]["code"] for row in error} == {"invalid_type"}


@pytest.mark.parametrize(
    "params",
    [{"messages": ["x"]}, {"system": 5}, {"thinking": 1}, {"output_config": {"format": "json"}}, {"max_tokens": True}],
)
def test_params_of_a_wrong_type_are_refused_by_the_clerk(params: dict[str, Any]) -> None:
    body = ask_claude(1, **params)["params"]
    clerk = Clerk(generic.answer, Tariff(PRICES), {})
    with pytest.raises(Refused) as caught:
        clerk.do(Errand("anthropic", MESSAGES, "a", body, 1, "k" * 32, 0, batch="b"))
    assert caught.value.status == 400


def test_a_largest_ceiling_of_the_settings_holds_for_messages() -> None:
    clerk = Clerk(generic.answer, Tariff(PRICES), {"max_tokens": 64})

    def asked(tokens: int) -> Errand:
        return Errand("anthropic", MESSAGES, "a", ask_claude(1, max_tokens=tokens)["params"], 1, "k" * 32, 0)

    assert clerk.do(asked(64)).line["usable"] in {True, False}
    with pytest.raises(Refused, match="65 > 64"):
        clerk.do(asked(65))
