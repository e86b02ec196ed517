"""What the provider checks of a file as a whole before it executes any of it. Pure, but for reading the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from chimera_batch.rehearsal.asks import READERS, REQUIRED, Refused

MOST_REQUESTS = 50_000
MOST_PROBLEMS = 100  # that are listed; one is enough to fail the file


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch input file after validation. ``problems`` are entries of ``errors.data``; one fails the file."""

    total: int
    input_tokens: int
    model: str | None
    problems: tuple[dict[str, Any], ...]


def problem(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}


def missing_file(ident: str) -> dict[str, Any]:
    message = f"Cannot find file {ident}, or organization org-rehearsal does not have access to it."
    return problem("invalid_request", message, param="file_id")


def check(lines: Iterable[bytes], endpoint: str, knows: Callable[[str], bool], most: int = MOST_REQUESTS) -> Checked:
    """Read every line once. ``knows`` tells whether a model exists; ``most`` requests are allowed."""
    looker = _Looker(endpoint, knows)
    problems: list[dict[str, Any]] = []
    total = 0
    for total, line in enumerate(lines, 1):
        found = looker.look(line, total)
        if found is not None and len(problems) < MOST_PROBLEMS:
            problems.append(found)
    if total == 0:
        problems.append(problem("empty_file", "The input file is empty."))
    if total > most:
        problems.append(problem("too_many_tasks", f"The input file has {total} requests; the limit is {most}."))
    return Checked(total, looker.input_tokens, looker.model, tuple(problems))


class _Looker:
    """Sees one line after the other and remembers what must not repeat or change."""

    def __init__(self, endpoint: str, knows: Callable[[str], bool]) -> None:
        self._endpoint = endpoint
        self._knows = knows
        self._ids: set[str] = set()
        self.model: str | None = None
        self.input_tokens = 0

    def look(self, line: bytes, number: int) -> dict[str, Any] | None:
        """The line's first problem, or None."""
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            return problem("invalid_json_line", "This line is not parseable as valid JSON.", number)
        if not isinstance(request, dict):
            return problem("invalid_json_line", "This line is not parseable as valid JSON.", number)
        found = self._envelope(request, number) or self._body(request["body"], number)
        if found is None:
            self.input_tokens += _tokens(self._endpoint, request["body"])
        return found

    def _envelope(self, request: Mapping[str, Any], number: int) -> dict[str, Any] | None:
        for name in ("custom_id", "method", "url", "body"):
            if not request.get(name):
                return _missing(name, number)
        if found := self._ident(request["custom_id"], number):
            return found
        if request["method"] != "POST":
            return problem("invalid_method", f"The method '{request['method']}' is not supported.", number, "method")
        if request["url"] != self._endpoint:
            message = f"The URL provided for this request does not match the batch endpoint '{self._endpoint}'."
            return problem("invalid_url", message, number, "url")
        if not isinstance(request["body"], dict):
            return problem("invalid_json_line", "The body of this request is not an object.", number, "body")
        return None

    def _ident(self, ident: object, number: int) -> dict[str, Any] | None:
        if not isinstance(ident, str):
            return problem("invalid_type", "Invalid type for 'custom_id': expected a string.", number, "custom_id")
        if ident in self._ids:
            message = f"The custom_id '{ident}' for this request is a duplicate of another request."
            message += " The custom_id parameter must be unique for each request in a batch."
            return problem("duplicate_custom_id", message, number, "custom_id")
        self._ids.add(ident)
        return None

    def _body(self, body: Mapping[str, Any], number: int) -> dict[str, Any] | None:
        model = body.get("model")
        if not model or not isinstance(model, str):
            return problem("invalid_request", "The request has no model.", number, "body.model")
        if self.model is None:
            self.model = model
            if not self._knows(self.model):
                message = f"The provided model '{model}' does not exist or is not supported by the Batch API."
                return problem("model_not_found", message, number, "body.model")
        if model != self.model:
            message = f"The model '{model}' does not match the model of the first request, '{self.model}'."
            return problem("mismatched_model", message, number, "body.model")
        if body.get("stream"):
            return problem("streaming_unsupported", "Streaming is not supported in batches.", number, "body.stream")
        field = REQUIRED[self._endpoint]
        return _missing(f"body.{field}", number) if field not in body else None


def _missing(param: str, number: int) -> dict[str, Any]:
    name = param.removeprefix("body.")
    return problem("missing_required_parameter", f"Missing required parameter: '{name}'.", number, param)


def _tokens(endpoint: str, body: Mapping[str, Any]) -> int:
    try:
        return READERS[endpoint](body).input_tokens
    except Refused:
        return 0  # the row will be refused by itself
