from __future__ import annotations

from typing import Any

import pytest

from chimera_batch.rehearsal.validate import MOST_PROBLEMS, check
from tests.rehearsal_kit import chat_line, jsonl

CHAT = "/v1/chat/completions"


def problems(
    *lines: dict[str, Any] | bytes, endpoint: str = CHAT, most: int = 100
) -> list[tuple[str, int | None, str | None]]:
    data = [line if isinstance(line, bytes) else jsonl([line]) for line in lines]
    found = check(data, endpoint, lambda model: model == "plain", most).problems
    return [(one["code"], one["line"], one["param"]) for one in found]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in chat_line(1).items() if key != name}


@pytest.mark.parametrize(
    "lines, expected",
    [
        ([chat_line(1), chat_line(2)], []),
        ([], [("empty_file", None, None)]),
        ([b"{nope\n"], [("invalid_json_line", 1, None)]),
        ([chat_line(1), b"\n"], [("invalid_json_line", 2, None)]),
        ([b"[]\n"], [("invalid_json_line", 1, None)]),
        ([b"null\n"], [("invalid_json_line", 1, None)]),
        ([chat_line(1), chat_line(2), chat_line(1)], [("duplicate_custom_id", 3, "custom_id")]),
        ([without("custom_id")], [("missing_required_parameter", 1, "custom_id")]),
        ([without("method")], [("missing_required_parameter", 1, "method")]),
        ([without("url")], [("missing_required_parameter", 1, "url")]),
        ([without("body")], [("missing_required_parameter", 1, "body")]),
        ([chat_line(1) | {"method": "GET"}], [("invalid_method", 1, "method")]),
        ([chat_line(1) | {"url": "/v1/responses"}], [("invalid_url", 1, "url")]),
        ([chat_line(1) | {"body": {"model": "plain"}}], [("missing_required_parameter", 1, "body.messages")]),
        ([chat_line(1) | {"body": {"messages": [1]}}], [("invalid_request", 1, "body.model")]),
        ([chat_line(1) | {"body": "text"}], [("invalid_json_line", 1, "body")]),
        ([chat_line(1, model="gone")], [("model_not_found", 1, "body.model")]),
        ([chat_line(1), chat_line(2, model="gone")], [("mismatched_model", 2, "body.model")]),
        ([chat_line(1, stream=True)], [("streaming_unsupported", 1, "body.stream")]),
        ([chat_line(1, stream=False)], []),
        ([chat_line(1), b"x\n", b"y\n"], [("invalid_json_line", 2, None), ("invalid_json_line", 3, None)]),
    ],
)
def test_codes(lines: list[dict[str, Any] | bytes], expected: list[Any]) -> None:
    assert problems(*lines) == expected


def test_too_many_requests() -> None:
    assert problems(*(chat_line(n) for n in range(4)), most=3) == [("too_many_tasks", None, None)]


def test_problems_are_listed_up_to_a_limit() -> None:
    assert len(problems(*[b"x\n"] * 500, most=1000)) == MOST_PROBLEMS


def test_what_is_found_out_on_the_way() -> None:
    found = check([jsonl([chat_line(1)]), jsonl([chat_line(2)])], CHAT, lambda model: True)
    assert (found.total, found.model, found.input_tokens) == (2, "plain", 6)


def test_a_row_that_will_be_refused_by_itself_does_not_fail_the_file() -> None:
    assert problems(chat_line(1, max_completion_tokens=0)) == []


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/embeddings"])
def test_the_required_field_depends_on_the_endpoint(endpoint: str) -> None:
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "plain"}}
    assert problems(line, endpoint=endpoint) == [("missing_required_parameter", 1, "body.input")]
    line["body"] = {"model": "plain", "input": "x"}
    assert problems(line, endpoint=endpoint) == []
