"""The process in which answers are read as mathematics: one JSON line in, one out, until there is nothing more to read.

Math-Verify and SymPy may take for ever, or all memory, on a text that somebody else chose. So they run here and not in
process: a pair that takes more than ``SECONDS`` of CPU ends this process, and so does what does not fit ``BYTES``.
This file is run by its path and needs nothing of ours. Math-Verify's yes is held against a computation of our own,
because it has known false ones: tiny numbers, symbols in capitals, terms too small to matter.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import sympy  # type: ignore[import-untyped]  # it ships no types
from latex2sympy2_extended import NormalizationConfig  # type: ignore[import-untyped]  # it ships no types
from math_verify import LatexExtractionConfig, parse, verify  # type: ignore[import-untyped]  # it ships no types

SECONDS = 3  # of CPU for one pair
BYTES = 1 << 30  # of address space
_VERIFY = {"timeout_seconds": None, "allow_set_relation_comp": True, "float_rounding": 4}  # ``agree`` is stricter
_DIGITS = 40  # of what is evaluated
_EXACT, _ROUNDED = 1e-12, 1e-4  # relative: between exact values, and where a decimal takes part
_MOST_ROUNDED = 1e-3  # relative: further apart than this no rounding goes


def limit() -> None:
    """CPU for the next pair, on top of what is used; the process dies of more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def comparer() -> Callable[[str, str, float], bool]:
    """``same(reference, candidate, slack)`` on LaTeX without its environment; slack: what rounding may explain."""
    tidy = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
    )
    config = (LatexExtractionConfig(boxed_match_priority=-1, normalization_config=tidy),)

    def read(text: str) -> Any:
        found = parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None)
        return found[0] if found else None

    def same(reference: str, candidate: str, slack: float) -> bool:
        one, other = read(reference), read(candidate)
        if one is None or other is None:
            return False
        close = near(one, other, slack)
        if close is None:
            return bool(verify(one, other, **_VERIFY)) and agree(one, other)
        return close

    return same


def near(one: Any, other: Any, slack: float) -> bool | None:
    """Whether two numbers are equal, from ``_DIGITS`` of each; None where one of them is none."""
    first, second = valued(one, other)
    if not all(isinstance(item, sympy.Expr) and item.is_number for item in (first, second)):
        return None
    left, right = (sympy.N(item.doit(), _DIGITS) for item in (first, second))
    if not (left.is_Number or left.is_number) or left.has(sympy.nan, sympy.zoo) or right.has(sympy.nan, sympy.zoo):
        return False
    if left.has(sympy.oo, -sympy.oo) or right.has(sympy.oo, -sympy.oo):
        return bool(left == right)
    off, size = abs(left - right), max(abs(left), abs(right))
    if not size:
        return True
    rounded = first.has(sympy.Float) or second.has(sympy.Float)
    room = min(slack, _MOST_ROUNDED * size) if slack else (_ROUNDED if rounded else _EXACT) * size
    return bool(off <= room)


def valued(one: Any, other: Any) -> tuple[Any, Any]:
    """Both without "x =" where one of them names a symbol, or both the same one."""
    names = {item.lhs for item in (one, other) if isinstance(item, sympy.Eq) and item.lhs.is_Symbol}
    if len(names) != 1:
        return one, other
    first, second = (item.rhs if isinstance(item, sympy.Eq) and item.lhs in names else item for item in (one, other))
    return first, second


def agree(one: Any, other: Any) -> bool:
    """Whether nothing speaks against two things that Math-Verify calls the same: values at a few points, elements."""
    if isinstance(one, sympy.Expr) and isinstance(other, sympy.Expr):
        symbols = sorted(one.free_symbols | other.free_symbols, key=str)
        return all(near(at(one, symbols, n), at(other, symbols, n), 0.0) is not False for n in (1, 4))
    if any(item.has(sympy.core.relational.Relational) for item in (one, other) if isinstance(item, sympy.Basic)):
        return True
    left, right = (numbers(item) for item in (one, other))
    return len(left) == len(right) and all(near(a, b, 0.0) for a, b in zip(left, right, strict=True))


def numbers(item: Any) -> list[Any]:
    """The numbers that a set, a sequence, an interval or a matrix is made of, in an order of its own."""
    if isinstance(item, sympy.Interval):
        return [item.start, item.end]
    if isinstance(item, sympy.MatrixBase | sympy.MatrixExpr):
        item = item.doit()
    if isinstance(item, sympy.MatrixBase):
        return [entry for entry in item.flat() if entry.is_number]
    found = [entry for entry in item.args if getattr(entry, "is_number", False)] if is_list(item) else []
    return sorted(found, key=lambda entry: complex(entry).real)


def is_list(item: Any) -> bool:
    return isinstance(item, sympy.FiniteSet | sympy.Tuple)


def at(item: Any, symbols: list[Any], start: int) -> Any:
    """The expression with numbers for its symbols, none of them special."""
    primes = (sympy.Rational(sympy.prime(n + 9), sympy.prime(n + 4)) for n in count(start))
    return item.doit().subs(dict(zip(symbols, primes, strict=False)))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Answer until the other end is closed. The first line says that this process is ready."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks; the end of its pipe ends this process
    sys.set_int_max_str_digits(10_000)
    same = comparer()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        limit()
        try:
            answer = bool(same(asked["reference"], asked["candidate"], asked["slack"]))
        except Exception:  # noqa: BLE001 - whatever it is: the rules cannot tell
            answer = False
        say(json.dumps(answer))


if __name__ == "__main__":
    main()
