"""What is done to one row in Ray's workers: a chat into tokens, tokens into an answer, and a sign of life on the way.

Runs in the interpreter that has Ray, vLLM and transformers; Ray carries it there by value (see ``ray_job``). Floor 2.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING or __package__:
    from chimera_batch.engines import ray_lines
else:
    import ray_lines  # which ray_job, run as a file, has put in place under this name

_UNBOUNDED = 1 << 24  # output tokens: the engine itself ends at the end of the context
BEAT = 5.0  # seconds between two signs of life of an engine that generates


def tokenizer(model: str, *, trust: bool) -> Any:
    """The model's tokenizer, read once a worker.

    Kept on the library itself: these functions come to a worker anew with each block, without what they remembered.
    """
    import transformers  # noqa: PLC0415 - the engine's own interpreter alone has it

    kept: dict[str, Any] = transformers.__dict__.setdefault("_chimera_tokenizers", {})
    if model not in kept:
        kept[model] = transformers.AutoTokenizer.from_pretrained(model, trust_remote_code=trust)
    return kept[model]


def prepare(row: Mapping[str, str], job: Mapping[str, Any]) -> dict[str, Any]:
    """A row's prompt as tokens and its sampling parameters; a request that cannot be asked as the error that it is.

    The chat is rendered here and not in Ray's own stage: that one knows no arguments of a single request, and one
    message that a template refuses would end the whole job.
    """
    try:
        body = json.loads(row["body"])
        tokens, params = _tokens(body, job), ray_lines.sampling(body, job["advised"])
        params["max_tokens"] = _room(len(tokens), ray_lines.ceiling(body), job["max_model_len"])
        params["structured_outputs"] = ray_lines.structured(body)
    except Exception as error:  # noqa: BLE001 - a template may raise anything; the row alone fails
        why = (
            f"ValueError: {error}" if isinstance(error, ValueError) else f"ValueError: {type(error).__name__}: {error}"
        )
        nothing = {**ray_lines.NEUTRAL, "max_tokens": 1, "structured_outputs": None}
        return {"tokenized_prompt": [0], "sampling_params": nothing, "thinks": False, "__inference_error__": why}
    off = (body.get("chat_template_kwargs") or {}).get("enable_thinking") is False
    thinks = bool(job["thinks"]) and not off
    # The error is empty and not absent: in a table with failed rows, an absent one is null, which Ray takes for failed.
    return {"tokenized_prompt": tokens, "sampling_params": params, "thinks": thinks, "__inference_error__": ""}


def _tokens(body: Mapping[str, Any], job: Mapping[str, Any]) -> list[int]:
    if body.get("model") != job["model"]:
        raise ValueError(f"the model {body.get('model')} is not what this job runs ({job['model']})")
    words = tokenizer(job["model"], trust=job["trust"])
    chat, more = body["messages"], ray_lines.template_arguments(body)
    text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **more)
    return [int(token) for token in words.encode(text, add_special_tokens=False)]


def _room(prompt: int, asked: int | None, most: int | None) -> int:
    """Output tokens to ask for. Raises ValueError where the context has no place for them, as a server would refuse."""
    if most is None:
        return asked or _UNBOUNDED
    if prompt + (asked or 1) > most:
        raise ValueError(f"{prompt} tokens of prompt and {asked or 1} of output are more than max_model_len={most}")
    return asked or most - prompt


def finish(row: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine made of a row, as ``ray_lines.answer`` takes it."""
    made = [int(token) for token in row["generated_tokens"]]
    words = tokenizer(job["model"], trust=job["trust"])
    close = words.convert_tokens_to_ids(ray_lines.CLOSE)
    thought = made.index(close) + 1 if close in made else 0
    text = row["generated_text"]
    if thought and ray_lines.CLOSE not in text:  # the mark is a special token here, and left out of the text
        text = words.decode(made[:thought]) + words.decode(made[thought:], skip_special_tokens=True)
    seen = row.get("metrics") or {}
    reasoning, content = ray_lines.split(text, thinks=bool(row["thinks"]))
    return {
        "custom_id": row["custom_id"],
        "reasoning": reasoning,
        "text": content,
        "finish": seen.get("finish") or _finish(row, len(made)),
        "began": float(seen.get("began") or 0),
        "ended": float(seen.get("ended") or 0),
        "input_tokens": int(row["num_input_tokens"]),
        "output_tokens": len(made),
        "reasoning_tokens": len(made) if reasoning is not None and content is None else thought,
    }


def _finish(row: Mapping[str, Any], made: int) -> str:
    """Where the engine's own word did not come along: whoever used up its ceiling counts as cut."""
    most = row["sampling_params"].get("max_tokens")
    return "length" if most is not None and made >= most else "stop"


@dataclass
class Seen:
    """What Ray's stage leaves out of a finished request; it travels as its ``metrics``.

    ``began`` and ``ended`` are when the engine took it and was done with it, in seconds since the epoch.
    """

    finish: str | None
    began: float
    ended: float


def watched(stage: type[Any], folder: str) -> type[Any]:
    """Ray's vLLM stage, whose engine leaves a sign of life in the job's folder while it generates.

    Between two finished blocks nothing else tells an engine that is busy for an hour from one that is stuck.
    """

    class WatchedEngine(stage):  # type: ignore[misc]  # a class of Ray's, known in its interpreter alone
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            engine = self.llm.engine
            engine.generate = _counted(engine.generate, Path(folder) / f"beat-{uuid4().hex}")

    return WatchedEngine


def _counted(generate: Callable[..., AsyncIterator[Any]], beat: Path) -> Callable[..., AsyncIterator[Any]]:
    last = 0.0

    async def counted(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        nonlocal last
        began = time.time()
        async for output in generate(*args, **kwargs):
            if time.monotonic() - last > BEAT:
                last = time.monotonic()
                beat.touch()
            if output.finished:
                output.metrics = Seen(output.outputs[0].finish_reason, began, time.time())
            yield output

    return counted
