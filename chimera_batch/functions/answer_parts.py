"""The parts of an answer: "(a) 3 (b) 5", "x = 1, y = 2", "3, 5". Each is compared, and judged, on its own."""

from __future__ import annotations

import re
from typing import NamedTuple

from chimera_batch.functions.answering.elements import elements, split
from chimera_batch.functions.answering.latex import plain

_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|textrm)\{([^{}]*)\}")
_SPACE = re.compile(r"(?<!\\)\\(?:[,;:! ]|q?quad(?![a-z]))")
_MOST = 16  # parts
_LONGEST = 4_000  # characters
_FONT = re.compile(r"\\(?:text|textbf|textit|mathbf|mathrm|textrm)\{\s*(\(?(?:[a-h]|[ivx]{1,4}|\d)[.):]\)?:?)\s*\}")
_SERIES = ("abcdefgh", ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii"), "12345678")
_NAMED = re.compile(
    r"(?P<name>[^\s=≈:,;<>≤≥+*/^-][^=≈:,;<>≤≥+*/^]{0,30}?)\s*(?:=|≈|:|\bis\b)\s*(?P<value>[^=≈<>≤≥]+)"
    r"|(?P<words>[A-Za-z][A-Za-z ]{2,30}?)\s+(?P<number>[-−+]?\.?\d[^=≈<>≤≥]*)",
    re.DOTALL,
)
_BEFORE = 40  # characters of an introduction in front of the first mark
_JOINT = re.compile(r"\n+|\\\\(?!\w)|[,;]?\s*(?:\\text\{\s*)?(?<![A-Za-z\\])and(?![A-Za-z])\s*\}?")


class Part(NamedTuple):
    """``label``: a, ii, 3, or the name that the part gives a value to; "" for an answer of one part."""

    label: str
    text: str


def answer_parts(text: str) -> list[str]:
    """The parts' texts in their order, without their labels; the whole text where it has no parts."""
    named = labelled_parts(text)
    if len(named) > 1:
        return [part.text for part in named]
    found = elements(plain(text)) if len(text) <= _LONGEST else None
    return found[1] if found and found[0] == "" else [text.strip()]


def labelled_parts(text: str) -> list[Part]:
    """Parts that carry a mark or a name. A bare list is one part: nothing but its order tells its elements apart."""
    whole = [Part("", text.strip())]
    if len(text) > _LONGEST:
        return whole
    return _marked(text) or _assigned(text) or whole


def _marked(text: str) -> list[Part]:
    """(a) … (b) …, i) … ii) …, 1. … 2. …: marks in their order from the beginning."""
    text = _FONT.sub(r" \1 ", text)
    for series in _SERIES:
        found: list[re.Match[str]] = []
        for mark in series:
            pattern = rf"(?:(?<![\w\\])\(\s*{mark}\s*\)|(?:^|(?<=[\s;,])){mark}[.)](?=\s)|\bpart\s+\(?{mark}\)?:?)\s*"
            match = re.compile(pattern, re.IGNORECASE).search(text, found[-1].end() if found else 0)
            if match is None or (not found and match.start() > _BEFORE):
                break
            found.append(match)
        if len(found) > 1:
            ends = [*(match.start() for match in found[1:]), len(text)]
            parts = [
                Part(mark, text[match.end() : end].strip().rstrip(";,").strip())
                for mark, match, end in zip(series, found, ends, strict=False)
            ]
            return parts if all(part.text for part in parts) else []
    return []


def _assigned(text: str) -> list[Part]:
    """x = 1, y = 2: each piece names what it gives the value of, and no name comes twice."""
    text = _TEXT.sub(r" \1 ", _SPACE.sub(" ", text)).replace("\\approx", "≈")
    pieces = split(_JOINT.sub(";", text.strip().strip("$").rstrip(".")), grouped=True)
    if pieces is None or not 2 <= len(pieces) <= _MOST:
        return []
    found = [_NAMED.fullmatch(piece.strip().strip("$").strip()) for piece in pieces]
    parts = [
        Part(plain(match["name"] or match["words"]).casefold(), (match["value"] or match["number"]).strip())
        for match in found
        if match
    ]
    names = {part.label for part in parts}
    return parts if len(parts) == len(pieces) == len(names) and all(map(_is_name, names)) else []


def paired(reference: str, candidate: str) -> list[tuple[str, str, str]]:
    """(label, part of the reference, part of the candidate); one pair without a label where they do not correspond.

    Parts of the same labels belong together; else their order counts, unless both sides give names of their own.
    """
    first, second = labelled_parts(reference), labelled_parts(candidate)
    if len(first) > 1 and {part.label for part in first} == {part.label for part in second}:
        theirs = {part.label: part.text for part in second}
        return [(part.label, part.text, theirs[part.label]) for part in first]
    if len(first) > 1 or len(second) > 1:
        left, right = answer_parts(reference), answer_parts(candidate)
        orderly = _orderly(first, left) or _orderly(second, right)
        if orderly and len(left) == len(right) > 1:
            labels = first if len(first) > 1 else second
            return [(part.label, one, other) for part, one, other in zip(labels, left, right, strict=True)]
    return [("", reference, candidate)]


def _orderly(parts: list[Part], texts: list[str]) -> bool:
    """Whether nothing but the order says which part is which: marks, or a bare list without names in it."""
    return parts[0].label in {"a", "i", "1"} or (
        not parts[0].label and not any(mark in text for text in texts for mark in "=≈")
    )


def _is_name(label: str) -> bool:
    return any(letter.isalpha() for letter in label)
