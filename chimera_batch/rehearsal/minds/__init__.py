"""The rehearsal's models: real, checkable problems in eight subjects, and faults planted at known rates.

``answer`` is what the server calls. What scores a pipeline afterwards needs no log: ``truth`` solves a question again
from its text, ``fault_of`` names what is wrong with a problem, ``trace_fault`` what is wrong with a trace, and
``fingerprint`` is equal for equal problems.
Everything is a pure function of the request, its key, its attempt and the settings.
"""

from __future__ import annotations

from chimera_batch.rehearsal import generic
from chimera_batch.rehearsal.minds import (
    arbitration,
    articles,
    conversions,
    judgements,
    problems,
    rankings,
    same_topics,
    topics,
    traces,
    trials,
    variants,
    verdicts,
)
from chimera_batch.rehearsal.minds.catalogue import families, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds.dice import DEFAULT_RATES
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.minds.traces import trace_fault
from chimera_batch.rehearsal.names import schema_name
from chimera_batch.rehearsal.talk import Ask, Said

__all__ = ["DEFAULT_RATES", "answer", "families", "fault_of", "fingerprint", "trace_fault", "truth"]

_MINDS = {
    "chimera_topics": topics.answer,
    "chimera_same_topics": same_topics.answer,
    "chimera_problems": problems.answer,
    "chimera_conversions": conversions.answer,
    "chimera_verdict": verdicts.answer,
    "chimera_judgement": judgements.answer,
    "augmentation_problems": variants.answer,
    "rewriting_articles": articles.write,
    "rewriting_verdict": articles.judge,
    "quality_ranking": rankings.answer,
    "chimera_arbitration": arbitration.answer,
}


def answer(ask: Ask) -> Said:
    """The mind that the schema's name asks for; a trace for a bare ``<problem>``; else whatever fits the schema."""
    mind = _MINDS.get(schema_name(ask.schema_name, ask.schema) or "")
    if mind is not None:
        return mind(ask)
    if ask.schema is None and ask.schema_name is None and read_tag(ask.user, "problem"):
        return trials.answer(ask) if trials.plays(ask) else traces.answer(ask)
    return generic.answer(ask)
