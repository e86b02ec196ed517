"""Lists as people write them: the bracket, and what stands between its commas."""

from __future__ import annotations

import re

_MOST = 64  # elements of a list
_BRACKETS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_JOINED = re.compile(r"[,;]?\s*(?<![A-Za-z])(?:and|or)(?![A-Za-z])\s*")
_GROUP = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!,?\d)")
_KEPT = "\0"  # stands for a comma that separates nothing


def elements(text: str) -> tuple[str, list[str]] | None:
    r"""The bracket and what stands between its commas; "" for a bare list; None where there is no list.

    ``text`` is in its plain form. A set's bracket is ``\{``. "and" and "or" separate the elements of a bare list.
    """
    opening = next((mark for mark in ("\\{", "(", "[", "{") if text.startswith(mark)), "")
    if opening and not text.endswith(_BRACKETS[opening]):
        opening = ""
    parts = split(text[len(opening) : len(text) - len(opening)]) if opening else None
    if parts is None:  # "(1,2),(3,4)": no bracket is around it all
        opening, parts = "", split(_JOINED.sub(";", text), grouped=True)
    if parts is None or len(parts) > _MOST or (not opening and len(parts) == 1):
        return None
    return ("\\{" if opening == "{" else opening), parts


def bare(text: str) -> str:
    """Without parentheses or braces around one thing alone."""
    while text[:1] in {"(", "{"} and (found := elements(text)) and found[0] in {"(", "\\{"} and len(found[1]) == 1:
        text = found[1][0]
    return text


def split(text: str, *, grouped: bool = False) -> list[str] | None:
    """At the commas and semicolons outside brackets; None where the brackets do not fit.

    ``grouped``: 78,984.68 is one number. In brackets it is not, for "(1,234)" is a pair or an interval.
    """
    if grouped:
        text = _GROUP.sub(lambda found: found[0].replace(",", _KEPT), text)
    parts, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            return None
        if letter in ",;" and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    return [part.replace(_KEPT, ",").strip() for part in (*parts, text[begin:])] if depth == 0 else None
