"""A budget at work: what fits is sent, what is under way is waited for, and only then a run stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from chimera_batch import api, runner
from chimera_batch.cli import watching
from chimera_batch.errors import NotFinished, OverBudget, StoreDown
from chimera_batch.opening import Options, open_run
from chimera_batch.pipeline import project
from chimera_batch.rules.admission import Ruling
from chimera_batch.rules.shortfall import undone
from chimera_batch.steps import submitting
from chimera_batch.stores import open_store
from chimera_batch.verbs import budgeting, statusing, stopping
from tests.metered import QUIET, Meter
from tests.support import FAR_OWNER, ROWS, Answer, Bench, Clock, answered, bench, write_project

CEILING = 100


def rows(count: int) -> dict[str, str]:
    return {"sql/tiny/one_rows.sql": ROWS.replace("range(3)", f"range({count})")}


def one_usd(one: Bench) -> Decimal:
    """What one request of the stage can cost at most; the same for all of them here."""
    _, attempt = next(iter(one.ctx.facts.attempts()))
    return attempt.usd / attempt.requests


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Decimal:
    """The upper bound of a request: ten rows with keys of one digit, so that all are of one length."""
    one = bench(write_project(tmp_path_factory.mktemp("each"), rows(9)))
    one.go()
    return one_usd(one)


def room_for(each: Decimal, requests: float) -> str:
    return f"{each * Decimal(str(requests)):f}"


def made(folder: Path, count: int, budget: str | None, **more: Any) -> Bench:
    return bench(write_project(folder, rows(count), **more), budget=budget)


def sent_ids(one: Bench, number: int) -> list[str]:
    """The request ids of an attempt, as the host got them."""
    return [line["custom_id"][9:] for line in one.host.batches[f"batch-{number}"].lines]


def short(line: dict[str, Any]) -> bytes:
    return answered(line["custom_id"], tokens=(10, 1))


def land(one: Bench, make: Answer = short) -> None:
    for batch in one.host.batches.values():
        if batch.status == "in_progress":
            one.host.answer(batch.id, make)


def test_what_fits_of_a_shard_is_sent(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 4.5))
    progress = one.go()
    [(shard, attempt)] = one.pairs
    assert (attempt.requests, shard.requests, attempt.usd) == (4, 9, 4 * each)
    assert progress.in_flight == 4 and not progress.out_of_money
    sent = sent_ids(one, 1)
    members = {row["request_id"] for row in one.parquet(one.ctx.store.fetch(shard.members))}
    assert sorted(sent) == sorted(members)[:4], "by their digests: a sample that nobody chose"
    assert attempt.ids is not None
    assert {row["request_id"] for row in one.parquet(one.ctx.store.fetch(attempt.ids))} == set(sent)


def test_when_it_lands_at_its_true_cost_more_is_sent(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 4.5))
    one.go()
    land(one)
    one.go()
    first, second = (attempt for _, attempt in one.pairs)
    assert first.billed < each, "four short answers"
    assert second.requests == 4
    assert not set(sent_ids(one, 1)) & set(sent_ids(one, 2))
    land(one)
    one.go()
    land(one)
    assert one.go().done
    assert [attempt.requests for _, attempt in one.pairs] == [4, 4, 1]
    assert len(one.table()) == 9


@pytest.mark.parametrize(
    ("count", "room", "sent"),
    [
        (40, 4.0, [4]),  # a tenth
        (40, 3.9, []),
        (9, 1.0, [1]),
        (9, 0.9, []),
        (9, 9.0, [9]),
        (9, 8.9, [8]),
        (11, 1.9, []),  # a tenth of eleven is two
        (11, 2.0, [2]),
    ],
)
def test_a_part_must_be_worth_a_turnaround(
    count: int, room: float, sent: list[int], tmp_path: Path, each: Decimal
) -> None:
    long = count > 10  # numbers of two digits are one byte longer
    files = {"sql/tiny/one_rows.sql": ROWS.replace("range(3)", f"range(10, {10 + count})")} if long else rows(count)
    if long:
        other = bench(write_project(tmp_path / "measure", files))
        other.go()
        each = one_usd(other)
    one = bench(write_project(tmp_path / "run", files), budget=room_for(each, room))
    progress = one.go()
    assert [attempt.requests for _, attempt in one.pairs] == sent
    assert progress.out_of_money == (not sent)
    assert bool(progress.over) == (not sent)


def test_the_smallest_room_counts(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 8), stage=f", budget_usd: {room_for(each, 5)}")
    one.ctx = replace(one.ctx, budget_day_usd=each * 3)
    one.go()
    assert [attempt.requests for _, attempt in one.pairs] == [3]


def test_several_shards_share_the_room(tmp_path: Path, each: Decimal) -> None:
    one = bench(write_project(tmp_path, rows(9)), budget=room_for(each, 7.5), max_requests=3)
    progress = one.go()
    assert sorted(attempt.requests for _, attempt in one.pairs) == [1, 3, 3]
    assert not progress.over, "the rest of the last shard goes when its first part has landed"


@pytest.mark.slow
def test_a_retry_that_asks_for_more_room_goes_in_parts_too(tmp_path: Path, each: Decimal) -> None:
    def cut_off(line: dict[str, Any]) -> bytes:
        return answered(line["custom_id"], finish="length", tokens=(10, CEILING))

    one = made(tmp_path, 9, room_for(each, 15), stage=", retry: {truncated: {times: 1, ceiling: 2x}}, breaker: 0")
    one.go()
    land(one, cut_off)
    one.go()
    _, second = (attempt for _, attempt in one.pairs)
    assert 0 < second.requests < 9 and second.usd / second.requests > each
    ceilings = {line["body"]["max_completion_tokens"] for line in one.host.batches["batch-2"].lines}
    assert ceilings == {2 * CEILING}
    assert one.ctx.facts.committed("tiny") <= 15 * each


# -- other runners


class Before:
    """A store that lets something happen just before the n-th claim is written."""

    def __init__(self, store: Any, what: Callable[[], None], at: int = 1) -> None:
        self._store, self._what, self._left = store, what, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("journal/") and b'"claimed"' in data:
            self._left -= 1
            if self._left == 0:
                self._what()
        return bool(self._store.create(key, data))


def test_room_that_another_runner_takes_meanwhile_is_not_sent_into(tmp_path: Path, each: Decimal) -> None:
    """The first one has made its bytes for the whole room; the second claims a part of it; the first makes fewer."""
    made = write_project(tmp_path, rows(9))
    store = open_store(made.store_url, cache=tmp_path / "cache")
    host = Meter(made.profiles["openai"], Clock(), 0, QUIET)
    two = bench(made, host=host, store=store, owner=FAR_OWNER, max_requests=5, budget=room_for(each, 2))
    racing: Any = Before(store, lambda: two.go() and None)
    one = bench(made, host=host, store=racing, max_requests=5, budget=room_for(each, 6))
    one.go()
    facts = one.ctx.facts
    by_owner = {a.owner == FAR_OWNER: a.requests for _, a in facts.attempts()}
    assert by_owner[True] == 2
    assert sum(attempt.requests for _, attempt in facts.attempts()) <= 6
    assert facts.committed("tiny") <= 6 * each
    assert len([a for _, a in facts.attempts() if a.owner != FAR_OWNER]) == 1, "it still sent what was left"


@pytest.mark.slow
def test_room_that_is_always_gone_is_waited_for(tmp_path: Path, each: Decimal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that loses every race comes back later, instead of saying that the money is spent."""
    one = made(tmp_path, 9, room_for(each, 4))
    with monkeypatch.context() as patch:
        patch.setattr(submitting, "admit", lambda *_args: Ruling("budget", "gone"))
        progress = one.go()
    assert progress.over == [] and not progress.out_of_money
    assert progress.waits == ["one: other runners claim the room as it comes"]
    assert one.pairs == []
    assert one.go().in_flight == 4, "and then it goes"


