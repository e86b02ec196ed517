"""``/v1/embeddings``: one text in, one vector out."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chimera_batch.endpoints import bodies, lint, usage
from chimera_batch.endpoints.texts import unusable
from chimera_batch.records import Call, Message, Reply


class Embeddings:
    path = "/v1/embeddings"
    marks_cache = False

    def body(self, call: Call, messages: Sequence[Message]) -> dict[str, Any]:
        text = "\n\n".join(m.content for m in messages)
        return bodies.with_extra({"model": call.model, "input": text}, call)

    def line(self, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return bodies.openai_line(self.path, custom_id, body)

    def ceiling(self, line: Mapping[str, Any]) -> int | None:
        """Always None: an embedding writes no tokens."""
        return None

    def with_ceiling(self, line: Mapping[str, Any], n: int) -> dict[str, Any]:
        """The line itself, copied: there is no ceiling to set."""
        return dict(line)

    def with_cache(self, line: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
        return dict(line)

    def problems(self, line: Mapping[str, Any]) -> list[str]:
        return lint.openai_problems(line, self.path, _body_problems)

    def reply(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        data = body.get("data")
        first = data[0] if isinstance(data, list) and data else None
        vector = _vector(first.get("embedding") if isinstance(first, Mapping) else None)
        code = None if vector else "no_embedding"
        return Reply(
            custom_id,
            "ok" if vector else "invalid",
            embedding=vector,
            model=body.get("model") if isinstance(body.get("model"), str) else None,
            usage=usage.of_chat(body.get("usage")),
            code=code,
            message=unusable(code, None),
        )


def _body_problems(body: Mapping[str, Any]) -> Iterator[str]:
    yield from lint.common(body)
    text = body.get("input")
    if not isinstance(text, str) or not text.strip():
        yield "input is missing or empty"  # several inputs a line would count against the 50,000 of a batch


def _vector(value: object) -> tuple[float, ...] | None:
    """A list of numbers, or the base64 of little-endian 32-bit floats that ``encoding_format: base64`` gives."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return struct.unpack(f"<{len(raw) // 4}f", raw) or None
        except (binascii.Error, struct.error):
            return None
    if not isinstance(value, list) or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        return None
    try:
        return tuple(float(x) for x in value) or None
    except OverflowError:  # a whole number beyond any float
        return None
