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
_ERROR = re.compile(r"(^|[\s(])[\w.]*(Error|Exception)(: |$)|error: |FATAL|CRITICAL")  # not "raise ValueError("
_WRAPPED = re.compile(
    r"(Engine core initialization failed|EngineDeadError|WorkerProc initialization failed|Engine process)"
)
_IN_ORDER = re.compile(r"^(\([^)]*\) ?)?(DEBUG|INFO|WARNING) \d\d-\d\d ")
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
    lines = _told(log)
    last = _last_words(lines)
    for rule in _rules():
        for word in rule.says:
            if found := next((line for line in ([last] if rule.last else reversed(lines)) if word in line), None):
                return Failure(rule.why, found[:_LONGEST], rule.hint)
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


def _told(log: str) -> list[str]:
    """The lines of a log that may say why: without those that it marks as being in order, and without its prefixes."""
    lines = (line.strip() for line in re.split(r"[\r\n]+", log))
    return [bare for line in lines if not _IN_ORDER.match(line) and (bare := _PREFIX.sub("", line).strip())]


def _last_words(lines: list[str]) -> str:
    """The line that says most: the last error that is not only the report of another process's error, else the last."""
    errors = [line for line in lines if _ERROR.search(line)]
    causes = [line for line in errors if not _WRAPPED.search(line)]
    return (causes or errors or lines or [""])[-1][:_LONGEST]
