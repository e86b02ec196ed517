"""How much memory malloc keeps back. Where it is not glibc's, nothing happens. Floor 2."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

_M_ARENA_MAX = -8  # malloc.h
_MOST = 2


@cache
def few_arenas() -> None:
    """Keep malloc to two arenas, for the whole process.

    It would give every new thread one of its own, up to eight a core, and each keeps what it once had: a fifth of the
    peak of a large run, whose threads gain nothing by it, since they wait for Python's lock and not for malloc's.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _MOST)


def give_back() -> None:
    """Return to the system what is free of all arenas: after something large is let go."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
