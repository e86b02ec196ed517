"""Bad nights on order: which faults are waiting, and which of them a request or a new batch has run into.

A fault is a JSON object ``{"kind", "times": 1, "match": {…}, …}``. ``match`` narrows it: ``path`` (a shell pattern over
the path without its profile) and ``profile``; of a request ``method``; of a batch ``model`` and ``batch`` (the nth
batch ever created here, from 1). A parameter that its kind does not have is refused.

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
``no_usage``            the batch object has no ``usage``, as at most hosts that are compatible
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

_OF_REQUESTS = {
    "http": "status retry_after retry_after_ms body html message code after",
    "lose_create_reply": "",
    "close": "",
    "slow": "seconds",
    "truncate_download": "bytes lines",
    "reset_download": "bytes lines",
}
_OF_BATCHES = {
    "fail_validation": "code line lines message",
    "token_limit": "limit",
    "drop_rows": "n",
    "error_rows": "n status in code message param null",
    "malformed_line": "n",
    "duplicate_rows": "n",
    "foreign_rows": "n",
    "raw_u2028": "n",
    "expire": "finished files",
    "cancel": "finished",
    "stuck": "status",
    "unknown_status": "status",
    "counts_lie": "total completed failed processing succeeded errored canceled expired",
    "empty_error_id": "output",
    "lose_output": "",
    "no_usage": "",
}
_MATCHES = {True: {"path", "method", "profile"}, False: {"path", "profile", "model", "batch"}}  # of a request?
_WHOLE = frozenset({"times", "n", "finished", "bytes", "limit"})
OF_REQUESTS = frozenset(_OF_REQUESTS)
OF_BATCHES = frozenset(_OF_BATCHES)
ONLY_OPENAI = frozenset({"fail_validation", "token_limit", "empty_error_id", "no_usage"})
"""Faults of batches that the other dialect has no place for; they wait for a batch that has."""
OF_ROWS = frozenset({"drop_rows", "error_rows", "malformed_line", "duplicate_rows", "raw_u2028"})


class Faults:
    """Faults that still wait, kept in ``faults.json`` so that a restart forgets none and repeats none.

    ``first``: those that a new state folder begins with.
    """

    def __init__(self, path: Path, first: Iterable[Mapping[str, Any]] = ()) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        if path.exists():
            self._waiting = [checked(fault) for fault in orjson.loads(path.read_bytes())]
        elif new := list(first):
            self.add(new)

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
    """The fault with its defaults. Raises ValueError, for a word that means nothing too: a fault that never strikes,
    or strikes otherwise than was meant, would let a test pass that tests nothing."""
    known = _OF_REQUESTS | _OF_BATCHES
    kind, match = fault.get("kind"), fault.get("match")
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"no fault of kind {kind!r}; known: {', '.join(sorted(known))}")
    if match is not None and not isinstance(match, Mapping):
        raise ValueError(f"match of {kind} must be an object")
    odd = set(fault) - {"kind", "times", "match", *known[kind].split()}
    if odd := odd | (set(match or ()) - _MATCHES[kind in OF_REQUESTS]):
        raise ValueError(f"{kind} has no {', '.join(sorted(odd))}")
    for name in _WHOLE & set(fault):
        if type(fault[name]) is not int or fault[name] < (name == "times"):
            raise ValueError(f"{name} of {kind} must be a whole number, not {fault[name]!r}")
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
