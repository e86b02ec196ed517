"""What form a question has: a choice, yes or no, a proof, several parts. Each of these asks for no single answer."""

from __future__ import annotations

import re
from typing import Final

from chimera_batch.functions.text_key import text_key

_TASK = (
    r"(?:find|compute|determine|calculate|evaluate|give|state|identify|name|estimate|express|derive|solve|count|list"
    r"|deduce|construct|classify|write\s+down|report)"
)
_PROVE = r"(?:prove|show|demonstrate|establish|verify|justify|confirm)"
_WORD = r"(?:what|which|who|whose|whom|when|where|why|how)"
_CLAIM = (
    r"(?:the|this|an?|[^\W\d_]+'s)\s+(?:\w+\s+){0,2}?(?:identity|inequality|claim|statement|theorem|lemma"
    r"|existence|uniqueness|equivalence|formula|equation|bound|convergence|law|relation|property|conjecture|following)\b"
)
_START = r"(?:^|[.?!;:,)\n]\s*|\b(?:and|then|also|hence|thus|therefore|thereby|finally|please|to|or)\s+)(?:\w+ly,?\s+)?"
_TASKED = re.compile(rf"{_START}{_TASK}\b", re.I)
_ASKED = re.compile(
    rf"\b{_WORD}\b[^?]{{0,400}}\?|(?:^|[.?!;:\n]\s*)(?:what|which|how\s+(?:many|much))\b"
    r"|\b(?:is|are|does|do|can|has|have|will|must)\b[^.?!]{0,400}\?",
    re.I,
)
_HOW = r"(?:\s+\w+ly)?(?:\s*,[^.?!,]{0,60},|\s+(?:by|using|via|with|from|for|in)\b[^.?!]{0,60}?)?"
_PROOF = re.compile(rf"{_START}(?:{_PROVE}{_HOW}(?:\s+(?:that|whether|{_CLAIM})\b|\s*:)|prove\b)", re.I)
_PROVED = re.compile(
    r"\W*(?:proof\b|we\s+(?:will\s+|shall\s+)?(?:prove|show)\b|by\s+(?:strong\s+)?induction\b"
    r"|the\s+(?:claim|statement|result|theorem|assertion)\s+(?:holds|is\s+(?:true|proved|proven)|follows))",
    re.I,
)
_QED = re.compile(r"(?:\bQ\.?\s?E\.?\s?D\b\.?|∎|□|\\qed|\\blacksquare)[\s$.]{0,9}$", re.I)

_LETTER_ANSWER = re.compile(
    r"\W{0,9}\(?[A-H]\)?(?:\s?(?:,|and|&)\s?\(?[A-H]\)?){0,7}\W{0,9}|\W{0,9}\(?[A-H][).:]\s.*|\([a-h]\).*", re.S
)
_OPTIONS: Final = (
    re.compile(r"\(A\)(.{1,999}?)\(B\)(.{1,999}?)(?:\(C\)(.{1,999}?))?(?:\([D-H]\)|$)", re.S | re.I),
    re.compile(
        r"(?:^|[\n?:.;]\s*)A[).:](\s.{1,999}?)[\s,;]B[).:](\s.{1,999}?)(?:[\s,;]C[).:](\s.{1,999}?))?"
        r"(?:[\s,;][D-H][).:]|$)",
        re.S,
    ),
)
_FOLLOWING = re.compile(
    r"\bwhich\s+(?:\w+\s+){0,2}?of\s+the\s+following\b|\bselect\s+all\s+that\s+apply\b"
    r"|\b(?:choose|select|pick)\s+(?:exactly\s+)?(?:one|the\s+(?:correct|best|right))\b[^.?!]{0,30}[.:]",
    re.I,
)
_YES_NO = re.compile(r"\W*(?:yes|no(?!\.\s?\d)|true|false)\W*(?:$|[,.;:–—-]\s)", re.I)

