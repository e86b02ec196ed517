"""Why an engine ended, from its exit code and its last words. Pure, by the table in failures.toml."""

from __future__ import annotations

import re
import signal
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from chimera_batch.errors import EngineWhy

_LONGEST = 400  # characters of last words in a message
_ERROR = re.compile(r"(Error|Exception|error:|Errno|FATAL|CRITICAL)")
_WRAPPED = re.compile(
    r"(Engine core initialization failed|EngineDeadError|WorkerProc initialization failed|Engine process)"
)
_PREFIX = re.compile(r"^(\([^)]*\) ?)?((ERROR|CRITICAL|WARNING|INFO) [\d: .-]+\[[^\]]*\] ?)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an engine ended. ``words``: its own, one line; ``hint``: what to do, empty where nobody knows."""

    why: EngineWhy
    words: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Rule:
    why: EngineWhy
    says: tuple[str, ...]
    exit: tuple[int, ...]
    last: bool
    hint: str


@cache
def _rules() -> tuple[_Rule, ...]:
    table = tomllib.loads(files("chimera_batch.engines").joinpath("failures.toml").read_text(encoding="utf-8"))
    return tuple(
        _Rule(row["why"], tuple(row.get("says", ())), tuple(row.get("exit", ())), row.get("last", False), row["hint"])
        for row in table["failure"]
    )


def classify(code: int | None, log: str, *, starting: bool) -> Failure:
    """Why it ended: exit ``code`` (minus the signal; None: unknown), the end of its ``log``, and whether it was up."""
    last = last_words(log)
    for rule in _rules():
        text = last if rule.last else log
        if word := next((word for word in rule.says if word in text), None):
            return Failure(rule.why, _line_with(text, word), rule.hint)
        if starting and code in rule.exit:
            return Failure(rule.why, last or ended(code), rule.hint)
    return Failure("crash", last or ended(code), "")


def ended(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "it is gone"
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def last_words(log: str) -> str:
    """The line that says most: the last error that is not only the report of another process's error, else the last."""
    lines = [line for line in map(_bare, re.split(r"[\r\n]+", log)) if line]
    errors = [line for line in lines if _ERROR.search(line)]
    causes = [line for line in errors if not _WRAPPED.search(line)]
    return (causes or errors or lines or [""])[-1][:_LONGEST]


def _line_with(log: str, word: str) -> str:
    return next(_bare(line) for line in reversed(re.split(r"[\r\n]+", log)) if word in line)[:_LONGEST]


def _bare(line: str) -> str:
    return _PREFIX.sub("", line.strip()).strip()
