"""A host that refuses small batches: what is too little for one is given up by name, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch.errors import InputError, ProviderDown
from chimera_batch.steps import recalling
from tests.support import Bench, answered, bench, failed, write_project


def many(folder: Path, rows: int, least: int, **profile: Any) -> Bench:
    sql = f"-- Rows.\nSELECT 'k' || i AS row_key, 'q' || i AS q FROM range({rows}) AS t(i)\n"
    return bench(write_project(folder, {"sql/tiny/one_rows.sql": sql}), min_requests=least, **profile)


def with_least(one: Bench, least: int) -> Bench:
    """The same run with another minimum in its manifest."""
    told = one.ctx.told
    told = replace(told, profiles={"openai": replace(told.profiles["openai"], min_requests=least)})
    return Bench(replace(one.ctx, told=told), one.clock, one.host, one.said)


def end(one: Bench, batch: str, lost: int) -> None:
    """All but the last ``lost`` requests of a batch are answered; those may be asked again."""
    lines = one.host.batches[batch].lines
    gone = {line["custom_id"] for line in lines[len(lines) - lost :]}
    one.host.answer(
        batch, lambda line: failed(line["custom_id"], 500) if line["custom_id"] in gone else answered(line["custom_id"])
    )


def test_enough_for_a_batch_go_again(tmp_path: Path) -> None:
    one = many(tmp_path, 10, least=4)
    one.go()
    end(one, "batch-1", lost=4)
    one.go()
    assert [len(batch.lines) for batch in one.host.batches.values()] == [10, 4]
    assert one.states() == {"answered": 6, "in_flight": 4}


def test_too_few_for_a_batch_are_given_up_and_said(tmp_path: Path) -> None:
    one = many(tmp_path, 10, least=4)
    one.go()
    end(one, "batch-1", lost=3)
    assert one.go().done
    assert one.states() == {"answered": 7, "given_up": 3} and len(one.host.batches) == 1
    assert one.stand().reasons == ("3 requests would be asked again, but openai takes no batch of fewer than 4",)


def test_a_lower_minimum_opens_them_again(tmp_path: Path) -> None:
    """Nothing of it is a fact, so nothing that was counted before is believed."""
    one = many(tmp_path, 10, least=4)
    one.go()
    end(one, "batch-1", lost=3)
    one.go()
    assert recalling.counted(one.ctx, one.stage).standing.states["given_up"] == 3
    lower = with_least(one, 3)
    assert recalling.counted(lower.ctx, lower.stage).standing.states["retryable"] == 3
    assert lower.states() == {"answered": 7, "retryable": 3}
    assert one.states() == {"answered": 7, "given_up": 3}


def test_each_shard_counts_for_itself(tmp_path: Path) -> None:
    """Three of each of two shards are no batch, though six would be; while one is under way nothing of it is."""
    one = many(tmp_path, 20, least=4, max_requests=10)
    one.go()
    end(one, "batch-1", lost=3)
    one.go()
    assert one.states() == {"answered": 7, "given_up": 3, "in_flight": 10}
    end(one, "batch-2", lost=5)
    one.go()
    assert one.states() == {"answered": 12, "given_up": 3, "in_flight": 5}
    assert [len(batch.lines) for batch in one.host.batches.values()] == [10, 10, 5]


def test_a_claim_that_was_given_back_goes_again_whole(tmp_path: Path) -> None:
    one = many(tmp_path, 10, least=4)
    one.host.trouble["create"] = [ProviderDown("busy")]
    one.go()
    assert one.states() == {"packed": 10}
    one.clock.sleep(one.ctx.timing.queue)
    one.go()
    assert one.states() == {"in_flight": 10}


def test_a_full_queue_is_left_alone_for_a_while(tmp_path: Path) -> None:
    one = many(tmp_path, 10, least=4)
    full = ProviderDown("too many jobs")
    full.full = True
    one.host.trouble["create"] = [full]
    one.go()
    one.go()
    assert len(one.host.called("create")) == 1 and one.states() == {"packed": 10}
    one.clock.sleep(one.ctx.timing.queue + 1)
    one.go()
    assert one.states() == {"in_flight": 10}


def test_too_few_in_all_are_an_error_and_nothing_is_packed(tmp_path: Path) -> None:
    one = many(tmp_path, 3, least=4)
    with pytest.raises(InputError, match="3 requests are to be asked, and openai takes no batch of fewer than 4"):
        one.go()
    assert one.ctx.facts.shards == {} and one.host.log == []


def test_what_is_left_over_is_shared_out(tmp_path: Path) -> None:
    one = many(tmp_path, 22, least=4, max_requests=10)
    one.go()
    assert sorted(len(batch.lines) for batch in one.host.batches.values()) == [7, 7, 8]


def test_synchronous_calls_know_no_minimum(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path, stage=", window: now"), min_requests=50)
    assert one.go() is not None
    assert not any("fewer than" in line for line in one.said)
    assert {shard.window for shard in one.ctx.facts.shards.values()} == {"now"}
