r"""The final answer of a solution: its last ``\boxed{…}``, else its last "Answer:" line."""

from __future__ import annotations

import re

_LINE = re.compile(r"[\s>*_#-]*(?:the\s+)?(?:final\s+)?answer[\s*_]*(?:[:：]|\bis\b:?)[\s*_]*(.*)", re.IGNORECASE)
_BOXED = ("\\boxed{", "\\fbox{")
_TRIES = 8  # boxes that never close are passed over, but not without end


def final_answer(text: str) -> str | None:
    """Without the box, the label and the emphasis around it; None where there is none. A think block does not count."""
    _, closed, after = text.rpartition("</think>")
    said = after if closed else text
    return _boxed(said) or _labelled(said)


def _boxed(text: str) -> str | None:
    end = len(text)
    for _ in range(_TRIES):
        place = max(text.rfind(mark, 0, end) for mark in _BOXED)
        if place < 0:
            break
        inside = braced(text, text.index("{", place))
        if inside is not None:
            return inside.strip() or None
        end = place
    return None


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
        if found := _LINE.match(lines[number]):
            rest = [found[1], *lines[number + 1 : number + 4]]  # the answer may stand below its label
            return next((answer for line in rest if (answer := line.strip().strip("*_").strip())), None)
    return None