# -- the end


@pytest.mark.slow
def test_the_run_goes_on_while_something_is_under_way(tmp_path: Path, each: Decimal) -> None:
    """Over budget is only a wait until the last reservation is released."""
    made = write_project(tmp_path, rows(9))
    host = Meter(made.profiles["openai"], Clock(), 2, QUIET)
    one = bench(made, host=host, budget=room_for(each, 3.5), max_requests=4)
    progress = runner.converge(one.ctx)
    assert progress.done or progress.out_of_money
    assert len(one.pairs) > 2
    assert host.charged == one.ctx.facts.spent("tiny") <= Decimal(room_for(each, 3.5))
    assert one.ctx.facts.reserved("tiny") == 0


def test_a_run_without_money_says_what_is_undone(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 0.5))
    progress = runner.converge(one.ctx)
    document: dict[str, Any] = {}
    error = budgeting.over(one.ctx, progress, document)
    assert isinstance(error, OverBudget) and error.exit_code == 3
    assert document == {
        "undone": [{"stage": "one", "requests": 9, "usd_ceiling": float(round(9 * each, 6))}],
        "not_begun": [],
        "over_budget": {"message": error.message, "hint": error.hint},
    }
    assert error.message.startswith("one: 9 requests not sent, up to $")
    assert error.hint is not None and "--max-usd 0.01" in error.hint
    assert one.host.called("upload") == []


