"""Prove a store before anything is submitted: it can be written and read, and the second writer of a key loses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from chimera_batch.errors import ChimeraError, InputError
from chimera_batch.stores.base import Store

Finding = tuple[str, str] | None
"""What a store got wrong and what to do about it, or None."""

_ELSEWHERE = "use a server that honours If-None-Match (AWS S3, MinIO, Ceph, R2, SeaweedFS), or a folder: --store ./runs"


def probe(store: Store, *, also: Callable[[str], Finding] = lambda key: None) -> None:
    """Write one random key twice, read it back, find it by listing, delete it.

    ``also`` looks at the written key once more, for what only one kind of store can get wrong. In sequence this finds
    out a server that ignores conditional writes; it cannot prove atomicity under a race.
    Raises InputError naming the store and what it got wrong.
    """
    key = f"probe/{uuid4().hex}"
    try:
        finding = _judge(store, key) or also(key)
    except ChimeraError:
        with suppress(ChimeraError):  # the first error is the one to show
            store.delete([key])
        raise
    store.delete([key])
    if finding:
        message, hint = finding
        raise InputError(message, where=store.url, hint=hint)


def _judge(store: Store, key: str) -> Finding:
    first, second = b"first " + key.encode(), b"second " + key.encode()
    noun = "bucket" if "://" in store.url else "folder"
    if not store.create(key, first):
        return f"the {noun} says of a key that nobody wrote that it exists", _ELSEWHERE
    if store.create(key, second) or store.read(key) != first:
        return (
            f"the {noun} accepts a second write to the same key (conditional writes are ignored by its server); "
            "several runners could send the same batch twice",
            _ELSEWHERE,
        )
    if list(store.list(key)) != [key]:
        return f"the {noun} does not list an object that was just written", _ELSEWHERE
    return None
