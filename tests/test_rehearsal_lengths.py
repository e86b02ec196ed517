"""Heavy-tailed lengths: the mean and spread that were asked for, one draw per attempt whatever the ceiling, and a bill
that says what the usage says."""

from __future__ import annotations

import math
from statistics import correlation, fmean, pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.clerk import Clerk, Done, Errand
from chimera_batch.rehearsal.knobs import BadSetting
from chimera_batch.rehearsal.lengths import Law, Lengths
from chimera_batch.rehearsal.talk import Said
from chimera_batch.rehearsal.tariff import Tariff
from tests.rehearsal_kit import PRICES, SCHEMA

KEY = "0123456789abcdef" * 2
MANY = [f"{n:032x}" for n in range(20_000)]
TEXT = Said("an answer", "why", 30, 20)
LONG = {"default": {"mean": 6000, "cv": 1.25}}


def lengths(seed: int = 0, **told: Any) -> Lengths:
    return Lengths({"seed": seed, "lengths": told})


def of(found: Lengths, name: str = "text", model: str = "plain", attempt: int = 1) -> list[int]:
    drawn = [found.tokens(name, model, key, attempt) for key in MANY]
    return [tokens for tokens in drawn if tokens is not None]


# What is drawn


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mean, cv", [(6000, 1.25), (800, 0.6), (40_000, 0.2)])
@pytest.mark.parametrize("tail", ["lognormal", "mixture"])
def test_mean_and_cv_are_those_that_were_asked_for(tail: str, mean: int, cv: float, within: float) -> None:
    drawn = of(lengths(default={"mean": mean, "cv": cv, "tail": tail, "within": within}))
    assert len(drawn) == 20_000
    assert fmean(drawn) == pytest.approx(mean, rel=0.035)
    assert pstdev(drawn) / fmean(drawn) == pytest.approx(cv, rel=0.09)


@pytest.mark.parametrize("mean, cv", [(6000, 1.25), (800, 0.6), (40_000, 0.2)])
def test_a_pareto_tail_has_the_mean_and_the_law_of_its_own(mean: int, cv: float) -> None:
    drawn = sorted(of(lengths(default={"mean": mean, "cv": cv, "tail": "pareto"})))
    shape = 1 + math.sqrt(1 + 1 / cv**2)  # of which cv² = 1 / (shape × (shape − 2))
    assert 1 / (shape * (shape - 2)) == pytest.approx(cv**2)
    least = mean * (shape - 1) / shape
    assert drawn[0] >= round(least)
    assert fmean(drawn) == pytest.approx(mean, rel=0.03)
    for share in (0.5, 0.1, 0.01):
        at = drawn[round(len(drawn) * (1 - share))]
        assert at == pytest.approx(least * share ** (-1 / shape), rel=0.08), "the quantile of Pareto's law"


def test_a_mixture_has_a_few_long_answers_and_the_tails_differ() -> None:
    law = {"mean": 6000, "cv": 1.25, "within": 0}
    p999 = {tail: sorted(of(lengths(default=law | {"tail": tail})))[-20] for tail in ("lognormal", "pareto", "mixture")}
    assert len(set(p999.values())) == 3
    drawn = of(lengths(default=law | {"tail": "mixture"}))
    assert 0.05 < sum(tokens > 15_000 for tokens in drawn) / len(drawn) < 0.12


