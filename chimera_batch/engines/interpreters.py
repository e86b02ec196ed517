"""Asks another Python interpreter what it has, without importing any of it here or there."""

from __future__ import annotations

import subprocess

from chimera_batch import settings

_SECONDS = 120.0


def ask(python: str, code: str, *words: str) -> bytes:
    """What ``code``, given ``words``, prints there. It sees no secret, and no file of the working folder as a module.

    Raises OSError and subprocess.SubprocessError.
    """
    return subprocess.run(  # noqa: S603 - the interpreter that the person names, and our own code
        [python, "-c", code, *words],
        capture_output=True,
        check=True,
        timeout=_SECONDS,
        env={**settings.without_secrets(), "PYTHONSAFEPATH": "1"},
    ).stdout
