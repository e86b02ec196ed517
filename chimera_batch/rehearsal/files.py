"""Uploaded and produced files: the bytes under ``files/<id>``, what is said of them under ``files/<id>.json``."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.rehearsal.state import base62, sweep, write_json

MOST_BYTES = 200_000_000  # of a batch input file, as documented


class TooLarge(ValueError):
    """More bytes than the provider takes."""


class Files:
    """The provider's file storage. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        for path in folder.glob("*.json"):
            told = orjson.loads(path.read_bytes())
            self._known[told["id"]] = told

    def draft(self) -> Path:
        """Where bytes may be written before they are a file; removed at the next start if they never are."""
        return self._folder / f".{base62(22)}"

    def write(self, chunks: Iterable[bytes], most: int) -> Path:
        """A draft of ``chunks``. Raises TooLarge, leaving nothing."""
        draft, size = self.draft(), 0
        try:
            with draft.open("wb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        raise TooLarge("File is too large.")
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return draft

    def keep(
        self, draft: Path, *, name: str, purpose: str, expires: int | None = None, ident: str | None = None
    ) -> dict[str, Any]:
        """Make a draft a file and return its object; with an ``ident`` of before it takes that file's place."""
        ident = ident or f"file-{base62(22)}"
        size = draft.stat().st_size
        draft.replace(self._folder / ident)
        with self._lock:
            order = max((told["order"] for told in self._known.values()), default=0) + 1
            now = int(time.time())
            told: dict[str, Any] = {
                "object": "file",
                "id": ident,
                "purpose": purpose,
                "filename": name,
                "bytes": size,
                "created_at": now,
                "expires_at": None if expires is None else now + expires,
                "status": "processed",
                "status_details": None,
                "order": order,
            }
            write_json(self._folder / f"{ident}.json", told)
            self._known[ident] = told
        return _shown(told)

    def path(self, ident: str) -> Path | None:
        """Where a file's bytes are, or None when it is not there (any more)."""
        with self._lock:
            return self._folder / ident if ident in self._known else None

    def told(self, ident: str) -> dict[str, Any] | None:
        with self._lock:
            told = self._known.get(ident)
        return _shown(told) if told else None

    def all(self, *, purpose: str | None, newest_first: bool = True) -> list[dict[str, Any]]:
        with self._lock:
            told = [one for one in self._known.values() if purpose in {None, one["purpose"]}]
        told.sort(key=lambda one: one["order"], reverse=newest_first)
        return [_shown(one) for one in told]

    def delete(self, ident: str) -> bool:
        """False when there is no such file."""
        with self._lock:
            if self._known.pop(ident, None) is None:
                return False
        (self._folder / f"{ident}.json").unlink(missing_ok=True)
        (self._folder / ident).unlink(missing_ok=True)
        return True


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "order"}
