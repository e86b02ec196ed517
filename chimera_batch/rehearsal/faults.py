"""Bad nights on order: which faults are waiting, and which of them a request or a new batch has run into.

A fault is a JSON object ``{"kind", "times": 1, "match": {…}, …}``. ``match`` narrows it: ``path`` (a shell pattern over
the path without its profile), ``method``, ``profile``, ``model``, ``batch`` (the nth batch ever created here, from 1).

======================  ==============================================================================================
kind                    what happens (parameters, with their defaults)
======================  ==============================================================================================
of a request            (consumed when the request comes in)
``http``                answer ``status`` (503) with ``retry_after``, ``retry_after_ms``, ``body``, ``html`` text;
                        ``after``: true does the work first
``lose_create_reply``   the batch is made, the connection closes without a reply
``close``               the connection closes, nothing is done
``slow``                wait ``seconds`` (1) before the reply
``truncate_download``   a clean end after ``bytes`` (900) or ``lines``, no length announced
``reset_download``      a reset after ``bytes`` (900) of the announced length
of a batch              (consumed when the batch is created, kept with it)
``fail_validation``     ``code`` (invalid_request), ``line`` or ``lines``, ``message``
``token_limit``         validation fails with token_limit_exceeded
``drop_rows``           ``n`` rows are executed, billed and in no file
``error_rows``          ``n`` rows fail with ``status`` (500), ``in`` (error|output), ``code``, ``message``;
                        ``null``: true leaves ``response`` null
``malformed_line``      ``n`` lines are cut in half
``duplicate_rows``      ``n`` rows come twice
``foreign_rows``        ``n`` rows of somebody else
``raw_u2028``           ``n`` answers hold U+2028 and U+0085, unescaped
``expire``              only ``finished`` (0) rows are executed; ``files``: false gives no files at all
``cancel``              the provider cancels after ``finished`` (0) rows
``stuck``               never ends; ``status`` (in_progress)
``unknown_status``      ``status`` (paused) instead of in_progress
``counts_lie``          request_counts say ``completed``, ``failed``, ``total`` as given
``empty_error_id``      error_file_id is "" instead of null; ``output``: true does the same to the output id
``lose_output``         the output file is gone: 404
======================  ==============================================================================================
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from chimera_batch.rehearsal.state import write_json

Fault = dict[str, Any]

OF_REQUESTS = frozenset({"http", "lose_create_reply", "close", "slow", "truncate_download", "reset_download"})
OF_BATCHES = frozenset(
    {
        *("fail_validation", "token_limit", "drop_rows", "error_rows", "malformed_line", "duplicate_rows"),
        *("foreign_rows", "raw_u2028", "expire", "cancel", "stuck", "unknown_status", "counts_lie"),
        *("empty_error_id", "lose_output"),
    }
)
OF_ROWS = frozenset({"drop_rows", "error_rows", "malformed_line", "duplicate_rows", "raw_u2028"})


class Faults:
    """Faults that still wait, kept in ``faults.json`` so that a restart forgets none and repeats none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        if path.exists():
            self._waiting = [checked(fault) for fault in orjson.loads(path.read_bytes())]

    def add(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Raises ValueError for a fault of no known kind."""
        new = [checked(fault) for fault in faults]
        with self._lock:
            self._waiting += new
            write_json(self._path, self._waiting)

    def clear(self) -> None:
        with self._lock:
            self._waiting = []
            write_json(self._path, self._waiting)

    def waiting(self) -> list[Fault]:
        with self._lock:
            return [dict(fault) for fault in self._waiting]

    def take(self, kinds: Iterable[str], facts: Mapping[str, Any], *, once: bool = True) -> list[Fault]:
        """Faults of ``kinds`` that fit ``facts``, each used up by one time; only the first with ``once``."""
        wanted = set(kinds)
        with self._lock:
            if not self._waiting:
                return []
            taken = [f for f in self._waiting if f["kind"] in wanted and fits(f.get("match") or {}, facts)]
            taken = taken[:1] if once else taken
            for fault in taken:
                fault["times"] -= 1
            if taken:
                self._waiting = [fault for fault in self._waiting if fault["times"] > 0]
                write_json(self._path, self._waiting)
            return [dict(fault) for fault in taken]


def checked(fault: Mapping[str, Any]) -> Fault:
    """The fault with its defaults. Raises ValueError."""
    kind = fault.get("kind")
    if kind not in OF_REQUESTS | OF_BATCHES:
        raise ValueError(f"no fault of kind {kind!r}; known: {', '.join(sorted(OF_REQUESTS | OF_BATCHES))}")
    return {"times": 1, **fault}


def fits(match: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Every condition holds; a fact that is not known does not fit."""
    for name, wanted in match.items():
        have = facts.get(name)
        if have is None or not (fnmatchcase(have, wanted) if isinstance(have, str) else have == wanted):
            return False
    return True


def struck(faults: Iterable[Mapping[str, Any]], row: int, total: int) -> Mapping[str, Any] | None:
    """The fault that befalls row ``row`` (from 0) of ``total``: each takes its ``n`` rows, evenly spread.

    Where two faults want the same row the earlier one has it, so later ones start a few rows further on.
    """
    for place, fault in enumerate(fault for fault in faults if fault["kind"] in OF_ROWS):
        n = min(int(fault.get("n", 1)), total)
        at = (row + 3 * place) % total
        if (at + 1) * n // total != at * n // total:
            return fault
    return None


def find(faults: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((fault for fault in faults if fault["kind"] == kind), None)