@pytest.mark.slow
def test_the_status_says_what_stopped_the_run_until_there_is_room(tmp_path: Path, each: Decimal) -> None:
    """The same words and lines as the run itself, from the store alone; a watch ends with its exit code."""
    one = made(tmp_path, 9, room_for(each, 0.5))
    error = stopping.short(one.ctx, runner.converge(one.ctx), {})
    assert isinstance(error, OverBudget) and error.document is not None
    unlimited = replace(one.ctx, budget_usd=None)  # it was typed, and `status` knows no such option
    status = statusing.status(unlimited)
    assert status["over_budget"] == {"message": error.message, "hint": error.hint}
    assert {name: status[name] for name in ("undone", "not_begun")} == {
        name: error.document[name] for name in ("undone", "not_begun")
    }
    assert watching.code_of(status) == error.exit_code == 3
    position = one.ctx.ledger.position
    stopping.short(one.ctx, runner.advance(one.ctx), {})
    assert one.ctx.ledger.position == position, "cron tries every few minutes, and writes nothing"
    one.ctx.ledger.begin("another", "another.yaml", resume=False)
    position = one.ctx.ledger.position
    one.ctx.ledger.begin("tiny", "tiny.yaml", resume=False)
    assert one.ctx.ledger.position == position, "nor does it with two runs, of which the other was last"
    assert one.ctx.facts.out_of_money.keys() == {"tiny"}
    one.ctx.ledger.begin("tiny", "tiny.yaml")
    status = statusing.status(unlimited)
    assert status["over_budget"] is None and "undone" not in status, "a person tries again"
    assert watching.code_of(status) == 5


@pytest.mark.slow
def test_a_budget_that_was_raised_in_the_manifest_is_no_longer_in_the_way(tmp_path: Path, each: Decimal) -> None:
    one = two_stages(tmp_path, "0.00001")
    low = replace(one.ctx, told=replace(one.ctx.project, budget_usd=Decimal("0.00001")))
    error = stopping.short(low, runner.converge(low), {})
    assert statusing.status(low)["over_budget"] == {"message": error.message, "hint": error.hint}
    raised = replace(low, told=replace(low.project, budget_usd=Decimal(1)), budget_usd=Decimal(1))
    assert statusing.status(raised)["over_budget"] is None
    renamed = replace(low.project, stages=low.project.stages[1:])
    assert statusing.status(replace(low, told=renamed))["over_budget"] is None, (
        "of a stage that is gone nothing is said"
    )
    one_, two, dataset = low.project.stages
    turned = replace(low.project, stages=(replace(dataset, name=one_.name), two, dataset))
    assert statusing.status(replace(low, told=turned))["over_budget"] is None, "nor of one that asks nobody any more"


