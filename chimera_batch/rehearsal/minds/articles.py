"""The minds that rewrite a text into an article with sections, and that hold the article against the text."""

from __future__ import annotations

import random
import re
from typing import Any

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds.dice import dice, pick_fault, rate, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.values import near
from chimera_batch.rehearsal.talk import Ask, Said

FAULTS = ("rewrite_number", "rewrite_omission", "rewrite_claim", "rewrite_bare")
CLAIM = "It is generally agreed that this holds in every case without exception."
"""What an article with the fault ``rewrite_claim`` adds: nothing of it is in any text, and there is no number in it."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MARKS = re.compile(r"^(?:#.*|- (?:\*\*.*?\*\*: )?)", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)")


def write(ask: Ask) -> Said:
    """Background, definitions, formulas and examples from the text's own sentences, with a fault at its rate."""
    rng = dice(seed_of(ask.settings), "article", ask.key)
    fault = pick_fault(rng.random(), ask.settings, FAULTS)
    sentences = _sentences(read_tag(ask.user, "source") or "") or ["Nothing is said."]
    numbered = [place for place, sentence in enumerate(sentences) if _NUMBER.search(sentence)]
    if fault in {"rewrite_number", "rewrite_omission"} and not numbered:
        fault = None  # there is nothing to spoil
    if fault == "rewrite_number":
        place = rng.choice(numbered)
        sentences[place] = _spoilt(sentences[place], rng)
    elif fault == "rewrite_omission":
        del sentences[rng.choice(numbered)]
    elif fault == "rewrite_claim":
        sentences.insert(rng.randrange(len(sentences) + 1), CLAIM)
    made = _sections(sentences or ["Nothing is left."])
    return said(ask, "problems", made | {"examples": []} if fault == "rewrite_bare" else made, fault)


def judge(ask: Ask) -> Said:
    """Which sentences of the article the text does not have; turned round at the judges' rate of errors."""
    source = read_tag(ask.user, "source") or ""
    article = _sentences(_MARKS.sub("", read_tag(ask.user, "article") or ""))
    known = set(_sentences(source))
    strange = [sentence for sentence in article if sentence not in known]
    erred = uniforms(seed_of(ask.settings), "judge", ask.key)[0] < rate(ask.settings, "judge_error")
    made = {"unsupported": strange[:3], "faithful": (not strange) != erred}
    return said(ask, "judgement", made, "judge_error" if erred else None)


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE.split(" ".join(text.split())) if sentence.strip()]


def _spoilt(sentence: str, rng: random.Random) -> str:
    found = rng.choice(list(_NUMBER.finditer(sentence)))
    return f"{sentence[: found.start()]}{near(found[0], rng).lstrip('-')}{sentence[found.end() :]}"


def _sections(sentences: list[str]) -> dict[str, Any]:
    """Every sentence in one section, and no section empty: a short text says the same twice."""
    parts = [sentences[number::4] or sentences[:1] for number in range(4)]
    background, definitions, formulas, examples = parts
    return {
        "title": " ".join(sentences[0].split(" ")[:6]),
        "background": " ".join(background),
        "definitions": [{"term": line.split(" ")[0], "meaning": line} for line in definitions],
        "formulas": formulas,
        "examples": examples,
    }
