"""The minds behind rewriting and augmentation, and the token count: they take whatever they are sent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.cost.tokens import counter
from chimera_batch.functions.count_tokens import count_tokens
from chimera_batch.pipeline.schemas import validator
from chimera_batch.rehearsal import minds
from chimera_batch.rehearsal.minds.articles import CLAIM
from chimera_batch.rehearsal.talk import Ask
from tests import benchmarks
from tests.conftest import ROOT

NONE = dict.fromkeys((name for name in minds.DEFAULT_RATES if name not in {"trace_words", "output_cv"}), 0.0)


def asked(name: str, user: str, *, told: bool = True, key: str = "k", **settings: Any) -> Ask:
    """A request with a shipped schema; ``told``: whether the protocol carries the schema's name."""
    schema = json.loads((ROOT / "prompts" / f"{name}.json").read_text(encoding="utf-8"))
    return Ask("openai", "m", "", user, name.replace("/", "_") if told else None, schema, key, 2, 9000, settings)


def article(text: str, key: str = "k", **settings: Any) -> dict[str, Any]:
    said = minds.answer(asked("rewriting/articles", f"<source>\n{text}\n</source>", key=key, **(NONE | settings)))
    return dict(json.loads(said.text))


@given(st.text(max_size=300), st.sampled_from(["rewriting/articles", "rewriting/verdict", "augmentation/problems"]))
def test_any_text_is_answered_in_the_schemas_form(text: str, name: str) -> None:
    tags = ("source", "article", "failed_problem")
    user = "\n".join(f"<{tag}>\n{text}\n</{tag}>" for tag in tags)
    for rates in ({}, {"rewrite_number": 1.0}, {"rewrite_omission": 1.0}, {"variant_copy": 1.0}):
        ask = asked(name, user, **rates)
        said = minds.answer(ask)
        validator(json.dumps(ask.schema))(json.loads(said.text))
        assert minds.answer(ask) == said
        assert minds.answer(asked(name, user, told=False, **rates)).text == said.text, "known by its properties too"


def test_an_article_holds_every_sentence_and_no_other() -> None:
    ((text,),) = [[row["text"]] for row in benchmarks.texts(1)]
    made = article(text)
    told = f"{made['background']} {' '.join(one['meaning'] for one in made['definitions'])}"
    told += " ".join(made["formulas"] + made["examples"])
    assert Counter(told.replace(".", ". ").split()) == Counter(text.replace(".", ". ").split())


@pytest.mark.parametrize("fault", ["rewrite_number", "rewrite_omission", "rewrite_claim", "rewrite_bare"])
def test_every_fault_shows_in_the_article(fault: str) -> None:
    ((text,),) = [[row["text"]] for row in benchmarks.texts(1)]
    good, bad = article(text), article(text, **{fault: 1.0})
    assert good != bad
    assert (CLAIM in json.dumps(bad)) == (fault == "rewrite_claim")
    assert (bad["examples"] == []) == (fault == "rewrite_bare")


def test_the_judge_of_articles_finds_what_the_text_does_not_say() -> None:
    source = "Amounts add. Here 3 mol equals 3.2 L."

    def judged(text: str, **rates: Any) -> dict[str, Any]:
        user = f"<source>\n{source}\n</source>\n<article>\n{text}\n</article>"
        return dict(json.loads(minds.answer(asked("rewriting/verdict", user, **(NONE | rates))).text))

    faithful = "# Amounts\n\n## Background\n\nAmounts add.\n\n## Definitions\n\n- **Here**: Here 3 mol equals 3.2 L."
    assert judged(faithful) == {"unsupported": [], "faithful": True}
    assert judged(f"{faithful} {CLAIM}") == {"unsupported": [CLAIM], "faithful": False}
    assert judged(faithful, judge_error=1.0)["faithful"] is False


def test_a_new_problem_is_of_the_failed_kind_but_another() -> None:
    for number, (_, question, _) in enumerate(benchmarks.problems(40, "seeds")):
        user = f"<similar_problems>\n- {question}\n</similar_problems>\n<failed_problem>\n{question}\n</failed_problem>"

        def new(user: str = user, key: str = str(number), **rates: Any) -> str:
            said = minds.answer(asked("augmentation/problems", user, key=key, **(NONE | rates)))
            return str(json.loads(said.text)["question"])

        kind, made = minds.fingerprint(question), minds.fingerprint(new())
        assert kind and made and made != kind and made.partition("|")[0] == kind.partition("|")[0]
        assert new(variant_copy=1.0) == question
        assert minds.fault_of(new(ambiguous=1.0)) == "ambiguous"
        astray = minds.fingerprint(new(variant_astray=1.0))
        assert astray and astray.partition("|")[0] != kind.partition("|")[0]


@given(st.text(max_size=200))
def test_tokens_of_any_text_are_counted(text: str) -> None:
    count = count_tokens(text, "Qwen/Qwen3-4B")
    assert (count == 0) == (text == "")
    assert count <= len(text.encode("utf-8", "replace"))


def test_tokens_are_the_models_own_and_a_lone_surrogate_is_no_end() -> None:
    text = "Die Zahl 3,1415 – ungefähr π."
    for model in ("Qwen/Qwen3-4B", "gpt-6.1-sol"):
        assert count_tokens(text, model) == counter(model).count(text) > 5
    assert count_tokens("\ud800", "Qwen/Qwen3-4B") == count_tokens("?", "Qwen/Qwen3-4B")
