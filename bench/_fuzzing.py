"""What all fuzz targets share: changing bytes, telling a flaw from an error, making an input small again."""

from __future__ import annotations

import random
import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECONDS = 10.0  # of processor time that one input may take
_KEPT = 2_000  # inputs of a corpus
_LONGEST = 200_000  # bytes of an input

_ODD = (
    b"",
    b"\x00",
    b"\n",
    b"\r\n",
    b"\xe2\x80\xa8",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"0.1",
    b"9" * 400,
    b"18446744073709551616",
    b'""',
    b"[]",
    b"{}",
    b"[" * 3000,
    b'{"a":' * 1200,
    b"../",
    b"${x}",
    b"{{",
    b"'",
    b'"',
    b"\x1b]52;c;aGk=\x07",
)
"""What readers stumble over."""


class Flaw(Exception):
    """What must not happen: the message says which promise was broken."""


class Target(Protocol):
    """Something that takes bytes from outside. ``run`` returns how it ended, in a word or two: what is new is kept."""

    name: str

    def seeds(self) -> Sequence[bytes]: ...

    def words(self) -> Sequence[bytes]:
        """Pieces that the format is made of, to be put in."""
        ...

    def run(self, data: bytes, chance: random.Random) -> object: ...


@dataclass(frozen=True)
class Found:
    """An input on which a promise was broken, made as small as that stays true."""

    target: str
    case: str  # the seed that makes it: ``--case`` plays it again
    said: str
    data: bytes


def changed(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    """Some changes, most often one."""
    for _ in range(min(1 + int(chance.expovariate(0.7)), 12)):
        data = _change(data, chance, words, others)
    return data[:_LONGEST]


def _change(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + int(chance.expovariate(1 / 8)) + 1)
    before, part, after = data[:start], data[start:end], data[end:]
    kind = chance.randrange(8)
    if kind == 0:
        part = bytes(byte ^ 1 << chance.randrange(8) for byte in part[:1]) + part[1:]
    elif kind == 1:
        part = chance.choice((b"", part * 3, part * 50))
    elif kind == 2:
        part = chance.choice(_ODD)
    elif kind == 3 and words:
        part = chance.choice(words) + chance.choice((b"", part))
    elif kind == 4:
        after = b""
    elif kind == 5:
        return _value(data, chance, words)
    elif kind == 6:
        return _lines(data, chance)
    else:
        other = chance.choice(others)
        after = other[chance.randrange(len(other) + 1) :]
    return before + part + after


def _value(data: bytes, chance: random.Random, words: Sequence[bytes]) -> bytes:
    """Another value behind a colon: what JSON and YAML are about."""
    places = [at for at in range(len(data)) if data[at : at + 1] == b":"]
    if not places:
        return data
    start = chance.choice(places) + 1
    end = min((at for mark in b",}\n" if (at := data.find(bytes([mark]), start)) >= 0), default=len(data))
    return data[:start] + b" " + chance.choice([*_ODD, *words]) + data[end:]


def _lines(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    kind = chance.randrange(3)
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        lines.insert(other, lines[one])
    else:
        del lines[one]
    return b"\n".join(lines)


@contextmanager
def bounded(memory: int) -> Iterator[None]:
    """An input that takes too long ends with TimeoutError; one that takes too much memory with MemoryError.

    ``memory``: bytes of address space beyond those that the process has. A limit below what it has would keep even its
    stack from growing, which no exception tells of.
    """

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"it takes more than {SECONDS:.0f} s")

    before, limits = signal.signal(signal.SIGPROF, late), resource.getrlimit(resource.RLIMIT_AS)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + memory, limits[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def judged(target: Target, data: bytes, seed: str) -> tuple[object, str | None]:
    """(how it ended, what promise it broke)."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return target.run(data, random.Random(seed)), None
    except Exception as error:  # noqa: BLE001 - whatever a target lets through is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}: {str(error)[:300]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def smaller(target: Target, data: bytes, seed: str, said: str, tries: int = 300) -> bytes:
    """A part of an input that breaks the same promise at the same place."""
    kind, size = said.partition(": ")[0], len(data) // 2
    while size and tries:
        at = 0
        while at < len(data) and tries:
            tries -= 1
            part = data[:at] + data[at + size :]
            if (judged(target, part, seed)[1] or "").partition(": ")[0] == kind:
                data = part
            else:
                at += size
        size //= 2
    return data


def fuzz(target: Target, seed: int, more: Callable[[int], bool]) -> Iterator[int | Found]:
    """Play input after input while ``more(n)``; yields the number of each, or what was found. One seed, one course."""
    corpus, words = [*target.seeds()], target.words()
    known: set[object] = set()
    reported: set[str] = set()
    number = 0
    while more(number):
        number += 1
        case = f"{seed}:{number}"
        chance = random.Random(case)
        data = changed(chance.choice(corpus), chance, words, corpus)
        ended, said = judged(target, data, case)
        if said and said.partition(": ")[0] not in reported:
            reported.add(said.partition(": ")[0])
            yield Found(target.name, case, said, smaller(target, data, case, said))
        elif ended is not None and ended not in known and len(corpus) < _KEPT:
            known.add(ended)
            corpus.append(data)
        yield number
