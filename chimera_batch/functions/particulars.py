"""What makes a problem this one and not another of its kind: its numbers in their order, its names, what it quotes."""

from __future__ import annotations

import re
from typing import TypedDict

from chimera_batch.functions.text_key import folded

PARTICULARS = "STRUCT(numbers VARCHAR[], names VARCHAR[])"
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\}|\\,|[\u2009\u202f])(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_QUOTED = re.compile(r"“([^”]{1,200})”|«([^»]{1,200})»|\"([^\"\n]{1,200})\"")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_NAME = re.compile(r"(?<=.)(?<![.!?:\n]\s)(?<![“\"«(\[\w])[^\W_]*[A-Z][^\W_]+", re.S)


class Particulars(TypedDict):
    numbers: list[str]
    names: list[str]


def particulars(text: str) -> Particulars:
    """Numbers in order, by value as written: 1,000 is 1000, 0.50 is 0.5. Names, without order, case and repetition:
    words with a capital letter that begin no sentence, and quoted words."""
    numbers = [_plain(found) for found in _NUMBER.findall(_THOUSANDS.sub("", text))]
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
    names = {folded(name).strip() for name in [*quoted, *_NAME.findall(_COMMAND.sub(" ", text))]}
    return {"numbers": numbers, "names": sorted(names - {""})}


def _plain(number: str) -> str:
    whole, dot, part = number.partition(".")
    return (whole.lstrip("0") or "0") + (f".{part}".rstrip("0").rstrip(".") if dot else "")
