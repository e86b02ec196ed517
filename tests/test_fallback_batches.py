"""A stage that falls back from one batch host to another: what is answered stays, only the rest is asked there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import runner
from chimera_batch.cost import prices
from chimera_batch.errors import ProviderDown
from chimera_batch.exporting.provenance import provenance
from chimera_batch.records import Usage
from chimera_batch.steps import adding, recalling, switching
from chimera_batch.verbs import quoting, statusing, tracing
from tests.fallback_kit import ALL, HERE, SAME, THERE, Two, project, rows_sql, some, two
from tests.support import FAR_OWNER, answered

EXPIRED = ", fallback: {on: [expired]}"
BOTH_HERE = (HERE, "{provider: openai, model: tiny-2, max_output_tokens: 100}")
LISTS = {"two models": (HERE, THERE), "one model at two hosts": (HERE, SAME), "two models of one host": BOTH_HERE}


def fallen(folder: Path, stage: str = EXPIRED, **more: Any) -> Two:
    """A run whose first batch expired after two of its six rows."""
    run = two(project(folder, stage, **more))
    run.one.go()
    run.end(some(0, 1), "expired")
    assert not run.one.go().done
    return run


def numbers(questions: list[str]) -> list[int]:
    return sorted(int(question.split()[-1]) for question in questions)


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS)
def test_what_expired_is_asked_at_the_next_model(tmp_path: Path, models: tuple[str, ...]) -> None:
    run = fallen(tmp_path, models=models)
    (switch,) = run.switches
    assert switch.left == ("openai", "tiny-1") and switch.reason.startswith("expired: 4 requests of one-")
    assert run.one.states() == {"answered": 2, "in_flight": 4}
    asked = numbers(run.asked_at("openai") + run.asked_at("deepinfra"))
    assert asked == sorted([*range(6), *range(2, 6)])
    run.end(ALL, host=switch.provider)
    assert run.one.go().done
    assert [row["text"] for row in run.one.table()] == [f"answer {n}" for n in range(6)]
    assert run.one.states() == {"answered": 6}
    assert runner.converge(run.one.ctx).done and len(run.one.pairs) == 2, "nothing more is asked"


def test_status_trace_and_bill_know_both_hosts(tmp_path: Path) -> None:
    run = fallen(tmp_path)
    run.end(ALL, host="deepinfra")
    run.one.go()
    document = statusing.status(run.one.ctx)
    (stage,) = document["stages"]
    assert stage["model"] == {"provider": "deepinfra", "model": "tiny-2"}
    (switch,) = stage["switches"]
    assert (switch["from"], switch["to"]) == ("openai/tiny-1", "deepinfra/tiny-2")
    assert switch["reason"].startswith("expired: ") and switch["at"] == run.switches[0].at
    assert statusing.balances(document) and stage["answered"] == 6 and stage["orphaned"] == 0
    each = Usage(10, output_tokens=3)
    price = run.one.ctx.price_of("openai", "tiny-1").cost(each, batch=True)
    assert run.one.ctx.facts.spent("tiny") == 6 * price
    for key, provider in (("k000", "openai"), ("k005", "deepinfra")):
        (step,) = tracing.trace(run.one.ctx, key)["steps"]
        assert [(result["provider"], result["outcome"]) for result in step["results"]] == [(provider, "ok")]


def test_an_export_names_whom_it_asked_and_nobody_else(tmp_path: Path) -> None:
    def models(run: Two) -> list[str]:
        (stage,) = provenance(run.one.ctx)["stages"]
        return list(stage["models"])

    untouched = two(project(tmp_path / "a", EXPIRED))
    untouched.one.go()
    untouched.end(ALL)
    assert untouched.one.go().done and models(untouched) == ["openai/tiny-1"]
    run = fallen(tmp_path / "b")
    run.end(ALL, host="deepinfra")
    assert run.one.go().done and models(run) == ["deepinfra/tiny-2", "openai/tiny-1"]


def test_an_export_names_the_model_whose_answers_it_found_in_the_store(tmp_path: Path) -> None:
    """Bought by another run, at a host that this one left before it had asked it anything."""
    first = two(project(tmp_path, EXPIRED, rows=4))
    first.one.go()
    first.end(ALL)
    assert first.one.go().done
    made = project(tmp_path, ", fallback: {on: [down]}")
    second = two(replace(made, run="second"), first)
    refuses(second.here)
    for _ in range(6):
        second.one.go()
        second.one.clock.sleep(3600)
    assert numbers(second.asked_at("deepinfra")) == [4, 5]
    second.end(ALL, host="deepinfra")
    assert second.one.go().done
    (stage,) = provenance(second.one.ctx)["stages"]
    assert stage["models"] == ["deepinfra/tiny-2", "openai/tiny-1"]


def test_a_run_without_a_rule_asks_the_same_model_again(tmp_path: Path) -> None:
    run = fallen(tmp_path, stage="")
    assert run.switches == [] and len(run.asked_at("openai")) == 10


def test_every_sample_keeps_its_own_answer(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", samples: 3" + EXPIRED, rows=2))
    run.one.go()
    sent = [line["custom_id"] for batch in run.here.batches.values() for line in batch.lines]
    first = set(sent[1:4])  # of both rows, not whole ones
    run.end(lambda line: answered(line["custom_id"], "here") if line["custom_id"] in first else None, "expired")
    run.one.go()
    assert len(run.asked_at("deepinfra")) == 3
    run.end(lambda line: answered(line["custom_id"], "there"), host="deepinfra")
    assert run.one.go().done
    texts = {(row["row_key"]): row["text"] for row in run.one.table()}
    assert len(texts) == 6 and sorted(texts.values()) == ["here"] * 3 + ["there"] * 3


def test_rows_that_come_later_are_asked_where_the_stage_is(tmp_path: Path) -> None:
    run = fallen(tmp_path)
    run.end(ALL, host="deepinfra")
    assert run.one.go().done
    (tmp_path / "sql/tiny/one_rows.sql").write_text(rows_sql(8))
    more = two(project(tmp_path, EXPIRED, rows=8), run)
    more.one.go()
    assert numbers(run.asked_at("deepinfra")) == [2, 3, 4, 5, 6, 7] and len(run.asked_at("openai")) == 6
    run.end(ALL, host="deepinfra")
    assert more.one.go().done
    assert [row["text"] for row in more.one.table()] == [f"answer {n}" for n in range(8)]


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS)
def test_of_a_large_round_only_what_it_gains_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    monkeypatch.setattr(adding, "FROM", 3)
    run = fallen(tmp_path, models=models)
    run.end(ALL, host=run.switches[0].provider)
    assert run.one.go().done
    (tmp_path / "sql/tiny/one_rows.sql").write_text(rows_sql(9))
    more = two(project(tmp_path, EXPIRED, rows=9, models=models), run)
    before = len(run.asked_at(run.switches[0].provider))
    more.one.go()
    assert numbers(run.asked_at(run.switches[0].provider)[before:]) == [6, 7, 8]
    asked = more.one.ctx.facts.asked["tiny", "one"][1]
    assert len(asked.keys) == 2 and (asked.rows, asked.switches) == (9, 1)
    run.end(ALL, host=run.switches[0].provider)
    assert more.one.go().done and len(more.one.table()) == 9


def test_an_estimate_says_where_a_stage_may_go(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED + ", assume: {input_tokens: 10, output_tokens: 3}"))
    said = "stage one: priced at openai/tiny-1; it may fall back to deepinfra/tiny-2 (about $0.000022 a request)"
    assert said in quoting.quote(run.one.ctx)["warnings"]
    later = fallen(tmp_path / "later")
    document = quoting.quote(later.one.ctx)
    assert not [warning for warning in document["warnings"] if "fall back" in warning], "there is none left"
    assert (document["stages"][0]["provider"], document["stages"][0]["requests"]) == ("deepinfra", 0)


def test_an_answer_whose_row_is_gone_is_orphaned_wherever_it_came_from(tmp_path: Path) -> None:
    run = fallen(tmp_path)
    run.end(ALL, host="deepinfra")
    run.one.go()
    sql = rows_sql(6) + " WHERE i NOT IN (0, 5)\n"
    (tmp_path / "sql/tiny/one_rows.sql").write_text(sql)
    less = two(project(tmp_path, EXPIRED), run)
    (tmp_path / "sql/tiny/one_rows.sql").write_text(sql)
    less = two(replace(less.one.ctx.told, stages=(_with_rows(less, sql),)), run)
    assert less.one.go().done
    found = recalling.counted(less.one.ctx, less.one.stage)
    assert (found.standing.states["answered"], found.orphaned) == (4, 2)


def _with_rows(run: Two, sql: str) -> Any:
    stage = run.one.ctx.told.stages[0]
    assert stage.rows is not None
    return replace(stage, rows=replace(stage.rows, text=sql))


# -- what is under way


def test_nothing_moves_while_anything_is_under_way(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED), max_requests=3)
    run.one.go()
    first, second = run.here.batches.values()
    run.here.answer(first.id, some(0), "expired")
    progress = run.one.go()
    assert run.switches == [] and not run.there.batches, "the other batch is waited for"
    assert progress.in_flight == 3 and "deepinfra/tiny-2 when what openai/tiny-1 has is over" in progress.waits[0]
    assert len(run.asked_at("openai")) == 6, "nor is more asked where it leaves"
    run.here.answer(second.id, some(3, 4), "expired")
    run.one.go()
    assert len(run.switches) == 1 and numbers(run.asked_at("deepinfra")) == [1, 2, 5]


def test_a_switch_is_not_written_over_what_another_runner_has_claimed(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED))
    run.one.go()  # under way
    ctx, stage = run.one.ctx, run.one.stage
    assert not switching.write(ctx.ledger, "tiny", stage, stage.calls[1], "expired: 1 request")
    run.end(ALL)
    run.one.go()
    assert switching.write(ctx.ledger, "tiny", stage, stage.calls[1], "expired: 1 request")
    assert not switching.write(ctx.ledger, "tiny", stage, stage.calls[1], "expired: 1 request"), "once is enough"


def test_two_runners_switch_once_and_ask_each_row_once(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED))
    other = two(project(tmp_path, EXPIRED), run, owner=FAR_OWNER)
    run.one.go()
    run.end(some(0, 1), "expired")
    runner.polling.poll(run.one.ctx)  # both see it before either acts
    other.one.ctx.ledger.refresh()
    run.one.go()
    other.one.go()
    assert len(run.switches) == 1 and numbers(run.asked_at("deepinfra")) == [2, 3, 4, 5]
    run.end(ALL, host="deepinfra")
    assert other.one.go().done and run.one.go().done
    assert other.one.table() == run.one.table()
    assert len(run.asked_at("openai") + run.asked_at("deepinfra")) == 10


def test_a_claim_for_a_model_that_another_runner_left_is_not_admitted(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED))
    other = two(project(tmp_path, EXPIRED), run, owner=FAR_OWNER)
    stage = run.one.stage
    real = run.one.ctx.ledger.refresh

    def late() -> Any:  # the other one switches between this runner's look and its claim
        if not other.switches:
            switching.write(other.one.ctx.ledger, "tiny", stage, stage.calls[1], "expired: 1 request")
        return real()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.one.ctx.ledger, "refresh", late)
        run.one.go()
    assert run.asked_at("openai") == []
    run.one.go()
    assert numbers(run.asked_at("deepinfra")) == list(range(6))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before the event", "after the event", "before the claim"])
def test_a_kill_around_the_switch_loses_and_doubles_nothing(tmp_path: Path, moment: str) -> None:
    run = two(project(tmp_path, EXPIRED))
    run.one.go()
    run.end(some(0, 1), "expired")
    events: list[str] = []
    real = run.one.ctx.store.create

    def create(key: str, data: bytes) -> bool:
        said = data.decode(errors="replace") if key.startswith("journal/") else ""
        if moment == "before the event" and '"type":"switched"' in said:
            raise Killed
        if moment == "after the event" and events:
            raise Killed
        if moment == "before the claim" and events and '"type":"claimed"' in said:
            raise Killed
        made = bool(real(key, data))
        if '"type":"switched"' in said:
            events.append(said)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.one.ctx.store, "create", create)
        with pytest.raises(Killed):
            run.one.go()
    after = two(project(tmp_path, EXPIRED), run)
    document = statusing.status(after.one.ctx)
    assert statusing.balances(document) and document["stages"][0]["wanted"] == 6
    after.one.go()
    assert len(after.switches) == 1 and numbers(run.asked_at("deepinfra")) == [2, 3, 4, 5]
    run.end(ALL, host="deepinfra")
    assert after.one.go().done and len(after.one.table()) == 6
    calm = fallen(tmp_path / "calm")
    calm.end(ALL, host="deepinfra")
    calm.one.go()
    tables = [one.one.ctx.facts.tables["tiny", "one"].sha256 for one in (after, calm)]
    assert tables[0] == tables[1], "an undisturbed run makes the same bytes"


# -- hosts that take nothing


def refuses(host: Any, times: int = 10_000) -> None:
    host.trouble["upload"] = [ProviderDown("openai: HTTP 503") for _ in range(times)]


def test_a_host_that_takes_nothing_is_left_after_five_attempts(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", fallback: {on: [down]}"))
    refuses(run.here)
    for number in range(5):
        assert run.switches == [], number
        run.one.go()
        run.one.clock.sleep(3600)  # it is left alone longer each time
    run.one.go()
    assert run.switches[0].reason == "down: 5 attempts in a row: openai: HTTP 503"
    assert numbers(run.asked_at("deepinfra")) == list(range(6)) and not run.here.batches


def test_the_last_model_is_asked_as_long_as_it_takes(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", fallback: {on: [down]}"))
    refuses(run.here)
    refuses(run.there, 7)
    for _ in range(15):
        run.one.go()
        run.one.clock.sleep(3600)
    assert len(run.switches) == 1 and numbers(run.asked_at("deepinfra")) == list(range(6))


# -- the price


DEAR = ", assume: {input_tokens: 10, output_tokens: 3}, fallback: {usd_per_request: %s}"
"""One request costs $0.000034 at the batch rates of the tests."""


def priced(folder: Path, most: str, rows: int = 6) -> Two:
    run = two(project(folder, DEAR % most, rows=rows))
    table = ["openai/tiny-1=2,8,1,4", "deepinfra/tiny-2=1,4,0.5,2"]
    run.one.ctx = replace(run.one.ctx, prices=prices.load(None, table))
    return run


def test_a_price_above_the_rule_moves_before_anything_is_asked(tmp_path: Path) -> None:
    run = priced(tmp_path, "0.00002")
    run.one.go()
    assert run.switches[0].reason == "price: $0.000022 a request is expected, more than $0.00002"
    assert run.asked_at("openai") == [] and len(run.asked_at("deepinfra")) == 6


def test_a_price_that_no_model_keeps_moves_nothing(tmp_path: Path) -> None:
    run = priced(tmp_path, "0.000005")
    run.one.go()
    assert run.switches == [] and len(run.asked_at("openai")) == 6


def test_what_answers_cost_outweighs_what_was_expected(tmp_path: Path) -> None:
    run = priced(tmp_path, "0.00003", rows=80)
    run.one.go()
    assert run.switches == []

    def long(line: dict[str, Any]) -> bytes | None:
        number = int(line["body"]["messages"][-1]["content"].split()[-1])
        return answered(line["custom_id"], "long", tokens=(10, 90)) if number < 40 else None

    run.end(long)
    run.one.go()
    assert run.switches[0].reason.startswith("price: $0.00037") and "measured on 40 answers" in run.switches[0].reason
    assert len(run.asked_at("deepinfra")) == 40


# -- the deadline


def test_what_is_late_is_stopped_collected_and_asked_elsewhere(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", fallback: {on: [], within: 10h}"))
    run.one.go()
    began = run.one.clock()

    def sleep(seconds: float) -> None:
        run.one.clock.sleep(seconds)
        for batch in run.here.batches.values():
            if batch.status == "cancelled" and not batch.results:
                run.here.answer(batch.id, some(0, 1), "cancelled")
        run.end(ALL, host="deepinfra")

    progress = runner.converge(replace(run.one.ctx, sleep=sleep))
    assert progress.done
    assert len(run.here.called("cancel")) == 1
    (switch,) = run.switches
    assert began + 36_000 <= switch.at < began + 36_000 + 100 and switch.reason.startswith("deadline: the 10 hours")
    assert [row["text"] for row in run.one.table()] == [f"answer {n}" for n in range(6)]
    assert numbers(run.asked_at("deepinfra")) == [2, 3, 4, 5]
    each = run.one.ctx.price_of("openai", "tiny-1").cost(Usage(10, output_tokens=3), batch=True)
    assert run.one.ctx.facts.spent("tiny") == 6 * each, "what was finished by then is billed and kept"


def test_time_moves_a_stage_once(tmp_path: Path) -> None:
    """When it is over anyway, the third model is no better than the second."""
    third = "{provider: ollama, model: tiny-3, max_output_tokens: 100}"
    run = two(project(tmp_path, ", fallback: {on: [], within: 10h}", models=(HERE, THERE, third)))
    run.one.go()
    run.one.clock.sleep(11 * 3600.0)
    run.one.go()
    run.end(some(0), "cancelled")
    for _ in range(3):
        run.one.go()
    assert [switch.provider for switch in run.switches] == ["deepinfra"]
    assert numbers(run.asked_at("deepinfra")) == [1, 2, 3, 4, 5] and not run.there.called("cancel")


def test_a_person_who_cancels_a_batch_moves_nothing(tmp_path: Path) -> None:
    run = two(project(tmp_path, ", fallback: {on: [], within: 10h}"))
    run.one.go()
    ((shard, attempt),) = run.one.pairs
    run.one.ctx.ledger.cancel(shard, attempt)
    run.one.go()  # asks the host to stop
    run.end(some(0), "cancelled")
    run.here.answer(next(iter(run.here.batches)), some(0), "cancelled")
    run.one.go()
    assert run.switches == [] and len(run.asked_at("openai")) == 11


def test_time_is_counted_anew_once_the_stage_was_complete(tmp_path: Path) -> None:
    within = ", fallback: {on: [], within: 10h}"
    run = two(project(tmp_path, within))
    run.one.go()
    run.end(ALL)
    assert run.one.go().done
    run.one.clock.sleep(30 * 24 * 3600.0)
    more = two(project(tmp_path, within, rows=8), run)
    more.one.go()
    assert more.switches == [] and numbers(run.asked_at("openai"))[-2:] == [6, 7]
    run.one.clock.sleep(11 * 3600.0)
    more.one.go()
    assert run.here.called("cancel") == [], "the wish to stop is a fact first"
    more.one.go()
    assert len(run.here.called("cancel")) == 1


def test_the_budget_counts_both_hosts(tmp_path: Path) -> None:
    run = two(project(tmp_path, EXPIRED), budget="0.0030")
    run.one.go()
    run.end(some(0, 1), "expired")
    run.one.go()
    facts = run.one.ctx.facts
    assert facts.spent("tiny") + facts.reserved("tiny") == facts.committed("tiny") <= Decimal("0.0030")
    assert facts.reserved("tiny") > 0 and len(run.asked_at("deepinfra")) == 4
