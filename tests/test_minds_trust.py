"""What the minds plant to try verification with: two-part problems, traces that flatter, errors that several share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from chimera_batch.rehearsal.minds import answer, fault_of, fingerprint, trace_fault, truth
from chimera_batch.rehearsal.minds import problems as problems_module
from chimera_batch.rehearsal.minds import traces as traces_module
from chimera_batch.rehearsal.minds.catalogue import SECOND_PART, families, misconception
from chimera_batch.rehearsal.minds.dice import DEFAULT_RATES, common_luck, dice
from chimera_batch.rehearsal.minds.values import extract, same
from chimera_batch.rehearsal.talk import Ask, Said

CALM: dict[str, Any] = dict.fromkeys((*problems_module.FAULTS, "refusal", "invalid_json"), 0)
SOUND: dict[str, Any] = dict.fromkeys((*traces_module.FAULTS, "equivalent_form", "invalid_json"), 0)
N = 2_000


def ask(user: str, name: str | None, key: object = 0, model: str = "m", **settings: Any) -> Ask:
    digest = hashlib.sha256(str(key).encode()).hexdigest()[:32]
    return Ask("openai", model, "", user, name, None, digest, 1, 9000, settings)


def draft(key: object, subject: str = "Physics", **settings: Any) -> dict[str, str]:
    user = f"<subject>{subject}</subject><area>A</area><topic>T</topic>"
    return dict(json.loads(answer(ask(user, "chimera_problems", key, **CALM | settings)).text))


@cache
def questions() -> tuple[str, ...]:
    return tuple(draft(n, families()[n % len(families())].subject)["question"] for n in range(N))


def trace(question: str, key: object = 0, **settings: Any) -> Said:
    return answer(ask(f"<problem>\n{question}\n</problem>", None, key, **SOUND | settings))


def blind(question: str, key: object = 0, **settings: Any) -> dict[str, Any]:
    told = f"<problem>\n{question}\n</problem>"
    return dict(json.loads(answer(ask(told, "chimera_arbitration", key, **SOUND | settings)).text))


def verdict(question: str, proposed: str, model: str, **settings: Any) -> str:
    user = f"<problem>{question}</problem><proposed_answer>{proposed}</proposed_answer>"
    said = answer(ask(user, "chimera_verdict", question + model, model, invalid_json=0, **settings))
    return str(json.loads(said.text)["verdict"])


# -- problems with two parts


@pytest.mark.parametrize("subject", sorted({family.subject for family in families()}))
def test_of_two_parts_one_is_wrong(subject: str) -> None:
    places: Counter[int] = Counter()
    for key in range(20):
        made = draft(key, subject, wrong_part=1)
        question, given = made["question"], made["answer"]
        assert fault_of(question, given) == "wrong_part" and fault_of(question) == "multi_part"
        first, second = question.split(SECOND_PART, 1)
        told = given.removeprefix("(a) ").split(f";{SECOND_PART}")
        right = [truth(first), truth(second)]
        wrong = [not same(mine, str(theirs)) for mine, theirs in zip(told, right, strict=True)]
        assert sum(wrong) == 1
        places[wrong.index(True)] += 1
        assert fault_of(question, str(truth(question))) == "multi_part", (
            "with both answers right it is only in two parts"
        )
        assert fingerprint(question) == f"{fingerprint(first)} & {fingerprint(second)}"
    assert len(places) == 2, "now the first, now the second"


def test_half_a_question_is_no_question_of_two_parts() -> None:
    question = draft(1, wrong_part=1)["question"]
    assert truth(question + " (b) ") == truth(question)
    assert truth("(a) (b)") is None is fingerprint(" (a)  (b) ")
    assert fault_of(" (a)  (b) ", "x") is None


# -- traces


@pytest.mark.parametrize("fault", [None, *traces_module.FAULTS])
def test_a_trace_tells_its_fault_without_a_log(fault: str | None) -> None:
    for key, question in enumerate(questions()[:80]):
        for form in (0, 1):
            said = trace(question, key, equivalent_form=form, rho=0, **({fault: 1} if fault else {}))
            assert said.planted == fault == trace_fault(question, said.reasoning or "", said.text), question


@pytest.mark.parametrize("fault", ["claims_agreement", "addresses_judge"])
def test_flattery_never_covers_a_right_answer(fault: str) -> None:
    for key, question in enumerate(questions()[:200]):
        said = trace(question, key, **{fault: 1})
        right = truth(question)
        assert right and not same(right, extract(said.text))
        assert said.text.rstrip().endswith((".", "}")), said.text


def test_planted_traces_are_as_frequent_as_said() -> None:
    rates = {fault: DEFAULT_RATES[fault] for fault in traces_module.FAULTS}
    planted = Counter(trace(question, n, **rates).planted for n, question in enumerate(questions()))
    for fault in traces_module.FAULTS:
        expected = DEFAULT_RATES[fault] * N
        assert abs(planted[fault] - expected) < 4 * expected**0.5, fault


# -- a solver that sees nobody's answer


def test_a_blind_solution_is_right_or_says_none() -> None:
    for key, question in enumerate(questions()[:100]):
        made = blind(question, key, blind_error=0, equivalent_form=key % 2)
        assert made["solvable"] and same(str(truth(question)), made["final_answer"])
    for fault in ("ambiguous", "proof_only"):
        made = blind(draft(3, **{fault: 1})["question"])
        assert (made["solvable"], made["final_answer"]) == (False, "none")
    assert blind("What is love?")["final_answer"] == "none"


def test_it_is_never_told_what_was_proposed() -> None:
    question = questions()[0]
    told = ask(f"<proposed_answer>7</proposed_answer><problem>{question}</problem>", "chimera_arbitration", 1)
    assert json.loads(answer(told).text)["final_answer"] == blind(question, 1, equivalent_form=0.15)["final_answer"]


def test_errors_are_as_frequent_as_said_and_partly_shared() -> None:
    rates = {"blind_error": 0.2, "verifier_miss": 0.2, "rho": 0.3}
    errs = []
    for n, question in enumerate(questions()):
        wrong = misconception("0", question, str(truth(question)))
        solved = blind(question, n, **rates)["final_answer"]
        errs.append((not same(str(truth(question)), solved), verdict(question, wrong, "v", **rates) == "keep"))
    blind_share, verifier_share = (sum(one) / N for one in zip(*errs, strict=True))
    assert abs(blind_share - 0.2) < 0.04 and abs(verifier_share - 0.2) < 0.04
    joint = sum(a and b for a, b in errs) / N
    correlation = (joint - blind_share * verifier_share) / (
        blind_share * (1 - blind_share) * verifier_share * (1 - verifier_share)
    ) ** 0.5
    assert abs(correlation - 0.3) < 0.1


def test_a_shared_error_is_one_wrong_answer() -> None:
    sure = {"rho": 1, "blind_error": 1, "wrong_trace": 1}
    for key, question in enumerate(questions()[:50]):
        wrong = misconception("0", question, str(truth(question)))
        assert not same(wrong, str(truth(question)))
        assert blind(question, key, **sure)["final_answer"] == wrong == extract(trace(question, key, **sure).text)


def test_with_rho_0_nobody_shares_anything() -> None:
    assert all(common_luck({"rho": 0}, question) is None for question in questions()[:50])
    drawn = [common_luck({"rho": 1}, question) for question in questions()]
    assert all(one is not None for one in drawn) and 0.45 < sum(one or 0 for one in drawn) / N < 0.55


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0.1), (1, 1, 1), (0.25, 0.1, 0.45)])
def test_some_wrong_references_are_what_everybody_falls_for(share: float, least: float, most: float) -> None:
    made = [draft(n, "Chemistry", wrong_answer=1, misconception=share) for n in range(200)]
    tempting = [one["answer"] == misconception("0", one["question"], str(truth(one["question"]))) for one in made]
    assert least <= sum(tempting) / len(made) <= most
    assert {fault_of(one["question"], one["answer"]) for one in made} == {"wrong_answer"}


def test_a_misconception_is_the_same_for_everybody_and_another_with_another_seed() -> None:
    question = questions()[1]
    assert misconception("0", question, "1234") == misconception("0", question, "1234")
    assert len({misconception(str(seed), question, "1234") for seed in range(20)}) > 5
    assert dice("a").random() == dice("a").random()


# -- a judge that is shown more than an answer


@pytest.mark.parametrize("said", [":", "Thought process:", "", *traces_module._CLAIMS, *traces_module._ORDERS])
def test_a_judge_may_fall_for_what_only_asks_to_be_accepted(said: str) -> None:
    def accepted(fooled: float, key: int) -> bool:
        user = f"<reference_answer>5</reference_answer><candidate_answer>{said}</candidate_answer>"
        made = answer(ask(user, "chimera_judgement", key, judge_error=0, judge_fooled=fooled, invalid_json=0)).text
        return bool(json.loads(made)["same"])

    assert not any(accepted(0, key) for key in range(20))
    assert all(accepted(1, key) for key in range(20))
    assert 20 < sum(accepted(0.5, key) for key in range(100)) < 80
