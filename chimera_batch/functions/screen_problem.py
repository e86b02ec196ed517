"""Problems that no final answer can decide: proofs, choices, several parts, answers given away. No model is asked."""

from __future__ import annotations

import re

from chimera_batch.functions.text_key import text_key

_PROVE = r"(?:prove|show|demonstrate|establish|verify|justify)"
_ASKING = (
    r"(?:find|compute|determine|calculate|evaluate|what|which|how\s+(?:many|much)|give|state|identify|name|estimate|express"
    r"|derive|solve|who|when|where)"
)
_PROOF = re.compile(rf"\b{_PROVE}\s+(?:\w+\s+){{0,3}}?(?:that|the|whether)\b", re.I)
_ASK = re.compile(rf"\b{_ASKING}\b", re.I)
_PROVED = re.compile(
    r"\W*(?:proof\b|the\s+(?:claim|statement|result|theorem)\s+(?:holds|is\s+(?:true|proved|proven)))", re.I
)
_OPTIONS = [re.compile(rf"(?:^|[\s(]){letter}[).:]\s", re.M) for letter in "ABC"]
_OF_THE_FOLLOWING = re.compile(r"\bwhich\s+(?:\w+\s+)?of\s+the\s+following\b|\bselect\s+all\s+that\s+apply\b", re.I)


def _mark(name: str, then: str) -> re.Pattern[str]:
    """``(a)`` or ``Part a:`` between words, or ``a)`` at the start of a line; f(a) is none."""
    found = rf"(?:(?:^|(?<=[\s;.,:]))\({name}\)|^\s*{name}\)|\bpart\s+\(?{name}\b\)?:?)"
    return re.compile(rf"{found}\s*{then}", re.I | re.M)


_MARKS = (("a", "b"), ("i", "ii"), ("1", "2"))
# In a question a mark may also label a condition or an equation: only what asks something is a part.
_QUESTION_PARTS = [[_mark(name, rf"(?:\w+,?\s+){{0,3}}?(?:{_ASKING}|{_PROVE})\b") for name in pair] for pair in _MARKS]
_ANSWER_PARTS = [[_mark(name, r"\S") for name in pair] for pair in _MARKS]

_TELLING = 12  # characters: shorter answers stand in a question by chance


def screen_problem(question: str, answer: str) -> str:
    """``ok``, or why not: empty question, empty answer, multiple choice, proof, multi-part, answer in question."""
    if not text_key(question):
        return "empty question"
    if not text_key(answer):
        return "empty answer"
    if _is_choice(question):
        return "multiple choice"
    if _PROVED.match(answer) or (_PROOF.search(question) and not _ASK.search(question)):
        return "proof"
    if _in_order(question, _QUESTION_PARTS) or _in_order(answer, _ANSWER_PARTS):
        return "multi-part"
    return "answer in question" if _given_away(question, answer) else "ok"


def _is_choice(question: str) -> bool:
    return bool(_OF_THE_FOLLOWING.search(question)) or all(option.search(question) for option in _OPTIONS)


def _in_order(text: str, parts: list[list[re.Pattern[str]]]) -> bool:
    """Some mark is followed by the mark after it."""
    return any((found := first.search(text)) and second.search(text, found.end()) for first, second in parts)


def _given_away(question: str, answer: str) -> bool:
    key = text_key(answer)
    telling = len(key) >= _TELLING or sum(letter.isdigit() for letter in key) >= 5
    return telling and f" {key} " in f" {text_key(question)} "
