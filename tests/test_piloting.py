"""A random sample first: whose answers count, and what it says of the rest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.context import Pilot
from chimera_batch.errors import InputError, NeedsDecision
from chimera_batch.pipeline import project
from chimera_batch.verbs import piloting, quoting
from tests.pilot_kit import HEAD, Answering, lognormal, many, piloted
from tests.support import Bench

SAME = lognormal(1, 300, 0.8)


def constant(tokens: int) -> Any:
    return lambda _request, _asking: tokens


def sampled(one: Bench, requests: int = 40) -> dict[str, Any]:
    """Send the sample of the first stage and measure it."""
    stage, _ = piloting.prepare(one.ctx, None, requests)
    piloting.sample(one.ctx, stage, requests)
    return piloting.document(one.ctx, stage)


def charged(one: Bench) -> Decimal:
    assert isinstance(one.host, Answering)
    return one.host.charged


# -- what is sent


def test_only_the_sample_is_sent_and_it_counts(tmp_path: Path) -> None:
    one = piloted(tmp_path, 700, SAME)
    found = sampled(one)
    assert [batch.lines.__len__() for batch in one.host.batches.values()] == [40]
    assert (found["n"], found["wanted"], found["left"], found["basis"]) == (40, 700, 660, "pilot of 40")
    assert runner.converge(one.ctx).done
    assert isinstance(one.host, Answering)
    assert sorted(one.host.asked.values()) == [1] * 700  # nothing was asked twice
    assert len(one.host.batches) == 2  # and no canary after a pilot


@pytest.mark.slow
def test_the_sample_is_those_with_the_smallest_ids(tmp_path: Path) -> None:
    one = piloted(tmp_path, 100, SAME)
    sampled(one)
    everything = sorted(row["request_id"] for path in one.draw() for row in one.parquet(path))
    assert isinstance(one.host, Answering)
    assert sorted(one.host.asked) == everything[:40]
    assert everything != [row["request_id"] for path in one.draw() for row in one.parquet(path)]  # not the first rows


@pytest.mark.slow
def test_a_larger_sample_contains_the_smaller_one(tmp_path: Path) -> None:
    one = piloted(tmp_path, 500, SAME)
    sampled(one, 40)
    assert sampled(one, 100)["n"] == 100
    assert [len(batch.lines) for batch in one.host.batches.values()] == [40, 60]
    sampled(one, 100)  # again: nothing to send
    assert len(one.host.batches) == 2


@pytest.mark.slow
def test_a_sample_of_requests_that_are_packed_already(tmp_path: Path) -> None:
    one = piloted(tmp_path, 300, SAME)
    one.pack(one.draw())  # a run that was stopped before it sent anything
    assert sampled(one)["n"] == 40
    assert [len(batch.lines) for batch in one.host.batches.values()] == [40]
    assert runner.converge(one.ctx).done
    assert [len(batch.lines) for batch in one.host.batches.values()] == [40, 260]


@pytest.mark.slow
def test_a_stage_smaller_than_the_sample_is_simply_asked(tmp_path: Path) -> None:
    one = piloted(tmp_path, 35, SAME)
    found = sampled(one, 100)
    assert (found["n"], found["left"], found["rest"]["basis"]) == (35, 0, "answered")
    assert found["output_tokens"]["mean"] > 0


@pytest.mark.slow
def test_truncated_answers_of_the_sample_are_asked_again_within_it(tmp_path: Path) -> None:
    one = piloted(tmp_path, 400, lognormal(5, 300, 1.0), max_output_tokens=400)
    found = sampled(one, 100)
    again = [len(batch.lines) for batch in one.host.batches.values()]
    assert again[0] == 100
    assert again[1] == found["truncated"]["requests"]
    assert len(again) == 2


# -- what it says


def test_the_figures_by_hand(tmp_path: Path) -> None:
    """Batch: 1 dollar per million in, 4 out. Every question is 10 tokens by the bill and every answer 500."""
    found = sampled(piloted(tmp_path, 200, constant(500)))
    assert found["usd_per_request"] == {"low": 0.00201, "mean": 0.00201, "high": 0.00201}
    assert (found["output_tokens"]["mean"], found["output_tokens"]["p95"]) == (500, 500)
    assert found["truncated"] == {"requests": 0, "low": 0, "mean": 0, "high": pytest.approx(0.0876, abs=1e-3)}
    assert found["usd_spent"] == 0.0804
    assert found["rest"]["usd"]["likely"] == pytest.approx(160 * 0.00201)
    assert found["rest"]["sync_usd"] == pytest.approx(160 * 0.00402)


def test_what_is_asked_again_is_part_of_the_price(tmp_path: Path) -> None:
    """Each is truncated once at 400 and fits the second time: 10 + 400 and 10 + 600 tokens."""
    found = sampled(piloted(tmp_path, 200, constant(600), max_output_tokens=400, stage=", breaker: 0"))
    assert found["usd_per_request"]["mean"] == pytest.approx((20 + 4 * 1000) / 1e6)
    assert found["truncated"]["mean"] == 1
    assert found["ok"] == 40


def quoted_and_billed(folder: Path, seed: int, rows: int, ceiling: int = 20_000) -> tuple[dict[str, float], float]:
    """The quote of the rest after a pilot of 200, and what the host charged for it: lengths of cv 1.25."""
    one = piloted(folder, rows, lognormal(seed, 800, 1.25), max_output_tokens=ceiling)
    found = sampled(one, 200)
    before = charged(one)
    assert runner.converge(one.ctx).done
    assert one.ctx.facts.spent("tiny") == charged(one)
    return found["rest"]["usd"], float(charged(one) - before)


@pytest.mark.slow
def test_the_bill_lies_in_the_quoted_interval(tmp_path: Path) -> None:
    usd, rest = quoted_and_billed(tmp_path, 0, 1000)
    assert usd["low"] <= rest <= usd["high"] <= usd["ceiling"]


@pytest.mark.slow
@pytest.mark.parametrize("ceiling", [20_000, 2_400])  # hardly ever truncated; one in twenty truncated and asked again
def test_at_least_nine_bills_of_ten_lie_in_the_quoted_interval(tmp_path: Path, ceiling: int) -> None:
    found = [quoted_and_billed(tmp_path / str(seed), seed, 3000, ceiling) for seed in range(10)]
    assert sum(usd["low"] <= rest <= usd["high"] for usd, rest in found) >= 9
    assert all(rest <= usd["ceiling"] for usd, rest in found)


@pytest.mark.slow
def test_the_ceiling_holds_even_if_everything_is_truncated(tmp_path: Path) -> None:
    one = piloted(tmp_path, 60, constant(10**6), max_output_tokens=500, stage=", breaker: 0")
    quoted = quoting.quote(one.ctx)["total"]["ceiling"]
    runner.converge(one.ctx)
    assert len(one.host.batches) == 2
    assert float(charged(one)) <= quoted


KEPT = "-- Half of them.\n-- reads: answers\nSELECT row_key, right(row_key, 1) IN ('0', '2', '4', '6', '8') AS kept "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (KEPT + "FROM answers WHERE outcome = 'ok'", range(12, 29)),  # a column that says so
        ("-- All.\n-- reads: answers\nSELECT row_key FROM answers WHERE outcome = 'ok'", range(40, 41)),
        (
            "-- Two each.\n-- reads: answers\nSELECT row_key || x AS row_key FROM answers, "
            "(VALUES ('a'), ('b')) AS t(x) WHERE outcome = 'ok'",
            range(80, 81),
        ),
    ],
)
def test_a_kept_row_has_its_price(tmp_path: Path, table: str, rows: range) -> None:
    one = piloted(tmp_path, 200, constant(500), stage=", table: tiny/one.sql", files={"sql/tiny/one.sql": table})
    found = sampled(one)
    kept = found["kept"]
    assert kept["rows"] in rows
    assert found["usd_per_kept_row"] == pytest.approx(0.00201 * 40 / kept["rows"])
    assert (kept["low"] is None) == (kept["rows"] > 40)


@pytest.mark.slow
def test_rows_kept_are_those_that_free_checks_leave(tmp_path: Path) -> None:
    table = "-- All.\n-- reads: answers\nSELECT row_key FROM answers WHERE outcome = 'ok'"
    less = "-- Some.\n-- reads: one\nSELECT row_key FROM one WHERE right(row_key, 1) = '3'"
    files = {"sql/tiny/one.sql": table, "sql/tiny/less.sql": less}
    stage = ", table: tiny/one.sql}\n  - {name: less, sql: tiny/less.sql"
    found = sampled(piloted(tmp_path, 200, constant(500), stage=stage, files=files))
    assert 0 < found["kept"]["rows"] < 15
    assert found["kept"]["low"] < found["kept"]["mean"] < found["kept"]["high"]


# -- what the run does with it


def test_a_run_asks_again_after_the_sample(tmp_path: Path) -> None:
    one = piloted(tmp_path, 300, SAME)
    ctx = replace(one.ctx, pilot=Pilot(50))
    asked = []

    def no(found: dict[str, Any]) -> bool:
        asked.append(found)
        return False

    with pytest.raises(NeedsDecision, match="the sample of one is in; the rest was not sent") as caught:
        piloting.converge(ctx, detach=False, confirm=no)
    assert str(caught.value.hint) == f"chimera-batch run {ctx.project.path} --pilot -n 50 --yes"
    assert [len(batch.lines) for batch in one.host.batches.values()] == [50]
    assert asked[0]["pilots"][0]["n"] == 50
    assert asked[0]["stages"][0]["requests"] == 250
    assert asked[0]["stages"][0]["basis"] == "pilot of 50"
    assert piloting.converge(ctx, detach=False, confirm=lambda _: True).done


@pytest.mark.slow
def test_with_yes_the_rest_follows_by_itself(tmp_path: Path) -> None:
    one = piloted(tmp_path, 300, SAME)
    ctx = replace(one.ctx, pilot=Pilot(50))
    assert piloting.converge(ctx, detach=False, confirm=None).done
    assert [len(batch.lines) for batch in one.host.batches.values()] == [50, 250]


@pytest.mark.slow
def test_the_first_question_of_a_run_with_a_sample_is_about_the_sample(tmp_path: Path) -> None:
    one = piloted(tmp_path, 300, SAME, stage=", assume: {output_tokens: 1000}")
    offer = piloting.first_offer(replace(one.ctx, pilot=Pilot(50)))
    assert offer is not None
    assert (offer["stage"], offer["pilot"]) == ("one", 50)
    whole = quoting.quote(one.ctx)["total"]
    assert offer["usd"]["likely"] == pytest.approx(whole["likely"] / 6, rel=0.01)
    assert offer["usd"]["ceiling"] == pytest.approx(whole["ceiling"] / 6, rel=0.01)
    assert piloting.first_offer(one.ctx) is None


@pytest.mark.parametrize(
    ("pilot", "until", "words"),
    [
        (None, None, "run {} --max-usd 2"),
        (None, "one", "run {} --until one --max-usd 2"),
        (Pilot(50), None, "run {} --pilot -n 50 --max-usd 2"),
        (Pilot(50, "one"), None, "pilot {} --stage one -n 50 --max-usd 2"),
    ],
)
def test_a_line_to_paste_sends_no_more_than_was_asked_for(
    pilot: Pilot | None, until: str | None, words: str, tmp_path: Path
) -> None:
    ctx = replace(piloted(tmp_path, 50, SAME).ctx, pilot=pilot, until=until, budget_usd=Decimal(2))
    assert ctx.again() == f"chimera-batch {words.format(ctx.project.path)}"


# -- what cannot be sampled


@pytest.mark.parametrize("requests", [0, 1, 29])
def test_never_fewer_than_thirty(tmp_path: Path, requests: int) -> None:
    with pytest.raises(InputError, match="never fewer than 30"):
        piloting.prepare(piloted(tmp_path, 300, SAME).ctx, None, requests)


@pytest.mark.slow
def test_too_few_answers_give_no_point_estimate(tmp_path: Path) -> None:
    one = piloted(tmp_path, 20, SAME)
    with pytest.raises(InputError, match="no stage has as many as 30 requests to send in batches"):
        piloting.prepare(one.ctx, None, 30)  # nobody is led into paying for it
    stage, _ = piloting.prepare(one.ctx, "one", 30)
    piloting.sample(one.ctx, stage, 30)
    found = piloting.document(one.ctx, stage)
    assert found["n"] == 0
    assert "no point estimate" in found["basis"]
    assert "usd_per_request" not in found


TWO = (
    "}\n  - {name: two, ask: m, prompt: tiny/one.md, rows: tiny/two_rows.sql, assume: {rows_per: {one: 1}}"
    "}\n  - {name: free, sql: tiny/free.sql"
)
TWO_FILES = {
    "sql/tiny/two_rows.sql": "-- Rows.\n-- reads: one\nSELECT row_key, 'again ' || row_key AS q FROM one\n",
    "sql/tiny/free.sql": "-- Rows.\n-- reads: one\nSELECT row_key FROM one\n",
}


@pytest.mark.parametrize(
    ("stage", "words", "hint"),
    [
        ("two", "the rows of two are not known yet: one is not finished", "--until one"),
        ("free", "free asks nobody", ""),
        ("nine", "there is no stage `nine`", ""),
    ],
)
def test_a_stage_without_a_sample_says_why(tmp_path: Path, stage: str, words: str, hint: str) -> None:
    one = piloted(tmp_path, 100, SAME, stage=TWO, files=TWO_FILES)
    with pytest.raises(InputError, match=words) as caught:
        piloting.prepare(one.ctx, stage, 40)
    assert hint in (caught.value.hint or "")
    assert not one.host.batches


def test_a_stage_that_is_asked_at_once_has_no_sample(tmp_path: Path) -> None:
    one = piloted(tmp_path, 100, SAME, stage=", window: now")
    with pytest.raises(InputError, match="asks at once"):
        piloting.prepare(one.ctx, "one", 40)
    with pytest.raises(InputError, match="no stage has as many as 30 requests to send in batches"):
        piloting.prepare(one.ctx, None, 40)


@pytest.mark.slow
def test_the_sample_of_a_later_stage_asks_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    one = piloted(tmp_path, 100, SAME, stage=TWO, files=TWO_FILES)
    assert runner.converge(one.ctx, until="one").unfinished == []
    found = sampled(one)  # the first with something to send
    assert found["stage"] == "two"
    assert [len(batch.lines) for batch in one.host.batches.values()] == [100, 40]
    found = sampled(one, 60)
    assert (found["n"], found["rest"]["requests"]) == (60, 40)
    assert len(one.host.batches) == 3


@pytest.mark.slow
def test_a_later_stage_is_quoted_from_the_rows_of_the_sample(tmp_path: Path) -> None:
    half = TWO_FILES | {
        "sql/tiny/two_rows.sql": "-- Rows.\n-- reads: one\nSELECT row_key, 'again ' || row_key AS q FROM one "
        "WHERE right(row_key, 1) IN ('1', '3', '5', '7', '9')\n"
    }
    one = piloted(tmp_path, 1000, SAME, stage=TWO, files=half)
    before = {stage["stage"]: stage for stage in quoting.quote(one.ctx)["stages"]}
    assert (before["two"]["requests"], before["two"]["basis"]) == (1000, "ceiling")
    sampled(one, 200)
    two = {stage["stage"]: stage for stage in quoting.quote(one.ctx)["stages"]}["two"]
    assert 400 < two["requests"] < 600  # half of them, as the sample says
    assert runner.converge(one.ctx, until="one").unfinished == []
    known = {stage["stage"]: stage for stage in quoting.quote(one.ctx)["stages"]}["two"]
    assert known["requests"] == 500
    assert two["usd"]["low"] <= known["usd"]["likely"] <= two["usd"]["high"]


def test_a_stage_below_one_that_grows_is_not_called_answered(tmp_path: Path) -> None:
    one = piloted(tmp_path, 100, SAME, stage=TWO, files=TWO_FILES)
    assert runner.converge(one.ctx).unfinished == []
    (tmp_path / "sql/tiny/one_rows.sql").write_text(HEAD + many(150))
    edited = replace(one.ctx, told=project.load(one.ctx.project.path))
    found = {stage["stage"]: stage for stage in quoting.quote(edited)["stages"]}
    assert (found["one"]["requests"], found["two"]["requests"]) == (50, 50)
    assert (found["two"]["basis"], found["two"]["usd"]["low"] > 0) == ("pilot of 100", True)
    assert runner.converge(edited).unfinished == []
    assert quoting.quote(edited)["total"]["ceiling"] == 0


@pytest.mark.slow
def test_between_passes_the_cut_answers_are_neither_forgotten_nor_average(tmp_path: Path) -> None:
    """The first passes are in, what was cut is not asked again yet: the estimate sees both."""
    one = piloted(tmp_path, 200, lognormal(5, 300, 1.0), max_output_tokens=500, stage=", canary: 0")
    runner.advance(one.ctx)
    runner.polling.poll(one.ctx)  # lands the first batch; nobody has asked again
    quoted = quoting.quote(one.ctx)["stages"][0]
    assert 0 < quoted["requests"] < 60
    assert quoted["basis"] == "pilot of 200"
    before = charged(one)
    assert runner.converge(one.ctx).done
    assert quoted["usd"]["low"] <= float(charged(one) - before) <= quoted["usd"]["high"]
