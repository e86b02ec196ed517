"""How much memory DuckDB may take for one statement: as little as will do.

COPY fills whatever it is given with rows that wait to be written, so what only streams gets little. A hash join or a
window over whole answers may not fit the usual limit whatever is spilled; a run that was paid for must not end on that,
so such a statement is run once more with up to half of the machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

_LITTLE = "96MB"
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def limits(usual: str, *, little: bool) -> list[str]:
    """The limits to try, one after the other, in DuckDB's words."""
    return [*([_LITTLE] if little else []), usual, *([f"{half}B"] if (half := half_of_the_machine()) else [])]


@cache
def half_of_the_machine() -> int | None:
    """Bytes: half of the memory that this process could have; None where that is not told."""
    told: list[int] = []
    with suppress(ValueError, OSError, AttributeError):
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):
        told.append(int(_CONTAINER.read_text()))
    return min(told) // 2 if told else None
