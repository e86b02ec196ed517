"""Traces that no judge may see: empty, without an answer, or with an answer that speaks to the judge.

Judges say yes to such texts up to nine times in ten, and voting does not cure it (arXiv 2507.08794), so they are
rejected by name before anybody is asked. Each is looked for in the final answer, which is all that a judge is shown.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources

from chimera_batch.functions.answering.latex import plain
from chimera_batch.functions.screening.given_away import triples
from chimera_batch.functions.text_key import text_key

_LEAST = 80  # characters of working
_LONGEST = 4_000  # characters of an answer that is one
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{[^{}]*\}|</?think>")
_TO_SHOW = re.compile(
    r"\b(?:prove|show|demonstrate|establish|verify|justify|deduce|conclude)\b[^.?!]{0,40}?\b(?:that|the)\b", re.I
)
_WORDS_OF_CLAIM = 4
_ECHO_WORDS, _ECHO = 8, 0.5  # an answer that repeats half of the problem is none


def screen_trace(text: str, final_answer: str, question: str) -> str:
    """``ok``, or why the trace is rejected unseen.

    That is: no working, no final answer, final answer too long, addresses the judge, answer restates the claim.
    ``text`` is the whole trace with its thinking, ``final_answer`` what was found in it; "" for what there is not.
    """
    if not _says_something(final_answer):
        return "no working" if len(_working(text)) < _LEAST else "no final answer"
    if len(_working(text)) < _LEAST:
        return "no working"
    if len(final_answer) > _LONGEST:
        return "final answer too long"
    if any(_says("addressed").search(said) for said in (final_answer, plain(final_answer))):
        return "addresses the judge"
    return "answer restates the claim" if _restates(final_answer, question) else "ok"


@cache
def _says(kind: str) -> re.Pattern[str]:
    """The patterns of one kind, as one."""
    text = resources.files("chimera_batch.functions").joinpath("unjudged.toml").read_text("utf-8")
    return re.compile("|".join(f"(?:{pattern})" for pattern in tomllib.loads(text)[kind]), re.IGNORECASE | re.DOTALL)


def _working(text: str) -> str:
    """What the trace says outside of its boxes."""
    return " ".join(_BOX.sub(" ", text).split())


def _says_something(answer: str) -> bool:
    words = plain(answer)
    if not any(letter.isalnum() or unicodedata.category(letter) in {"Sm", "Sc", "So"} for letter in words):
        return False
    return not _says("placeholder").fullmatch(words.casefold().strip(" .:!?[]()<>_-…{}"))


def _restates(answer: str, question: str) -> bool:
    """Whether the answer is what the problem asks to show, or that it was shown, or the problem once more."""
    if _says("claimed").fullmatch(plain(answer)):
        return True
    said, asked = text_key(answer), text_key(question)
    words = said.split()
    to_show = _TO_SHOW.search(question)
    if to_show and len(words) >= _WORDS_OF_CLAIM and f" {said} " in f" {text_key(question[to_show.end() :])} ":
        return True
    if len(words) < _ECHO_WORDS:
        return False
    problem = triples(asked.split())
    return len(triples(words) & problem) >= max(_ECHO * len(problem), 1)
