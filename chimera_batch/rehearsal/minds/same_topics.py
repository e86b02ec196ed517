"""The mind that says whether two topics are one, by what it knows of their names; wrong at a small rate."""

from __future__ import annotations

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds.dice import rate, seed_of
from chimera_batch.rehearsal.minds.respelling import meaning
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.vocabulary import token_set
from chimera_batch.rehearsal.talk import Ask, Said


def answer(ask: Ask) -> Said:
    """What only one of the two covers, and how they relate. Errors are independent from order to order."""
    subject = read_tag(ask.user, "subject") or "other"
    first, second = read_tag(ask.user, "first_topic") or "", read_tag(ask.user, "second_topic") or ""
    one, two = token_set(first), token_set(second)
    erred = uniforms(seed_of(ask.settings), "referee", ask.key)[0] < rate(ask.settings, "same_topic_error")
    same = (meaning(subject, first) == meaning(subject, second)) != erred
    relation = "narrower" if one < two or two < one else "overlapping" if one & two else "different"
    made = {
        "only_first": _question(one - two) if not same else "none",
        "only_second": _question(two - one) if not same else "none",
        "relation": "same" if same else relation,
    }
    return said(ask, "same_topics", made, "same_topic_error" if erred else None)


def _question(words: frozenset[str]) -> str:
    return f"What is particular to {' '.join(sorted(words))}?" if words else "none"
