"""Standing: every wanted request is in exactly one state, at every moment of its life."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from chimera_batch.cli import watching
from chimera_batch.cli.hints import next_lines
from chimera_batch.cli.said import Said
from chimera_batch.errors import ChimeraError, NeedsDecision
from chimera_batch.history.counts import STATES, Standing, last_asked
from chimera_batch.pipeline.project import Source
from chimera_batch.records import Problem
from chimera_batch.steps import standing
from chimera_batch.verbs import statusing, stopping
from tests.support import REALM, SCHEMA, Bench, answered, bench, failed, packed, write_project
from tests.test_cli_hints import takes

Line = dict[str, Any]
HEAD = "-- Rows.\n"


def made(folder: Path, rows: int = 3, **said: Any) -> Bench:
    sql = f"{HEAD}SELECT 'k' || i AS row_key, 'question ' || i AS q FROM range({rows}) AS t(i)"
    files = {"sql/tiny/one_rows.sql": sql, "prompts/tiny/n.json": SCHEMA, **said.pop("files", {})}
    said = {"stage": ", breaker: 0", **said}
    return bench(write_project(folder, files, **said))


def number_of(line: Line) -> int:
    """Which row a wire line is of."""
    return int(line["body"]["messages"][0]["content"].split()[-1])


def by_row(*answers: Callable[[str], bytes | None]) -> Callable[[Line], bytes | None]:
    """The answer of each row by its number; the last one for all further rows."""
    return lambda line: answers[min(number_of(line), len(answers) - 1)](line["custom_id"])


def ok(cid: str) -> bytes:
    return answered(cid)


def short(cid: str) -> bytes:
    return answered(cid, "fo", finish="length")


def refused(cid: str) -> bytes:
    return answered(cid, "", finish="content_filter")


def bad(cid: str) -> bytes:
    return failed(cid, 400)


def busy(cid: str) -> bytes:
    return failed(cid, 503, "overloaded")


def late(cid: str) -> bytes:
    return orjson.dumps({"custom_id": cid, "error": {"code": "batch_expired", "message": "late"}})


def nothing(cid: str) -> None:
    return None


def check(one: Bench, **states: int) -> dict[str, int]:
    """The counts of the status document, which come from the store alone; the outcomes."""
    document = statusing.status(one.ctx)
    assert statusing.balances(document)
    stage = document["stages"][0]
    assert {name: stage[name] for name in STATES if stage[name]} == states
    assert stage["wanted"] == sum(states.values())
    outcomes: dict[str, int] = stage["outcomes"]
    return outcomes


def test_a_request_from_its_row_to_its_answer(tmp_path: Path) -> None:
    one = made(tmp_path)
    paths = one.draw()
    check(one, not_asked=3)
    one.pack(paths)
    check(one, packed=3)
    one.go()
    check(one, in_flight=3)
    one.host.answer("batch-1", by_row(ok, ok, short))
    one.go()
    assert check(one, answered=2, in_flight=1) == {"ok": 2, "truncated": 1}
    one.host.answer("batch-2", by_row(ok))
    assert one.go().done
    assert check(one, answered=3) == {"ok": 3}


def test_every_outcome_has_its_state(tmp_path: Path) -> None:
    """Nothing is sent again, because another attempt of the shard would be needed and the budget is spent."""
    one = made(tmp_path, 8, stage=", breaker: 0, schema: tiny/n.json")
    one.go()
    answers = [lambda cid: answered(cid, '{"n":1}'), ok, short, refused, bad, busy, late, nothing]
    one.host.answer("batch-1", by_row(*answers))
    one.host.trouble["upload"] = [NeedsDecision("stop here")]
    with pytest.raises(NeedsDecision):
        one.go()
    one.ctx.ledger.dropped(*one.pairs[-1], "by the test")
    assert check(one, answered=1, retryable=5, given_up=2) == {
        "ok": 1,
        "invalid": 1,
        "truncated": 1,
        "refused": 1,
        "error": 2,
        "expired": 1,
        "missing": 1,
    }


def test_only_what_is_open_is_sent_again_and_with_more_room(tmp_path: Path) -> None:
    one = made(tmp_path, 5)
    one.go()
    one.host.answer("batch-1", by_row(ok, short, refused, late, ok))
    one.go()
    again = one.host.batches["batch-2"].lines
    assert {number_of(line): line["body"]["max_completion_tokens"] for line in again} == {1: 200, 3: 100}
    first, second = (attempt for _, attempt in one.pairs)
    assert (first.ids, second.requests) == (None, 2)
    assert second.ids is not None
    assert {row["ceiling"] for row in one.parquet(one.ctx.store.fetch(second.ids))} == {100, 200}
    check(one, answered=2, in_flight=2, given_up=1)
    one.host.answer("batch-2", by_row(ok, late, ok, ok))
    one.go()
    (line,) = one.host.batches["batch-3"].lines
    assert (number_of(line), line["body"]["max_completion_tokens"]) == (
        1,
        200,
    )  # expired: the room that it was given stays
    one.host.answer("batch-3", by_row(ok, short))
    assert one.go().done
    assert check(one, answered=3, given_up=2) == {"ok": 3, "refused": 1, "truncated": 1}


def test_what_was_given_up_is_asked_again_when_a_person_says_so(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    one.host.answer("batch-1", by_row(ok, bad, refused))
    assert one.go().done
    check(one, answered=1, given_up=2)
    one.ctx.ledger.retry("tiny", "one")
    assert check(one, answered=1, packed=2) == {"ok": 1}
    assert not one.go().done
    check(one, answered=1, in_flight=2)


def test_more_room_in_the_manifest_opens_truncated_answers(tmp_path: Path) -> None:
    one = made(tmp_path, stage=", retry: {truncated: 0}")
    one.go()
    one.host.answer("batch-1", by_row(ok, short, refused))
    assert one.go().done
    check(one, answered=1, given_up=2)
    wide = bench(
        write_project(
            tmp_path,
            {"sql/tiny/one_rows.sql": (tmp_path / "sql/tiny/one_rows.sql").read_text()},
            stage=", retry: {truncated: 0}",
            max_output_tokens=300,
        ),
        host=one.host,
    )
    wide.go()
    check(wide, answered=1, in_flight=1, given_up=1)
    (line,) = wide.host.batches["batch-2"].lines
    assert line["body"]["max_completion_tokens"] == 300


def test_stuck_is_in_flight_and_dropped_is_not(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    shard, attempt = one.pairs[0]
    one.ctx.ledger.stuck(shard, attempt, "why")
    check(one, in_flight=3)
    one.ctx.ledger.dropped(shard, attempt, "why")
    check(one, packed=3)
    one.go()
    check(one, in_flight=3)
    assert len(one.host.batches) == 2


def test_a_run_that_waits_for_what_another_is_stuck_with_says_so(tmp_path: Path) -> None:
    """Whoever watches it must not wait for ever: only a person can go on, as ``run`` says too."""
    one = made(tmp_path)
    one.go()
    one.ctx.ledger.stuck(*one.pairs[0], "two candidates")
    other = replace(one, ctx=replace(one.ctx, told=replace(one.ctx.told, run="other")))
    progress, status = other.go(), statusing.status(other.ctx)
    assert progress.in_flight == 3
    assert status["needs"] == progress.stuck == [f"{one.pairs[0][0].id}: two candidates"]
    assert (status["state"], watching.code_of(status)) == ("stuck", 4)
    assert stopping.short(other.ctx, progress, status).hint == "\n".join(status["choices"])
    adopt, resend = map(takes, status["choices"])
    assert (adopt.info_name, adopt.params["batch"]) == ("adopt", "batch-1")  # whose id is known
    assert (resend.info_name, resend.params["shard"]) == ("resend", one.pairs[0][0].id)


def test_what_lies_at_a_host_that_the_manifest_left_is_no_choice(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    left = statusing.status(replace(one.ctx, rehearse=True))  # as if the manifest named another host
    assert "no longer names: put it back" in left["needs"][0]
    assert left["choices"] == [] and next_lines(left, Path("m.yaml"), Said()) == ["chimera-batch run m.yaml"]


def test_a_file_that_is_refused_for_a_line_books_that_line(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    batch = one.host.batches["batch-1"]
    batch.status, batch.problems = "failed", (Problem("invalid", 2, "no such field"),)
    one.go()
    check(one, in_flight=2, given_up=1)
    assert sorted(number_of(line) for line in one.host.batches["batch-2"].lines) == [0, 2]
    assert one.ctx.facts.spent("tiny") == 0


def test_two_flaws_of_one_line_are_of_that_line_alone(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    batch = one.host.batches["batch-1"]
    batch.status, batch.problems = "failed", (Problem("a", 2, "no such field"), Problem("b", 2, "nor such a value"))
    one.go()
    check(one, in_flight=2, given_up=1)
    (key,) = one.pairs[0][1].answers
    assert [row["message"] for row in one.parquet(one.ctx.store.fetch(key))] == ["no such field"]


def test_rows_edited_away_while_in_flight_are_orphaned(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    one.host.answer("batch-1", by_row(ok))
    less = bench(
        write_project(
            tmp_path,
            {"sql/tiny/one_rows.sql": f"{HEAD}SELECT 'k0' AS row_key, 'question 0' AS q"},
            stage=", breaker: 0",
        ),
        host=one.host,
    )
    assert less.go().done
    check(less, answered=1)
    (stage,) = statusing.status(less.ctx)["stages"]
    assert (stage["orphaned"], stage["rows"], stage["wanted"]) == (2, 1, 1)
    assert less.pairs[0][1].outcomes == {"ok": 3}  # collected, billed and kept
    back = made(tmp_path)
    back.host.batches = one.host.batches
    assert back.go().done  # and there when the rows come back
    check(back, answered=3)
    assert back.host.called("create") == []


def test_an_answer_serves_every_stage_that_asks_the_same(tmp_path: Path) -> None:
    manifest = made(tmp_path).ctx.project.path.read_text()
    manifest += "  - {name: two, ask: m, prompt: tiny/one.md, rows: tiny/one_rows.sql}\n"
    rows = (tmp_path / "sql/tiny/one_rows.sql").read_text()
    both = bench(write_project(tmp_path, {"tiny.yaml": manifest, "sql/tiny/one_rows.sql": rows}))
    both.go()
    assert len(both.host.batches) == 1
    one, two = statusing.status(both.ctx)["stages"]
    assert (one["in_flight"], two["in_flight"]) == (3, 3)
    assert (len(one["batches"]), len(two["batches"])) == (1, 0)
    both.host.answer("batch-1", by_row(ok))
    assert both.go().done
    assert len(both.table("one")) == len(both.table("two")) == 3


def test_another_run_of_the_store_buys_nothing_twice(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    one.host.answer("batch-1", by_row(ok))
    one.go()
    text = one.ctx.project.path.read_text().replace("run: tiny", "run: other")
    rows = (tmp_path / "sql/tiny/one_rows.sql").read_text()
    other = bench(write_project(tmp_path, {"tiny.yaml": text, "sql/tiny/one_rows.sql": rows}), host=one.host)
    assert other.go().done
    assert len(one.host.batches) == 1
    check(other, answered=3)
    assert (other.ctx.facts.spent("other"), other.ctx.facts.spent("tiny") > 0) == (0, True)


def test_sums_that_do_not_hold_are_a_bug_and_never_done(tmp_path: Path) -> None:
    """Two shards that hold the same requests cannot come to be; if they did, nothing may go on."""
    one = made(tmp_path)
    paths = one.draw()
    one.pack(paths)
    (shard,) = one.ctx.facts.shards.values()
    copy = f"requests/{REALM}/copy.ids.parquet"
    with one.step() as step:
        step.warehouse.view("t", [one.ctx.store.fetch(shard.members)])
        file = step.folder / "copy.parquet"
        step.warehouse.write("SELECT * REPLACE ('copy' AS shard) FROM t", {}, file)
        one.ctx.store.create_file(copy, file)
    one.ctx.ledger.pack(packed("copy", members=copy), seen_packs=1)
    with pytest.raises(ChimeraError, match="3 requests are wanted, but 6 are accounted for") as caught:
        one.stand(paths)
    assert caught.value.exit_code == 1
    assert caught.value.where == "stage one"
    assert "report" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("states", "settled"),
    [
        ({"answered": 2, "given_up": 1}, True),
        ({}, True),
        *(({"answered": 2, name: 1}, False) for name in ("in_flight", "packed", "retryable", "not_asked")),
    ],
)
def test_settled_is_nothing_left_to_send_or_to_wait_for(states: dict[str, int], settled: bool) -> None:
    found = Standing({**dict.fromkeys(STATES, 0), **states}, {})
    assert found.settled is settled
    assert found.wanted == sum(states.values())


def test_whatever_a_host_answers_the_sums_hold_and_it_ends(tmp_path: Path) -> None:
    chance = random.Random(2)
    answers = [ok, ok, short, refused, bad, busy, late, nothing]
    one = made(tmp_path, 12, stage=", breaker: 0, samples: 2, retry: {transient: 1, expired: 1, missing: 1}")
    for _ in range(12):
        progress = one.go()
        found = one.stand()
        assert found.wanted == 24
        if progress.done:
            break
        for batch in list(one.host.batches.values()):
            if batch.status == "in_progress":
                one.host.answer(batch.id, lambda line: chance.choice(answers)(line["custom_id"]))
    assert progress.done
    assert found.settled
    assert one.ctx.facts.reserved("tiny") == 0
    assert len(one.table()) == found.states["answered"] == found.outcomes["ok"]
    landed = [attempt for _, attempt in one.pairs if attempt.stand == "landed"]
    assert all(sum(attempt.outcomes.values()) == attempt.requests for attempt in landed)
    sent = [line["custom_id"] for batch in one.host.batches.values() for line in batch.lines]
    assert len(sent) == len(set(sent)) == sum(attempt.requests for attempt in landed)


def standings(one: Bench, sql: str = "SELECT * FROM standing ORDER BY request_id") -> list[tuple[Any, ...]]:
    """The view ``standing`` of the first stage, row by row."""
    paths = [one.ctx.store.fetch(asked.key) for asked in last_asked(one.ctx.facts, one.ctx.run, one.stage)]
    with one.step() as step:
        step.stand([tuple(paths)])
        return list(step.warehouse.rows(Source("t.sql", Path("t.sql"), sql), {}))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_whole_shard_is_told_by_its_exceptions(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading only what was not answered at once says the same of every request as reading every row."""
    chance = random.Random(seed)
    answers = [ok, ok, ok, ok, short, refused, bad, busy, late, nothing]
    rules = "retry: {transient: 1, expired: 1, missing: 1, truncated: 1}"
    one = made(tmp_path, 40, stage=f", breaker: 0, canary: 0, {rules}")
    whole = 0
    for said in range(8):
        progress = one.go()
        if said == 4:
            one.ctx.ledger.retry("tiny", "one")
        whole += sum(map(standing._whole, one.ctx.facts.shards.values()))
        found = standings(one)
        with monkeypatch.context() as patch:
            patch.setattr(standing, "_whole", lambda shard: False)
            assert standings(one) == found
        for batch in one.host.batches.values():
            if batch.status == "in_progress":
                one.host.answer(batch.id, lambda line: chance.choice(answers)(line["custom_id"]))
    assert progress.unfinished or whole
    assert whole, "the shortcut was taken"


def test_a_shard_is_whole_when_its_first_attempt_told_of_every_id(tmp_path: Path) -> None:
    one = made(tmp_path)
    one.go()
    (shard,) = one.ctx.facts.shards.values()
    assert not standing._whole(shard), "it is under way"
    one.host.answer("batch-1", by_row(ok, bad, ok))
    one.go()
    assert standing._whole(shard)
    (first,) = shard.attempts
    changes: list[dict[str, Any]] = [
        {"stand": "dropped"},
        {"ids": "requests/x.ids.parquet"},
        {"answers": ["a", "b"]},
        {"outcomes": {"ok": 2}},
        {"requests": 2, "outcomes": {"ok": 2}},
    ]
    for change in changes:
        assert not standing._whole(replace(shard, attempts=[replace(first, **change)]))
    assert not standing._whole(replace(shard, attempts=[]))
    assert standing._whole(replace(shard, attempts=[first, replace(first, number=2, ids="x", stand="submitted")]))
