"""Routing: the cheapest model that fits is asked, everything else says why not, and a run that has begun stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch import api, opening
from chimera_batch.cost import prices
from chimera_batch.cost.prices import Price
from chimera_batch.errors import InputError
from chimera_batch.history.facts import Facts, Table
from chimera_batch.history.folding import apply
from chimera_batch.opening import Options, missing_keys, open_run
from chimera_batch.pipeline import project as projects
from chimera_batch.pipeline.project import Project
from chimera_batch.pipeline.stage import Assume, Hint, Stage
from chimera_batch.records import Call
from chimera_batch.rules.routing import Known, Ranked, begun, expected, first, rank
from tests.support import NOW, Clock, FakeHost, answered, bench, claimed, packed, write_project

A = Call("openai", "/v1/chat/completions", "gpt-6-luna", 1000)
B = Call("deepinfra", "/v1/chat/completions", "Qwen/Qwen3-235B-A22B-Thinking-2507", 1000)
C = Call("anthropic", "/v1/messages", "claude-haiku-5.5", 1000)


def stage(*calls: Call, hints: tuple[Hint, ...] = (), window: str = "24h", **assume: int) -> Stage:
    said = Assume(input_tokens=assume.get("given", 1000), output_tokens=assume.get("made", 500))
    return Stage("one", "ask", "m.yaml:1", calls=calls, hints=hints, window=window, assume=said, route="cheapest")


def price(call: Call, *rates: str) -> Price:
    return prices.load(None, [f"{call.provider}/{call.model}={','.join(rates)}"]).price(
        call.provider, call.model, date(2026, 11, 21)
    )


def known(
    table: Mapping[Call, Price],
    *,
    obstacles: Mapping[Call, str] | None = None,
    no_keys: Mapping[Call, str] | None = None,
    asked: Call | None = None,
) -> Known:
    return Known(table.get, (obstacles or {}).get, (no_keys or {}).get, asked)


CHEAP, DEAR = ("1", "4", "0.5", "2"), ("2", "8", "1", "4")


def chosen(found: tuple[Ranked, ...]) -> list[Call]:
    return [one.call for one in found if one.chosen]


def test_the_cheapest_is_chosen_and_stands_first() -> None:
    found = rank(stage(A, B), known({A: price(A, *DEAR), B: price(B, *CHEAP)}))
    assert [(one.call, one.chosen) for one in found] == [(B, True), (A, False)]
    # 1,000 of input and 500 of output each, at the batch rates per million
    assert [one.usd for one in found] == [Decimal("0.0015"), Decimal("0.003")]
    assert all(one.passed_over is None for one in found)


@pytest.mark.parametrize(("window", "usd"), [("24h", "0.0015"), ("flex", "0.0015"), ("now", "0.003"), ("1h", "0.0015")])
def test_the_window_decides_which_rates_hold(window: str, usd: str) -> None:
    (only,) = rank(stage(B, window=window), known({B: price(B, *CHEAP)}))
    assert only.usd == Decimal(usd)


def test_batch_rates_can_turn_the_order_round() -> None:
    table = {A: price(A, "2", "8", "1", "4"), B: price(B, "1.5", "6", "1.5", "6")}  # B gives no discount
    assert chosen(rank(stage(A, B), known(table))) == [A]
    assert chosen(rank(stage(A, B, window="now"), known(table))) == [B]


def test_a_model_that_answers_longer_costs_more() -> None:
    table = {A: price(A, *DEAR), B: price(B, *CHEAP)}
    talkative = stage(A, B, hints=(Hint(), Hint(output_tokens=1000)))
    assert chosen(rank(talkative, known(table))) == [B]
    assert chosen(
        rank(replace(talkative, hints=(Hint(output_tokens=100), Hint(output_tokens=1000))), known(table))
    ) == [A]


def test_another_tokenizer_makes_more_tokens_of_the_same_text() -> None:
    assert expected(stage(A, C), A, Hint()) == (1000, 500)
    assert expected(stage(A, C), C, Hint()) == (1600, 800)  # o200k × 1.6
    assert expected(stage(C, A), C, Hint()) == (1000, 500), "assumed in tokens of the first model"
    assert expected(stage(C, A), A, Hint()) == (625, 313)
    assert expected(stage(A, C), C, Hint(output_tokens=700)) == (1600, 700), "said in the model's own tokens"


def test_where_nothing_is_assumed_the_ceiling_is() -> None:
    silent = replace(stage(A), assume=Assume())
    assert expected(silent, A, Hint()) == (2000, 1000)
    embedding = replace(A, endpoint="/v1/embeddings", model="text-embedding-3-small")
    assert expected(replace(silent, calls=(embedding,)), embedding, Hint()) == (2000, 0)


def test_a_price_of_time_counts_like_any_other() -> None:
    raw = {
        "provider": "deepinfra",
        "model": B.model,
        "usd_per_hour": "3.6",
        "input_tokens_per_second": "10000",
        "output_tokens_per_second": "1000",
    }
    gpu = prices.from_row(raw, "here")
    ranked = rank(stage(A, B), known({A: price(A, *CHEAP), B: gpu}))
    assert chosen(ranked) == [B]
    assert ranked[0].usd == Decimal("0.0006")  # a tenth of a second and half a second at $0.001


PASSED: list[tuple[str, Hint, dict[str, int], str]] = [
    ("its ceiling", Hint(output_tokens=1001), {}, "1,001 output tokens are expected, its max_output_tokens is 1,000"),
    (
        "its context",
        Hint(context_tokens=1999),
        {},
        "1,000 of input and up to 1,000 of output are more than its context of 1,999",
    ),
]


@pytest.mark.parametrize(("hint", "assume", "why"), [row[1:] for row in PASSED], ids=[row[0] for row in PASSED])
def test_what_does_not_fit_is_passed_over(hint: Hint, assume: dict[str, int], why: str) -> None:
    asks = stage(A, B, hints=(Hint(), hint), **assume)
    found = rank(asks, known({A: price(A, *DEAR), B: price(B, *CHEAP)}))
    assert chosen(found) == [A]
    assert found[1].call == B and (found[1].passed_over or "").startswith(why)
    assert found[1].usd is not None and found[0].usd is not None and found[1].usd < found[0].usd


def test_what_just_fits_is_chosen() -> None:
    asks = stage(A, B, hints=(Hint(), Hint(output_tokens=1000, context_tokens=2000)))
    assert chosen(rank(asks, known({A: price(A, *DEAR), B: price(B, *CHEAP)}))) == [B]


def test_other_obstacles_are_named() -> None:
    table = {A: price(A, *DEAR), B: price(B, *CHEAP)}
    found = rank(stage(A, B), known(table, obstacles={B: "deepinfra has no flex"}))
    assert (chosen(found), found[1].passed_over) == ([A], "deepinfra has no flex")
    found = rank(stage(A, B), known(table, no_keys={B: "DEEPINFRA_TOKEN is not set"}))
    assert (chosen(found), found[1].passed_over) == ([A], "DEEPINFRA_TOKEN is not set")
    found = rank(stage(A, B), known({A: table[A]}))
    assert (chosen(found), found[1].passed_over, found[1].usd) == ([A], "no price is known for it", None)


def test_without_any_key_the_estimate_is_of_the_cheapest() -> None:
    table = {A: price(A, *DEAR), B: price(B, *CHEAP)}
    found = rank(stage(A, B), known(table, no_keys={A: "no key", B: "no key"}))
    assert chosen(found) == [B] and found[0].passed_over == "no key"


def test_nothing_is_chosen_where_nothing_fits() -> None:
    found = rank(stage(A, B), known({}))
    assert chosen(found) == []
    asks = stage(A, B)
    assert first(asks, found) is asks


@given(
    st.permutations([A, B, C]),
    st.lists(st.integers(1, 50), min_size=3, max_size=3),
    st.sets(st.sampled_from([A, B, C]), max_size=2),
)
def test_the_choice_is_the_least_of_what_can_be_asked(calls: list[Call], rates: list[int], blocked: set[Call]) -> None:
    table = {call: price(call, str(rate), str(rate)) for call, rate in zip(calls, rates, strict=True)}
    found = rank(stage(*calls, made=600), known(table, obstacles=dict.fromkeys(blocked, "no")))
    assert {one.call for one in found} == set(calls) and len(found) == 3
    (best,) = (one for one in found if one.chosen)
    assert best.call not in blocked
    others = [one.usd for one in found if one.passed_over is None and one.usd is not None]
    assert best.usd == min(others)
    assert [one.usd for one in found if one.passed_over is None] == sorted(others)


# -- a run that has begun


def facts(*events: dict[str, object]) -> Facts:
    found = Facts()
    for number, event in enumerate(events, 1):
        apply(found, {"n": number, "at": NOW + number, "by": "me", "token": str(number), **event})
    return found


def shard_of(call: Call, name: str) -> dict[str, object]:
    fields = {"provider": call.provider, "model": call.model, "endpoint": call.endpoint}
    return {"type": "packed", **packed(name, ceiling=call.max_output_tokens, **fields)}


def test_a_run_that_has_begun_stays_with_its_model() -> None:
    table = {A: price(A, *DEAR), B: price(B, *CHEAP)}
    asked = begun(facts(shard_of(A, "s"), claimed("s")), "tiny", stage(A, B))
    assert asked == A
    found = rank(stage(A, B), known(table, asked=asked))
    assert chosen(found) == [A] and [one.call for one in found] == [A, B]
    assert chosen(rank(stage(A, B), known(table, asked=A, no_keys={A: "no key"}))) == [A], "even without its key"


def test_the_last_one_asked_counts() -> None:
    both = facts(shard_of(A, "s"), shard_of(B, "t"), claimed("s"), claimed("t"))
    assert begun(both, "tiny", stage(A, B)) == B


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, A),
        ({"run": "other"}, None),
        ({"stage": "two"}, None),
    ],
)
def test_only_this_run_and_stage_count(event: dict[str, str], said: Call | None) -> None:
    assert begun(facts(shard_of(A, "s"), claimed("s", **event)), "tiny", stage(A, B)) == said


def test_what_was_dropped_was_not_begun() -> None:
    dropped = {"type": "dropped", "realm": "openai@api.openai.com", "shard": "s", "attempt": 1, "reason": "refused"}
    assert begun(facts(shard_of(A, "s"), claimed("s"), {**dropped, "queue_full": False}), "tiny", stage(A, B)) is None


def test_a_model_that_is_no_longer_listed_binds_nobody() -> None:
    assert begun(facts(shard_of(C, "s"), claimed("s")), "tiny", stage(A, B)) is None


def test_a_run_that_took_anothers_answers_stays_with_their_model() -> None:
    others = facts(shard_of(A, "s"), claimed("s", run="other"))
    others.tables["tiny", "one"] = Table("f", "k", "s", 1, {}, {})
    assert begun(others, "tiny", stage(A, B)) == A


def test_two_ways_to_ask_one_model_are_told_apart() -> None:
    longer = replace(A, max_output_tokens=9000, effort="high")
    assert begun(facts(shard_of(longer, "s"), claimed("s")), "tiny", stage(A, longer)) == longer


def test_only_the_chosen_one_moves() -> None:
    hints = (Hint(1), Hint(2), Hint(3))
    ranked = (Ranked(C, Decimal(1), chosen=True), Ranked(B, Decimal(2)), Ranked(A, Decimal(3)))
    moved = first(stage(A, B, C, hints=hints), ranked)
    assert moved.calls == (C, A, B), "the rest keeps the manifest's order: prices change no fingerprint"
    assert moved.hints == (Hint(3), Hint(1), Hint(2))


# -- opened and run

MODELS = """\
models:
  m:
    - {provider: openai, model: tiny-1, max_output_tokens: 100}
    - {provider: deepinfra, model: tiny-1, max_output_tokens: 100, assume_output_tokens: 90, context_tokens: 8000}