_MARKS = (("a", "b"), ("i", "ii"), ("1", "2"))
_ALSO = re.compile(
    r"\b(?:also|additionally|in\s+addition),?\s+(?:find|determine|compute|calculate|derive|prove|show\s+that)\b", re.I
)
_RESULT = re.compile(r"(?:^|[;,\n]|\band\b)\s*(?P<label>[^=≈:;,\n]{1,60}?)\s*(?:=|≈|:)\s*(?=[^\s=])")
_UNKNOWN = re.compile(
    r"\W*(?:[a-zA-Z]|\\[a-zA-Z]+)(?:_\{?\w{1,2}\}?)?\W*"
)  # x, x_1, \lambda: the unknowns of one solution
_CLAUSE = re.compile(r"(?:where|for|with|if|when|at|since|because|as|so|i\.?e|e\.?g)\b", re.I)


def _mark(name: str, then: str) -> re.Pattern[str]:
    """``(a)`` or ``Part a:`` between words, or ``a)``, ``1.`` at the start of a line; f(a) is none."""
    found = rf"(?:(?:^|(?<=[\s;.,:]))\({name}\)|^\s*{name}[).](?!\d)|\b(?:part|question)\s+\(?{name}\b\)?[:.]?)"
    return re.compile(rf"{found}\s*{then}", re.I | re.M)


# In a question a mark may also label a condition or an equation: only what asks something is a part.
_ASKING = rf"(?:{_TASK}|{_PROVE}|{_WORD}|how\s+(?:many|much))"
_QUESTION_PARTS = [[_mark(name, rf"(?:\w+,?\s+){{0,3}}?{_ASKING}\b") for name in pair] for pair in _MARKS]
_ANSWER_PARTS = [[_mark(name, r"\S") for name in pair] for pair in _MARKS]


def asks(question: str) -> bool:
    """Whether the text asks for a result: an order to find one, or a question; "in which" asks nothing."""
    return bool(_TASKED.search(question) or _ASKED.search(question))


def is_choice(question: str, answer: str) -> bool:
    """Options to pick from. Marks alone may name axioms or people: then the answer must be one of what is marked."""
    if _FOLLOWING.search(question):
        return True
    found = [match for match in (pattern.search(question) for pattern in _OPTIONS) if match]
    if not found or _in_order(answer, _ANSWER_PARTS):
        return False
    key = text_key(answer)
    given = {text_key(option or "") for match in found for option in match.groups()}
    letter = _LETTER_ANSWER.fullmatch(answer) and not _in_order(answer, _ANSWER_PARTS)  # (a) 3; (b) 5 picks nothing
    return bool(letter) or key in given


def is_yes_no(answer: str) -> bool:
    return bool(_YES_NO.match(answer))


def is_proof(question: str, answer: str) -> bool:
    """Nothing is asked for but a proof, or the answer is one."""
    return bool(_PROVED.match(answer) or _QED.search(answer)) or bool(_PROOF.search(question) and not asks(question))


def is_multi_part(question: str, answer: str) -> bool:
    """Marked parts that each ask something, a second task, or an answer of several named results."""
    if _in_order(question, _QUESTION_PARTS) or _in_order(answer, _ANSWER_PARTS) or _ALSO.search(question):
        return True
    return len(_results(answer)) > 1


def _in_order(text: str, parts: list[list[re.Pattern[str]]]) -> bool:
    """Some mark is followed by the mark after it."""
    return any((found := first.search(text)) and second.search(text, found.end()) for first, second in parts)


def _results(answer: str) -> set[str]:
    """The names of the results that an answer gives, but for the unknowns of one solution: x = 1, y = 2 is one."""
    labels = {match["label"].strip() for match in _RESULT.finditer(answer)}
    return {
        text_key(label)
        for label in labels
        if not _UNKNOWN.fullmatch(label) and not _CLAUSE.match(label) and label.count("(") == label.count(")")
    } - {""}