@pytest.mark.slow
def test_a_cap_of_the_day_is_in_the_way_for_that_day(tmp_path: Path, each: Decimal) -> None:
    now = 20_000 * 86400 + 23 * 3600.0
    one = made(tmp_path, 9, "1")
    one.ctx = replace(one.ctx, budget_day_usd=Decimal(room_for(each, 5)), clock=lambda: now)
    one.go()
    land(one, lambda line: answered(line["custom_id"], tokens=(10, CEILING)))  # they cost all but what was reserved
    error = stopping.short(one.ctx, one.go(), {})
    assert isinstance(error, OverBudget) and "# from 00:00 UTC on, in 60 min" in (error.hint or "")
    soon = stopping.short(replace(one.ctx, clock=lambda: now + 600), one.go(), {})
    assert str(soon) == str(error), "else cron would tell a person of it every few minutes"
    assert watching.code_of(statusing.status(one.ctx)) == 3
    untyped = replace(one.ctx, budget_day_usd=None)
    assert statusing.status(untyped)["over_budget"] == {"message": error.message, "hint": error.hint}
    higher = replace(one.ctx, budget_day_usd=Decimal(100))
    assert watching.code_of(statusing.status(higher)) == 3, "the cap that was typed is less than the manifest's"
    assert watching.code_of(statusing.status(replace(one.ctx, clock=lambda: now + 3600))) == 5


def test_a_claim_of_another_runner_is_not_stopped_by_what_this_one_saw(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 0.5))
    progress = runner.converge(one.ctx)
    replace(one, ctx=replace(one.ctx, budget_usd=None)).go()
    stopping.short(one.ctx, progress, {})
    assert one.ctx.facts.out_of_money == {}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, ""),
        ({"budget_usd": Decimal("0.50")}, " --max-usd 0.50"),
        ({"budget_usd": Decimal(2), "budget_day_usd": Decimal("0.1")}, " --max-usd 2 --max-usd-per-day 0.1"),
    ],
)
def test_a_line_that_sends_keeps_the_caps_that_were_typed(tmp_path: Path, typed: dict[str, Any], said: str) -> None:
    one = bench(write_project(tmp_path))
    line = replace(one.ctx, **{"budget_usd": one.ctx.told.budget_usd, **typed}).go_on("run", "--pilot")
    assert line == f"chimera-batch run {one.ctx.told.path} --pilot{said}"


def test_answers_that_another_run_bought_end_what_a_budget_stopped(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 0.5))
    progress = runner.converge(one.ctx)
    other = replace(one, ctx=replace(one.ctx, budget_usd=None))
    other.go()
    land(other, lambda line: answered(line["custom_id"]))
    assert other.go().done
    stopping.short(one.ctx, progress, {})
    status = statusing.status(one.ctx)
    assert (status["state"], status["over_budget"], watching.code_of(status)) == ("done", None, 0)


def test_a_store_that_fails_then_takes_nothing_of_the_verdict(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 0.5))
    progress = runner.converge(one.ctx)
    said: list[str] = []

    class Down:
        def __getattr__(self, name: str) -> Any:
            return getattr(one.ctx.ledger, name)

        def out_of_money(self, run: str, stopped: object) -> None:
            raise StoreDown("the bucket is away")

    error = stopping.short(replace(one.ctx, ledger=cast(Any, Down()), say=said.append), progress, {})
    assert isinstance(error, OverBudget) and "--max-usd" in (error.hint or "")
    assert said == ["that a budget stopped the run could not be written down: the bucket is away"]


TWO = {
    "tiny.yaml": """\
run: tiny
store: {store}
budget: {{usd: 1}}
models:
  m: {{provider: openai, model: tiny-1, max_output_tokens: 100}}
stages:
  - {{name: one, ask: m, prompt: tiny/one.md, rows: tiny/one_rows.sql}}
  - {{name: two, ask: m, prompt: tiny/one.md, rows: tiny/two_rows.sql}}
  - {{name: dataset, sql: tiny/dataset.sql}}
""",
    "sql/tiny/two_rows.sql": "-- Again.\n-- reads: one\nSELECT row_key, q FROM one\n",
    "sql/tiny/dataset.sql": "-- All.\n-- reads: two\nSELECT row_key, q FROM two\n",
}


