"""What the minds say: dispatch, shape, rates of the planted faults, correlation, determinism, speed."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import Any

import pytest

from chimera_batch.rehearsal import generic
from chimera_batch.rehearsal.chance import uniforms
from chimera_batch.rehearsal.minds import DEFAULT_RATES, answer, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds.dice import dice, heavy, pick_fault, rate
from chimera_batch.rehearsal.minds.tags import read_count, read_lines, read_tag
from chimera_batch.rehearsal.minds.values import extract, same
from chimera_batch.rehearsal.talk import Ask, Said

SUBJECTS = (
    "Mathematics", "Computer Science", "Chemistry", "Physics", "Literature", "History", "Biology", "Linguistics",
)  # fmt: skip
FAULTS = ("wrong_answer", "ambiguous", "proof_only", "multiple_choice", "answer_leaked", "duplicate_problem")
CALM = dict.fromkeys((*FAULTS, "refusal", "invalid_json"), 0)
N = 5000


def ask(user: str, schema: str | None, key: object, *, attempt: int = 1, model: str = "m", **settings: Any) -> Ask:
    digest = sha256(str(key).encode()).hexdigest()[:32]
    return Ask("openai", model, "system text", user, schema, None, digest, attempt, 9000, settings)


def draft(i: int, *, attempt: int = 1, **settings: Any) -> Said:
    user = f"<subject>{SUBJECTS[i % 8]}</subject><area>Area {i % 24}</area><topic>Topic {i // 8}</topic>"
    return answer(ask(user, "chimera_problems", i, attempt=attempt, **settings))


@cache
def drafts() -> tuple[tuple[Said, dict[str, str]], ...]:
    """5,000 drafts at the default rates, those with JSON in them parsed."""
    said = (draft(i, invalid_json=0) for i in range(N))
    return tuple((one, {} if one.refused else json.loads(one.text)) for one in said)


def judged(problem: dict[str, str], i: int, **kw: Any) -> dict[str, Any]:
    user = (
        f"<topic>T</topic>\n<problem>\n{problem['question']}\n</problem>\n"
        f"<proposed_answer>{problem['answer']}</proposed_answer>"
    )
    said = answer(ask(user, "chimera_verdict", f"v{i}{kw.get('model')}", **({"invalid_json": 0} | kw)))
    return {**json.loads(said.text), "planted": said.planted}


def traced(problem: str, i: int, **settings: Any) -> Said:
    return answer(ask(f"Solve it.\n<problem>\n{problem}\n</problem>", None, f"t{i}", **settings))


def near(measured: float, wanted: float, n: int) -> bool:
    """Within four standard deviations of a binomial share."""
    return abs(measured - wanted) <= 4 * (wanted * (1 - wanted) / n) ** 0.5


# Problems


def test_fault_rates_of_problems() -> None:
    planted = Counter(said.planted for said, _ in drafts())
    for name in (*FAULTS, "refusal"):
        assert near(planted[name] / N, DEFAULT_RATES[name], N), name


def test_planted_faults_are_real_and_nothing_else_is_wrong() -> None:
    for said, made in drafts():
        if said.refused:
            assert said.planted == "refusal"
            continue
        found = fault_of(made["question"], made["answer"])
        assert found == (None if said.planted == "duplicate_problem" else said.planted)


def test_sound_problems_are_right_and_say_their_topic() -> None:
    for i, (said, made) in enumerate(drafts()):
        if said.planted is None:
            assert truth(made["question"]) == made["answer"]
            assert f"“Topic {i // 8}”" in made["question"]
            assert made["answer"] in made["solution"]
            assert made["answer_kind"] in {"number", "text"}


def test_wrong_answers_are_near_the_right_one() -> None:
    for said, made in drafts():
        if said.planted == "wrong_answer":
            right = truth(made["question"])
            assert right is not None
            assert not same(right, made["answer"])
            assert abs(len(right) - len(made["answer"])) <= 2


def test_statement_faults_are_visible_in_the_text() -> None:
    for said, made in drafts():
        if said.planted == "proof_only":
            assert "Prove that " in made["question"]
            assert made["answer"].rstrip(".").lower() in made["question"].lower()
        elif said.planted == "multiple_choice":
            assert re.search(r"\(A\) .+ \(B\) .+ \(C\) .+ \(D\) ", made["question"])
            assert same(made["answer"][4:], truth(made["question"]) or "")
        elif said.planted == "answer_leaked":
            assert made["answer"] in made["question"]
        elif said.planted == "ambiguous":
            assert truth(made["question"]) is None


def test_planted_duplicates_have_a_twin() -> None:
    settings = CALM | {"duplicate_problem": 0.3}
    prints: dict[str, list[str | None]] = {}
    for i in range(480):
        said = draft(i, **settings)
        prints.setdefault(fingerprint(json.loads(said.text)["question"]) or "", []).append(said.planted)
    twins = [group for group in prints.values() if "duplicate_problem" in group]
    assert sum(len(group) for group in twins) >= 100
    assert sum(len(group) > 1 for group in twins) / len(twins) > 0.9
    assert sum(len(group) > 1 for group in prints.values() if "duplicate_problem" not in group) <= 2


def test_other_settings_change_only_their_own_rate() -> None:
    for name in FAULTS:
        said = [draft(i, **(CALM | {name: 1.0})) for i in range(40)]
        assert {one.planted for one in said} == {name}


# First attempts and later ones


def test_invalid_json_comes_on_the_first_attempt_only() -> None:
    broken, n = 0, 2000
    for i in range(n):
        said = draft(i, **(CALM | {"invalid_json": 0.02}))
        if said.planted == "invalid_json":
            broken += 1
            with pytest.raises(json.JSONDecodeError):
                json.loads(said.text)
            again = draft(i, attempt=2, **(CALM | {"invalid_json": 0.02}))
            assert again.text.startswith(said.text)
            json.loads(again.text)
    assert near(broken / n, 0.02, n)


def test_a_refusal_stays_one() -> None:
    for attempt in (1, 2):
        said = draft(0, attempt=attempt, refusal=1.0)
        assert said.refused
        assert said.planted == "refusal"
        assert said.output_tokens > 0


# Verdicts


def verdicts(model: str, limit: int = N, **kw: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for i, (said, made) in enumerate(drafts()[:limit]):
        if made:
            fault = None if said.planted == "duplicate_problem" else said.planted
            yield fault, judged(made, i, model=model, **kw)


def test_verifiers_err_at_their_rates() -> None:
    missed, alarmed = Counter[bool](), Counter[bool]()
    for fault, verdict in verdicts("a"):
        wrong = (verdict["verdict"] == "keep") == bool(fault)
        (missed if fault else alarmed)[wrong] += 1
        assert verdict["planted"] == (None if not wrong else "verifier_miss" if fault else "verifier_false_alarm")
    assert near(missed[True] / missed.total(), 0.10, missed.total())
    assert near(alarmed[True] / alarmed.total(), 0.03, alarmed.total())


def test_the_checks_agree_with_the_verdict_and_the_fault() -> None:
    failed = {
        "wrong_answer": "answer_correct", "ambiguous": "self_contained", "proof_only": "single_answer",
        "multiple_choice": "single_answer", "answer_leaked": "single_answer", "wrong_part": "single_answer",
    }  # fmt: skip
    checks = ("on_topic", "self_contained", "single_answer", "answer_correct")
    for fault, verdict in verdicts("a", 1500, verifier_miss=0, verifier_false_alarm=0):
        assert (verdict["verdict"] == "keep") == all(verdict[check] for check in checks) == (fault is None)
        if fault:
            assert [check for check in checks if not verdict[check]] == [failed[fault]]
        assert verdict["working"]
        assert verdict["reason"].endswith(".")


def test_a_verifier_that_rejects_a_wrong_answer_has_the_right_one() -> None:
    for (said, made), (fault, verdict) in zip(
        [pair for pair in drafts()[:1500] if pair[1]],
        verdicts("a", 1500, verifier_miss=0, verifier_false_alarm=0),
        strict=True,
    ):
        if fault == "wrong_answer":
            assert verdict["own_answer"] == truth(made["question"])
            assert said.planted == fault
        elif fault is None:
            assert same(verdict["own_answer"], made["answer"])


def test_a_false_alarm_rests_on_a_slip() -> None:
    for _, made in drafts()[:50]:
        if made and fault_of(made["question"], made["answer"]) is None:
            verdict = judged(made, 0, verifier_false_alarm=1.0)
            assert verdict["verdict"] == "reject"
            assert not same(verdict["own_answer"], made["answer"])


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_errors_of_two_verifiers_are_correlated_by_rho(rho: float) -> None:
    settings = CALM | {"wrong_answer": 1.0}
    bad = [json.loads(draft(i, **settings).text) for i in range(1500)]
    n, a, b, both = len(bad), 0, 0, 0
    for i, made in enumerate(bad):
        one = judged(made, i, model="a", rho=rho, verifier_miss=0.3)["verdict"] == "keep"
        two = judged(made, i, model="b", rho=rho, verifier_miss=0.3)["verdict"] == "keep"
        a, b, both = a + one, b + two, both + (one and two)
    p, q = a / n, b / n
    correlation = (both / n - p * q) / (p * (1 - p) * q * (1 - q)) ** 0.5
    assert abs(correlation - rho) < 0.1
    assert abs(p - 0.3) < 0.06


def test_a_verdict_on_a_strange_problem() -> None:
    strange = {"question": "Who wrote the Iliad?", "answer": "Homer"}
    kept = [judged(strange, i, rho=0, verifier_false_alarm=0.03)["verdict"] for i in range(300)]
    assert 0 < kept.count("reject") < 30
    assert judged(strange, 0, verifier_false_alarm=0)["own_answer"] == "Homer"


# Traces


@cache
def traces() -> tuple[tuple[str, str, Said], ...]:
    """(question, right answer, what the solver said) of the sound drafts."""
    sound = [made for said, made in drafts() if said.planted is None]
    return tuple((made["question"], made["answer"], traced(made["question"], i)) for i, made in enumerate(sound))


def test_fault_rates_of_traces() -> None:
    planted = Counter(said.planted for *_, said in traces())
    n = planted.total()
    for name in ("wrong_trace", "other_problem", "no_box", "empty"):
        assert near(planted[name] / n, DEFAULT_RATES[name], n), name


def test_traces_end_as_planted() -> None:
    other_but_right = 0
    for question, right, said in traces():
        final = extract(said.text)
        if said.planted == "empty":
            assert not final
        elif said.planted in {"wrong_trace", "claims_agreement", "addresses_judge"}:
            assert final and not same(final, right)
        elif said.planted == "other_problem":
            other_but_right += same(final, right)
            assert question not in (said.reasoning or "")
        else:
            assert same(final, right), (final, right)
            assert ("\\boxed" in said.text) == (said.planted != "no_box")
    assert other_but_right > 10


def test_equivalent_forms_are_common_and_right() -> None:
    sound = [(right, extract(said.text)) for _, right, said in traces() if said.planted is None]
    share = sum(right != final for right, final in sound) / len(sound)
    assert near(share, DEFAULT_RATES["equivalent_form"], len(sound))


def test_a_trace_speaks_of_its_problem() -> None:
    for question, _, said in traces()[:300]:
        numbers = set(re.findall(r"\d+", question.split("”")[-1]))
        told = set(re.findall(r"\d+", said.reasoning or ""))
        share = len(numbers & told) / max(len(numbers), 1)
        assert share < 0.9 if said.planted == "other_problem" else share == 1


def test_lengths_are_heavy_tailed_around_the_mean() -> None:
    words = sorted(len((said.reasoning or "").split()) for *_, said in traces())
    assert 260 < sum(words) / len(words) < 350
    assert words[len(words) // 2] < sum(words) / len(words)
    assert words[-1] > 900
    longer = traced(traces()[0][0], 0, trace_words=5000)
    assert len((longer.reasoning or "").split()) > 1500


def test_tokens_follow_the_words() -> None:
    for *_, said in traces()[:200]:
        words = len((said.reasoning or "").split())
        assert 1.2 * words <= said.reasoning_tokens <= 1.6 * words + 2
        assert said.output_tokens > said.reasoning_tokens


def test_traces_of_problems_that_cannot_be_solved() -> None:
    for i, (said, made) in enumerate(drafts()):
        if said.planted in {"ambiguous", "proof_only", "multiple_choice", "answer_leaked"} and i < 1500:
            answered = traced(made["question"], i, wrong_trace=0, other_problem=0, empty=0, no_box=0)
            assert extract(answered.text)
            if said.planted == "proof_only":
                assert extract(answered.text) in made["question"]  # the paper's defect: the claim matches itself
            if said.planted == "multiple_choice":
                assert made["answer"][1] in extract(answered.text)
    assert extract(traced("Who wrote the Iliad?", 1, no_box=0, empty=0).text)


# Judgements


@pytest.mark.parametrize(
    ("reference", "candidate", "same_value"),
    [
        ("1/2", "0.5", True),
        ("1/2", r"long text \boxed{\frac{1}{2}}", True),
        ("1/2", "The final answer is 1/3.", False),
        ("12.35 km", r"12.35\ \text{km}", True),
        ("Tuesday", r"\text{tuesday}", True),
        ("5", "", False),
        ("5", ":", False),
        ("5", "Thought process:", False),
    ],
)
def test_judgements_go_by_value(reference: str, candidate: str, same_value: bool) -> None:
    user = f"<reference_answer>{reference}</reference_answer><candidate_answer>{candidate}</candidate_answer>"
    made = json.loads(answer(ask(user, "chimera_judgement", 1, judge_error=0, judge_fooled=0, invalid_json=0)).text)
    assert made["same"] is same_value
    assert made["extracted"]


def test_judges_err_at_their_rate() -> None:
    user = "<reference_answer>5</reference_answer><candidate_answer>5</candidate_answer>"
    said = [answer(ask(user, "chimera_judgement", i, invalid_json=0)) for i in range(N)]
    wrong = [one for one in said if not json.loads(one.text)["same"]]
    assert near(len(wrong) / N, 0.01, N)
    assert {one.planted for one in wrong} == {"judge_error"}


# Dispatch and shape


def test_dispatch() -> None:
    problem = "<problem>Who wrote the Iliad?</problem>"
    assert "topics" in json.loads(answer(ask("<count>2</count>", "chimera_topics", 1, invalid_json=0)).text)
    assert "question" in json.loads(answer(ask("", "chimera_problems", 1, refusal=0, invalid_json=0)).text)
    assert "verdict" in json.loads(answer(ask(problem, "chimera_verdict", 1, invalid_json=0)).text)
    assert "same" in json.loads(answer(ask("", "chimera_judgement", 1, invalid_json=0)).text)
    assert answer(ask(problem, None, 1)).reasoning
    for other in (ask("hello", None, 1), ask(problem, "reviews", 1)):
        assert answer(other) == generic.answer(other)


def test_the_schema_decides_the_fields_and_their_order() -> None:
    schema = {
        "type": "object",
        "properties": {
            "verdict": {"type": "string", "enum": ["keep", "reject"]},
            "confidence": {"type": "integer", "minimum": 1, "maximum": 5},
            "reason": {"type": "string"},
        },
        "required": ["verdict", "confidence", "reason"],
    }
    asked = Ask("anthropic", "m", "", "<problem>?</problem>", "chimera_verdict", schema, "0" * 32, 2, 99, {})
    made = json.loads(answer(asked).text)
    assert list(made) == ["verdict", "confidence", "reason"]
    assert 1 <= made["confidence"] <= 5
    assert answer(asked) == answer(asked)


def test_equal_asks_get_equal_answers() -> None:
    question = drafts()[0][1]["question"]
    for one in (
        ask("<subject>Physics</subject><topic>Optics</topic>", "chimera_problems", 9),
        ask("<subject>Physics</subject>", "chimera_topics", 9),
        ask(f"<problem>{question}</problem>", "chimera_verdict", 9),
        ask(f"<problem>{question}</problem>", None, 9),
    ):
        assert answer(one) == answer(one)


def test_known_bytes_stay_the_same() -> None:
    """The generators are part of what a stored rehearsal rests on: a change here changes every rehearsal."""
    text = "".join(draft(i).text for i in range(40))
    assert draft(3).text != draft(3, seed=1).text
    assert draft(3).text == draft(3, seed=0).text == draft(3, seed="0").text
    assert text == "".join(draft(i).text for i in range(40))


def test_attempt_changes_nothing_else() -> None:
    question = drafts()[0][1]["question"]
    for attempt in (2, 3):
        one = ask(f"<problem>{question}</problem>", None, 9)
        two = ask(f"<problem>{question}</problem>", None, 9, attempt=attempt)
        assert answer(one) == answer(two)


# Small parts


def test_tags() -> None:
    text = "Use <topic> tags: <topic> A </topic> text <topic>\nB\n</topic>"
    assert read_tag(text, "topic") == "B"
    assert read_tag(text, "area") is None
    assert read_tag("</x> <x>", "x") is None
    assert read_lines("<l>\n- a\n* b\n\nc</l>", "l") == ["a", "b", "c"]
    assert read_lines("", "l") == []
    assert [read_count(f"<n>{n}</n>", "n", 7) for n in ("12", "0", "many", "99999")] == [12, 1, 7, 1000]


def test_chance_depends_on_its_parts_alone() -> None:
    assert dice("a", 1).random() == dice("a", 1).random() != dice("a", 2).random()
    assert uniforms("a", "b") == uniforms("a", "b") != uniforms("ab", "")
    flat = [u for i in range(2000) for u in uniforms(i)]
    assert min(flat) >= 0 and max(flat) < 1
    assert abs(sum(flat) / len(flat) - 0.5) < 0.02


def test_heavy_has_the_asked_mean() -> None:
    drawn = [heavy((i + 0.5) / 20000, 300, 0.6) for i in range(20000)]
    mean = sum(drawn) / len(drawn)
    assert abs(mean - 300) < 3
    assert abs((sum((x - mean) ** 2 for x in drawn) / len(drawn)) ** 0.5 / mean - 0.6) < 0.02
    assert heavy(0.3, 300, 0) == 300
    assert heavy(0.0, 300, 0.6) > 0


def test_rates_and_choice_of_faults() -> None:
    assert rate({}, "rho") == 0.3
    assert rate({"rho": "0.5"}, "rho") == 0.5
    with pytest.raises(KeyError):
        rate({}, "no such rate")
    names = ("wrong_answer", "ambiguous")
    assert [pick_fault(u, {}, names) for u in (0.0, 0.079, 0.081, 0.119, 0.121, 0.99)] == [
        "wrong_answer", "wrong_answer", "ambiguous", "ambiguous", None, None,
    ]  # fmt: skip


def test_fast_enough_for_paper_scale() -> None:
    """By processor time, a tenth of what an idle machine does: this guards against an accident."""
    made = [pair[1] for pair in drafts() if pair[1]][:1000]
    began = time.process_time()
    for i, problem in enumerate(made):
        judged(problem, i)
    assert len(made) / (time.process_time() - began) > 2000
    began = time.process_time()
    for i, problem in enumerate(made[:300]):
        traced(problem["question"], i, trace_words=600)
    assert 300 / (time.process_time() - began) > 500
