"""Problems that no final answer can decide, by the name of what is wrong with them. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from chimera_batch.functions.screening import given_away, question_form, unverifiable
from chimera_batch.functions.text_key import text_key

_NOTHING = re.compile(r"\W*(?:n/?a|null|todo|tbd|answer|the\s+answer|final\s+answer|\\boxed\{\s*\})\W*", re.I)
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
_LONGEST = 20_000  # characters that are looked at: a problem is never so long, a model's ramblings may be

# in the order in which they are looked for: the first one that holds names the problem
_FLAWS: Final[tuple[tuple[str, Callable[[str, str], bool]], ...]] = (
    ("empty question", lambda question, _: not text_key(question)),
    ("empty answer", lambda _, answer: not text_key(answer) or bool(_NOTHING.fullmatch(answer))),
    ("multiple choice", question_form.is_choice),
    ("open problem", unverifiable.is_open),
    ("proof", question_form.is_proof),
    ("multi-part", question_form.is_multi_part),
    ("needs a figure", lambda question, _: unverifiable.needs_figure(question)),
    ("refers outside", unverifiable.refers_outside),
    ("yes or no", lambda _, answer: question_form.is_yes_no(answer)),
    ("discussion", unverifiable.is_discussion),
    ("no tolerance", unverifiable.lacks_tolerance),
    ("restates the claim", given_away.restates),
    ("answer in question", given_away.tells),
)
REASONS: Final = tuple(name for name, _ in _FLAWS)


def screen_problem(question: str, answer: str) -> str:
    """``ok``, or the name of the first flaw; ``REASONS`` lists them."""
    question, answer = _tidy(question), _tidy(answer)
    return next((name for name, holds in _FLAWS if holds(question, answer)), "ok")


def _tidy(text: str) -> str:
    """Single blanks and line breaks: patterns that look for what follows them then need no long look."""
    return _LINES.sub("\n", _BLANKS.sub(" ", text[:_LONGEST])).strip()