"""
PRICES = ("openai/tiny-1=2,8,1,4", "deepinfra/tiny-1=1,4,0.5,2")


def routed_manifest(folder: Path, route: str = "cheapest", window: str = "24h", models: str = MODELS) -> Path:
    write_project(folder)
    path = folder / "routed.yaml"
    path.write_text(
        f"run: tiny\nstore: {folder / 'store'}\n{models}stages:\n  - {{name: one, ask: m, prompt: tiny/one.md,"
        f" rows: tiny/one_rows.sql, route: {route}, window: {window},"
        " assume: {input_tokens: 50, output_tokens: 80}}\n"
    )
    return path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("DEEPINFRA_TOKEN", "k")
    return monkeypatch


@pytest.mark.parametrize(("route", "provider"), [("first", "openai"), ("cheapest", "deepinfra")])
@pytest.mark.usefixtures("keys")
def test_the_estimate_is_of_the_model_that_is_asked(tmp_path: Path, route: str, provider: str) -> None:
    path = routed_manifest(tmp_path, route)
    (one,) = api.plan(path, Options(prices=PRICES))["stages"]
    assert one["provider"] == provider
    with open_run(path, Options(prices=PRICES)) as ctx:
        said = [(one.call.provider, one.usd, one.chosen) for one in ctx.routes.get("one", ())]
    # 50 of input and 90 (said for it) or 80 of output, in batches
    routes = [("deepinfra", Decimal("0.000205"), True), ("openai", Decimal("0.00037"), False)]
    assert said == (routes if route == "cheapest" else [])


def test_a_provider_without_a_key_is_passed_over_and_not_asked_for(tmp_path: Path, keys: pytest.MonkeyPatch) -> None:
    keys.delenv("DEEPINFRA_TOKEN")
    path = routed_manifest(tmp_path)
    with open_run(path, Options(prices=PRICES)) as ctx:
        assert ctx.project.stages[0].calls[0].provider == "openai"
        assert "DEEPINFRA_TOKEN" in (ctx.routes["one"][1].passed_over or "")
        assert missing_keys(ctx) == []
    with open_run(routed_manifest(tmp_path, "first"), Options(prices=PRICES)) as ctx:
        assert len(missing_keys(ctx)) == 1, "without routing every listed provider must be ready"


def test_without_keys_the_cheapest_ones_key_is_asked_for(tmp_path: Path, keys: pytest.MonkeyPatch) -> None:
    keys.delenv("DEEPINFRA_TOKEN")
    keys.delenv("OPENAI_API_KEY")
    with open_run(routed_manifest(tmp_path), Options(prices=PRICES)) as ctx:
        (error,) = missing_keys(ctx)
    assert "DEEPINFRA_TOKEN" in error.message


def test_a_rehearsal_needs_no_key_to_route(tmp_path: Path) -> None:
    with open_run(routed_manifest(tmp_path), Options(prices=PRICES, rehearse=True)) as ctx:
        assert ctx.project.stages[0].calls[0].provider == "deepinfra"


@pytest.mark.usefixtures("keys")
def test_one_offer_of_the_window_is_enough(tmp_path: Path) -> None:
    with open_run(routed_manifest(tmp_path, window="flex"), Options(prices=PRICES)) as ctx:
        assert ctx.project.stages[0].calls[0].provider == "openai"
        assert ctx.routes["one"][1].passed_over == "deepinfra has no flex"
    with pytest.raises(InputError, match="deepinfra has no flex: only openai"):
        api.check(routed_manifest(tmp_path, "first", window="flex"), Options(prices=PRICES))
    with pytest.raises(InputError, match="2 problems"):
        api.check(routed_manifest(tmp_path, window="1h"), Options(prices=PRICES))


@pytest.mark.usefixtures("keys")
def test_check_says_when_nothing_fits(tmp_path: Path) -> None:
    models = MODELS.replace("max_output_tokens: 100", "max_output_tokens: 10")
    with pytest.raises(
        InputError, match=r"none of the models of stage one can be asked \(.*80 output tokens"
    ) as caught:
        api.check(routed_manifest(tmp_path, models=models), Options(prices=PRICES))
    assert (caught.value.where or "").endswith("routed.yaml:8")


def reroute(project: Project, table: tuple[str, ...], found: Facts) -> Project:
    return opening.routed(project, prices.load(None, table), found, rehearse=True)[0]


def test_a_run_goes_to_the_cheapest_and_stays_there(tmp_path: Path) -> None:
    loaded = projects.load(routed_manifest(tmp_path))
    cheap = reroute(loaded, PRICES, Facts())
    assert [call.provider for call in cheap.stages[0].calls] == ["deepinfra", "openai"]
    one = bench(cheap, host=FakeHost(cheap.profiles["deepinfra"], Clock()))
    one.go()
    ((shard, attempt),) = one.pairs
    assert (shard.provider, shard.realm) == ("deepinfra", "deepinfra@api.deepinfra.com")
    one.host.answer(attempt.batch or "", lambda line: answered(line["custom_id"]))
    assert one.go().done
    dearer = ("openai/tiny-1=0.1,0.4", "deepinfra/tiny-1=9,90")
    assert reroute(loaded, dearer, Facts()).stages[0].calls[0].provider == "openai"
    again = reroute(loaded, dearer, one.ctx.facts)
    assert again.stages[0].calls[0].provider == "deepinfra"
    two = bench(again, host=one.host, store=one.ctx.store)
    assert two.go().done and len(two.pairs) == 1, "nothing is asked anew"


def test_a_stage_that_does_not_route_is_left_alone(tmp_path: Path) -> None:
    loaded = projects.load(routed_manifest(tmp_path, "first"))
    assert reroute(loaded, PRICES, Facts()).stages == loaded.stages
