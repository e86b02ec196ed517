r"""The final answer of a solution: its last ``\boxed{…}``, else what it says behind "answer:"."""

from __future__ import annotations

import re

_LABEL = r"answer[\s*_]*(?:[:：]|\bis\b:?)[\s*_]*(.*)"
_LINE = re.compile(rf"[\s>*_#-]*(?:the\s+)?(?:final\s+)?{_LABEL}", re.IGNORECASE)
_WITHIN = re.compile(rf".*\bfinal\s+{_LABEL}", re.IGNORECASE)
_TAIL = re.compile(r"\s*(?:I hope (?:it|this) is correct|<\|).*", re.IGNORECASE)
_BOXED = ("\\boxed{", "\\fbox{")
_TRIES = 8  # boxes that never close are passed over, but not without end
_LABELS = 4  # in front of one answer
_MOST = 12  # boxes of one answer
_BETWEEN = re.compile(  # boxes that are one answer: "k = □ and n = □"
    r"(?:[\s$,;*]|\\[()\[\],; ]|\\q?quad|\\text\{\s*(?:,|and|or)?\s*\}|and|or|[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=)*"
)
_LONGEST_BETWEEN = 60  # characters


def final_answer(text: str) -> str | None:
    """Without the box, the label and the emphasis around it; None where there is none. A think block does not count.

    Boxes with nothing but "and" or a comma between them are one answer. What is called the final answer behind the
    last box counts more than the box, if there is a number in it.
    """
    _, closed, after = text.rpartition("</think>")
    said = after if closed else text
    inside, end = _boxed(said)
    if inside is None:
        return _labelled(said)
    later = _labelled(said[end:]) if "final" in said[end:].casefold() else None
    return later if later and any(letter.isdecimal() for letter in later) else inside


def _boxed(text: str) -> tuple[str | None, int]:
    """What the last boxes hold, and where they end."""
    found: list[str] = []
    begin = last = len(text)
    for _ in range(_TRIES + _MOST):
        place = max(text.rfind(mark, 0, begin) for mark in _BOXED)
        inside = braced(text, text.index("{", place)) if place >= 0 else ""
        if place < 0 or (found and inside is None):
            break
        if inside is not None:
            end = text.index("{", place) + len(inside) + 2
            between = text[end:begin]
            if found and (len(between) > _LONGEST_BETWEEN or not _BETWEEN.fullmatch(between)):
                break
            last = last if found else end
            found[:0] = [] if inside.strip() in found else [inside.strip()]
        begin = place
    return (", ".join(found) or None), last


def braced(text: str, opening: int) -> str | None:
    r"""What stands between the brace at ``opening`` and the one that closes it; ``\{`` and ``\}`` are text."""
    depth, place = 0, opening
    while place < len(text):
        letter = text[place]
        if letter == "\\":
            place += 1
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                return text[opening + 1 : place]
        place += 1
    return None


def _labelled(text: str) -> str | None:
    lines = text.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        if found := _LINE.match(lines[number]) or _WITHIN.match(lines[number]):
            rest = [found[1], *lines[number + 1 : number + 4]]  # the answer may stand below its label
            return next((answer for line in rest if (answer := _tidy(line))), None)
    return None


def _tidy(line: str) -> str:
    """The answer on a line, without what decorates it; "Final answer: the answer is 12" has two labels."""
    for _ in range(_LABELS):
        line = _TAIL.sub("", line).strip().strip("*_").strip()
        again = _LINE.match(line)
        if not again:
            break
        line = again[1]
    return line.strip().strip("*_").strip()
