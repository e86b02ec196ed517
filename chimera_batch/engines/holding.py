"""One runner at a time for an engine: a lock that goes with its process, however that ends."""

from __future__ import annotations

import os
from pathlib import Path

from chimera_batch import settings
from chimera_batch.errors import NeedsDecision


class Hold:
    """The lock of an engine's folder. The kernel lets go of it when its holder dies, so it is never stale."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._handle: int | None = None

    def take(self) -> None:
        """Hold it; fine if held already. Raises NeedsDecision naming the runner that has it."""
        import fcntl  # noqa: PLC0415 - not on Windows, where everything but an engine of one's own works

        if self._handle is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 400).decode("utf-8", "replace") or "another runner"
            os.close(handle)
            raise NeedsDecision(
                f"the engine of {self._name} is used by {holder}; it is not touched",
                where=str(self._folder),
                hint="wait until that run ends, or describe a second engine under another name in providers",
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, settings.owner().encode())
        self._handle = handle

    def release(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
