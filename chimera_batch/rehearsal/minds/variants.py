"""The mind that writes a new problem after one that was failed: the same family with other data, mostly."""

from __future__ import annotations

from chimera_batch.rehearsal.minds.catalogue import families, recognise
from chimera_batch.rehearsal.minds.dice import dice, pick_fault, seed_of
from chimera_batch.rehearsal.minds.shape import said
from chimera_batch.rehearsal.minds.tags import read_tag
from chimera_batch.rehearsal.talk import Ask, Said

_COPY, _ASTRAY, _VAGUE = "variant_copy", "variant_astray", "ambiguous"


def answer(ask: Ask) -> Said:
    """A problem and what it trains. Planted at their rates: the failed problem itself, another family, missing data."""
    rng = dice(seed_of(ask.settings), "variant", ask.key)
    failed = read_tag(ask.user, "failed_problem") or ""
    found = recognise(failed)
    family = found.family if found else rng.choice(families())
    fault = pick_fault(rng.random(), ask.settings, (_COPY, _ASTRAY, _VAGUE))
    if fault == _ASTRAY:
        family = rng.choice([other for other in families() if other.subject != family.subject])
    params = family.draw(rng)
    omit = rng.choice(sorted(params)) if fault == _VAGUE else None
    question = failed if fault == _COPY else family.question(params, family.name.replace("_", " "), rng, omit=omit)
    made = {"difficulty": family.method, "question": question}
    return said(ask, "problems", made, fault)