def two_stages(folder: Path, budget: str) -> Bench:
    files = {**rows(9), **TWO, "tiny.yaml": TWO["tiny.yaml"].format(store=folder / "store")}
    return bench(write_project(folder, files), budget=budget)


@pytest.mark.slow
def test_stages_that_did_not_begin_are_named(tmp_path: Path, each: Decimal) -> None:
    one = two_stages(tmp_path, room_for(each, 0.5))
    document: dict[str, Any] = {}
    error = budgeting.over(one.ctx, runner.converge(one.ctx), document)
    assert document["not_begun"] == ["two", "dataset"]
    assert "; not begun: two, dataset; " in error.message


@pytest.mark.slow
def test_the_budget_of_the_manifest_is_raised_there(tmp_path: Path, each: Decimal) -> None:
    one = two_stages(tmp_path, "0.00001")
    one.ctx = replace(one.ctx, told=replace(one.ctx.project, budget_usd=Decimal("0.00001")))
    error = budgeting.over(one.ctx, runner.converge(one.ctx), {})
    first, command = (error.hint or "").splitlines()
    assert first.startswith(f"in {one.ctx.project.path}, `usd: 0.01` under `budget:`")
    assert command == f"chimera-batch run {one.ctx.project.path}"


@pytest.mark.slow
def test_the_line_that_goes_on_does(tmp_path: Path, each: Decimal) -> None:
    """With the least amount something is sent; with the other one everything that was counted."""
    one = bench(write_project(tmp_path, rows(9), max_output_tokens=100_000))  # dollars rather than parts of a cent
    one.ctx = replace(one.ctx, budget_usd=Decimal("0.30"))
    error = budgeting.over(one.ctx, runner.advance(one.ctx), {})
    amounts = [Decimal(line.split("--max-usd ")[1].split()[0]) for line in (error.hint or "").splitlines()]
    assert len(amounts) == 2 and amounts[0] < amounts[1]
    one.ctx = replace(one.ctx, budget_usd=amounts[0])
    one.go()
    land(one)
    one.ctx = replace(one.ctx, budget_usd=amounts[1])
    one.go()
    assert [attempt.requests for _, attempt in one.pairs] == [1, 8]


@pytest.mark.slow
def test_what_waits_for_its_canary_is_undone_too(tmp_path: Path) -> None:
    count = 510
    one = bench(write_project(tmp_path, rows(count), stage=", canary: 20"), budget="0.00001")
    progress = runner.converge(one.ctx)
    [left] = undone(progress.over)
    assert left.requests == count
    assert left.least < left.usd / 100, "the canary is what goes on"


@pytest.mark.slow
def test_a_reservation_that_nobody_wants_any_more_is_waited_for(tmp_path: Path, each: Decimal) -> None:
    """The rows that are under way were edited away; their landing makes room for those that are wanted now."""
    one = made(tmp_path, 9, room_for(each, 9))
    one.go()
    sql = tmp_path / "sql/tiny/one_rows.sql"
    sql.write_text(ROWS.replace("'question '", "'another q '").replace("range(3)", "range(9)"), encoding="utf-8")
    one.ctx = replace(one.ctx, told=replace(project.load(tmp_path / "tiny.yaml"), profiles=one.ctx.project.profiles))
    progress = one.go()
    assert progress.over and progress.in_flight == 0 and not progress.out_of_money
    assert progress.waits == [f"${9 * each:.2f} is reserved for batches under way, whose end makes room"]
    land(one)
    one.go()
    assert [attempt.stand for _, attempt in one.pairs] == ["landed", "submitted"]


def test_one_step_of_a_run_that_waits_is_not_over_budget(tmp_path: Path, each: Decimal) -> None:
    """``advance`` under cron: exit 5 while the rest may still find room."""
    one = bench(write_project(tmp_path, rows(9)), budget=room_for(each, 3), max_requests=3)
    progress = one.go()
    assert progress.over and progress.in_flight == 3
    error = stopping.short(one.ctx, progress, {})
    assert isinstance(error, NotFinished)
    assert error.hint == f"chimera-batch run {one.ctx.project.path} --max-usd {room_for(each, 3)}", "the cap is kept"