@pytest.mark.parametrize("within, likeness", [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
def test_a_request_that_was_long_is_long_again(within: float, likeness: float) -> None:
    found = lengths(default={"mean": 6000, "cv": 1.25, "within": within})
    first, again = ([math.log(n) for n in of(found, attempt=attempt)] for attempt in (1, 2))
    assert correlation(first, again) == pytest.approx(likeness, abs=0.03)
    assert pstdev(again) == pytest.approx(math.sqrt(math.log1p(1.25**2)), rel=0.03), "whole draws, at every attempt"


def test_three_tenths_are_drawn_anew_unless_it_is_said() -> None:
    assert of(lengths(**LONG)) == of(lengths(default={"mean": 6000, "cv": 1.25, "within": 0.3, "tail": "lognormal"}))


def test_draws_depend_on_seed_key_and_attempt_alone() -> None:
    one = lengths(**LONG).tokens("text", "plain", KEY, 1)
    assert one == lengths(**LONG).tokens("text", "plain", KEY, 1)
    assert one == lengths(**LONG).tokens("verdict", "claude", KEY, 1)
    others = [lengths(1, **LONG).tokens("text", "plain", KEY, 1), lengths(**LONG).tokens("text", "plain", KEY, 2)]
    assert len({one, *others, lengths(**LONG).tokens("text", "plain", KEY[::-1], 1)}) == 4


def test_without_spread_every_answer_has_the_mean() -> None:
    for tail in ("lognormal", "pareto", "mixture"):
        assert set(of(lengths(default={"mean": 77, "cv": 0, "tail": tail}))) == {77}


@pytest.mark.parametrize("tail", ["lognormal", "pareto", "mixture"])
@pytest.mark.parametrize("cv", [5e-324, 1e-160, 1e-9, 1e-8])
def test_hardly_any_spread_is_hardly_another_length(tail: str, cv: float) -> None:
    assert Law(1000.0, cv, tail, 0.3).draw(0, KEY, 1) == 1000


@given(st.floats(1, 1e6), st.floats(0, 4), st.sampled_from(["lognormal", "pareto", "mixture"]), st.floats(0, 1))
def test_every_draw_is_a_token_count(mean: float, cv: float, tail: str, within: float) -> None:
    for attempt in range(1, 5):
        assert Law(mean, cv, tail, within).draw(0, KEY, attempt) >= 1


# Whose law it is


LAWS = {
    "default": {"mean": 1, "cv": 0},
    "plain": {"mean": 2},
    "verdict": {"mean": 3},
    "verdict@plain": {"mean": 4},
    "text": {"mean": 5},
}


@pytest.mark.parametrize(
    "name, model, mean",
    [("x", "m", 1), ("x", "plain", 2), ("verdict", "m", 3), ("verdict", "plain", 4), ("text", "plain", 5)],
)
def test_the_more_specific_wins(name: str, model: str, mean: int) -> None:
    assert lengths(**LAWS).tokens(name, model, KEY, 1) == mean


def test_what_no_table_fits_keeps_its_own_length() -> None:
    assert lengths(verdict={"mean": 3, "cv": 0}).tokens("text", "plain", KEY, 1) is None
    assert Lengths({}).tokens("text", "plain", KEY, 1) is None


def test_values_beside_the_tables_hold_for_all_of_them() -> None:
    common = lengths(tail="pareto", within=1.0, default={"mean": 50, "cv": 1}, text={"mean": 9, "within": 0.0})
    written = lengths(
        default={"mean": 50, "cv": 1, "tail": "pareto", "within": 1.0},
        text={"mean": 9, "cv": 1, "tail": "pareto", "within": 0.0},
    )
    for name in ("text", "other"):
        assert of(common, name)[:50] == of(written, name)[:50]


@pytest.mark.parametrize(
    "told, problem",
    [
        ({"default": {"mean": 5}}, "lengths.default lacks cv"),
        ({"verdict": {"cv": 1}}, "lengths.verdict lacks mean"),
        ({"default": {"mean": 5, "cv": 1, "tial": "pareto"}}, "lengths.default has no tial"),
        ({"default": {"mean": 5, "cv": 1, "tail": "fat"}}, "lengths.default.tail must be one of lognormal, pareto"),
        ({"default": {"mean": 0, "cv": 1}}, "lengths.default.mean must be a number of at least 1, not 0"),
        ({"default": {"mean": "5", "cv": 1}}, "not '5'"),
        ({"default": {"mean": 5, "cv": -1}}, "lengths.default.cv"),
        ({"default": {"mean": 5, "cv": float("nan")}}, "lengths.default.cv"),
        ({"default": {"mean": 5, "cv": 1, "within": 1.5}}, "lengths.default.within must be a number from 0 to 1"),
        ({"default": {"mean": 5, "cv": 9, "tail": "mixture"}}, "lengths.default.cv of a mixture"),
        ({"mean": 5, "cv": 1}, "beside its tables, has no cv, mean"),
        ([1], "lengths must be a table"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_at_the_start(told: Any, problem: str) -> None:
    with pytest.raises(BadSetting, match=problem.replace("(", r"\(")):
        Lengths({"lengths": told})


# What is answered and billed

SCHEMA_TEXT = {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}}
TURN = [{"role": "user", "content": "U"}]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/chat/completions": ("max_completion_tokens", {"model": "plain", "messages": TURN}),
    "/v1/responses": ("max_output_tokens", {"model": "plain", "input": TURN}),
    "/v1/messages": ("max_tokens", {"model": "claude", "messages": TURN}),
}


def ask(endpoint: str, ceiling: int, told: Any = LONG, attempt: int = 1, key: str = KEY, said: Said = TEXT) -> Done:
    name, body = BODIES[endpoint]
    profile = "anthropic" if endpoint == "/v1/messages" else "openai"
    clerk = Clerk(lambda ask: said, Tariff(PRICES), {"seed": 3, "lengths": told})
    return clerk.do(Errand(profile, endpoint, key, body | {name: ceiling}, attempt, key, 1_700_000_000, batch="b"))


def told(endpoint: str, done: Done) -> tuple[int, int, bool, str]:
    """Output tokens, reasoning tokens, whether it was cut, and the text."""
    body, usage = done.body, done.body["usage"]
    if endpoint == "/v1/chat/completions":
        (choice,) = body["choices"]
        thought = usage["completion_tokens_details"]["reasoning_tokens"]
        return usage["completion_tokens"], thought, choice["finish_reason"] == "length", choice["message"]["content"]
    if endpoint == "/v1/responses":
        texts = [part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]]
        thought = usage["output_tokens_details"]["reasoning_tokens"]
        return usage["output_tokens"], thought, body["status"] == "incomplete", "".join(texts)
    texts = [block["text"] for block in body["content"] if block["type"] == "text"]
    thought = usage["output_tokens_details"]["thinking_tokens"]
    return usage["output_tokens"], thought, body["stop_reason"] == "max_tokens", "".join(texts)


@pytest.mark.parametrize("endpoint", BODIES)
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_the_same_draw_at_every_ceiling_and_it_succeeds_where_it_fits(endpoint: str, attempt: int) -> None:
    whole = ask(endpoint, 10**6, attempt=attempt)
    length, thought, short, text = told(endpoint, whole)
    assert (short, text, whole.line["usable"]) == (False, "an answer", True)
    assert thought == length - 10, "all but the visible ten is reasoning"
    for ceiling in (1, length // 2, length - 1, length, length + 1, 2 * length):
        done = ask(endpoint, ceiling, attempt=attempt)
        spent, thought, short, text = told(endpoint, done)
        assert (spent, short, done.line["usable"]) == (min(length, ceiling), ceiling < length, ceiling >= length)
        assert done.line["output_tokens"] == spent, "the bill is the usage"
        assert thought == done.thought <= spent
        assert (text == "an answer") == (not short)


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_length_shorter_than_the_text_is_billed_as_drawn(endpoint: str) -> None:
    done = ask(endpoint, 100, {"default": {"mean": 4, "cv": 0}})
    assert told(endpoint, done) == (4, 0, False, "an answer")
    assert done.line["output_tokens"] == 4


def test_a_truncated_answer_keeps_what_came_before_the_ceiling() -> None:
    done = ask("/v1/responses", 95, {"default": {"mean": 100, "cv": 0}}, said=Said("x" * 40, "why", 30, 20))
    assert told("/v1/responses", done) == (95, 90, True, "x" * 20), "5 of the 10 visible tokens"


def test_a_refusal_is_as_short_as_ever() -> None:
    done = ask("/v1/chat/completions", 100, said=Said("No.", None, 5, 0, refused=True))
    assert done.line["output_tokens"] == 5


def test_without_thinking_nothing_is_hidden() -> None:
    name, body = BODIES["/v1/messages"]
    clerk = Clerk(lambda ask: TEXT, Tariff(PRICES), {"lengths": {"default": {"mean": 500, "cv": 0}}})
    off = body | {name: 1000, "thinking": {"type": "disabled"}}
    done = clerk.do(Errand("anthropic", "/v1/messages", KEY, off, 1, KEY, 0))
    assert told("/v1/messages", done) == (500, 0, False, "an answer")
    cut = clerk.do(Errand("anthropic", "/v1/messages", KEY, off | {name: 250}, 1, KEY, 0))
    assert told("/v1/messages", cut) == (250, 0, True, "an a"), "half of the text"


def test_laws_are_found_by_the_schemas_name_in_both_dialects() -> None:
    laws = {"reply": {"mean": 31, "cv": 0}, "chimera_judgement": {"mean": 32, "cv": 0}, "text": {"mean": 33, "cv": 0}}
    clerk = Clerk(lambda ask: Said('{"a": 1}', None, 5, 0), Tariff(PRICES), {"lengths": laws})

    def spent(endpoint: str, **more: Any) -> int:
        body = BODIES[endpoint][1] | {"max_tokens": 1000} | more
        profile = "anthropic" if endpoint == "/v1/messages" else "openai"
        return int(clerk.do(Errand(profile, endpoint, KEY, body, 1, KEY, 0)).line["output_tokens"])

    judge = {"type": "object", "properties": {"extracted": {}, "same": {}}}
    assert spent("/v1/responses", text=SCHEMA_TEXT) == 31
    assert spent("/v1/messages", output_config=SCHEMA_TEXT) == 31
    assert spent("/v1/messages", output_config={"format": {"type": "json_schema", "schema": judge}}) == 32
    assert spent("/v1/messages", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}) == 5
    assert spent("/v1/chat/completions") == spent("/v1/messages") == 33


def test_embeddings_have_no_length() -> None:
    clerk = Clerk(lambda ask: TEXT, Tariff(PRICES), {"lengths": LONG})
    done = clerk.do(Errand("openai", "/v1/embeddings", KEY, {"model": "embed", "input": "x"}, 1, KEY, 0))
    assert done.line["output_tokens"] == 0
