"""``providers:`` of a manifest as JSON Schema: the fields of ``Profile`` and ``Engine``, for editors. Pure. Floor 1.

What is wrong with a field is decided where providers are read (``providers/profiles``, ``providers/engine_fields``).
"""

from __future__ import annotations

from typing import Any

from chimera_batch.providers.engine_fields import KINDS

Schema = dict[str, Any]


def _text(said: str, *examples: str, **more: Any) -> Schema:
    return {"description": said, "type": "string", "minLength": 1, **more} | _examples(examples)


def _whole(said: str, *, least: int = 1, null: bool = False) -> Schema:
    return {"description": said, "type": ["integer", "null"] if null else "integer", "minimum": least}


def _flag(said: str) -> Schema:
    return {"description": said, "type": "boolean"}


def _texts(said: str, *examples: str) -> Schema:
    return {"description": said, "type": "array", "items": {"type": "string"}, "minItems": 1} | _examples([[*examples]])


def _examples(examples: Any) -> Schema:
    return {"examples": [*examples]} if any(examples) else {}


def _nullable(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}


_FLAGS: Schema = {
    "description": "Further options of its command line, without the dashes.",
    "type": "object",
    "propertyNames": {"pattern": "^[^-]", "patternErrorMessage": "without the dashes"},
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}

ENGINE: dict[str, Schema] = {
    "kind": _text("vllm and llama are started for you, attached is a server of yours, ray runs jobs.", enum=[*KINDS]),
    "python": _nullable(_text("The interpreter that has the engine installed.", "/opt/vllm/bin/python")),
    "max_model_len": _whole("Tokens of prompt and answer together; the model's own unless said.", null=True),
    "max_num_seqs": _whole("Requests computed at a time; the others wait inside the engine."),
    "tensor_parallel": _whole("GPUs that share one copy of the weights."),
    "data_parallel": _whole("Copies of the weights."),
    "quantization": _nullable(_text("As the engine names it.", "fp8")),
    "flags": _FLAGS,
    "start_s": _whole("Seconds until it must be healthy: weights are read, perhaps downloaded."),
    "stall_s": _whole("Seconds without an answer or a token after which it is started again."),
    "restarts": _whole("In a row, with no answer in between.", least=0),
    "folder": _nullable(_text("ray: where jobs lie; on a cluster a file system that all of it sees.", "/shared/jobs")),
    "address": _nullable(_text("ray: the cluster's address.", "auto")),
    "block": _whole("ray: requests that are made durable together."),
}

PROVIDER: dict[str, Schema] = {
    "dialect": _text("The API that it speaks.", "openai", "anthropic", "bedrock"),
    "base_url": _text(
        "Where it is.", "https://api.example.com/v1", pattern="^https?://", patternErrorMessage="http://… or https://…"
    ),
    "api_key_env": _text("The variable that holds the API key; never the key itself.", "OPENAI_API_KEY"),
    "endpoints": _texts("Paths that its batches accept; the first is the default.", "/v1/chat/completions"),
    "windows": _texts("How long its batches may take.", "24h"),
    "max_requests": _whole("Of one batch file."),
    "max_bytes": _whole("Of one batch file."),
    "max_line_bytes": _whole("Of one request."),
    "batches_per_hour": _whole("Batches created in an hour; null: no limit.", null=True),
    "enqueued_tokens": _whole("Prompt tokens under way per model; null: no limit.", null=True),
    "keeps_metadata": _flag("Batches carry metadata, so one whose receipt was lost is found by it."),
    "distinct_counts": _flag("Cut files to differing numbers of requests, so that a lost one is found by its number."),
    "purpose": _text("What an uploaded file is declared as.", "batch"),
    "deletes_files": _flag("Files can be deleted there."),
    "headers": {
        "description": "Sent with every request.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    },
    "flex": _flag("Takes calls at once at the batch price (`window: flex`)."),
    "cache_from_tokens": _whole("A shorter shared beginning is never cached."),
    "at_once": _whole("Synchronous calls under way."),
    "asks": _flag("Takes synchronous calls at all (`window: now`)."),
    "min_requests": _whole("A batch of fewer is refused."),
    "region": _text("Bedrock: of the service.", "us-east-1"),
    "staging": _text("Bedrock: the prefix through which files are handed over.", "s3://bucket/prefix"),
    "role": _text(
        "Bedrock: the ARN of the role with which the service reads and writes there.",
        "arn:aws:iam::123456789012:role/batches",
    ),
    "engine": {
        "description": "What runs the model on machines of your own.",
        "type": "object",
        "additionalProperties": False,
        "properties": ENGINE,
        "examples": [{"kind": "vllm"}],
    },
}
