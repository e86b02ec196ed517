"""The comment at the head of a SQL file: what it makes, what it reads, each parameter. Pure.

-- The rows of the topics stage: one per subject.
-- reads: subjects
-- $count: how many topics to ask for
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_READS = re.compile(r"--\s*reads:(.*)", re.IGNORECASE)
_PARAMETER = re.compile(r"--\s*\$(\w+)\s*:(.*)")


@dataclass(frozen=True, slots=True)
class Header:
    """Tables and parameters map to the line that declares them."""

    makes: str
    reads: Mapping[str, int]
    parameters: Mapping[str, int]
    lines: int  # how many lines the comment has


def parse(text: str) -> Header:
    """Read the comment lines that a file starts with; a file without any gives an empty Header."""
    reads: dict[str, int] = {}
    parameters: dict[str, int] = {}
    prose: list[str] = []
    count = 0
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.strip()
        if not line.startswith("--"):
            break
        count = number
        if found := _READS.fullmatch(line):
            reads |= {name.strip(): number for name in found[1].split(",") if name.strip() not in {"", "nothing"}}
        elif found := _PARAMETER.fullmatch(line):
            parameters[found[1]] = number
        else:
            prose.append(line.lstrip("-").strip())
    return Header(" ".join(filter(None, prose)), reads, parameters, count)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a file, on which line, and what to type instead."""

    line: int
    message: str
    hint: str


def flaws(header: Header, *, reads: Mapping[str, int] | None, parameters: Mapping[str, int]) -> list[Flaw]:
    """What a header gets wrong about what the SQL reads and takes (name to line). ``reads``: None if not known."""
    found: list[Flaw] = []
    if not header.makes:
        found.append(
            Flaw(1, "the file does not say what it makes", "start it with a line such as: -- One row per topic.")
        )
    declared, used = ({name.casefold() for name in names} for names in (header.parameters, parameters))
    for name, line in parameters.items():
        if name.casefold() not in declared:
            found.append(Flaw(line, f"${name} is used but not declared", f"add to the head: -- ${name}: what it means"))
    for name, line in header.parameters.items():
        if name.casefold() not in used:
            found.append(Flaw(line, f"${name} is declared but not used", "delete this line"))
    if reads is not None:
        found += _reads(header, reads)
    return sorted(found, key=lambda flaw: flaw.line)


def _reads(header: Header, reads: Mapping[str, int]) -> list[Flaw]:
    declared = {name.casefold() for name in header.reads}
    actual = {name.casefold() for name in reads}
    line = f"-- reads: {', '.join(sorted(reads)) or 'nothing'}"
    silent = [
        Flaw(at, f"table {name} is read but not declared", f"the head should have: {line}")
        for name, at in reads.items()
        if name.casefold() not in declared
    ]
    idle = [
        Flaw(at, f"table {name} is declared but not read", f"the line should be: {line}")
        for name, at in header.reads.items()
        if name.casefold() not in actual
    ]
    return silent + idle
