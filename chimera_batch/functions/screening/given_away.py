"""Answers that stand in their question, and answers that only say the question again."""

from __future__ import annotations

import re

from chimera_batch.functions.text_key import text_key

_QUOTED = re.compile(r"“[^”]{0,2000}”|«[^»]{0,2000}»|\"[^\"\n]{0,2000}\"|```.{0,2000}?```|^>[^\n]*$", re.S | re.M)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SAID = (
    r"(?:\bknown\s+that\s+(?:[^\W\d]+\s+){0,6}?(?:is|are|equals)|\b(?:already|previously)\s+(?:found|obtained|computed|determined)"
    r"(?:\s+(?:that|to|be|it|the|result|answer|value|is))*|\b(?:answer|solution)\s*(?:is|was|equals|turns\s+out\s+to\s+be|=|:))"
)
_TELLING = 12  # characters: shorter answers stand in a question by chance, unless it says that they are the answer
_LONGEST_SAID = 60
_CLAIM = 8  # words
_SHARED = 0.75  # part of the answer's 3-word sequences that its question has


def tells(question: str, answer: str) -> bool:
    """The answer stands in the question, and not as quoted data or as one of two alternatives."""
    if _is_said(question, answer.strip().rstrip(".")):
        return True
    key = text_key(answer)
    if len(key) < _TELLING and sum(letter.isdigit() for letter in key) < 5:
        return False
    text = f" {text_key(_QUOTED.sub(' ', question))} "
    at = text.find(f" {key} ")
    return at >= 0 and not _is_alternative(text[:at], text[at + len(key) + 2 :])


def restates(question: str, answer: str) -> bool:
    """A sentence that says nothing which its question has not said: no new number, hardly a new word."""
    words = text_key(answer).split()
    if len(words) < _CLAIM:
        return False
    asked = triples(text_key(_QUOTED.sub(" ", question)).split())
    if set(_NUMBER.findall(answer)) - set(_NUMBER.findall(question)):
        return False
    said = triples(words)
    return len(said & asked) >= _SHARED * len(said)


def triples(words: list[str]) -> set[tuple[str, ...]]:
    """Every three words that follow one another."""
    return set(zip(words, words[1:], words[2:], strict=False))


def _is_said(question: str, answer: str) -> bool:
    """The question says that this is the answer: then it may be short, and must end its clause."""
    if not answer or len(answer) > _LONGEST_SAID or answer not in question:
        return False
    return bool(re.search(rf"{_SAID}\s*\(?{re.escape(answer)}(?=\s*(?:[).,;!?](?!\d)|$))", question, re.I))


def _is_alternative(before: str, after: str) -> bool:
    return after.startswith("or ") or bool(re.search(r" or (?:(?:the|an?) )?$", f"{before} "))