# -- synchronous calls


@pytest.mark.slow
def test_synchronous_calls_go_in_parts_until_nothing_fits(tmp_path: Path, each: Decimal) -> None:
    whole = made(tmp_path / "whole", 9, None, stage=", window: now")
    whole.go()
    single = one_usd(whole)
    assert single == 2 * each, "at the synchronous price"
    one = made(tmp_path / "part", 9, room_for(single, 2.5), stage=", window: now")
    progress = runner.converge(one.ctx)
    assert progress.done, "the answers are short, so there is room again and again"
    assert [attempt.requests for _, attempt in one.pairs][:1] == [2]
    assert len(one.pairs) > 3


# -- days


@pytest.mark.slow
def test_a_cap_of_the_day_is_free_again_the_next_day(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, None)
    one.ctx = replace(one.ctx, budget_day_usd=each * 4)

    def full(line: dict[str, Any]) -> bytes:
        return answered(line["custom_id"], tokens=(10, CEILING))

    one.go()
    land(one, full)
    progress = runner.converge(one.ctx)
    assert progress.out_of_money
    assert [attempt.requests for _, attempt in one.pairs] == [4]
    error = budgeting.over(one.ctx, progress, {})
    assert "free again at 00:00 UTC" in error.message
    one.clock.now += 86400
    one.go()
    assert [attempt.requests for _, attempt in one.pairs] == [4, 4]


@pytest.mark.slow
def test_a_shard_that_no_day_has_room_for_goes_day_by_day(tmp_path: Path, each: Decimal) -> None:
    """A day takes less than a tenth of it, on every day."""
    one = made(tmp_path, 40, None)
    one.ctx = replace(one.ctx, budget_day_usd=each * Decimal("2.5"))
    for day in range(3):
        one.go()
        land(one, lambda line: answered(line["custom_id"], tokens=(10, CEILING)))
        assert one.go().in_flight == 0
        assert [attempt.requests for _, attempt in one.pairs] == [2] * (day + 1)
        one.clock.now += 86400


# -- what the person says


HEAD = "budget: {usd: 5, usd_per_day: 0.5}"


@pytest.mark.parametrize(
    ("head", "options", "run", "day"),
    [
        (HEAD, Options(), "5", "0.5"),
        (HEAD, Options(max_usd=Decimal(1), max_usd_per_day=Decimal("0.1")), "1", "0.1"),
        (HEAD, Options(max_usd=Decimal(50), max_usd_per_day=Decimal(9)), "5", "0.5"),
        ("budget: {usd_per_day: 0.5}", Options(), None, "0.5"),
        ("budget: {usd: 5}", Options(max_usd_per_day=Decimal(1)), "5", "1"),
        ("", Options(), None, None),
    ],
)
def test_the_caps_in_force(head: str, options: Options, run: str | None, day: str | None, tmp_path: Path) -> None:
    write_project(tmp_path, head=head)
    options = replace(options, prices=["openai/tiny-1=1,2"])
    with open_run(tmp_path / "tiny.yaml", options) as ctx:
        assert ctx.budget_usd == (None if run is None else Decimal(run))
        assert ctx.budget_day_usd == (None if day is None else Decimal(day))
    status = api.status(tmp_path / "tiny.yaml", options)
    assert (status["budget"], status["budget_day"], status["usd_today"]) == (
        None if run is None else float(run),
        None if day is None else float(day),
        0.0,
    )


@pytest.mark.slow
def test_the_status_counts_today_alone(tmp_path: Path, each: Decimal) -> None:
    one = made(tmp_path, 9, room_for(each, 4))
    one.go()
    assert statusing.status(one.ctx)["usd_today"] == float(round(4 * each, 6))
    one.clock.now += 86400
    assert statusing.status(one.ctx)["usd_today"] == 0.0
