"""Longer tries of truncated answers: what lies beyond the ceiling is read off the curve of what finished."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chimera_batch.cost.lengths import ENOUGH, Lengths, Longer, fit, longer, pays
from chimera_batch.pipeline.stage import Rule
from chimera_batch.records import Usage
from chimera_batch.rules.retry import Choice, History, choose
from chimera_batch.steps import polling
from chimera_batch.steps.fingerprints import of_stage
from chimera_batch.verbs import statusing
from tests.support import Bench, answered, bench, write_project


class Rate:
    """A price of one dollar a token of output, a hundredth for input, half of both in a batch."""

    def cost(self, usage: Usage, *, batch: bool) -> Decimal:
        whole = Decimal(usage.output_tokens) + Decimal(usage.input_tokens) / 100
        return whole / 2 if batch else whole


def drawn(mu: float, sigma: float, count: int, ceiling: int, seed: int = 0) -> Lengths:
    """What a stage would measure of so many log-normal lengths."""
    chance = random.Random(seed)
    lengths = [math.ceil(math.exp(chance.gauss(mu, sigma))) for _ in range(count)]
    finished = sorted(length for length in lengths if length <= ceiling)
    return of(finished, count - len(finished), ceiling)


def of(finished: list[int], truncated: int, ceiling: int) -> Lengths:
    places = [max(0, math.ceil(tenth / 10 * len(finished)) - 1) for tenth in range(1, 10)]
    deciles = tuple(((tenth + 1) / 10, finished[place]) for tenth, place in enumerate(places)) if finished else ()
    return Lengths(ceiling, len(finished), truncated, deciles)


MU = math.log(2000)


@pytest.mark.parametrize("sigma", [0.3, 0.6, 0.97])  # 0.97: a coefficient of variation of 1.25
@pytest.mark.parametrize("ceiling", [1500, 2500, 4000])
def test_the_curve_is_found_again_from_what_was_cut(sigma: float, ceiling: int) -> None:
    found = fit(drawn(MU, sigma, 4000, ceiling))
    assert found is not None
    assert found == (pytest.approx(MU, abs=0.08), pytest.approx(sigma, rel=0.12))


@pytest.mark.parametrize("sigma", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("ceiling", [1500, 2500, 4000])
@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_the_share_and_the_cost_of_a_longer_try(sigma: float, ceiling: int, factor: float) -> None:
    most = int(ceiling * factor)
    found = longer(drawn(MU, sigma, 4000, ceiling), ceiling, most, Rate(), batch=False)
    chance = random.Random(1)
    beyond = [length for _ in range(40_000) if (length := math.exp(chance.gauss(MU, sigma))) > ceiling]
    share = sum(length <= most for length in beyond) / len(beyond)
    mean = sum(min(length, most) for length in beyond) / len(beyond)
    if len(beyond) > 1000:  # fewer prove nothing
        assert found.share == pytest.approx(share, abs=0.07)
        assert float(found.usd) == pytest.approx(mean, rel=0.05)


def test_a_small_sample_is_right_on_average() -> None:
    law = NormalDist(MU, 0.6)
    true = 1 - (1 - law.cdf(math.log(5000))) / (1 - law.cdf(math.log(2500)))
    found = [longer(drawn(MU, 0.6, 100, 2500, seed), 2500, 5000, Rate(), batch=False).share for seed in range(60)]
    assert sum(found) / len(found) == pytest.approx(true, abs=0.03)


def test_what_a_try_costs_at_which_rates() -> None:
    lengths = replace(drawn(MU, 0.6, 400, 2500), input_tokens=1000)
    dear, half = (longer(lengths, 2500, 5000, Rate(), batch=batch) for batch in (False, True))
    assert half.usd * 2 == dear.usd and half.share == dear.share
    assert dear.usd - longer(replace(lengths, input_tokens=0), 2500, 5000, Rate(), batch=False).usd == 10
    assert dear.usd_each == dear.usd / Decimal(str(dear.share)) > dear.usd


COUNTS = st.lists(st.integers(1, 100_000), max_size=60)


@given(COUNTS, st.integers(0, 60), st.integers(1, 100_000), st.floats(1, 16))
def test_whatever_was_measured_the_answer_makes_sense(
    finished: list[int], truncated: int, ceiling: int, factor: float
) -> None:
    most = int(ceiling * factor)
    kept = sorted(length for length in finished if length <= ceiling)
    found = longer(of(kept, truncated, ceiling), ceiling, most, Rate(), batch=False)
    assert 0 <= found.share <= 1
    assert ceiling <= found.usd <= most
    assert found.usd_each >= found.usd
    if most == ceiling:
        assert found.share == 0, "the same ceiling again finishes nothing that was too long for it"


@given(COUNTS, st.integers(1, 60), st.integers(1, 100_000), st.floats(1, 8), st.floats(1, 2))
def test_more_room_lets_more_of_them_finish(
    finished: list[int], truncated: int, ceiling: int, factor: float, more: float
) -> None:
    kept = sorted(length for length in finished if length <= ceiling)
    assume(kept)
    measured = of(kept, truncated, ceiling)
    less, room = (longer(measured, ceiling, int(ceiling * f), Rate(), batch=False) for f in (factor, factor * more))
    assert less.share <= room.share + 1e-9
    assert less.usd <= room.usd + 1


@pytest.mark.parametrize(
    "measured",
    [Lengths(100, 0, 0, ()), of([], 40, 100), Lengths(100, 1, 0, ((0.5, 0),)), Lengths(100, 40, 0, ((1.0, 50),))],
    ids=["nothing", "all cut", "no length", "one point"],
)
def test_nothing_is_promised_of_nothing(measured: Lengths) -> None:
    assert fit(measured) is None
    found = longer(measured, 100, 200, Rate(), batch=False)
    assert (found.share, found.usd, found.usd_each) == (0, 200, Decimal("Infinity"))


def test_answers_of_one_length_say_nothing_of_the_few_that_were_cut() -> None:
    """A spike: no division by a spread of nothing."""
    found = longer(of([50] * 40, 1, 51), 51, 102, Rate(), batch=False)
    assert 0 <= found.share <= 1


@pytest.mark.parametrize(
    ("measured", "share", "worth", "said"),
    [
        (ENOUGH, 0.5, "20", True),  # 10 / 0.5 = 20
        (ENOUGH, 0.5, "19.99", False),
        (ENOUGH, 0.0, "1000000", False),
        (ENOUGH - 1, 0.0, "0", True),  # too little is measured to say no
        (ENOUGH, 0.0, None, True),  # no row is usable yet: nothing to compare with
    ],
)
def test_when_it_pays(measured: int, share: float, worth: str | None, *, said: bool) -> None:
    lengths = Lengths(100, measured - 5, 5, ())
    assert pays(lengths, Longer(Decimal(10), share), Decimal(worth) if worth else None) is said


# -- the choice


def cut(ceiling: int, times: int = 1) -> History:
    return History(False, "truncated", False, ceiling, {"truncated": times})


def test_only_a_longer_try_of_a_truncated_answer_is_asked_about() -> None:
    asked: list[tuple[int, int]] = []

    def never(tried: int, most: int) -> bool:
        asked.append((tried, most))
        return False

    rules = {name: Rule(3) for name in ("invalid", "expired")} | {"truncated": Rule(2, 2.0)}
    assert choose(cut(100), rules, 100, pays=never) == Choice("given_up", 100)
    assert asked == [(100, 200)]
    assert choose(cut(200, 2), rules, 100, pays=never).state == "given_up"
    assert asked[1:] == [(200, 400)]
    assert choose(cut(100), rules, 300, pays=never) == Choice("retryable", 300), "a person allowed more"
    for outcome in ("invalid", "expired"):
        again = History(False, outcome, False, 200, {"truncated": 1, outcome: 1})  # type: ignore[arg-type]  # an Outcome
        assert choose(again, rules, 100, pays=never) == Choice("retryable", 200)
    assert choose(cut(400, 3), rules, 100, pays=never).state == "given_up"
    assert len(asked) == 2, "where the rule says no, nobody reckons"


def test_the_same_ceiling_again_is_allowed() -> None:
    rules = {"truncated": Rule(3, 1.0)}
    assert [choose(cut(100, n), rules, 100) for n in (1, 3, 4)] == [
        Choice("retryable", 100),
        Choice("retryable", 100),
        Choice("given_up", 100),
    ]


# -- a stage

ROWS = (
    "-- The rows.\nSELECT 'k' || lpad(i::VARCHAR, 3, '0') AS row_key, 'question ' || i AS q FROM range({n}) AS t(i)\n"
)


def stage_of(folder: Path, count: int, *, also: str = "", **rule: Any) -> Bench:
    said = ", ".join(f"{name}: {value}" for name, value in {"times": 1, "ceiling": "2x", **rule}.items())
    stage = f", retry: {{truncated: {{{said}}}}}, breaker: 0{also}"
    return bench(write_project(folder, {"sql/tiny/one_rows.sql": ROWS.format(n=count)}, stage=stage))


def answer_all(one: Bench, lengths: list[int]) -> None:
    """Answer the first batch: one request per length, cut at the ceiling of 100."""
    one.go()
    (batch,) = one.host.batches.values()
    left = iter(lengths)

    def said(line: dict[str, Any]) -> bytes:
        length = next(left)
        cut_short = length > 100
        return answered(line["custom_id"], finish="length" if cut_short else "stop", tokens=(10, min(length, 100)))

    one.host.answer(batch.id, said)


# a dozen end shortly before the ceiling and the others, by that curve, soon after it: a usable row has cost more
SOON = [72, 78, 82, 85, 88, 90, 92, 94, 96, 97, 98, 100] + [101] * 28
# most are cut: the rest lies far beyond 200 tokens, and what a longer try costs is far above a row
FAR = [2, 5, 9, 20, 40, 90] + [101] * 34


def test_what_ends_soon_is_asked_again(tmp_path: Path) -> None:
    one = stage_of(tmp_path, 40, pays="true")
    answer_all(one, SOON)
    one.go()
    assert one.states() == {"answered": 12, "in_flight": 28}
    assert one.stand().reasons == ()
    again = list(one.host.batches.values())[-1]
    assert {line["body"]["max_completion_tokens"] for line in again.lines} == {200}


@pytest.mark.parametrize("pays_said", [True, False])
def test_what_does_not_pay_is_given_up_with_a_reason(tmp_path: Path, *, pays_said: bool) -> None:
    one = stage_of(tmp_path, 40, pays=str(pays_said).lower())
    answer_all(one, FAR)
    done = one.go().done
    (said,) = statusing.status(one.ctx)["stages"]
    if not pays_said:
        assert not done and said["in_flight"] == 34 and said["reasons"] == []
        return
    assert done and (said["given_up"], said["answered"]) == (34, 6)
    (reason,) = said["reasons"]
    assert reason.startswith("given up: cut at 100 output tokens; a try with 200 would cost $0.0")
    assert "would cost" in reason and "a usable row has cost $0.00" in reason
    assert statusing.balances({"stages": [said]})
    assert one.go().done, "the decision rests on facts, so it stands"


def test_with_few_answers_it_goes_by_the_rule(tmp_path: Path) -> None:
    one = stage_of(tmp_path, 29, pays="true")
    answer_all(one, FAR[:6] + [101] * 23)
    one.go()
    assert one.states() == {"answered": 6, "in_flight": 23}


def test_dear_rows_make_longer_tries_worth_it(tmp_path: Path) -> None:
    """The worth of a row is what all stages up to this one cost; what another run paid counts too."""
    one = stage_of(tmp_path, 40, pays="true")
    answer_all(one, FAR)
    polling.poll(one.ctx)  # the answers land, and nothing is decided yet
    one.pairs[0][1].billed = Decimal(100)
    one.go()
    assert one.states() == {"answered": 6, "in_flight": 34}


def test_what_pays_is_part_of_the_table_only_where_it_is_said(tmp_path: Path) -> None:
    """Tables that were made before the key existed stay current."""
    silent, said, denied = (
        stage_of(tmp_path / name, 3, **rule).stage
        for name, rule in (("a", {}), ("b", {"pays": "true"}), ("c", {"pays": "false"}))
    )
    marks = [of_stage(stage, {}, {}, 0) for stage in (silent, said, denied)]
    assert marks[0] == marks[2] != marks[1]
