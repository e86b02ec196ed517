"""Every planted fault, in every family: it stands in the text, ``fault_of`` names it, and nothing else is wrong."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from typing import Any

import pytest

from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds import answer, families, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds import problems as problems_module
from chimera_batch.rehearsal.minds import traces as traces_module
from chimera_batch.rehearsal.minds.catalogue import LEAKS, families_of, recognise
from chimera_batch.rehearsal.minds.dice import DEFAULT_RATES, heavy, pick_fault, rate
from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.shape import words_to_tokens
from chimera_batch.rehearsal.minds.topics import VAGUE, respell, token_set
from chimera_batch.rehearsal.minds.values import extract, near, other_form, same
from chimera_batch.rehearsal.talk import Ask, Said

APART = {
    "duplicate_problem",
    "wrong_part",
}  # it takes two of them; tested in test_minds_trust
FAULTS = tuple(fault for fault in problems_module.FAULTS if fault not in APART)
CALM: dict[str, Any] = dict.fromkeys((*problems_module.FAULTS, "refusal", "invalid_json"), 0)
SURE: dict[str, Any] = {"verifier_miss": 0, "verifier_false_alarm": 0, "invalid_json": 0}
QUIET: dict[str, Any] = dict.fromkeys((*traces_module.FAULTS, "equivalent_form"), 0)
CHECKS = ("on_topic", "self_contained", "single_answer", "answer_correct")
TOPIC = "Topic of the day"
every_family = pytest.mark.parametrize("family", families(), ids=lambda family: family.name)


def ask(user: str, name: str | None, key: object = 0, **more: Any) -> Ask:
    model, attempt = more.pop("model", "m"), more.pop("attempt", 1)
    digest = hashlib.sha256(str(key).encode()).hexdigest()[:32]
    return Ask("openai", model, "", user, name, None, digest, attempt, 9000, more)


def planted(family: Family, fault: str | None, seed: int) -> tuple[str, str, str]:
    """Question, the answer that comes with it, and the right one."""
    rng = random.Random(seed)
    params = family.draw(rng)
    question, given = problems_module._state(family, params, TOPIC, fault, rng)
    return question, given, family.solve(params)


def verdict(question: str, proposed: str | None, **settings: Any) -> dict[str, Any]:
    told = "" if proposed is None else f"<proposed_answer>{proposed}</proposed_answer>"
    user = f"<problem>{question}</problem>{told}"
    return dict(json.loads(answer(ask(user, "chimera_verdict", question, **(SURE | settings))).text))


def trace(question: str, key: object = 0, **settings: Any) -> Said:
    return answer(ask(f"<problem>{question}</problem>", None, key, **(QUIET | settings)))


# Problems


@every_family
def test_each_fault_is_in_the_text_and_named(family: Family) -> None:
    for fault in (None, *FAULTS):
        for seed in range(3):
            question, given, right = planted(family, fault, seed)
            assert fault_of(question, given) == fault
            assert fault_of(question) == (None if fault == "wrong_answer" else fault), (
                "without an answer: the statement's"
            )
            assert TOPIC in question
            assert "{" not in question and "\x00" not in question
            found = recognise(question)
            assert found is not None
            if fault == "ambiguous":
                assert (found.right, fingerprint(question)) == (None, None)
            elif fault != "proof_only":
                assert found.right == right == truth(question)
                assert fingerprint(question)


@every_family
def test_a_wrong_answer_is_wrong_by_value_in_any_notation(family: Family) -> None:
    for seed in range(4):
        question, given, right = planted(family, "wrong_answer", seed)
        assert not same(given, right)
        rng = random.Random(seed)
        for _ in range(3):
            assert fault_of(question, other_form(right, rng)) is None, "the right value, written otherwise"
            assert fault_of(question, near(right, rng)) == "wrong_answer"


@every_family
def test_choices_hold_the_right_one_once(family: Family) -> None:
    question, given, right = planted(family, "multiple_choice", 1)
    listed = question.partition("Choose one: ")[2]
    options = dict(traces_module._OPTION.findall(listed))
    assert sorted(options) == ["A", "B", "C", "D"]
    assert len(set(options.values())) == 4
    assert sum(same(option, right) for option in options.values()) == 1
    assert given == f"({given[1]}) {options[given[1]]}" and same(options[given[1]], right)


@every_family
def test_a_leak_tells_the_answer_and_a_claim_restates_it(family: Family) -> None:
    question, given, right = planted(family, "answer_leaked", 2)
    assert any(f"{leak}{right}" in question for leak in LEAKS)
    assert given == right
    question, given, right = planted(family, "proof_only", 2)
    assert given[0].isupper() and right in given
    assert given[1:].rstrip(".") in question


# Verdicts

REASONS = {
    "wrong_answer": ("answer_correct", "Solving it afresh gives"),
    "ambiguous": ("self_contained", "is not given"),
    "proof_only": ("single_answer", "asks for a proof"),
    "multiple_choice": ("single_answer", "offers choices"),
    "answer_leaked": ("single_answer", "states its own answer"),
}


def test_every_fault_has_a_reason() -> None:
    assert set(REASONS) == set(FAULTS)


@every_family
def test_a_sure_verifier_finds_each_fault_and_says_which(family: Family) -> None:
    for fault in (None, *FAULTS):
        question, given, right = planted(family, fault, 4)
        found = verdict(question, given)
        assert found["verdict"] == ("reject" if fault else "keep")
        check, words = REASONS[fault] if fault else (None, "agrees")
        assert [name for name in CHECKS if not found[name]] == ([check] if check else [])
        assert words in found["reason"]
        if fault is None:
            assert found["own_answer"] == given
        elif fault == "wrong_answer":
            assert found["own_answer"] == right and right in found["reason"] and given in found["reason"]
        elif fault in {"ambiguous", "proof_only"}:
            assert found["own_answer"] == "none"


@every_family
def test_an_unsure_verifier_errs_both_ways(family: Family) -> None:
    question, given, _ = planted(family, "wrong_answer", 5)
    missed = verdict(question, given, verifier_miss=1)
    assert (missed["verdict"], missed["own_answer"]) == ("keep", given)
    assert all(missed[name] for name in CHECKS)
    question, given, _ = planted(family, None, 5)
    alarm = verdict(question, given, verifier_false_alarm=1)
    assert (alarm["verdict"], alarm["answer_correct"]) == ("reject", False)
    assert not same(alarm["own_answer"], given)
    assert given in alarm["reason"] and alarm["own_answer"] in alarm["reason"]


def test_a_verifier_without_a_proposed_answer_solves_it() -> None:
    question, _, right = planted(families()[0], None, 1)
    assert verdict(question, None)["own_answer"] == right
    assert verdict("What is love?", None)["own_answer"] == "none"


def test_verdicts_of_two_models_and_two_votes_differ_only_by_chance() -> None:
    question, given, _ = planted(families()[3], None, 1)
    sure = {verdict(question, given, model=model)["verdict"] for model in "abcdef"}
    assert sure == {"keep"}
    unsure = Counter(
        verdict(question, given, model=str(n), verifier_false_alarm=0.5, rho=0)["verdict"] for n in range(80)
    )
    assert min(unsure.values()) > 15
    shared = {verdict(question, given, model=str(n), verifier_false_alarm=0.5, rho=1)["verdict"] for n in range(20)}
    assert len(shared) == 1, "with rho 1 they err together"


# Traces


@every_family
def test_a_calm_trace_ends_with_the_right_answer(family: Family) -> None:
    for form in (0, 1):
        question, _, right = planted(family, None, 6)
        said = trace(question, family.name, equivalent_form=form)
        final = extract(said.text)
        assert same(final, right)
        assert (final == right) == (not form)
        assert "\\boxed{" in said.text and said.planted is None
        assert question in (said.reasoning or "")


@every_family
def test_each_fault_of_a_trace_shows_in_it(family: Family) -> None:
    question, _, right = planted(family, None, 7)
    wrong = trace(question, family.name, wrong_trace=1)
    assert wrong.planted == "wrong_trace" and not same(extract(wrong.text), right)
    no_box = trace(question, family.name, no_box=1)
    assert no_box.planted == "no_box" and "\\boxed" not in no_box.text
    assert same(extract(no_box.text), right)
    other = trace(question, family.name, other_problem=1)
    assert other.planted == "other_problem" and question not in (other.reasoning or "")
    treated = recognise(other.reasoning or "")
    assert treated is not None and treated.family.subject != family.subject
    empty = trace(question, family.name, empty=1)
    assert empty.planted == "empty" and extract(empty.text) == ""


def test_a_claim_that_is_to_be_proved_is_repeated_word_for_word() -> None:
    """In another notation a judge by value could not be misled by it, and that is what it is planted for."""
    for seed, family in enumerate(families()):
        question, given, _ = planted(family, "proof_only", seed)
        final = extract(trace(question, seed, equivalent_form=1).text)
        assert final.casefold() == given.rstrip(".").casefold(), family.name


def test_half_of_the_traces_of_another_problem_end_right() -> None:
    question, _, right = planted(families()[0], None, 8)
    ends = [same(extract(trace(question, n, other_problem=1).text), right) for n in range(120)]
    assert 35 < sum(ends) < 85


def test_an_empty_trace_was_still_paid() -> None:
    question, _, _ = planted(families()[0], None, 9)
    for n in range(10):
        said = trace(question, n, empty=1)
        assert said.text in {"", ":", "Thought process:"}
        assert said.output_tokens > said.reasoning_tokens > 0


def test_a_choice_is_answered_by_its_letter() -> None:
    for seed, family in enumerate(families()):
        question, given, _ = planted(family, "multiple_choice", seed)
        assert same(extract(trace(question).text), given[1]), family.name


# Settings


@pytest.mark.parametrize("name", DEFAULT_RATES)
@pytest.mark.parametrize("value", [0, 1, "0.25", 0.5])
def test_every_rate_may_be_set_and_is_a_number(name: str, value: Any) -> None:
    assert rate({name: value}, name) == float(value)
    assert rate({"another": 5}, name) == DEFAULT_RATES[name]


@pytest.mark.parametrize("names", [problems_module.FAULTS, traces_module.FAULTS])
def test_exclusive_faults_leave_room_for_soundness(names: tuple[str, ...]) -> None:
    total = sum(DEFAULT_RATES[name] for name in names)
    assert 0 < total < 0.5
    assert pick_fault(total + 1e-9, {}, names) is None
    assert pick_fault(total - 1e-9, {}, names) == names[-1]
    assert pick_fault(0.0, {}, names) == names[0]
    for name in names:
        only = dict.fromkeys(names, 0) | {name: 1}
        assert {pick_fault(u / 10, only, names) for u in range(10)} == {name}


@pytest.mark.parametrize("fault", problems_module.FAULTS)
def test_a_rate_of_one_plants_it_in_every_draft(fault: str) -> None:
    for n in range(8):
        user = f"<subject>Physics</subject><topic>{TOPIC}</topic><area>A</area>"
        said = answer(ask(user, "chimera_problems", n, **CALM | {fault: 1}))
        made = json.loads(said.text)
        assert said.planted == fault
        assert fault_of(made["question"], made["answer"]) == (None if fault == "duplicate_problem" else fault)


def test_worn_problems_of_an_area_are_one_problem() -> None:
    def print_of(topic: str, area: str, key: int) -> str | None:
        user = f"<subject>Physics</subject><topic>{topic}</topic><area>{area}</area>"
        said = answer(ask(user, "chimera_problems", key, **CALM | {"duplicate_problem": 1}))
        return fingerprint(json.loads(said.text)["question"])

    assert len({print_of(f"T{n}", "Optics", n) for n in range(6)}) == 1
    assert len({print_of("T", f"Area {n}", n) for n in range(6)}) > 3


@pytest.mark.parametrize("attempt", [1, 2, 5])
def test_broken_json_heals_on_the_next_attempt(attempt: int) -> None:
    for name in ("chimera_topics", "chimera_problems", "chimera_verdict", "chimera_judgement"):
        said = answer(ask("", name, invalid_json=1, refusal=0, attempt=attempt))
        assert (said.planted == "invalid_json") == (attempt == 1)
        try:
            json.loads(said.text)
        except json.JSONDecodeError:
            assert attempt == 1
        else:
            assert attempt > 1


@pytest.mark.parametrize("seed", [1, "1", 2**40, -1])
def test_the_seed_changes_everything_and_nothing_else_does(seed: Any) -> None:
    for name in ("chimera_topics", "chimera_problems"):
        usual = answer(ask("<subject>Physics</subject>", name, invalid_json=0, refusal=0))
        other = answer(ask("<subject>Physics</subject>", name, invalid_json=0, refusal=0, seed=seed))
        assert usual.text != other.text
        assert other == answer(ask("<subject>Physics</subject>", name, invalid_json=0, refusal=0, seed=str(seed)))
        assert usual == answer(ask("<subject>Physics</subject>", name, invalid_json=0, refusal=0, seed=0, irrelevant=5))


def test_the_drafts_of_today_are_those_of_yesterday() -> None:
    """A stored rehearsal rests on these bytes: whoever changes them changes every rehearsal, and should know it."""
    subjects = ("Mathematics", "History", "Linguistics")
    texts = [
        answer(ask(f"<subject>{subject}</subject><topic>T</topic>", "chimera_problems", n)).text
        for subject in subjects
        for n in range(10)
    ]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == PINNED


PINNED = "f433c85eefc76b3b"


# Small parts


@pytest.mark.parametrize("text, tokens", [("", 2), ("a", 2), ("a b", 3), ("a b c d e f g h i j", 15), ("a\nb", 3)])
def test_tokens_of_a_text(text: str, tokens: int) -> None:
    assert words_to_tokens(text) == tokens


@pytest.mark.parametrize("mean, cv", [(0, 0.5), (-3, 0.5), (10, 0), (10, -1)])
def test_lengths_without_spread(mean: float, cv: float) -> None:
    assert heavy(0.9, mean, cv) == max(mean, 0)


@pytest.mark.parametrize("u", [0.0, 1e-300, 0.5, 1 - 1e-16, 1.0])
def test_lengths_are_finite_at_the_edges(u: float) -> None:
    assert 0 < heavy(u, 300, 0.6) < 10**7


def test_draws_are_uniform_in_each_place() -> None:
    drawn = [uniforms("x", n) for n in range(1500)]
    for place in range(4):
        values = sorted(one[place] for one in drawn)
        assert all(abs(values[at] - at / 1500) < 0.06 for at in range(0, 1500, 50))


@pytest.mark.parametrize("subject", ["physics", "PHYSICS", "Physics"])
def test_subjects_are_known_in_any_case(subject: str) -> None:
    assert families_of(subject) == families_of("Physics") != families()


@pytest.mark.parametrize("topic", ["A", "a", "A and B", "A of B", "Über Ümläute", "x-y z", "and", "of"])
def test_respelling_is_another_string_of_the_same_words(topic: str) -> None:
    for seed in range(20):
        other = respell(topic, random.Random(seed))
        assert other != topic
        assert token_set(other) == token_set(topic)


def test_vague_topics_name_nothing_twice() -> None:
    assert len({token_set(topic) for topic in VAGUE}) == len(VAGUE)
