"""HTTP as the routes see it: a request whose body is a stream, and a reply that may be a part of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.rehearsal.asks import Refused


@dataclass(slots=True)
class Request:
    """One request. ``path`` is without the profile in front of it; ``headers`` have lower-case names."""

    method: str
    path: str
    profile: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    chunks: Iterator[bytes]  # the body; can be read once
    lost: bool = False  # a fault takes the reply: whatever is done, the client will not hear of it

    @property
    def dialect(self) -> str:
        return "anthropic" if self.path.startswith("/v1/messages") else "openai"

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises Refused."""
        try:
            body = orjson.loads(b"".join(self.chunks))
        except orjson.JSONDecodeError as error:
            message = "We could not parse the JSON body of your request. (HINT: is it valid JSON?)"
            raise Refused(400, message) from error
        if not isinstance(body, dict):
            raise Refused(400, "The body of the request must be a JSON object.")
        return body

    def number(self, name: str, usual: int, most: int) -> int:
        """A numeric query parameter. Raises Refused."""
        text = self.query.get(name, str(usual))
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise Refused(400, f"Invalid '{name}': must be between 1 and {most}.", code="invalid_value", param=name)
        return int(text)


@dataclass(slots=True)
class Reply:
    """``body`` is JSON, or text as it is; a ``file`` is streamed."""

    status: int = 200
    body: Any = None
    file: Path | None = None
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Action = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """``pattern`` is matched whole; its groups become the action's arguments after the request."""

    method: str
    pattern: re.Pattern[str]
    action: Action


def route(method: str, path: str, action: Action) -> Route:
    """``{}`` in ``path`` stands for one segment."""
    return Route(method, re.compile(re.escape(path).replace(r"\{\}", "([^/]+)")), action)


def find(routes: list[Route], method: str, path: str) -> tuple[Action, tuple[str, ...]]:
    """The action for a path. Raises Refused: 404 for an unknown path, 405 for another method's."""
    allowed = False
    for one in routes:
        if found := one.pattern.fullmatch(path):
            if one.method == method:
                return one.action, found.groups()
            allowed = True
    if allowed:
        raise Refused(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
    raise Refused(404, f"Invalid URL ({method} {path})", code="unknown_url")


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header, None where it asks for everything. Raises Refused for none at all."""
    found = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header or "")
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first > last:
        raise Refused(416, "The requested range is not satisfiable.")
    return first, last


def page(rows: list[dict[str, Any]], *, after: str | None, limit: int) -> dict[str, Any]:
    """A page of a list: what follows ``after``. An unknown cursor gives the first page."""
    ids = [row["id"] for row in rows]
    start = ids.index(after) + 1 if after in ids else 0
    data = rows[start : start + limit]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"data": data, **ends, "has_more": start + limit < len(rows)}
