"""What is done to a row in Ray's workers, with a tokenizer whose tokens are characters."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chimera_batch.engines import ray_lines, ray_rows
from tests.conftest import ROOT
from tests.ray_kit import line

JOB = {"model": "tiny", "trust": False, "max_model_len": 40, "advised": {"temperature": 0.6}, "thinks": True}


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fake transformers in the real one's place."""
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "fake_ray"))
    yield
    sys.modules.pop("transformers", None)


def prepared(text: str = "hello", **body: Any) -> dict[str, Any]:
    return ray_rows.prepare(ray_lines.row_of(line(1, text, **body)), JOB)


def test_a_prompt_and_its_parameters() -> None:
    row = prepared(seed=5)
    assert row["tokenized_prompt"] == list(map(ord, "hello")) and row["thinks"] is True
    assert row["sampling_params"] == {
        **ray_lines.NEUTRAL,
        "temperature": 0.6,
        "seed": 5,
        "max_tokens": 20,
        "structured_outputs": None,
    }
    assert row["__inference_error__"] == ""


def test_the_templates_arguments_are_the_requests_own() -> None:
    row = prepared("a", max_tokens=5, chat_template_kwargs={"enable_thinking": False})
    assert "".join(map(chr, row["tokenized_prompt"])) == "aenable_thinking=False" and row["thinks"] is False


@pytest.mark.parametrize(
    ("asked", "most", "given"), [(20, 40, 20), (None, 40, 35), (None, None, 1 << 24), (35, 40, 35)]
)
def test_the_room_for_an_answer(asked: int | None, most: int | None, given: int) -> None:
    row = ray_lines.row_of(line(1, "hello", max_tokens=asked))
    assert ray_rows.prepare(row, {**JOB, "max_model_len": most})["sampling_params"]["max_tokens"] == given


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": 36}, "5 tokens of prompt and 36 of output are more than max_model_len=40"),
        ({"model": "other"}, "the model other is not what this job runs (tiny)"),
        ({"messages": [{"role": "user"}]}, "KeyError: 'content'"),
        ({"logit_bias": {"1": 2}}, "cannot be asked through Ray"),
    ],
)
def test_a_request_that_cannot_be_asked_is_a_row_that_failed(body: dict[str, Any], said: str) -> None:
    row = prepared(**body)
    assert row["__inference_error__"].startswith("ValueError: ") and said in row["__inference_error__"]
    assert row.keys() == prepared().keys()  # Arrow's tables want them all
    assert row["sampling_params"].keys() == prepared()["sampling_params"].keys()


def finished(text: str, **changes: Any) -> dict[str, Any]:
    tokens = list(map(ord, text))
    row = {"custom_id": "c", "generated_text": text, "generated_tokens": tokens, "num_input_tokens": 5, "thinks": False}
    return ray_rows.finish({**row, "metrics": None, "sampling_params": {"max_tokens": 9}, **changes}, JOB)


def test_an_answer() -> None:
    assert finished("four") == {
        "custom_id": "c",
        "reasoning": None,
        "text": "four",
        "finish": "stop",
        "began": 0.0,
        "ended": 0.0,
        "input_tokens": 5,
        "output_tokens": 4,
        "reasoning_tokens": 0,
    }


def test_the_engines_own_word_for_the_end_comes_before_ours() -> None:
    assert finished("nine char")["finish"] == "length"
    assert finished("nine char", metrics={"finish": "stop"})["finish"] == "stop"
    assert finished("four", metrics={"finish": None})["finish"] == "stop"


def test_a_closing_mark_that_the_text_leaves_out_is_found_among_the_tokens() -> None:
    tokens = [*map(ord, "ab"), 0x10FFFF, *map(ord, "cd")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_rows.ray_lines, "CLOSE", chr(0x10FFFF))
        got = finished("abcd", generated_tokens=tokens)
    assert (got["reasoning"], got["text"], got["reasoning_tokens"], got["output_tokens"]) == ("ab", "cd", 3, 5)


def test_a_thought_that_was_cut_is_all_reasoning() -> None:
    got = finished("two and", thinks=True)
    assert (got["reasoning"], got["text"], got["reasoning_tokens"]) == ("two and", None, 7)


def test_an_engine_leaves_a_sign_of_life_and_says_how_each_request_ended(tmp_path: Path) -> None:
    outputs = [
        SimpleNamespace(
            finished=done, metrics=None, outputs=[SimpleNamespace(finish_reason="length" if done else None)]
        )
        for done in (False, False, True)
    ]

    class Engine:
        async def generate(self, *, prompt: str) -> AsyncIterator[Any]:
            assert prompt == "p"
            for output in outputs:
                yield output

    class Stage:
        def __init__(self, model: str) -> None:
            self.model, self.llm = model, SimpleNamespace(engine=Engine())

    stage = ray_rows.watched(Stage, str(tmp_path))(model="tiny")

    async def consume() -> list[Any]:
        return [output async for output in stage.llm.engine.generate(prompt="p")]

    got = asyncio.run(consume())
    assert got == outputs and len(list(tmp_path.glob("beat-*"))) == 1
    assert [output.metrics for output in got[:2]] == [None, None]
    seen = got[2].metrics
    assert seen.finish == "length" and time.time() - 60 < seen.began <= seen.ended <= time.time()
    json.dumps(dataclasses.asdict(seen))  # which is what becomes of it
