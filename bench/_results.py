"""Result files of an OpenAI-style host, made up and the same every time: what ``bench.collect`` lands."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import orjson

NONCE = "5eed5eed"
ERRORS, MISSING, MALFORMED = 1_000, 1_000, 10_000  # one line in so many
_TAPE = 4_000_000  # words: an answer is a span of it, and two spans seldom overlap within reach of a compressor
_VOCABULARY = 12_000


@dataclass(frozen=True)
class Set:
    """Results of one kind. ``schema``: the answers are objects with a problem and its answer."""

    name: str
    requests: int
    line: int  # bytes of a result line, about
    files: int
    schema: bool = False


@dataclass(frozen=True)
class Made:
    """One result file, and what it should come to."""

    path: Path
    first: int  # number of its first request
    requests: int
    ok: int
    errors: int
    malformed: int


SCHEMA = (
    '{"type":"object","properties":{"problem":{"type":"string"},"answer":{"type":"string"}},'
    '"required":["problem","answer"],"additionalProperties":false}'
)


def request_id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"


def make(what: Set, folder: Path) -> list[Made]:
    """The files of a set, written where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [what.requests * n // what.files for n in range(what.files + 1)]
    return [_file(what, folder, n, range(a, b)) for n, (a, b) in enumerate(pairwise(bounds))]


def _file(what: Set, folder: Path, number: int, numbers: range) -> Made:
    path = folder / f"{what.name}-{what.requests}-{number}.jsonl"
    rng = random.Random(f"{what.name} {number}")
    counts = dict.fromkeys(("ok", "errors", "malformed"), 0)
    part = path.with_suffix(".part")
    with part.open("wb", buffering=1 << 20) as out:
        for kind, line in _lines(what, numbers, rng):
            counts[kind] += 1
            out.write(line + b"\n")
    part.replace(path)
    return Made(path, numbers.start, len(numbers), **counts)


def _lines(what: Set, numbers: range, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in numbers:
        if number % MISSING == 500:
            continue
        custom_id = f"{NONCE}-{request_id(number)}"
        if number % ERRORS == 700:
            yield "errors", _result(custom_id, 429, {"error": {"code": "rate_limit_exceeded", "message": "slow down"}})
            continue
        line = _result(custom_id, 200, _body(_text(what, rng), rng))
        if number % MALFORMED == 4_200:
            yield "malformed", line[: len(line) // 2]
        yield "ok", line


def _text(what: Set, rng: random.Random) -> str:
    size = int((what.line - 750) * rng.uniform(0.8, 1.2))
    if not what.schema:
        return _span(rng, size)
    answer = {"problem": _span(rng, int(size * 0.85)), "answer": _span(rng, int(size * 0.12))}
    return orjson.dumps(answer).decode()


def _span(rng: random.Random, size: int) -> str:
    tape = _tape()
    start = rng.randrange(len(tape) - size)
    return tape[start : start + size].strip() or "."


@cache
def _tape() -> str:
    """English-like prose: words of a Zipf vocabulary in sentences and paragraphs, some LaTeX, quotes and dashes."""
    rng = random.Random("tape")
    letters, weights = "etaoinshrdlucmfwypvbgkqjxz", [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2] + [1] * 8
    words = [
        "".join(rng.choices(letters, weights, k=rng.choice((2, 3, 4, 5, 6, 7, 8, 10)))) for _ in range(_VOCABULARY)
    ]
    words[40:40] = ["$x^{2}$", r"\frac{a}{b}", '"so"', "3.14", "the", "of", "and"]
    words[150:150] = ["naïve", "it’s", "≤"]  # one answer in six is not ASCII alone
    zipf = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    drawn = rng.choices(words, cum_weights=zipf, k=_TAPE)
    ends = rng.choices((" ", ", ", ". ", ".\n\n"), (82, 8, 9, 1), k=len(drawn))
    return "".join(map("".join, zip(drawn, ends, strict=True)))


def _body(text: str, rng: random.Random) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    given, made, thought = rng.randrange(300, 400), len(text) // 4, 64 * rng.randrange(20)
    usage = {
        "prompt_tokens": given,
        "completion_tokens": made + thought,
        "total_tokens": given + made + thought,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {
        "id": f"chatcmpl-{rng.getrandbits(116):029x}",
        "object": "chat.completion",
        "created": 1_790_000_000 + rng.randrange(80_000),
        "model": "gpt-6-luna-2026-08-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_6ab1c0ffee",
    }


def _result(custom_id: str, status: int, body: dict[str, Any]) -> bytes:
    mark = custom_id[-24:]
    response = {"status_code": status, "request_id": f"req_{mark}", "body": body}
    return orjson.dumps({"id": f"batch_req_{mark}", "custom_id": custom_id, "response": response, "error": None})
