"""The API paths that batches go to, each as pure functions over wire objects. A new one is a module and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chimera_batch.endpoints.base import Endpoint, Wire
from chimera_batch.endpoints.chat import Chat
from chimera_batch.endpoints.embeddings import Embeddings
from chimera_batch.endpoints.messages import Messages
from chimera_batch.endpoints.responses import Responses

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint for endpoint in (Chat(), Responses(), Embeddings(), Messages())
}
"""Every known endpoint by its path."""

_BY_OBJECT = {
    "chat.completion": ENDPOINTS["/v1/chat/completions"],
    "response": ENDPOINTS["/v1/responses"],
    "list": ENDPOINTS["/v1/embeddings"],
    "message": ENDPOINTS["/v1/messages"],
}
_BY_FIELD = {
    "choices": "/v1/chat/completions",
    "output": "/v1/responses",
    "data": "/v1/embeddings",
    "stop_reason": "/v1/messages",
}


def reader_of(body: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that wrote this response body: by its own word for itself, else by its main field."""
    named = _BY_OBJECT.get(str(body.get("object") or body.get("type")))
    if named is not None:
        return named
    return next((ENDPOINTS[path] for field, path in _BY_FIELD.items() if field in body), None)


__all__ = ["ENDPOINTS", "Endpoint", "Wire", "reader_of"]
