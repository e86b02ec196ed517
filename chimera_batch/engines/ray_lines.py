"""Wire lines into what vLLM is asked under Ray, and its answers into lines of a batch's output. Pure.

Nothing but the standard library is imported here: the driver runs in the interpreter that has Ray and vLLM, which need
not have this package, and Ray carries these functions to its workers by value. Floor 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CLOSE = "</think>"
OPEN = "<think>"

# What a request may say of sampling, with vLLM's neutral value for what it leaves out. Every request gets all of them,
# none of them null: Ray keeps rows in Arrow tables, where a null beside whole numbers makes fractions of them all.
NEUTRAL: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": -1,  # none
    "stop": [],
    "stop_token_ids": [],
    "min_tokens": 0,
    "ignore_eos": False,
    "skip_special_tokens": True,
}
_OF_THE_MODEL = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_CEILINGS = ("max_completion_tokens", "max_tokens")
_ELSEWHERE = {"model", "messages", "response_format", "chat_template_kwargs", "reasoning_effort", *_CEILINGS}
_MEANINGLESS = {"user", "metadata", "store", "service_tier"}  # they ask nothing of an engine of one's own
_ONLY = {"n": 1, "stream": False, "logprobs": False, "logit_bias": None}  # known, and understood with this value only
_REFUSED = ("ValueError", "VLLMValidationError", "VLLMClientError", "TypeError", "TemplateError", "OverflowError")


# Where the engine runs on a CPU and nothing else was said: of one NUMA node's memory, and bytes of KV cache.
_ON_CPU: Mapping[str, Any] = {"enforce_eager": True, "gpu_memory_utilization": 0.3, "kv_cache_memory_bytes": 256 << 20}


def processor(job: Mapping[str, Any], *, cpu: bool) -> dict[str, Any]:
    """What Ray's vLLM processor is made from. ``cpu``: the engine is a build for CPUs, and asks for no GPU."""
    kwargs = {**(_ON_CPU if cpu else {}), **job["engine_kwargs"]}
    block, seats = job["block"], 4 * kwargs["max_num_seqs"]
    return {
        "model_source": job["model"],
        "engine_kwargs": kwargs,
        "concurrency": (job["replicas"], job["replicas"]),
        "batch_size": block,
        "max_concurrent_batches": max(2, -(-seats // block)),  # enough that the end of one block empties no seat
        "placement_group_config": {"bundles": [{"CPU": 1}] * kwargs["tensor_parallel_size"]} if cpu else None,
        "should_continue_on_error": True,
        "log_engine_metrics": False,  # it needs Ray Serve installed
        "chat_template_stage": False,  # see ray_rows.prepare
        "tokenize_stage": False,
        "detokenize_stage": False,
    }


def row_of(line: bytes) -> dict[str, str]:
    """A wire line as Ray's datasets hold it: flat texts. Raises ValueError for a line that is no request."""
    wire = json.loads(line)
    custom_id, body = wire.get("custom_id"), wire.get("body")
    if not isinstance(custom_id, str) or not isinstance(body, dict):
        raise ValueError(f"not a request: {line[:80]!r}")
    return {"custom_id": custom_id, "body": json.dumps(body, ensure_ascii=False)}


def model_defaults(generation_config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's makers advise, from its ``generation_config.json``, as `vllm serve` takes it by default."""
    return {name: generation_config[name] for name in _OF_THE_MODEL if generation_config.get(name) is not None}


def sampling(body: Mapping[str, Any], advised: Mapping[str, Any]) -> dict[str, Any]:
    """The request's sampling parameters under vLLM's names, without ``max_tokens``.

    ``advised``: of ``model_defaults``. Raises ValueError for a field that would be asked in vain.
    """
    for name, value in body.items():
        known = name in NEUTRAL or name in _ELSEWHERE or name in _MEANINGLESS
        if not known and (name not in _ONLY or value not in (None, _ONLY[name])):
            raise ValueError(f"{name}={json.dumps(value)[:60]} cannot be asked through Ray")
    said = {**NEUTRAL, **advised, **{name: body[name] for name in NEUTRAL if body.get(name) is not None}}
    return {name: _typed(said[name], neutral) for name, neutral in NEUTRAL.items()}


def _typed(value: Any, neutral: Any) -> Any:
    """A value as Arrow keeps it in a column of its kind. Raises ValueError for one of another kind."""
    if isinstance(neutral, list):
        return value if isinstance(value, list) else [value]
    fits = isinstance(value, int | float) if not isinstance(neutral, bool) else isinstance(value, bool)
    if not fits or (isinstance(neutral, int) and value != int(value)):
        raise ValueError(f"{value!r} is no {type(neutral).__name__}")
    return type(neutral)(value)


def ceiling(body: Mapping[str, Any]) -> int | None:
    """The most output tokens that the request allows, if it says."""
    for name in _CEILINGS:
        if isinstance(body.get(name), int):
            return int(body[name])
    return None


def structured(body: Mapping[str, Any]) -> dict[str, str] | None:
    """``response_format`` as vLLM's structured output; the schema as text, since Arrow would mix those of several rows.

    Raises ValueError for a format that vLLM does not have.
    """
    said = body.get("response_format") or {}
    kind = said.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"json": json.dumps({"type": "object"})}
    if kind == "json_schema" and isinstance(said.get("json_schema", {}).get("schema"), dict):
        return {"json": json.dumps(said["json_schema"]["schema"])}
    raise ValueError(f"response_format {kind} without a schema" if kind == "json_schema" else f"response_format {kind}")


def template_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the chat template is told beside the messages."""
    effort = {"reasoning_effort": body["reasoning_effort"]} if body.get("reasoning_effort") is not None else {}
    return {**effort, **(body.get("chat_template_kwargs") or {})}


def split(text: str, *, thinks: bool) -> tuple[str | None, str | None]:
    """(reasoning, answer) of what a model wrote.

    ``thinks``: it writes its thought first, even where its template opened the thought for it, so a text without the
    closing mark is a thought that was cut off and holds no answer.
    """
    before, mark, after = text.partition(CLOSE)
    if mark:
        return before.partition(OPEN)[2].strip() if OPEN in before else before.strip(), after.lstrip("\n")
    if text.lstrip().startswith(OPEN):
        return text.partition(OPEN)[2].strip(), None
    return (text.strip(), None) if thinks else (None, text)


def answer(row: Mapping[str, Any], model: str, created: int) -> dict[str, Any]:
    """One answered row as a line of a batch's output file.

    ``row``: custom_id, reasoning, text, finish, input_tokens, output_tokens, reasoning_tokens, began and ended (seconds
    since the epoch, 0 where nobody knows), as the workers give it.
    """
    message = {"role": "assistant", "content": row["text"], "reasoning": row["reasoning"]}
    usage = {
        "prompt_tokens": row["input_tokens"],
        "completion_tokens": row["output_tokens"],
        "total_tokens": row["input_tokens"] + row["output_tokens"],
        "completion_tokens_details": {"reasoning_tokens": row["reasoning_tokens"]},
    }
    choice = {"index": 0, "message": message, "finish_reason": row["finish"]}
    body = {"object": "chat.completion", "created": created, "model": model, "choices": [choice], "usage": usage}
    body["id"] = f"chatcmpl-{row['custom_id']}"
    times = {name: f"{row[name]:.3f}" for name in ("began", "ended") if row[name]}
    return {**_line(row["custom_id"], 200, body), "engine": times}


def failure(custom_id: str, said: str) -> dict[str, Any]:
    """One row that the engine did not answer, ``said`` as Ray tells it: "ValueError: The decoder prompt is …".

    What is wrong with the request itself is a 400; anything else may pass, as a 500 of a server may.
    """
    kind, _, message = said.partition(": ")
    status = 400 if kind.rpartition(".")[2] in _REFUSED else 500
    code = "invalid_request_error" if status == 400 else "server_error"
    return _line(custom_id, status, {"error": {"message": message or said, "type": kind, "code": code}})


def _line(custom_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": None, "body": body},
        "error": None,
    }


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` whole units over the weights, each as near to its part as whole units go; they add up to ``total``.

    Equal parts where all weights are 0. No rest is lost: every part ends where the sum of the parts before it does.
    """
    weights = weights if any(weights) else [1] * len(weights)
    whole, parts, seen, given = sum(weights), [], 0, 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        parts.append(upto - given)
        given = upto
    return parts


def seconds(nanoseconds: int) -> str:
    """Nanoseconds as seconds in plain digits, exactly."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def ids_in(lines: Iterable[bytes]) -> set[str]:
    """Ids of the whole lines of a part; a line without its end was being written when its driver was killed."""
    return {json.loads(line)["custom_id"] for line in lines if line.endswith(b"\n")}
