"""Wire lines into what vLLM is asked, its words into result lines, and the shares of the machine's time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.engines import ray_lines
from chimera_batch.providers import openai_shapes
from tests.ray_kit import custom_id, line


def test_a_wire_line_as_a_row() -> None:
    row = ray_lines.row_of(line(3, "zwölf"))
    assert row["custom_id"] == custom_id(3) and json.loads(row["body"])["messages"][0]["content"] == "zwölf"
    with pytest.raises(ValueError, match="not a request"):
        ray_lines.row_of(b'{"custom_id": 3, "body": {}}')


# -- what Ray's processor is made from

JOB = {"model": "m", "replicas": 2, "block": 16, "engine_kwargs": {"max_num_seqs": 48, "tensor_parallel_size": 2}}


def test_a_processor_on_gpus() -> None:
    made = ray_lines.processor(JOB, cpu=False)
    assert made["engine_kwargs"] == JOB["engine_kwargs"] and made["placement_group_config"] is None
    assert (made["concurrency"], made["batch_size"], made["max_concurrent_batches"]) == ((2, 2), 16, 12)
    assert made["should_continue_on_error"] is True


@pytest.mark.parametrize(("block", "batches"), [(1, 192), (64, 3), (100, 2), (500, 2)])
def test_blocks_under_way_fill_the_engine_four_times(block: int, batches: int) -> None:
    made = ray_lines.processor({**JOB, "block": block}, cpu=False)
    assert made["max_concurrent_batches"] == batches and batches * block >= 4 * 48


def test_a_processor_on_a_cpu_asks_for_no_gpu_and_little_memory() -> None:
    small = {**JOB["engine_kwargs"], "gpu_memory_utilization": 0.1}  # type: ignore[dict-item]
    made = ray_lines.processor({**JOB, "engine_kwargs": small}, cpu=True)
    assert made["placement_group_config"] == {"bundles": [{"CPU": 1}, {"CPU": 1}]}
    assert made["engine_kwargs"]["gpu_memory_utilization"] == 0.1
    assert made["engine_kwargs"]["kv_cache_memory_bytes"] == 1 << 28 and made["engine_kwargs"]["enforce_eager"] is True


# -- sampling


@pytest.mark.parametrize(
    ("body", "advised", "changed"),
    [
        ({}, {}, {}),
        ({"temperature": 0, "top_p": 1, "top_k": 20}, {}, {"temperature": 0.0, "top_p": 1.0, "top_k": 20}),
        ({"temperature": 0.3}, {"temperature": 0.6, "top_k": 20}, {"temperature": 0.3, "top_k": 20}),
        ({"temperature": None}, {"temperature": 0.6}, {"temperature": 0.6}),
        ({"seed": 7, "stop": "END"}, {}, {"seed": 7, "stop": ["END"]}),
        ({"stop": ["a", "b"], "stop_token_ids": [5]}, {}, {"stop": ["a", "b"], "stop_token_ids": [5]}),
        ({"n": 1, "stream": False, "user": "u", "metadata": {"a": 1}}, {}, {}),
        ({"ignore_eos": True, "min_tokens": 5.0}, {}, {"ignore_eos": True, "min_tokens": 5}),
    ],
)
def test_sampling(body: dict[str, Any], advised: dict[str, Any], changed: dict[str, Any]) -> None:
    assert ray_lines.sampling({"model": "m", "messages": [], **body}, advised) == {**ray_lines.NEUTRAL, **changed}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"n": 2}, "n=2 cannot be asked"),
        ({"stream": True}, "stream=true"),
        ({"tools": [{"type": "function"}]}, "tools="),
        ({"logprobs": True}, "logprobs=true"),
        ({"temperature": "hot"}, "'hot' is no float"),
        ({"top_k": 2.5}, "2.5 is no int"),
        ({"ignore_eos": 1}, "1 is no bool"),
    ],
)
def test_what_would_be_asked_in_vain_is_refused(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ray_lines.sampling(body, {})


def test_every_request_has_the_same_keys_and_no_null_among_them() -> None:
    """Else Arrow would put a null into the rows of others, and make 20.0 of a top_k of 20."""
    plain, full = ray_lines.sampling({}, {}), ray_lines.sampling({"seed": 1, "stop": "x", "top_k": 3}, {})
    assert plain.keys() == full.keys() and None not in [*plain.values(), *full.values()]
    assert {name: type(value) for name, value in plain.items()} == {name: type(value) for name, value in full.items()}


def test_the_models_own_advice() -> None:
    found = {"temperature": 0.6, "top_k": 20, "top_p": None, "eos_token_id": [1], "do_sample": True}
    assert ray_lines.model_defaults(found) == {"temperature": 0.6, "top_k": 20}


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_tokens": None}, None),
    ],
)
def test_the_ceiling(body: dict[str, Any], most: int | None) -> None:
    assert ray_lines.ceiling(body) == most


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    got = ray_lines.structured(asked)
    assert got is not None and json.loads(got["json"]) == schema
    assert ray_lines.structured({"response_format": {"type": "json_object"}}) == {"json": '{"type": "object"}'}
    assert ray_lines.structured({}) is ray_lines.structured({"response_format": {"type": "text"}}) is None
    for wrong in ({"type": "json_schema"}, {"type": "grammar"}):
        with pytest.raises(ValueError, match="response_format"):
            ray_lines.structured({"response_format": wrong})


def test_what_the_template_is_told() -> None:
    body = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    assert ray_lines.template_arguments(body) == {"reasoning_effort": "low", "enable_thinking": False}
    assert ray_lines.template_arguments({}) == {}


# -- answers


@pytest.mark.parametrize(
    ("text", "thinks", "reasoning", "answer"),
    [
        ("four", False, None, "four"),
        ("two and two</think>\n\nfour", True, "two and two", "four"),
        ("<think>\ntwo and two\n</think>\n\nfour", False, "two and two", "four"),
        ("<think>\n\n</think>\n\nfour", False, "", "four"),
        ("a</think>b</think>c", True, "a", "b</think>c"),
        ("two and", True, "two and", None),  # the template opened the thought, the ceiling cut it
        ("<think>two and", False, "two and", None),
        ("", False, None, ""),
    ],
)
def test_reasoning_is_split_off(text: str, thinks: bool, reasoning: str | None, answer: str | None) -> None:
    assert ray_lines.split(text, thinks=thinks) == (reasoning, answer)


def row(**changes: Any) -> dict[str, Any]:
    said = {"custom_id": custom_id(1), "reasoning": "two and two", "text": "four", "finish": "stop"}
    return {**said, "input_tokens": 9, "output_tokens": 5, "reasoning_tokens": 3, "began": 7.0, "ended": 8.5, **changes}


def test_an_answer_is_read_as_any_hosts_is() -> None:
    reply = openai_shapes.decode(json.dumps(ray_lines.answer(row(), "tiny", 7)).encode())
    assert (reply.outcome, reply.text, reply.reasoning, reply.model) == ("ok", "four", "two and two", "tiny")
    assert reply.usage is not None and reply.usage[:1] + reply.usage[4:] == (9, 5, 3)
    assert ray_lines.answer(row(), "tiny", 7)["engine"] == {"began": "7.000", "ended": "8.500"}
    assert ray_lines.answer(row(began=0.0, ended=0.0), "tiny", 7)["engine"] == {}


def test_an_answer_that_was_cut_in_its_thought_is_truncated() -> None:
    cut = ray_lines.answer(row(text=None, finish="length"), "tiny", 7)
    assert openai_shapes.decode(json.dumps(cut).encode()).outcome == "truncated"


@pytest.mark.parametrize(
    ("said", "message", "transient"),
    [
        ("VLLMValidationError: The decoder prompt is too long", "The decoder prompt is too long", False),
        ("vllm.exceptions.VLLMValidationError: no", "no", False),
        ("ValueError: Grammar error: Invalid type: nonsense", "Grammar error: Invalid type: nonsense", False),
        ("RuntimeError: something", "something", True),
        ("odd", "odd", True),
    ],
)
def test_a_failed_row_says_whether_it_may_pass(said: str, message: str, transient: bool) -> None:
    reply = openai_shapes.decode(json.dumps(ray_lines.failure(custom_id(2), said)).encode())
    assert (reply.outcome, reply.message, reply.transient, reply.account) == ("error", message, transient, False)


# -- the machine's time


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=100))
def test_shares_add_up_to_the_whole(total: int, weights: list[int]) -> None:
    parts = ray_lines.shares(total, weights)
    assert sum(parts) == total and len(parts) == len(weights) and min(parts) >= 0
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        exact = total * weight / whole if whole else total / len(weights)
        assert abs(part - exact) <= 1 + 1e-9 * exact


@given(st.integers(0, 10**15))
def test_seconds_keep_every_nanosecond(nanoseconds: int) -> None:
    said = b'{"custom_id": "a", "error": {"message": "no"}, "engine": {"seconds": "%s"}}'
    decoded = openai_shapes.decode(said % ray_lines.seconds(nanoseconds).encode())
    assert decoded.machine_ns == nanoseconds


def test_a_line_without_its_end_does_not_count() -> None:
    whole = b'{"custom_id": "a"}\n'
    assert ray_lines.ids_in([whole, b'{"custom_id": "b"}']) == {"a"}
    assert ray_lines.ids_in([whole, b'{"custom_']) == {"a"}
