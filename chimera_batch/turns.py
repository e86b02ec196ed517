"""One command at a time where cron calls: a lock for each manifest of this machine, gone with its process. Floor 2.

Two commands on one store harm nothing, whatever machine they are on: the journal sees to that. But a step that takes
longer than the time until the next one would meet a second, and that a third, each with its own memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chimera_batch import settings
from chimera_batch.commands import command, said_again
from chimera_batch.errors import NotFinished


@contextmanager
def at_work(
    manifest: Path | str, store: str | None, *, rehearse: bool, gives_way: bool, prices: Sequence[str] = ()
) -> Iterator[None]:
    """Be known to be at work on a manifest. ``gives_way``: raises NotFinished at once where another command is.

    Where no lock can be had (a folder that cannot be written, a file system or a machine without locks) it goes on.
    """
    path = Path(manifest).absolute()
    handle = _opened(f"{path.resolve()}\n{store}\n{rehearse}") if path.is_file() else None
    if handle is None:
        yield
        return
    try:
        if not _locked(handle, alone=gives_way) and gives_way:
            holder = os.read(handle, 20).decode("ascii", "replace").strip()
            raise NotFinished(
                f"another command is at work on it on this machine{f' (process {holder})' if holder else ''};"
                " this one did nothing",
                where=str(manifest),
                hint=command("status", manifest, rehearse=rehearse, also=said_again(store, prices)),
            )
        yield
    finally:
        os.close(handle)


def _opened(name: str) -> int | None:
    folder = settings.state_dir() / "turns"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return os.open(folder / f"{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _locked(handle: int, *, alone: bool) -> bool:
    """Whether the lock is ours now; commands that do not give way share it. True where there are no locks."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows, where commands are not kept apart

        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    os.pwrite(handle, f"{os.getpid():<19d}\n".encode(), 0)
    return True
