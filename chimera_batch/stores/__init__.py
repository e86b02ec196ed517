"""Where a run's facts live. ``open_store`` is the one door; adding a kind of store is one file and one line here, or an
installed package (``plugins``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from chimera_batch import plugins
from chimera_batch.errors import InputError
from chimera_batch.stores.base import Store

STORES: Mapping[str, str] = {
    "": "chimera_batch.stores.local",
    "s3": "chimera_batch.stores.s3",
}
"""URL scheme to the module whose ``connect(url, *, cache)`` opens it; imported when used, as boto3 is slow to load."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_store(url: str, *, cache: Path) -> Store:
    """The store at a folder path or ``s3://bucket/prefix``; nothing is written and no network is used yet.

    ``cache`` is a local folder for copies of remote objects; it may be deleted at any time between runs.
    Raises InputError for an address that no store understands.
    """
    if not url.strip():
        raise InputError("the store has no address", hint="store: ./runs   # or s3://bucket/prefix")
    scheme = _SCHEME.match(url)
    kind = scheme[1].lower() if scheme else ""
    if kind not in STORES:
        return _of_package(kind, url, cache)
    return cast(Store, import_module(STORES[kind]).connect(url, cache=cache))


def _of_package(kind: str, url: str, cache: Path) -> Store:
    found = plugins.load(plugins.STORES, kind)
    if found is None:
        schemes = sorted({*filter(None, STORES), *plugins.names(plugins.STORES)})
        raise InputError(
            f"no store is known for {kind}:// addresses (a folder path, {', '.join(f'{name}://' for name in schemes)})",
            where=url,
            hint="store: ./runs   # or s3://bucket/prefix",
        )
    plugin, connect = found
    return cast(Store, plugins.made(plugin, lambda: connect(url, cache=cache), Store))
